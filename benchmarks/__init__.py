"""What the provider costs, measured side by side with its peer: ``make bench``."""
