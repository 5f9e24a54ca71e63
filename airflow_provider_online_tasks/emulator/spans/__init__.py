"""Spans, query filters and annotations."""
