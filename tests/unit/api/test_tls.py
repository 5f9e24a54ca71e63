"""Both clients use the same certificates and proxies."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api._transport import CA_VARIABLES
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import InvalidConnection, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, run_of
from tests.support.servers import RecordingServer, Reply, Seen, forward, self_signed

HookOn = Callable[..., OnlineTasksHook]


def answer(seen: Seen) -> Reply:
    result = {"data": {"runOnlineTask": {"result": {"runId": RUN}}}}
    return Reply.of({"id": RUN, "status": "RUNNING", **result})


class Authority:
    """A private certificate authority, as a company has one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        key, name = ec.generate_private_key(ec.SECP256R1()), self._name("private authority")
        authority = self._certificate(name, name, key, key, x509.BasicConstraints(ca=True, path_length=None))
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        leaf = self._certificate(self._name("arize"), name, own, key, names)
        self.file = folder / "authority.pem"
        self.file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        chain, secret = folder / "server.pem", folder / "server.key"
        chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(chain, secret)
        self.directory = folder / "certificates"
        self.directory.mkdir()
        hashed = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", str(self.file)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        (self.directory / f"{hashed}.0").write_bytes(self.file.read_bytes())

    @staticmethod
    def _name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    @staticmethod
    def _certificate(
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA256())
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust") / "authority")


@pytest.fixture
def server(authority: Authority) -> Iterator[RecordingServer]:
    with RecordingServer(answer, tls=authority.server) as own:
        yield own


@pytest.fixture(autouse=True)
def _no_bundle_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def by_rest(hook: OnlineTasksHook) -> str:
    return hook.client.send(calls.get_task_run(RUN), retry=NO_RETRY).id


def by_graphql(hook: OnlineTasksHook) -> str:
    return hook.client.send(calls.run_online_task(run_of()), retry=NO_RETRY)


def waiting(hook: OnlineTasksHook) -> str:
    async def main() -> str:
        client = AsyncClient(hook.settings)
        try:
            return (await client.send(calls.get_task_run(RUN))).id
        finally:
            await client.close()

    return asyncio.run(main())


all_clients = pytest.mark.parametrize("ask", [by_rest, by_graphql, waiting])


@all_clients
@pytest.mark.parametrize(
    ("named_by", "place"),
    [
        ("ca_bundle", "file"),
        ("ca_bundle", "directory"),
        ("REQUESTS_CA_BUNDLE", "file"),
        ("REQUESTS_CA_BUNDLE", "directory"),
        ("CURL_CA_BUNDLE", "file"),
        ("SSL_CERT_FILE", "file"),
        ("SSL_CERT_DIR", "directory"),
    ],
)
def test_private_authority_is_trusted_from_each_source(
    hook_on: HookOn,
    server: RecordingServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[OnlineTasksHook], str],
    named_by: str,
    place: str,
) -> None:
    extra, path = {}, str(getattr(authority, place))
    if named_by == "ca_bundle":
        extra = {"ca_bundle": path}
    else:
        monkeypatch.setenv(named_by, path)
    assert ask(hook_on(host=server.url, extra=extra)) == RUN
    assert len(server.seen) == 1


@all_clients
@pytest.mark.parametrize("order", range(len(CA_VARIABLES)))
def test_first_certificate_source_wins(
    hook_on: HookOn,
    server: RecordingServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ask: Callable[[OnlineTasksHook], str],
    order: int,
) -> None:
    _, other = self_signed(tmp_path)
    sources = ["ca_bundle", *CA_VARIABLES]
    first, second = sources[order], sources[order + 1]

    def named(first_path: Path, second_path: Path) -> OnlineTasksHook:
        monkeypatch.setenv(second, str(second_path))
        if first == "ca_bundle":
            return hook_on(host=server.url, extra={"ca_bundle": str(first_path)})
        monkeypatch.setenv(first, str(first_path))
        return hook_on(host=server.url)

    assert ask(named(authority.file, other)) == RUN
    with pytest.raises(Unavailable, match="certificate"):
        ask(named(other, authority.file))


@all_clients
def test_private_authority_is_untrusted_by_default(
    hook_on: HookOn, server: RecordingServer, ask: Callable[[OnlineTasksHook], str]
) -> None:
    with pytest.raises(Unavailable, match="certificate") as caught:
        ask(hook_on(host=server.url))
    assert not caught.value.may_have_executed
    assert server.seen == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@all_clients
def test_verify_false_accepts_any_certificate(
    hook_on: HookOn,
    server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[OnlineTasksHook], str],
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    assert ask(hook_on(host=server.url, extra={"verify": False})) == RUN


@all_clients
def test_unreadable_bundle_is_rejected(
    hook_on: HookOn,
    server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ask: Callable[[OnlineTasksHook], str],
) -> None:
    (tmp_path / "empty.pem").touch()
    for place in ("/no/such/file", str(tmp_path / "empty.pem")):
        monkeypatch.setenv("SSL_CERT_FILE", place)
        with pytest.raises(InvalidConnection, match="SSL_CERT_FILE"):
            ask(hook_on(host=server.url))


@all_clients
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_environment_proxy_is_used(
    hook_on: HookOn,
    server: RecordingServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[OnlineTasksHook], str],
    variable: str,
) -> None:
    with RecordingServer(forward) as proxy:
        for url in (proxy.url, proxy.url.removeprefix("http://")):
            monkeypatch.setenv(variable, url)
            assert ask(hook_on(host=server.url, extra={"ca_bundle": str(authority.file)})) == RUN
        assert [seen.method for seen in proxy.seen] == ["CONNECT"] * 2
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert ask(hook_on(host=server.url, extra={"ca_bundle": str(authority.file)})) == RUN
        # The connection's proxy takes precedence over NO_PROXY.
        extra = {"ca_bundle": str(authority.file), "proxy": proxy.url}
        assert ask(hook_on(host=server.url, extra=extra)) == RUN
    assert len(proxy.seen) == 3


@all_clients
def test_wrong_environment_proxy_is_rejected_without_showing_it(
    hook_on: HookOn,
    server: RecordingServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[OnlineTasksHook], str],
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://someone:pr0xy@proxy")
    with pytest.raises(InvalidConnection, match="proxy") as caught:
        ask(hook_on(host=server.url))
    assert "pr0xy" not in str(caught.value)
