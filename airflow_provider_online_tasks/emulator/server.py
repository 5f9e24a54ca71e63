"""The server: both APIs, the control plane and the page in one ASGI application, on one socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import Response

from airflow_provider_online_tasks.emulator.control import routes as control
from airflow_provider_online_tasks.emulator.endpoint import TRANSPORT
from airflow_provider_online_tasks.emulator.graphql import answers as graphql
from airflow_provider_online_tasks.emulator.page import page
from airflow_provider_online_tasks.emulator.rest import operations as rest
from airflow_provider_online_tasks.emulator.rest.problems import MEDIA_TYPE, ProblemError, problem_handlers
from airflow_provider_online_tasks.emulator.state import EmulatorState

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings


def create_app(state: EmulatorState) -> ASGIApp:
    """Return the application."""
    routes = [graphql.route(state), *rest.routes(state), *control.routes(state), *page.routes(state)]
    app = Starlette(routes=routes, exception_handlers=problem_handlers())
    return _Wire(_HostCheck(app, state.settings), state)


class _HostCheck:
    """Refuses requests in the name of another host: a page elsewhere could have a browser send them here."""

    def __init__(self, app: ASGIApp, settings: EmulatorSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if scope["type"] == "http" and not self._settings.answers_to(host):
            problem = ProblemError(421, "The Host header names another host than this emulator's")
            body = json.dumps(problem.body(scope["path"]))
            await Response(body, 421, media_type=MEDIA_TYPE)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Wire:
    """Gives responses the connection they go out on, and the date of a clock that can be set."""

    def __init__(self, app: ASGIApp, state: EmulatorState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's send is a method of the request's cycle, which knows the transport.
        scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)

        async def dated_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self._state.clock.http_date())]
            await send(message)

        await self._app(scope, receive, dated_send)


class EmulatorServer:
    """A server on a socket of its own.

    :param settings: how it behaves; its port 0 becomes a free one.
    """

    def __init__(self, settings: EmulatorSettings) -> None:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        # Only of a socket that says it is TCP does asyncio switch off Nagle's algorithm, which would cost an
        # answer 40 ms.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((settings.host, settings.port))
            self._socket.listen(1024)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._settings = settings
        self._server: _Server | None = None

    def serve(self, on_ready: Callable[[EmulatorState], None]) -> None:
        """Serve until stopped, in the calling thread.

        :param on_ready: called when the socket is being listened on.
        """
        with contextlib.closing(self._socket):
            state = EmulatorState(self._settings)
            with contextlib.closing(state.store):
                config = uvicorn.Config(
                    create_app(state),
                    lifespan="off",
                    ws="none",
                    log_config=None,
                    access_log=False,
                    date_header=False,
                    server_header=False,
                )
                self._server = _Server(config, lambda: on_ready(state))
                asyncio.run(self._serve(self._server, state))

    async def _serve(self, server: _Server, state: EmulatorState) -> None:
        ticker = asyncio.create_task(state.runs.tick_forever(state.tick))
        try:
            await server.serve(sockets=[self._socket])
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
            await state.runs.close()

    def stop(self) -> None:
        """Stop the server at once; from any thread."""
        if self._server is not None:
            self._server.stop()


class _Server(uvicorn.Server):
    """uvicorn without its polling: it starts and stops at once, and waits for no request in flight."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_ready()

    async def main_loop(self) -> None:
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)


def silence_uvicorn() -> None:
    """Keep uvicorn's own words out of a program's output; the emulator's banner says what matters."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
