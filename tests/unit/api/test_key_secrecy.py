"""The API key is sent to its host in its header, and appears nowhere else."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, Fault
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidConnection,
    OnlineTasksError,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, eval_task, run_of
from tests.support.servers import RecordingServer, Reply, Seen, closed_port, forward, self_signed, silent_port

HookOn = Callable[..., OnlineTasksHook]
KEY = "ak-0123456789abcdef-NeverShown"
LIBRARIES = ("gql", "httpcore", "httpx", "requests", "urllib3")


def answers(seen: Seen) -> Reply:
    return Reply.of({"data": {"runOnlineTask": {"result": {"runId": RUN}}}, "id": RUN, "status": "RUNNING"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("ask", ["REST", "GraphQL"])
def test_redirects_are_not_followed(hook_on: HookOn, status: int, ask: str) -> None:
    with RecordingServer(answers) as other:
        moved = Reply(status, b"moved", (("Location", f"{other.url}/elsewhere"),))
        with RecordingServer(lambda _: moved) as arize:
            hook = hook_on(host=arize.url, password=KEY)
            with pytest.raises(BadRequest) as caught:
                hook.get_task_run(RUN) if ask == "REST" else hook.run_online_task(run_of())

    assert other.seen == []
    assert len(arize.seen) == 1
    assert other.url in str(caught.value)
    assert not caught.value.may_have_executed


def test_netrc_does_not_replace_the_key(
    hook_on: HookOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RecordingServer(answers) as arize:
        hook = hook_on(host=arize.url, password=KEY)
        hook.get_task_run(RUN)
        hook.run_online_task(run_of())

    rest, graphql = arize.seen
    assert rest.headers["authorization"] == f"Bearer {KEY}"
    assert graphql.headers["x-api-key"] == KEY
    assert "authorization" not in graphql.headers


@pytest.mark.parametrize("told_by", ["the connection", "the environment"])
def test_proxy_is_used_with_its_own_password(
    hook_on: HookOn, monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    with RecordingServer(answers) as arize, RecordingServer(forward) as proxy:
        url = f"http://someone:pr0xy@127.0.0.1:{proxy.port}"
        if told_by == "the environment":
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("http_proxy", url)
            hook = hook_on(host=arize.url, password=KEY)
        else:
            # What the connection says goes before what the environment says.
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            hook = hook_on(host=arize.url, password=KEY, extra={"proxy": url})
        hook.get_task_run(RUN)
        hook.run_online_task(run_of())

    assert [seen.target for seen in proxy.seen] == [
        f"{arize.url}/v2/task-runs/{RUN.replace('=', '%3D')}",
        f"{arize.url}/graphql",
    ]
    assert all(seen.headers["proxy-authorization"].startswith("Basic ") for seen in proxy.seen)
    rest, graphql = arize.seen
    assert rest.headers["authorization"] == f"Bearer {KEY}"
    assert graphql.headers["x-api-key"] == KEY


def test_proxy_does_not_see_the_key_of_https(hook_on: HookOn, tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path)
    with RecordingServer(answers, tls=tls) as arize, RecordingServer(forward) as proxy:
        extra = {"proxy": proxy.url, "ca_bundle": str(certificate)}
        hook_on(host=arize.url, password=KEY, extra=extra).run_online_task(run_of())

    (tunnel,) = proxy.seen
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"127.0.0.1:{arize.port}")
    assert KEY not in str(tunnel.headers)
    (seen,) = arize.seen
    assert seen.headers["x-api-key"] == KEY


def test_proxy_down_may_not_have_executed(hook_on: HookOn) -> None:
    with RecordingServer(answers) as arize, closed_port() as nowhere:
        proxy = nowhere.replace("://", "://someone:pr0xy@")
        hook = hook_on(host=arize.url, password=KEY, extra={"proxy": proxy})
        with pytest.raises(Unavailable) as caught:
            hook.run_online_task(run_of())
    assert not caught.value.may_have_executed
    assert "pr0xy" not in str(caught.value)
    assert arize.seen == []


class Everything(logging.Handler):
    """Keeps what any logger said at any level, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []
        self.loggers: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name)
        self.lines.append(self.format(record))
        self.lines.append(repr(record.__dict__))


@pytest.fixture
def heard() -> Iterator[Everything]:
    """All log lines, with every logger at its most talkative."""
    handler = Everything()
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


