"""Start a run once, wait for it, and act on how it ended."""
