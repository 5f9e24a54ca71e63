"""AI integrations."""
