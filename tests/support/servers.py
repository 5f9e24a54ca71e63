"""Small real servers for what the emulator does not do.

Another host, a proxy, a schema with other names, a host that never responds.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Seen:
    """A received request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Reply:
        named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        return cls(status, json.dumps(value).encode(), (("Content-Type", "application/json"), *named))


class RecordingServer:
    """Records every request and returns the reply of ``answer``, over HTTP or TLS."""

    def __init__(self, answer: Callable[[Seen], Reply], *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.open_connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.open_connections += 1

            def finish(self) -> None:
                outer.open_connections -= 1
                super().finish()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): text for name, text in self.headers.items()}
                seen = Seen(self.command, self.path, headers, body)
                outer.seen.append(seen)
                reply = answer(seen)
                self.send_response(reply.status)
                for name, text in reply.headers:
                    self.send_header(name, text)
                if not any(name.lower() == "content-length" for name, _ in reply.headers):
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(reply.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def do_CONNECT(self) -> None:
                outer.seen.append(Seen("CONNECT", self.path, dict(self.headers.items()), b""))
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port)), timeout=10) as other:
                    self.send_response(200)
                    self.end_headers()
                    _join(self.connection, other)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[socket.socket, Any]:
                connection, address = super().get_request()
                connection.settimeout(20)
                # The reading thread does the handshake, so that a failed one does not stop the server.
                return (
                    tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                    if tls
                    else connection
                ), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> RecordingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes in both directions until one side ends."""
    for end in (one, other):
        end.settimeout(10)
    while True:
        readable, _, _ = select.select([one, other], [], [], 10)
        if not readable:
            return
        for end in readable:
            data = end.recv(65536)
            if not data:
                return
            (other if end is one else one).sendall(data)


def forward(seen: Seen) -> Reply:
    """Reply as a proxy for plain HTTP: forward the request to the host in the request line."""
    parts = urlsplit(seen.target)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    with contextlib.closing(connection):
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(seen.method, target, seen.body or None, seen.headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(), (("Content-Type", answer.getheader("content-type", "")),))


def graphql_server(arguments: dict[str, str], answers: dict[str, Any]) -> RecordingServer:
    """Return a GraphQL server whose mutations have input types with other names.

    :param arguments: the name of the input type of each mutation.
    :param answers: the payload of each mutation.
    """

    def answer(seen: Seen) -> Reply:
        document = seen.json["query"]
        if "__type(" in document:
            fields = [
                {"name": name, "args": [{"name": "input", "type": {"name": None, "ofType": {"name": kind}}}]}
                for name, kind in arguments.items()
            ]
            return Reply.of({"data": {"__type": {"fields": fields}}})
        name = next(name for name in arguments if f"{name}(" in document)
        if f"$input: {arguments[name]}!" not in document:
            return Reply.of({"errors": [{"message": "Unknown type", "locations": []}]}, 400)
        return Reply.of({"data": {name: answers[name]}})

    return RecordingServer(answer)


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """Yield the URL of a port where nothing listens, which stays reserved."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def silent_port() -> Iterator[str]:
    """Yield the URL of a port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def full_port() -> Iterator[str]:
    """Yield the URL of a port with a full connection queue, so that connecting times out."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server context with a self-signed certificate for 127.0.0.1, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context, file
