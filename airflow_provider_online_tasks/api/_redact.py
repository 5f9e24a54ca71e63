"""Keeps the API key out of whatever a server says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
# A shorter secret is a word that IDs and texts may hold by chance; it is hidden in messages alone.
SHORTEST_IN_VALUES = 8


def spellings(secret: str) -> tuple[str, ...]:
    """Return how a text may spell a secret: as it is, in JSON, in a URL, as Python shows it."""
    if not secret:
        return ()
    as_json = json.dumps(secret)[1:-1]
    found = {
        secret,
        as_json,
        as_json.replace("/", "\\/"),
        json.dumps(as_json)[1:-1],
        repr(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }
    return tuple(sorted(found, key=len, reverse=True))


def redacted(text: str, secret: str) -> str:
    """Return a text without the secret, however it is spelled."""
    for spelling in spellings(secret):
        text = text.replace(spelling, HIDDEN)
    return text


def redacted_bytes(body: bytes, secret: str) -> bytes:
    """Return the bytes of an answer without the secret."""
    if len(secret) < SHORTEST_IN_VALUES:
        return body
    for spelling in spellings(secret):
        as_bytes = spelling.encode()
        if as_bytes in body:
            body = body.replace(as_bytes, HIDDEN.encode())
    return body


def redacted_value(value: Any, secret: str) -> Any:
    """Return a JSON value without the secret: escapes may hide it in the bytes."""
    if len(secret) < SHORTEST_IN_VALUES:
        return value
    return _without(value, spellings(secret))


def _without(value: Any, secrets: tuple[str, ...]) -> Any:
    match value:
        case str():
            for one in secrets:
                if one in value:
                    value = value.replace(one, HIDDEN)
            return value
        case list():
            return [_without(one, secrets) for one in value]
        case dict():
            return {_without(name, secrets): _without(one, secrets) for name, one in value.items()}
        case _:
            return value
