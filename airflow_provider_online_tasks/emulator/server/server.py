"""The server: both APIs, the control plane and the page in one ASGI application on one socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from airflow_provider_online_tasks.emulator.control import routes as control
from airflow_provider_online_tasks.emulator.errors import problem
from airflow_provider_online_tasks.emulator.server import graphql, page, rest
from airflow_provider_online_tasks.emulator.server.requests import TRANSPORT
from airflow_provider_online_tasks.emulator.state import EmulatorState

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings


def create_app(state: EmulatorState) -> ASGIApp:
    """Return the application. It rejects other hosts, and adds the date of the emulator's clock."""
    routes = [graphql.route(state), *rest.routes(state), *control.routes(state), *page.routes(state)]
    starlette = Starlette(routes=routes, exception_handlers={HTTPException: rest.unknown})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's send is a method of an object that has the transport.
        scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)

        async def dated_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", state.clock.http_date())]
            await send(message)

        # A page elsewhere could make a browser send requests here, with its own name in the Host header.
        accepted = state.settings.accepts_host(Headers(scope=scope).get("host", ""))
        rejection = problem(scope["path"], 421, "The Host header does not name this emulator")
        await (starlette if accepted else rejection)(scope, receive, dated_send)

    return app


class EmulatorServer:
    """A server on its own socket."""

    def __init__(self, settings: EmulatorSettings) -> None:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
        # Without Nagle's algorithm, which would delay a response by 40 ms; connections inherit this.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self._settings = settings
        self._server: _Server | None = None

    def serve(self, on_ready: Callable[[EmulatorState], None]) -> None:
        """Serve in the calling thread until the server is stopped."""
        # The banner has what matters of uvicorn's messages.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        with contextlib.closing(self._socket):
            state = EmulatorState(self._settings)
            with contextlib.closing(state.storage):
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
        loops = [
            asyncio.create_task(each) for each in (state.runs.tick_forever(), state.runs.judge_forever())
        ]
        try:
            await server.serve(sockets=[self._socket])
        finally:
            for task in loops:
                task.cancel()
            await asyncio.wait(loops)

    def stop(self) -> None:
        """Stop the server at once, from any thread."""
        if self._server is not None:
            self._server.stop()


class _Server(uvicorn.Server):
    """uvicorn without polling: it starts and stops at once, and does not wait for requests in flight."""

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
