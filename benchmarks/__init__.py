"""Measurements of the provider next to a comparable one: ``make bench``."""
