"""A server that answers each request with bytes it was given, and does nothing else.

What a client costs is hidden behind what the emulator takes to answer; here it is not.
"""

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
    """One connection: requests with a Content-Length or no body, one after the other."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode()
            lines = {
                name.lower(): text for name, _, text in (line.partition(": ") for line in head.split("\r\n"))
            }
            whole = end + 4 + int(lines.get("content-length", 0))
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            request = unquote(" ".join(head.split(" ", 2)[:2]))
            body = self._answers.get(request) or self._answers.get(request.partition("?")[0], b"")
            status = "200 OK" if body else "404 Not Found"
            answered = (
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            self._transport.write(answered.encode() + body)  # type: ignore[attr-defined]


async def _serve(answers: Mapping[str, bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def replay(folder: Path, answers: Mapping[str, str]) -> Iterator[str]:
    """Serve answers from a process of its own, and yield its URL.

    :param folder: where the answers are written for it.
    :param answers: method and path, with or without the query, to the body.
    """
    file = folder / "answers.json"
    file.write_text(json.dumps(dict(answers)))
    command = [sys.executable, __file__, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(_serve({unquote(request): body.encode() for request, body in given.items()}))
