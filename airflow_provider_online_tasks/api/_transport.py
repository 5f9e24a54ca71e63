"""What both clients share: the User-Agent header, TLS, proxies, and the limits of a response.

Certificates: the first of ``verify`` and ``ca_bundle`` of the connection, ``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and ``certifi``. Proxies: ``proxy`` of the connection,
then ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` in either case, unless ``NO_PROXY`` lists the host.
A response takes at most about 16 MB of memory, even if it is compressed or malformed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import certifi
from pydantic_core import from_json

from airflow_provider_online_tasks.api.settings import read_proxy
from airflow_provider_online_tasks.exceptions import InvalidConnection

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

DISTRIBUTION = "airflow-provider-online-tasks"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
MEBI = 1024 * 1024
MOST_BODY = 3 * MEBI
"""Bytes of a body, both compressed and decompressed."""
MOST_HEADERS = 128 * 1024
MOST_MEMORY = 10 * MEBI
"""Bytes of the values of a body after parsing."""
ACCEPTED = "gzip"
CHUNK = 64 * 1024
SHOWN = 4 * 1024
THROUGH_PROXY = " through the proxy "
_LARGEST_FOR_SLOW_READER = MEBI
_ANY_HEADER = zlib.MAX_WBITS | 32
_PER_SEPARATOR, _PER_OBJECT = 64, 200
_WIDE = re.compile(rb"[\xf0-\xf4]|\\u[dD][89abAB]")
_TEXT = re.compile(rb'[^"]+')
_LIBRARY_LOGGERS = (
    "gql.transport.requests",
    *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")),
    "httpx",
    *(f"urllib3.{name}" for name in ("connection", "connectionpool", "poolmanager", "response")),
)
_calls: ContextVar[bool] = ContextVar("calls_arize", default=False)
TOO_LARGE = f"is too large: more than {MOST_BODY // MEBI} MiB"
TOO_MANY_VALUES = "is too large: it holds too many values"


@cache
def user_agent() -> str:
    """Return the User-Agent header."""
    return f"{DISTRIBUTION}/{version(DISTRIBUTION)}"


@contextlib.contextmanager
def without_library_logs() -> Iterator[None]:
    """Drop what the HTTP libraries log about a call: their lines contain responses and headers."""
    token = _calls.set(True)
    try:
        yield
    finally:
        _calls.reset(token)


def _is_about_others(_: logging.LogRecord) -> bool:
    return not _calls.get()


for _name in _LIBRARY_LOGGERS:
    logging.getLogger(_name).addFilter(_is_about_others)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context. Takes some milliseconds."""
    if settings.verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    path, source = str(settings.verify), "ca_bundle of the connection"
    if settings.verify is True:
        variable = next(filter(os.environ.get, CA_VARIABLES), None)
        path = os.environ[variable] if variable else certifi.where()
        source = f"The environment variable {variable}" if variable else "certifi"
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
    raise InvalidConnection(f"{source} is {path!r}, which has no readable certificates: {reason}.")


def proxy_for(settings: Settings, url: str) -> str | None:
    """Return the proxy for a host, or None."""
    if settings.proxy:
        return settings.proxy
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    return read_proxy(str(proxy) if "://" in proxy else f"http://{proxy}", "The environment")


def place(url: str, proxy: str | None) -> str:
    """Return a host for messages, with its proxy but without the proxy's password."""
    if proxy is None:
        return url
    parts = urlsplit(proxy)
    return f"{url}{THROUGH_PROXY}{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class UnreadableBody(ValueError):
    """A body is too large, cut off, or compressed in an unknown way."""


class ResponseTooSlow(TimeoutError):
    """A response started and did not end in time."""


class Body:
    """Collects the body of a response, decompressed, up to the limits."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._problem = ""
        length = headers.get("content-length", "").strip()
        if length.isdecimal() and (len(length) > 12 or int(length) > MOST_BODY):
            self._problem = TOO_LARGE
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self._problem = "has a compression that was not requested"
        is_compressed = not self._problem and encoding not in ("", "identity")
        self._zlib = zlib.decompressobj(_ANY_HEADER) if is_compressed else None
        self._body = bytearray()
        self._received = 0

    def add(self, chunk: bytes) -> None:
        """Add a part of the body as it was received."""
        self._received += len(chunk)
        if self._received > MOST_BODY:
            raise UnreadableBody(TOO_LARGE)
        if self._zlib is not None:
            try:
                chunk = self._zlib.decompress(chunk, MOST_BODY + 1 - len(self._body))
            except zlib.error:
                raise UnreadableBody("cannot be decompressed") from None
        self._body += chunk
        if len(self._body) > MOST_BODY:
            raise UnreadableBody(TOO_LARGE)
        if self._problem:
            raise UnreadableBody(self._problem)

    def start(self) -> bytes:
        """Return the start of the body, for messages."""
        return bytes(self._body[:SHOWN])

    def complete(self) -> bytes:
        """Return the body."""
        if self._zlib is not None and self._received and not self._zlib.eof:
            raise UnreadableBody("cannot be decompressed because it is cut off")
        return bytes(self._body)


def read_json(body: bytes) -> Any:
    """Parse JSON. ValueError: it is not JSON, or its values would take too much memory."""
    if _memory(body) > MOST_MEMORY:
        raise UnreadableBody(TOO_MANY_VALUES)
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
