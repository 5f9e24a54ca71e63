"""Organizations, spaces and projects."""