def shown(error: BaseException) -> str:
    """Everything that a log could make of an exception."""
    text = traceback.format_exception(error)
    return "\n".join([*text, repr(error), str(error), repr(vars(error)), repr(error.args)])


def test_key_is_in_no_log_exception_or_repr(
    heard: Everything, hook_on: HookOn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kinds = [
        "unauthorized",
        "forbidden",
        "not_found",
        "rate_limited",
        "status_before",
        "status_after",
        "drop_before",
        "drop_after",
        "truncated",
        "garbage",
        "not_object",
        "missing_field",
        "null_field",
        "partial",
        "graphql_error",
        "task_error",
        "unknown_type",
    ]
    told: list[str] = []
    with Emulator(EmulatorSettings(api_key=KEY, run_seconds=0)) as emulator:
        emulator.configure(queries_per_minute=None, mutations_per_minute=None)
        hook = hook_on(host=emulator.url, password=KEY)
        task = eval_task(emulator.project_id, emulator.evaluator_ids["output_present"])
        task_id = hook.create_eval_task(task)
        hook.get_task_run(hook.run_online_task(run_of(task_id)))
        for kind in kinds:
            for ask in (lambda: hook.run_online_task(run_of(task_id)), lambda: hook.get_task(task_id)):
                emulator.add_fault(Fault("*", kind, times=None))
                try:
                    told.append(repr(ask()))  # some faults are of one API only
                except OnlineTasksError as error:
                    told.append(shown(error))
                emulator.clear_faults()
        hook.test_connection()
        told += [repr(each) for each in (hook, hook.settings, hook.client, hook.client._session)]
        told += [repr(vars(hook.client._session)), str(hook.settings)]
        told += [repr(value) for value in vars(hook.settings).values() if value != KEY]
    with silent_port() as silent, closed_port() as closed:
        for host in (silent, closed, "https://arize.invalid", silent.replace("http:", "https:")):
            for ask in (lambda hook: hook.run_online_task(run_of()), lambda hook: hook.get_task("t")):
                with pytest.raises(Unavailable) as caught:
                    ask(hook_on(host=host, password=KEY, extra={"timeout": 0.1}))
                told.append(shown(caught.value))

    assert sum("Traceback" in text for text in told) > 2 * len(kinds)
    for text in [*told, *heard.lines]:
        assert KEY not in text


def test_libraries_log_nothing_about_a_call(heard: Everything, hook_on: HookOn) -> None:
    """Their DEBUG lines show responses and headers, and urllib3 warns of headers that it cannot parse."""
    echoes = (("X-Echo", f"Bearer {KEY}"), ("Content-Type", "application/json"))
    body = json.dumps({"data": {"runOnlineTask": {"result": {"runId": RUN}}}, "id": RUN, "status": "RUNNING"})
    with RecordingServer(lambda _: Reply(200, body.encode(), echoes)) as arize:
        hook = hook_on(host=arize.url, password=KEY)
        hook.get_task_run(RUN)
        hook.run_online_task(run_of())

        async def poll() -> None:
            client = await AsyncClient.open(hook.settings)
            await client.send(calls.get_task_run(RUN))
            await client.close()

        asyncio.run(poll())
        assert len(arize.seen) == 3
    assert {name for name in heard.loggers if name.split(".")[0] in LIBRARIES} == set()


def test_libraries_log_calls_of_others(heard: Everything) -> None:
    with RecordingServer(lambda _: Reply.of({})) as other:
        httpx.get(other.url)
    assert any(name.startswith("httpcore.") for name in heard.loggers)


def visible(value: Any) -> str:
    """Return the visible ASCII characters of all texts in a value."""
    if isinstance(value, str):
        return "".join(sign for sign in value if "!" <= sign <= "~")
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return " ".join(map(visible, parts)) if isinstance(parts, list | tuple) else str(value)


# What a server may do to the key that it received, so that a search for the key does not find it.
DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "bearer": lambda key: f"Bearer {key}",
    "escaped": lambda key: "".join(rf"\u{ord(sign):04x}" for sign in key),
    "control characters": r"\u0000".join,
    "line breaks": r"\r\n".join,
    "zero-width characters": "\u200b".join,
    "joiners": r"\u200d".join,
    "blanks": lambda key: f"{key[:9]} {key[9:]}",
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("field", ["id", "code", "message", "error", "status"])
def test_key_in_any_field_of_a_response_is_hidden(hook_on: HookOn, disguise: str, field: str) -> None:
    key = DISGUISES[disguise](KEY)
    told: list[Any] = []

    def echo(seen: Seen) -> Reply:
        result = f'"runId": "{key}"' if field == "id" else '"message": "no", "code": "NO"'
        if field in ("code", "message"):
            result = f'"message": "no", "{field}": "{key}"'
        run = f'"data": {{"runOnlineTask": {{"result": {{{result}}}}}}}'
        if field == "error":
            run = f'"errors": [{{"message": "{key}", "extensions": {{"code": "{key}"}}}}]'
        task = f'"evalTask": {{"id": "{key}", "name": "{key}"}}'
        return Reply(
            200,
            (
                f'{{"id": "{key if field == "id" else RUN}", "status": "{key}", "failure_reason": "{key}", '
                f'"patchEvalTask": {{{task}}}, {run}}}'
            ).encode(),
        )

    with RecordingServer(echo) as arize:
        hook = hook_on(host=arize.url, password=KEY)
        for ask in (
            lambda: hook.get_task_run(RUN).summary(),
            lambda: hook.run_online_task(run_of()),
            lambda: next(hook.list_tasks()),
        ):
            try:
                told.append(ask())
            except OnlineTasksError as error:
                told.append([str(error), *error.args, *vars(error).values()])
    assert len(told) == 3
    assert KEY not in visible(told)


@pytest.mark.parametrize("says", ["runOnlineTask", "createEvalTask"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_key_instead_of_an_id_is_not_an_id(hook_on: HookOn, says: str, disguise: str) -> None:
    key = DISGUISES[disguise](KEY)
    run = f'"runOnlineTask": {{"result": {{"runId": "{key}"}}}}'
    body = f'{{"data": {{{run}, "createEvalTask": {{"evalTask": {{"id": "{key}", "name": "n"}}}}}}}}'.encode()
    with RecordingServer(lambda _: Reply(200, body)) as arize:
        hook = hook_on(host=arize.url, password=KEY)
        with pytest.raises(UnexpectedResponse) as caught:
            hook.run_online_task(run_of()) if says == "runOnlineTask" else hook.create_eval_task(
                eval_task("P", "E")
            )
    assert caught.value.may_have_executed


@pytest.mark.parametrize("says", ["REST", "GraphQL"])
def test_key_repeated_by_the_server_is_hidden(hook_on: HookOn, says: str) -> None:
    def echo(seen: Seen) -> Reply:
        said = f"bad header {seen.headers.get('authorization', seen.headers.get('x-api-key'))}"
        return Reply.of({"detail": said, "errors": [{"message": said}]}, 400)

    with RecordingServer(echo) as arize:
        hook = hook_on(host=arize.url, password=KEY)
        with pytest.raises(BadRequest, match="bad header") as caught:
            hook.get_task_run(RUN) if says == "REST" else hook.run_online_task(run_of())

    assert KEY not in shown(caught.value)


def test_settings_text_has_no_secrets(hook_on: HookOn) -> None:
    settings = hook_on(password=KEY, extra={"proxy": "http://someone:pr0xy@proxy:3128"}).settings

    assert settings.api_key == KEY
    for text in (repr(settings), str(settings), f"{settings}"):
        assert KEY not in text
        assert "pr0xy" not in text
    assert copy.deepcopy(settings) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize("key", ["ak-with\nnewline", "ak-wíth-accent", "ak with blank", "", "   "])
def test_wrong_key_is_rejected_without_showing_it(hook_on: HookOn, key: str) -> None:
    with pytest.raises(InvalidConnection, match="API key") as caught:
        hook_on(password=key).settings  # noqa: B018
    assert not key.strip() or key not in shown(caught.value)


def test_spaces_around_the_key_are_removed(hook_on: HookOn) -> None:
    assert hook_on(password=f"  {KEY}\n").settings.api_key == KEY


def test_secrets_are_masked_by_airflow(hook_on: HookOn, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[Any] = []
    monkeypatch.setattr("airflow.sdk.log.mask_secret", lambda secret, *_: masked.append(secret))

    hook_on(password=KEY, extra={"proxy": "http://someone:pr0xy@proxy:3128"}).settings  # noqa: B018

    assert KEY in masked
    assert "pr0xy" in masked


def test_proxy_in_extra_is_read(hook_on: HookOn) -> None:
    extra = json.dumps({"proxy": "http://proxy:3128"})
    assert hook_on(extra=extra).settings.proxy == "http://proxy:3128"
