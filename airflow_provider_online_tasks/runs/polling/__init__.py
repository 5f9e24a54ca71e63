"""Poll many runs with few requests."""
