"""The session of requests under the blocking client: bounded, and knowing what became of its last request."""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_online_tasks.api._bounds import (
    ACCEPTED,
    CHUNK,
    MOST_BODY,
    MOST_HEADERS,
    Body,
    BoundedReader,
    UnreadableBody,
)
from airflow_provider_online_tasks.api._user_agent import user_agent
from airflow_provider_online_tasks.api.tls import proxy_for, tls_context

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings


class RequestBody(io.BytesIO):
    """A request body that knows whether it was handed to the socket.

    Before that, the server cannot have carried the request out: name resolution, connecting, proxy and
    TLS handshake are over only then.
    """

    taken = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return a part of the body."""
        self.taken = True
        return super().read(size)


class _BoundedAnswer(HTTPResponse):
    """An answer that is bounded: in bytes, and in the time that its connection allows."""

    def __init__(self, sock: Any, *args: Any, until: float, timeout: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        # The chunks' lengths come between the bytes of a body.
        reader = BoundedReader(sock, until=until, timeout=timeout, most=MOST_HEADERS + 2 * MOST_BODY)
        self.fp = io.BufferedReader(reader)


class _Bounded:
    """What bounds a connection's answers, those of a proxy included."""

    settings: Settings
    _until = 0.0

    def connect(self) -> None:
        self._begin()
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._begin()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _begin(self) -> None:
        self._until = time.monotonic() + self.settings.answer_timeout

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> _BoundedAnswer:
        timeout = self.settings.timeout
        return _BoundedAnswer(sock, *args, until=self._until, timeout=timeout, **kwargs)


class _Adapter(HTTPAdapter):
    """Opens connections that are bounded and trust whom the settings say."""

    def __init__(self, settings: Settings, *, uses_tls: bool) -> None:
        self._settings = settings
        self._trust: dict[str, Any] = {"ssl_context": tls_context(settings)} if uses_tls else {}
        super().__init__()

    def _bound(self, manager: Any) -> None:
        plain = type("_Plain", (_Bounded, HTTPConnection), {"settings": self._settings})
        tls = type("_Tls", (_Bounded, HTTPSConnection), {"settings": self._settings})
        manager.pool_classes_by_scheme = {
            "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **{**self._trust, **kwargs})
        self._bound(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        if self._trust and str(proxy).startswith("https:"):
            kwargs["proxy_ssl_context"] = self._trust["ssl_context"]
        manager = super().proxy_manager_for(proxy, **self._trust, **kwargs)
        self._bound(manager)
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add nothing to the context, which knows whom to trust."""


class Session(requests.Session):
    """A session that keeps to its host, and knows what became of its last request."""

    body: RequestBody | None = None
    answer: requests.Response | None = None
    unreadable: str | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.headers["User-Agent"] = user_agent()
        self.headers["Accept-Encoding"] = ACCEPTED
        self.auth = _no_auth
        self.trust_env = False  # the settings decide about proxies, certificates and passwords
        endpoint = settings.endpoint
        self._proxies = {url: proxy_for(settings, url) for url in (endpoint.app_url, endpoint.rest_url)}
        used = (*self._proxies, *self._proxies.values())
        adapter = _Adapter(settings, uses_tls=any(str(url).startswith("https:") for url in used))
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def forget(self) -> None:
        """Forget the last request."""
        self.body = self.answer = self.unreadable = None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request and read its answer, as far as it keeps within bounds."""
        self.forget()
        if isinstance(request.body, str):
            request.body = request.body.encode()
        if isinstance(request.body, bytes):
            # An open-ended type hint: requests sends any file-like body.
            self.body = RequestBody(request.body)
            request.body = self.body  # type: ignore[assignment]
        host = "/".join(str(request.url).split("/", 3)[:3])
        proxy = self._proxies.get(host)
        kwargs |= {
            "allow_redirects": False,  # the key must not travel to another host
            "timeout": self.settings.timeout,
            "verify": self.settings.verify is not False,
            "proxies": {"http": proxy, "https": proxy} if proxy else {},
            "stream": True,
        }
        answer = super().send(request, **kwargs)
        content = self._read(answer)
        # What was read stands for the stream: requests has no public way to say so.
        answer._content = content  # noqa: SLF001
        answer._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        answer.encoding = "utf-8"
        self.answer = answer
        return answer

    def _read(self, answer: requests.Response) -> bytes:
        whole = False
        body = Body({name.lower(): text for name, text in answer.headers.items()})
        try:
            while chunk := answer.raw.read(CHUNK, decode_content=False):
                body.add(chunk)
            content = body.whole()
            whole = True
        except UnreadableBody as error:
            self.unreadable = str(error)
            return body.start()
        finally:
            # A connection with an unread rest cannot be used again.
            answer.raw.release_conn() if whole else answer.raw.close()
        return content


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing the key by what a .netrc file says."""
    return request
