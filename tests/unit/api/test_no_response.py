"""A call without a response names the host, the reason, and whether it may have been executed.

Only a request whose body was handed to the socket can have been executed, not one that failed in name
resolution, connecting or the TLS handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from tests.support.examples import RUN, eval_task, run_of
from tests.support.servers import RecordingServer, Reply, closed_port, full_port, self_signed, silent_port

HookOn = Callable[..., OnlineTasksHook]
SHORT = {"timeout": 0.3}
PATCH = EvalTaskPatch.read({"online_task_id": "t", "name": "new"})


def lost(hook: OnlineTasksHook, *, sent: bool) -> str:
    """Let every kind of call fail, check the exceptions, and return the last message."""
    calls = {
        "createEvalTask": lambda: hook.create_eval_task(eval_task()),
        "runOnlineTask": lambda: hook.run_online_task(run_of()),
        "patchEvalTask": lambda: hook.patch_eval_task(PATCH),
        "get task run": lambda: hook.get_task_run(RUN),
        "cancel task run": lambda: hook.cancel_task_run(RUN),
        "delete task": lambda: hook.delete_task("t"),
    }
    once_only = {"createEvalTask", "runOnlineTask"}
    hook.client.retry = NO_RETRY
    for name, call in calls.items():
        with pytest.raises(Unavailable) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(f"{name} at {hook.settings.endpoint.rest_url}: no response: ")
        assert len(message) < 500
        assert caught.value.may_have_executed is (sent and name in once_only), name
    return message


@pytest.mark.promise("request-handed-over")
def test_connection_refused_may_not_have_executed(hook_on: HookOn) -> None:
    with closed_port() as url:
        message = lost(hook_on(host=url), sent=False)
    assert {"host", "port"} <= set(message.replace(".", " ").split())


def test_unknown_host_may_not_have_executed(hook_on: HookOn) -> None:
    message = lost(hook_on(host="https://arize.invalid"), sent=False)
    assert "arize.invalid" in message
    assert {"host", "region"} <= set(message.replace(".", " ").split())


@pytest.mark.promise("request-handed-over")
def test_connect_timeout_may_not_have_executed(hook_on: HookOn) -> None:
    with full_port() as url:
        lost(hook_on(host=url, extra=SHORT), sent=False)


@pytest.mark.promise("request-handed-over")
def test_response_timeout_may_have_executed(hook_on: HookOn) -> None:
    with silent_port() as url:
        lost(hook_on(host=url, extra=SHORT), sent=True)


def test_untrusted_certificate_may_not_have_executed(hook_on: HookOn, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with RecordingServer(lambda _: Reply(), tls=tls) as arize:
        assert "certificate" in lost(hook_on(host=arize.url), sent=False)
    assert arize.seen == []


@pytest.mark.parametrize("speaks_tls", [True, False], ids=["http to a TLS port", "https to a plain port"])
def test_wrong_scheme_is_reported(hook_on: HookOn, tmp_path: Path, speaks_tls: bool) -> None:
    tls = self_signed(tmp_path)[0] if speaks_tls else None
    with RecordingServer(lambda _: Reply(), tls=tls) as arize:
        hook = hook_on(host=f"{'http' if speaks_tls else 'https'}://127.0.0.1:{arize.port}", extra=SHORT)
        message = lost(hook, sent=speaks_tls)
    assert arize.seen == []
    assert ("http://" in message.replace(hook.settings.endpoint.app_url, "")) is not speaks_tls


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("trusted", ["by a CA bundle", "by not verifying"])
def test_certificate_trusted_by_the_connection_is_accepted(
    hook_on: HookOn, tmp_path: Path, trusted: str
) -> None:
    tls, certificate = self_signed(tmp_path)
    extra = {"ca_bundle": str(certificate)} if trusted == "by a CA bundle" else {"verify": False}

    def answer(seen: object) -> Reply:
        value = {"runOnlineTask": {"result": {"runId": RUN}}}
        return Reply.of({"data": value, "id": RUN, "status": "RUNNING"})

    with RecordingServer(answer, tls=tls) as arize:
        hook = hook_on(host=arize.url, extra=extra)
        assert hook.run_online_task(run_of()) == RUN
        assert hook.get_task_run(RUN).id == RUN
    assert len(arize.seen) == 2


@pytest.mark.parametrize(
    ("kind", "runs"), [("drop_before", 0), ("drop_after", 1)], ids=["before acting", "after acting"]
)
def test_connection_reset_may_have_executed(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, kind: str, runs: int
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", kind))

    with pytest.raises(Unavailable) as caught:
        hook.run_online_task(run_of(task_id))

    # The client cannot distinguish the two.
    assert caught.value.may_have_executed
    assert len(emulator.runs()) == runs
    assert len(emulator.requests("graphql.runOnlineTask")) == 1


def test_slow_server_may_have_executed(hook_on: HookOn, emulator: Emulator, task_id: str) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "delay_after", seconds=60))

    with pytest.raises(Unavailable) as caught:
        hook_on(extra={"timeout": 2}).run_online_task(run_of(task_id))

    assert caught.value.may_have_executed
    assert len(emulator.runs()) == 1
