"""How a request is refused, whatever the API it came through."""

from __future__ import annotations


class RefusedInputError(Exception):
    """A request whose values do not fit; the message goes to the client."""


class UnknownObjectError(Exception):
    """A request that names something which does not exist."""
