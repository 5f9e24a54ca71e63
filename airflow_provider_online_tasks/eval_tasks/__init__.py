"""Create or update an eval task once."""
