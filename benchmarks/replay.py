"""A server that sends stored responses and does nothing else, to measure only the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Connection(asyncio.Protocol):
    """A connection with one request after the other, each with a Content-Length or without a body."""

    def __init__(self, responses: Mapping[str, bytes]) -> None:
        self._responses = responses
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, *lines = self._received[:end].decode().split("\r\n")
            headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
            length = end + 4 + int(headers.get("content-length", 0))
            if len(self._received) < length:
                return
            self._received = self._received[length:]
            key = unquote(" ".join(request.split(" ", 2)[:2]))
            body = self._responses.get(key) or self._responses.get(key.partition("?")[0], b"")
            head = [f"HTTP/1.1 {'200 OK' if body else '404 Not Found'}", "content-type: application/json"]
            head += [f"content-length: {len(body)}", "", ""]
            self._transport.write("\r\n".join(head).encode() + body)  # type: ignore[attr-defined]


async def _serve(responses: Mapping[str, bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(responses), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def replay(folder: Path, responses: Mapping[str, str]) -> Iterator[str]:
    """Serve responses from a separate process, and yield its URL.

    :param folder: a folder for the file with the responses.
    :param responses: bodies by method and path, with or without the query.
    """
    file = folder / "responses.json"
    file.write_text(json.dumps(dict(responses)))
    command = [sys.executable, __file__, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    stored = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(_serve({unquote(key): body.encode() for key, body in stored.items()}))
