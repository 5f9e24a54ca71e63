"""Evaluators: how a span, a trace or a session gets a label."""
