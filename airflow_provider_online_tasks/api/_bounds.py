"""Limits of the size and the duration of a response: the same for both clients.

A response takes at most about 16 MB of memory, whatever it holds and however it is compressed.
"""

from __future__ import annotations

import io
import json
import re
import socket
import time
import zlib
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

MEBI = 1024 * 1024
MOST_BODY = 3 * MEBI
"""Bytes of a body, both compressed and decompressed."""
MOST_HEADERS = 128 * 1024
MOST_MEMORY = 10 * MEBI
"""Bytes of the values of a body after parsing."""
ACCEPTED = "gzip"
CHUNK = 64 * 1024
SHOWN = 4 * 1024
_LARGEST_FOR_SLOW_READER = MEBI
_ANY_HEADER = zlib.MAX_WBITS | 32
_PER_SEPARATOR, _PER_OBJECT = 64, 200
_WIDE = re.compile(rb"[\xf0-\xf4]|\\u[dD][89abAB]")
_TEXT = re.compile(rb'[^"]+')
_TOO_LARGE = f"is too large: more than {MOST_BODY // MEBI} MiB"


class UnreadableBody(ValueError):
    """A body is too large, cut off, or compressed in an unknown way."""


class ResponseTooSlow(TimeoutError):
    """A response started and did not end in time."""


class Body:
    """Collects the body of a response, decompressed, up to the limits.

    :param headers: the response's headers, names in lower case.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._problem = ""
        length = headers.get("content-length", "").strip()
        if length.isdecimal() and (len(length) > 12 or int(length) > MOST_BODY):
            self._problem = _TOO_LARGE
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self._problem = "has a compression that was not requested"
        is_compressed = not self._problem and encoding not in ("", "identity")
        self._zlib = zlib.decompressobj(_ANY_HEADER) if is_compressed else None
        self._body = bytearray()
        self._received = 0

    def add(self, chunk: bytes) -> None:
        """Add a part of the body as it was received.

        :raises UnreadableBody: it is too large or cannot be decompressed.
        """
        self._received += len(chunk)
        if self._received > MOST_BODY:
            raise UnreadableBody(_TOO_LARGE)
        if self._zlib is not None:
            try:
                chunk = self._zlib.decompress(chunk, MOST_BODY + 1 - len(self._body))
            except zlib.error:
                raise UnreadableBody("cannot be decompressed") from None
        self._body += chunk
        if len(self._body) > MOST_BODY:
            raise UnreadableBody(_TOO_LARGE)
        if self._problem:
            raise UnreadableBody(self._problem)

    def start(self) -> bytes:
        """Return the start of the body, for messages."""
        return bytes(self._body[:SHOWN])

    def complete(self) -> bytes:
        """Return the body.

        :raises UnreadableBody: the compressed data is cut off.
        """
        if self._zlib is not None and self._received and not self._zlib.eof:
            raise UnreadableBody("cannot be decompressed because it is cut off")
        return bytes(self._body)


def read_json(body: bytes) -> Any:
    """Parse JSON, unless its values would take too much memory.

    :raises ValueError: it is not JSON, or too large (:class:`UnreadableBody`).
    """
    if _memory(body) > MOST_MEMORY:
        raise UnreadableBody("is too large: it holds too many values")
    try:
        return from_json(body)
    except ValueError:
        if len(body) > _LARGEST_FOR_SLOW_READER:
            raise
    # The standard library accepts half of a surrogate pair, so that one bad text hides no other value.
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _memory(body: bytes) -> int:
    """Return an upper estimate of the bytes that the values of a JSON body take."""
    if len(body) < CHUNK:
        return 0
    separators = body.count(b",") + body.count(b":") + body.count(b"[")
    values = _PER_SEPARATOR * separators + _PER_OBJECT * body.count(b"{")
    if body.isascii() and b"\\u" not in body:
        return values + len(body)
    if values + 4 * len(body) <= MOST_MEMORY:
        return values + 4 * len(body)
    # A wide character makes its entire text four bytes per character; other texts take at most two.
    wide = sum(1 for _ in _WIDE.finditer(body))
    longest = max((len(part[0]) for part in _TEXT.finditer(body)), default=0) if wide else 0
    return values + 2 * len(body) + 2 * min(len(body), wide * longest)


class BoundedReader(io.RawIOBase):
    """Reads an HTTP response from a socket with a limit of bytes and a deadline.

    A socket's timeout restarts with each part that arrives; the deadline is for the entire response.

    :param source: the socket; its timeout applies to each part.
    :param timeout: seconds for the entire response.
    :param most: maximum number of bytes.
    """

    def __init__(self, source: socket.socket, *, timeout: float, most: int) -> None:
        self._source = source
        self._raw = source.makefile("rb", buffering=0)
        self._part_timeout = source.gettimeout() or timeout
        self._deadline, self._left = time.monotonic() + timeout, most

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read the next part.

        :raises ResponseTooSlow: the deadline has passed.
        :raises UnreadableBody: the response is too large.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise ResponseTooSlow
        if self._left <= 0:
            raise UnreadableBody(_TOO_LARGE)
        self._source.settimeout(min(remaining, self._part_timeout))
        try:
            count = self._raw.readinto(memoryview(buffer)[: self._left])
        except TimeoutError:
            if remaining < self._part_timeout:
                raise ResponseTooSlow from None
            raise
        self._left -= count or 0
        return count

    def close(self) -> None:
        """Close the view of the socket; the socket stays with its connection."""
        if not self.closed:
            self._raw.close()
        super().close()
