"""Evaluators and the Eval Hub."""
