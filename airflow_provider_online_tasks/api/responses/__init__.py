"""Responses: their values, or the exceptions that they mean."""
