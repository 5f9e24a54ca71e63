"""The control plane for tests."""
