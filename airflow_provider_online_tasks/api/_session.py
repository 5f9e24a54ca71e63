"""The requests session of the blocking client: bounded, and restricted to its host."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse, parse_headers
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_online_tasks.api import _transport
from airflow_provider_online_tasks.api.settings import RESPONSE_TIMEOUTS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings


class RequestBody(io.BytesIO):
    """A request body that records whether it was handed to the socket: only then can it have run."""

    was_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return a part of the body."""
        self.was_read = True
        return super().read(size)


class BoundedReader(io.RawIOBase):
    """Reads an HTTP response with a limit of bytes, and a deadline for all parts together."""

    def __init__(self, source: socket.socket, *, timeout: float, most: int) -> None:
        self._source = source
        self._raw = source.makefile("rb", buffering=0)
        self._part_timeout = source.gettimeout() or timeout
        self._deadline, self._left = time.monotonic() + timeout, most

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read the next part, within the limits."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise _transport.ResponseTooSlow
        if self._left <= 0:
            raise _transport.UnreadableBody(_transport.TOO_LARGE)
        self._source.settimeout(min(remaining, self._part_timeout))
        try:
            count = self._raw.readinto(memoryview(buffer)[: self._left])
        except TimeoutError:
            if remaining < self._part_timeout:
                raise _transport.ResponseTooSlow from None
            raise
        self._left -= count or 0
        return count

    def close(self) -> None:
        """Close the view of the socket; the socket stays with its connection."""
        if not self.closed:
            self._raw.close()
        super().close()


_INTERIM = range(102, 200)  # http.client skips 100 itself, and 101 is a response


class _BoundedResponse(HTTPResponse):
    """A response, of Arize or of a proxy, with limits of its size and its duration."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        timeout = RESPONSE_TIMEOUTS * sock.gettimeout()
        # Twice the body, because chunk sizes stand between the bytes of a body.
        reader = BoundedReader(sock, timeout=timeout, most=_transport.MOST_HEADERS + 2 * _transport.MOST_BODY)
        self.fp = io.BufferedReader(reader)

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses such as 103 Early Hints, which http.client would return."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status not in _INTERIM:
                return version, status, reason
            parse_headers(self.fp)


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _TLSConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Opens bounded connections with the TLS settings of the connection."""

    def __init__(self, settings: Settings, *, uses_tls: bool) -> None:
        self._tls: dict[str, Any] = {"ssl_context": _transport.tls_context(settings)} if uses_tls else {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **{**self._tls, **kwargs})
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Create the pools of connections through a proxy."""
        if self._tls and str(proxy).startswith("https:"):
            kwargs["proxy_ssl_context"] = self._tls["ssl_context"]
        manager = super().proxy_manager_for(proxy, **self._tls, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the TLS context unchanged."""


class Session(requests.Session):
    """A session that stays with its hosts, and records its last request and response."""

    body: RequestBody | None = None
    response: requests.Response | None = None
    unreadable: str | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.headers["User-Agent"] = _transport.user_agent()
        self.headers["Accept-Encoding"] = _transport.ACCEPTED
        self.auth = lambda request: request  # or a .netrc file would replace the key
        self.trust_env = False  # proxies, certificates and passwords come from the settings
        endpoint = settings.endpoint
        self._proxies = {
            url: _transport.proxy_for(settings, url) for url in (endpoint.app_url, endpoint.rest_url)
        }
        used = (*self._proxies, *self._proxies.values())
        adapter = _Adapter(settings, uses_tls=any(str(url).startswith("https:") for url in used))
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def place(self, url: str) -> str:
        """Return a host for messages."""
        return _transport.place(url, self._proxies[url])

    def forget(self) -> None:
        """Forget the last request and its response."""
        self.body = self.response = self.unreadable = None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request and read its response up to the limits."""
        if isinstance(request.body, str):
            request.body = request.body.encode()
        if isinstance(request.body, bytes):
            self.body = RequestBody(request.body)
            request.body = self.body  # type: ignore[assignment]  # requests sends any file-like body
        host = "/".join(str(request.url).split("/", 3)[:3])
        proxy = self._proxies.get(host)
        kwargs |= {
            "allow_redirects": False,  # the key must not be sent to another host
            "timeout": self.settings.timeout,
            "verify": self.settings.verify is not False,
            "proxies": {"http": proxy, "https": proxy} if proxy else {},
            "stream": True,
        }
        response = super().send(request, **kwargs)
        body = _transport.Body({name.lower(): text for name, text in response.headers.items()})
        raw, is_complete = response.raw, False
        try:
            while chunk := raw.read(_transport.CHUNK, decode_content=False):
                body.add(chunk)
            content = body.complete()
            is_complete = True
        except _transport.UnreadableBody as error:
            self.unreadable, content = str(error), body.start()
        finally:
            # A connection with unread data cannot be used again.
            raw.release_conn() if is_complete else raw.close()
        response.raw, response.encoding = io.BytesIO(content), "utf-8"
        self.response = response
        return response
