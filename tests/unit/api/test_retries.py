"""A call is repeated only if that is harmless, after a delay that the server may choose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.retry import NO_RETRY, RetryPolicy
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    RateLimited,
    Unavailable,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, eval_task, run_of
from tests.support.servers import RecordingServer, Reply, closed_port, silent_port

HookOn = Callable[..., OnlineTasksHook]


def test_read_is_repeated_with_growing_delays(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", times=3, status=503))

    assert hook.get_task(task_id).name == "quality"

    assert len(emulator.requests("rest.get_task")) == 4
    first, second, third = pauses
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5
    assert 3 <= third <= 5


def test_read_fails_after_four_attempts(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "drop_before", times=None))

    with pytest.raises(Unavailable):
        hook.get_task(task_id)

    assert len(emulator.requests("rest.get_task")) == 4
    assert len(pauses) == 3


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_permanent_error_is_not_repeated(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], kind: str
) -> None:
    emulator.add_fault(Fault("rest.get_task", kind, times=None))

    with pytest.raises(CallError):
        hook.get_task(task_id)

    assert len(emulator.requests("rest.get_task")) == 1
    assert pauses == []


@pytest.mark.parametrize(
    "kind",
    ["drop_before", "drop_after", "status_before", "status_after", "truncated", "garbage", "not_object"],
)
@pytest.mark.parametrize("mutation", ["createEvalTask", "runOnlineTask"])
def test_mutation_that_may_have_executed_is_not_repeated(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], kind: str, mutation: str
) -> None:
    emulator.add_fault(Fault(f"graphql.{mutation}", kind, times=None))

    with pytest.raises(Unavailable):
        if mutation == "createEvalTask":
            hook.create_eval_task(
                eval_task(emulator.project_id, emulator.evaluator_ids["output_present"], name="another")
            )
        else:
            hook.run_online_task(run_of(task_id))

    assert len(emulator.requests(f"graphql.{mutation}")) == 1
    assert pauses == []


@pytest.mark.parametrize("form", ["HTTP 429", "a GraphQL error"])
def test_rate_limited_mutation_is_repeated(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], form: str
) -> None:
    status = 429 if form == "HTTP 429" else 200
    emulator.add_fault(Fault("graphql.runOnlineTask", "rate_limited", times=2, status=status))

    run_id = hook.run_online_task(run_of(task_id))

    assert [run["id"] for run in emulator.runs()] == [run_id]
    # The limit is per minute: after one second, it would still apply.
    assert min(pauses) >= 6
    assert sum(pauses) <= 65


def test_mutation_that_was_not_sent_is_repeated(hook_on: HookOn, pauses: list[float]) -> None:
    with closed_port() as url, pytest.raises(Unavailable) as caught:
        hook_on(host=url).run_online_task(run_of())
    assert len(pauses) == 3
    assert not caught.value.may_have_executed


def test_mutation_with_lost_response_is_not_repeated(hook_on: HookOn, pauses: list[float]) -> None:
    with silent_port() as url, pytest.raises(Unavailable):
        hook_on(host=url, extra={"timeout": 0.2}).run_online_task(run_of())
    assert pauses == []


@pytest.mark.parametrize("operation", ["rest.get_task", "graphql.runOnlineTask"])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_respected(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], operation: str, form: str
) -> None:
    # A date counts by the server's own clock, which is an hour ahead here.
    emulator.set_clock_offset(3600)
    at = datetime.now(UTC) + timedelta(seconds=3600 + 30)
    retry_after = "30" if form == "seconds" else format_datetime(at, usegmt=True)
    emulator.add_fault(Fault(operation, "rate_limited", retry_after=retry_after))

    if operation == "rest.get_task":
        hook.get_task(task_id)
    else:
        hook.run_online_task(run_of(task_id))

    [pause] = pauses
    assert 28 <= pause <= 39


@pytest.mark.parametrize("retry_after", ["0", "-5", "soon", "", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_retry_after_odd_value_waits_briefly(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], retry_after: str
) -> None:
    emulator.add_fault(Fault("rest.get_task", "rate_limited", retry_after=retry_after))

    assert hook.get_task(task_id).id == task_id

    (pause,) = pauses
    assert 0 <= pause <= 10


def test_retry_after_too_long_is_not_waited_for(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "rate_limited", retry_after=3600))

    with pytest.raises(RateLimited) as caught:
        hook.get_task(task_id)

    assert caught.value.retry_after == 3600
    assert pauses == []


def test_retry_after_of_503_is_respected(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", status=503, retry_after=7))

    hook.get_task(task_id)

    assert pauses == [7]


def test_retry_policy_of_client_and_call_are_used(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str
) -> None:
    from airflow_provider_online_tasks.api.calls import get_task

    slept: list[float] = []
    emulator.add_fault(Fault("rest.get_task", "status_before", times=None))
    with Client(hook.settings, retry=RetryPolicy(attempts=2, first_delay=100), sleep=slept.append) as client:
        with pytest.raises(Unavailable):
            client.send(get_task(task_id))
        assert len(slept) == 1
        assert 48 <= slept[0] <= 82  # never much beyond max_delay, 65 s
        with pytest.raises(Unavailable):
            client.send(get_task(task_id), retry=NO_RETRY)
    assert len(slept) == 1
    assert len(emulator.requests("rest.get_task")) == 3


def test_repeated_cancel_is_a_bad_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    (run_id,) = emulator.create_runs(task_id, 1, (3600, 3600))
    emulator.add_fault(Fault("rest.cancel_task_run", "drop_after"))

    with pytest.raises(BadRequest):
        hook.cancel_task_run(run_id)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_wrong_key_is_sent_once(hook_on: HookOn, emulator: Emulator, pauses: list[float]) -> None:
    with pytest.raises(AuthenticationFailed):
        hook_on(password="ak-wrong").get_task_run(RUN)
    (request,) = emulator.requests()
    assert not request["key_ok"]
    assert pauses == []


def test_retry_is_logged(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", times=1))

    hook.get_task(task_id)

    (line,) = [record.getMessage() for record in caplog.records if "get task at http" in record.getMessage()]
    assert "HTTP 502" in line


def test_second_date_header_is_ignored(hook_on: HookOn) -> None:
    reply = Reply.of({"id": RUN, "status": "RUNNING"}, Date="not a date")
    with RecordingServer(lambda _: reply) as arize:
        assert hook_on(host=arize.url).get_task_run(RUN).id == RUN
