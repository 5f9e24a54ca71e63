"""Online tasks."""
