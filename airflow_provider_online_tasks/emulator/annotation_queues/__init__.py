"""Annotation queues."""
