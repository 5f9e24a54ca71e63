"""Publish an evaluator version only for new content."""
