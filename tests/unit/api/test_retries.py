"""When a call is sent again: only where that does no harm, after a wait the server may choose."""

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


def test_a_read_is_repeated_ever_more_slowly(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", times=3, status=503))

    assert hook.get_task(task_id).name == "quality"

    assert len(emulator.requests("rest.get_task")) == 4
    first, second, third = pauses
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5
    assert 3 <= third <= 5


def test_and_given_up(hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]) -> None:
    emulator.add_fault(Fault("rest.get_task", "drop_before", times=None))

    with pytest.raises(Unavailable):
        hook.get_task(task_id)

    assert len(emulator.requests("rest.get_task")) == 4
    assert len(pauses) == 3


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_what_cannot_get_better_is_not_repeated(
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
def test_what_may_have_created_something_is_not_repeated(
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
def test_a_mutation_over_the_limit_is_repeated(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], form: str
) -> None:
    status = 429 if form == "HTTP 429" else 200
    emulator.add_fault(Fault("graphql.runOnlineTask", "rate_limited", times=2, status=status))

    run_id = hook.run_online_task(run_of(task_id))

    assert [run["id"] for run in emulator.runs()] == [run_id]
    # The limit counts by the minute: a second's wait would only meet it again.
    assert min(pauses) >= 6
    assert sum(pauses) <= 65


def test_a_mutation_is_repeated_when_the_host_was_not_reached(hook_on: HookOn, pauses: list[float]) -> None:
    with closed_port() as url, pytest.raises(Unavailable) as caught:
        hook_on(host=url).run_online_task(run_of())
    assert len(pauses) == 3
    assert not caught.value.may_have_executed


def test_and_not_when_the_answer_was_lost(hook_on: HookOn, pauses: list[float]) -> None:
    with silent_port() as url, pytest.raises(Unavailable):
        hook_on(host=url, extra={"timeout": 0.2}).run_online_task(run_of())
    assert pauses == []


@pytest.mark.parametrize("operation", ["rest.get_task", "graphql.runOnlineTask"])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(
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
def test_an_odd_retry_after(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float], retry_after: str
) -> None:
    emulator.add_fault(Fault("rest.get_task", "rate_limited", retry_after=retry_after))

    assert hook.get_task(task_id).id == task_id

    (pause,) = pauses
    assert 0 <= pause <= 10


def test_who_asks_for_too_long_a_wait_is_left_to_airflow(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "rate_limited", retry_after=3600))

    with pytest.raises(RateLimited) as caught:
        hook.get_task(task_id)

    assert caught.value.retry_after == 3600
    assert pauses == []


def test_a_503_may_say_when_too(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, pauses: list[float]
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", status=503, retry_after=7))

    hook.get_task(task_id)

    assert pauses == [7]


def test_the_policy_can_be_chosen(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
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


def test_a_repeated_cancel_finds_the_run_cancelled(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str
) -> None:
    (run_id,) = emulator.create_runs(task_id, 1, (3600, 3600))
    emulator.add_fault(Fault("rest.cancel_task_run", "drop_after"))

    with pytest.raises(BadRequest, match="cannot cancel a run with status 'cancelled'"):
        hook.cancel_task_run(run_id)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_a_wrong_key_is_asked_once(hook_on: HookOn, emulator: Emulator, pauses: list[float]) -> None:
    with pytest.raises(AuthenticationFailed):
        hook_on(password="ak-wrong").get_task_run(RUN)
    (request,) = emulator.requests()
    assert not request["key_ok"]
    assert pauses == []


def test_each_repeat_is_logged(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", times=1))

    hook.get_task(task_id)

    (line,) = [record.getMessage() for record in caplog.records if "get task at http" in record.getMessage()]
    assert "HTTP 502" in line


def test_an_answer_with_two_dates(hook_on: HookOn) -> None:
    reply = Reply.of({"id": RUN, "status": "RUNNING"}, Date="not a date")
    with RecordingServer(lambda _: reply) as arize:
        assert hook_on(host=arize.url).get_task_run(RUN).id == RUN
