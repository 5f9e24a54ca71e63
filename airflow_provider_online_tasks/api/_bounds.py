"""How large an answer may be and how long it may take: the same for both clients.

An answer takes at most about 16 MB of memory, whatever it holds and however it is compressed.
"""

from __future__ import annotations

import io
import json
import re
import socket
import time
import zlib
from typing import Any

from pydantic_core import from_json

MEBI = 1024 * 1024
MOST_BODY = 3 * MEBI
"""Bytes of a body, as it is sent and again when it is decompressed."""
MOST_HEADERS = 128 * 1024
MOST_MEMORY = 10 * MEBI
"""Bytes that the values of a body may take once they are read."""
ACCEPTED = "gzip"
CHUNK = 64 * 1024
SHOWN = 4 * 1024
_LARGEST_FOR_SLOW_READER = MEBI
_ANY_HEADER = zlib.MAX_WBITS | 32
_PER_SEPARATOR, _PER_OBJECT = 64, 200
_WIDE = re.compile(rb"[\xf0-\xf4]|\\u[dD][89abAB]")
_TEXT = re.compile(rb'[^"]+')


class UnreadableBody(ValueError):
    """A body is too large, cut off, or not what its headers say."""


class AnswerTooSlow(TimeoutError):
    """An answer began and is not whole in time."""


class Body:
    """Collects the body of an answer, decompressed, within bounds.

    :param headers: the answer's headers, names in lower case.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self._problem = ""
        length = headers.get("content-length", "").strip()
        if length.isdecimal() and (len(length) > 12 or int(length) > MOST_BODY):
            self._problem = _too_large()
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self._problem = "is compressed in a way that was not accepted"
        compressed = not self._problem and encoding not in ("", "identity")
        self._zlib = zlib.decompressobj(_ANY_HEADER) if compressed else None
        self._body = bytearray()
        self._came = 0

    def add(self, chunk: bytes) -> None:
        """Take a part of the body as it came.

        :raises UnreadableBody: it is too large or cannot be decompressed.
        """
        self._came += len(chunk)
        if self._came > MOST_BODY:
            raise UnreadableBody(_too_large())
        if self._zlib is not None:
            try:
                chunk = self._zlib.decompress(chunk, MOST_BODY + 1 - len(self._body))
            except zlib.error:
                raise UnreadableBody("cannot be decompressed") from None
        self._body += chunk
        if len(self._body) > MOST_BODY:
            raise UnreadableBody(_too_large())
        if self._problem:
            raise UnreadableBody(self._problem)

    def start(self) -> bytes:
        """Return how the body begins, for messages."""
        return bytes(self._body[:SHOWN])

    def whole(self) -> bytes:
        """Return the body.

        :raises UnreadableBody: the compressed form is cut off.
        """
        if self._zlib is not None and self._came and not self._zlib.eof:
            raise UnreadableBody("cannot be decompressed: it is cut off")
        return bytes(self._body)


def _too_large() -> str:
    return f"is too large: more than {MOST_BODY // MEBI} MiB"


def read_json(body: bytes) -> Any:
    """Read JSON, unless its values would take too much memory.

    :raises ValueError: it is no JSON, or too large (:class:`UnreadableBody`).
    """
    if _memory(body) > MOST_MEMORY:
        raise UnreadableBody("is too large: it holds too many values")
    try:
        return from_json(body)
    except ValueError:
        if len(body) > _LARGEST_FOR_SLOW_READER:
            raise
    # The standard reader takes half of a surrogate pair, so that one bad text hides no other value.
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
    # One wide character makes all of its text four bytes a character; the others take two at most.
    wide = sum(1 for _ in _WIDE.finditer(body))
    longest = max((len(part[0]) for part in _TEXT.finditer(body)), default=0) if wide else 0
    return values + 2 * len(body) + 2 * min(len(body), wide * longest)


class BoundedReader(io.RawIOBase):
    """Reads an HTTP answer from a socket, bounded in bytes and in time.

    The socket's time-out starts again with each part that comes; this one is for the whole answer.

    :param source: the socket.
    :param until: ``time.monotonic()`` at which reading ends.
    :param timeout: seconds to wait for each part.
    :param most: bytes that may come.
    """

    def __init__(self, source: socket.socket, *, until: float, timeout: float, most: int) -> None:
        self._source = source
        self._raw = source.makefile("rb", buffering=0)
        self._until, self._timeout, self._left = until, timeout, most

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what comes next.

        :raises AnswerTooSlow: the time is over.
        :raises UnreadableBody: more comes than is allowed.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise AnswerTooSlow
        if self._left <= 0:
            raise UnreadableBody(_too_large())
        self._source.settimeout(min(left, self._timeout))
        try:
            count = self._raw.readinto(memoryview(buffer)[: self._left])
        except TimeoutError:
            if left < self._timeout:
                raise AnswerTooSlow from None
            raise
        self._left -= count or 0
        return count

    def close(self) -> None:
        """Close the view of the socket; the socket itself stays with its connection."""
        if not self.closed:
            self._raw.close()
        super().close()
