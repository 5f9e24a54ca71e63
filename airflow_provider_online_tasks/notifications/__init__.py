"""Notifiers: what they know, in the words of any channel."""
