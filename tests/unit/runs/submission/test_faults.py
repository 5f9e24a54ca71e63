"""Tests of a submission with one fault of the server or of the state store at each step."""

from __future__ import annotations

import contextlib
import json
import time as real_time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    OnlineTaskRunUnreachable,
    PermissionDenied,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
)
from tests.support.servers import RecordingServer, Reply, closed_port, self_signed
from tests.support.tries import END, START, STATE_KEY, WAIT, Execution, Store, Time, run_ids, start_run

RUN = "graphql.runOnlineTask"
LIST = "rest.list_task_runs"


def stored(execution: Execution) -> dict[str, Any] | None:
    assert execution.store is not None
    return execution.store.record


@pytest.mark.promise("recognise-lost-run")
def test_no_fault_starts_one_run(execution: Execution, emulator: Emulator) -> None:
    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert execution.pushed["return_value"] == execution.pushed["run_id"] == run_id
    (run,) = emulator.runs()
    assert (run["data_start"], run["data_end"]) == (START.timestamp(), END.timestamp())
    # One list of existing runs, and the mutation: many simultaneous submissions have to fit into the limit.
    assert [request["operation"] for request in emulator.requests()] == [LIST, RUN]
    record = stored(execution)
    assert record
    assert (record["id"], record["succeeded_at"]) == (run_id, execution.max_tries)


# -- The request certainly was not carried out: nothing is left behind, and the next try just asks. --


@pytest.mark.promise("tried-faults", "not-carried-out", "permanent-error", "task-error")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed),
        ({"kind": "forbidden"}, PermissionDenied),
        ({"kind": "not_found"}, NotFound),
        ({"kind": "rate_limited"}, RateLimited),
        ({"kind": "rate_limited", "status": 200}, RateLimited),
        ({"kind": "rate_limited", "retry_after": 30}, RateLimited),
        ({"kind": "rate_limited", "retry_after": 3600}, RateLimited),
        ({"kind": "task_error", "message": "the task is paused", "code": "PAUSED"}, TaskErrorReturned),
        ({"kind": "graphql_error", "code": "BAD_USER_INPUT", "status": 400}, BadRequest),
        ({"kind": "graphql_error", "code": "GRAPHQL_VALIDATION_FAILED"}, BadRequest),
        ({"kind": "unknown_type"}, BadRequest),
        ({"kind": "status_before", "status": 400}, BadRequest),
        ({"kind": "status_before", "status": 422}, BadRequest),
    ],
)
def test_request_not_executed_fails_or_is_repeated(
    execution: Execution, emulator: Emulator, time: Time, fault: dict[str, Any], kind: type[CallError]
) -> None:
    emulator.add_fault(Fault(RUN, times=None, **fault))

    with pytest.raises(kind) as caught:
        execution.next_try()

    assert run_ids(emulator) == []
    assert stored(execution) is None
    assert not caught.value.may_have_executed
    assert isinstance(caught.value, AirflowFailException) is (
        kind in (AuthenticationFailed, PermissionDenied, NotFound, BadRequest)
    )
    emulator.clear_faults()
    assert [execution.next_try()] == run_ids(emulator)


@pytest.mark.promise("tried-faults", "not-carried-out")
@pytest.mark.parametrize("where", ["refused", "unknown host", "bad certificate"])
@pytest.mark.parametrize("which", ["GraphQL", "REST"])
def test_server_not_reached_fails_and_retry_starts_run(
    execution: Execution,
    emulator: Emulator,
    connect: Callable[..., None],
    tmp_path: Path,
    where: str,
    which: str,
) -> None:
    with unreachable(where, tmp_path) as url:
        hosts = (url, emulator.url) if which == "GraphQL" else (emulator.url, url)
        connect(host=hosts[0], extra={"rest_host": hosts[1]})
        with pytest.raises(Unavailable, match=f"at {url}: ") as caught:
            execution.next_try()

    assert not caught.value.may_have_executed
    assert run_ids(emulator) == []
    assert stored(execution) is None
    connect()
    assert [execution.next_try()] == run_ids(emulator)


@contextlib.contextmanager
def unreachable(where: str, folder: Path) -> Iterator[str]:
    """The URL of a host that cannot be talked to."""
    if where == "refused":
        with closed_port() as url:
            yield url
    elif where == "unknown host":
        yield "https://arize.invalid"
    else:
        tls, _ = self_signed(folder)
        with RecordingServer(lambda _: Reply(), tls=tls) as server:
            yield server.url


@pytest.mark.promise("not-carried-out")
@pytest.mark.parametrize("retry_after", [None, 30, 0])
def test_rate_limit_is_waited_for(
    execution: Execution, emulator: Emulator, time: Time, retry_after: int | None
) -> None:
    emulator.add_fault(Fault(RUN, "rate_limited", times=2, retry_after=retry_after))

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert len(time.slept) == 2
    assert all(slept >= (retry_after or 0) for slept in time.slept)
    assert sum(time.slept) <= 80


# -- The request may have been carried out: it is looked for before it is repeated. --


@pytest.mark.promise("tried-faults", "lost-response")
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after"},
        {"kind": "status_after"},
        {"kind": "status_after", "status": 504},
        {"kind": "truncated"},
        {"kind": "garbage"},
        {"kind": "garbage", "body": ""},
        {"kind": "not_object"},
        {"kind": "missing_field"},
        {"kind": "null_field"},
        {"kind": "missing_field", "field": "data"},
        {"kind": "partial"},
    ],
    ids=str,
)
def test_lost_response_adopts_run(execution: Execution, emulator: Emulator, fault: dict[str, Any]) -> None:
    emulator.add_fault(Fault(RUN, **fault))

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert len(emulator.requests(RUN)) == 1
    record = stored(execution)
    assert record
    assert record["id"] == run_id
    # A retry whose predecessor's success was not heard of takes the same run.
    assert execution.next_try() == run_id
    assert run_ids(emulator) == [run_id]


@pytest.mark.promise("tried-faults", "lost-response")
@pytest.mark.parametrize(
    "fault",
    [{"kind": "drop_before"}, {"kind": "status_before"}, {"kind": "graphql_error"}],
    ids=str,
)
def test_request_without_response_and_run_is_repeated(
    execution: Execution, emulator: Emulator, time: Time, fault: dict[str, Any]
) -> None:
    emulator.add_fault(Fault(RUN, **fault))

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert len(emulator.requests(RUN)) == 2
    # It was looked for all the time that it may take to appear, at ever longer intervals.
    assert sum(time.slept) == pytest.approx(60, abs=1)
    assert time.slept[:6] == [1, 2, 4, 8, 10, 10]  # ever longer pauses, up to ten seconds


@pytest.mark.promise("tried-faults")
def test_timeout_after_execution_adopts_run(
    execution: Execution, emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(extra={"timeout": 2})
    emulator.add_fault(Fault(RUN, "delay_after", seconds=60))

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert len(emulator.requests(RUN)) == 1


@pytest.mark.promise("tried-faults", "lost-response")
def test_timeout_before_execution_adopts_late_run(
    execution: Execution, emulator: Emulator, time: Time, connect: Callable[..., None]
) -> None:
    connect(extra={"timeout": 2})
    emulator.add_fault(Fault(RUN, "delay", seconds=4))

    def until_it_acts() -> None:
        until = real_time.monotonic() + 60
        while not emulator.runs() and real_time.monotonic() < until:
            real_time.sleep(0.02)

    time.on_sleep = until_it_acts

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]
    assert len(emulator.requests(RUN)) == 1
    assert time.slept  # the first look was too early


def test_timeout_without_execution_sends_again(
    execution: Execution, emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(extra={"timeout": 2})
    emulator.add_fault(Fault(RUN, "drop_before", seconds=4))

    assert [execution.next_try()] == run_ids(emulator)
    assert len(emulator.requests(RUN)) == 2


def test_lost_response_adopts_finished_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("fail", seconds=0, failure_reason="the evaluator is broken"))
    emulator.add_fault(Fault(RUN, "drop_after"))

    # It is the requested run; what its end means is decided by the wait.
    assert [execution.next_try()] == run_ids(emulator)


@pytest.mark.promise("lost-response")
def test_three_requests_without_response_fail(execution: Execution, emulator: Emulator) -> None:
    emulator.add_fault(Fault(RUN, "drop_before", times=None))

    with pytest.raises(Unavailable) as caught:
        execution.next_try()
    assert caught.value.may_have_executed

    assert run_ids(emulator) == []
    assert len(emulator.requests(RUN)) == 3
    record = stored(execution)
    assert record  # the next try looks again before it asks
    assert record["id"] is None
    emulator.clear_faults()
    assert [execution.next_try()] == run_ids(emulator)


def test_error_response_searches_once(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.add_fault(Fault(RUN, "partial"))

    assert [execution.next_try()] == run_ids(emulator)

    assert len(emulator.requests(LIST)) == 2  # one look before, and one after
    assert time.slept == []


# -- The list that a lost run is looked for in fails too. --


@pytest.mark.parametrize("kind", ["drop_before", "status_before", "rate_limited", "garbage", "truncated"])
def test_list_failure_before_request_sends_nothing(
    execution: Execution, emulator: Emulator, kind: str
) -> None:
    emulator.add_fault(Fault(LIST, kind, times=None))

    with pytest.raises((Unavailable, RateLimited)):
        execution.next_try()

    assert emulator.requests(RUN) == []
    assert stored(execution) is None
    emulator.clear_faults()
    assert [execution.next_try()] == run_ids(emulator)


@pytest.mark.parametrize(
    ("kind", "times"),
    [("drop_before", 6), ("status_before", 6), ("garbage", 6), ("truncated", 6), ("rate_limited", 2)],
)
def test_list_failure_during_search_is_retried(
    execution: Execution, emulator: Emulator, kind: str, times: int
) -> None:
    emulator.add_fault(Fault(RUN, "drop_after"))
    emulator.add_fault(Fault(LIST, kind, skip=1, times=times))

    assert [execution.next_try()] == run_ids(emulator)
    assert len(emulator.requests(RUN)) == 1


@pytest.mark.promise("lost-response-unknown")
@pytest.mark.parametrize("lost", ["drop_after", "drop_before"])
@pytest.mark.parametrize(
    "kind", ["drop_before", "rate_limited", "garbage", "unauthorized", "forbidden", "not_found"]
)
def test_failed_search_fails_and_next_try_adopts_run(
    execution: Execution, emulator: Emulator, lost: str, kind: str
) -> None:
    emulator.add_fault(Fault(RUN, lost))
    emulator.add_fault(Fault(LIST, kind, skip=1, times=None))

    with pytest.raises(Unavailable) as caught:
        execution.next_try()

    # Airflow tries again, and the next try looks before it asks: a run that is there is not lost.
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.may_have_executed
    record = stored(execution)
    assert record
    assert record["id"] is None
    emulator.clear_faults()
    assert [execution.next_try()] == run_ids(emulator)


def test_search_reads_all_pages(execution: Execution, emulator: Emulator) -> None:
    emulator.create_runs(execution.online_task_id, 2150, (3600, 3600))
    emulator.configure(runs_order="oldest")
    emulator.add_fault(Fault(RUN, "drop_after"))

    run_id = execution.next_try()

    assert len(emulator.runs()) == 2151
    assert emulator.runs()[-1]["id"] == run_id


# -- A second request of the same try. --


def test_late_run_is_adopted_by_next_try(
    execution: Execution, emulator: Emulator, time: Time, connect: Callable[..., None]
) -> None:
    # The first request is carried out long after its connection was lost; the second is rejected.
    emulator.add_fault(Fault(RUN, "drop_before"))
    emulator.add_fault(Fault(RUN, "unauthorized"))
    with pytest.raises(CallError):
        execution.next_try()
    late = start_run(execution.online_task_id)

    assert execution.next_try() == late
    assert run_ids(emulator) == [late]


# -- What Airflow keeps for the task fails. --


def test_store_failure_before_request_sends_nothing(execution: Execution, emulator: Emulator) -> None:
    execution.reached = failing("set:before")

    with pytest.raises(ConnectionError):
        execution.next_try()

    assert emulator.requests(RUN) == []
    execution.reached = lambda step: None
    assert [execution.next_try()] == run_ids(emulator)


def test_store_failure_after_request_retry_adopts_run(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.reached = failing("set:before", skip=1)

    with pytest.raises(ConnectionError):
        execution.next_try()

    (run_id,) = run_ids(emulator)
    execution.reached = lambda step: None
    assert execution.next_try() == run_id
    assert run_ids(emulator) == [run_id]


def test_unreadable_intent_is_ignored_in_the_first_try(execution: Execution, emulator: Emulator) -> None:
    assert execution.store is not None
    for odd in ("text", 7, [], {}, {"of": "another version"}, {"known": None}):
        execution.store, execution.try_number = Store(), 0
        execution.store.set("online_task_run", odd)
        execution.next_try()
    assert len(emulator.runs()) == 6


def failing(step: str, *, skip: int = 0) -> Callable[[str], None]:
    """Fail at a step of the store, after some that passed."""
    left = [skip]

    def reached(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] < 0:
                raise ConnectionError("the API server is away")

    return reached


# -- After the run is known. --


@pytest.mark.parametrize("kind", ["drop_before", "status_before", "unauthorized", "garbage", "not_object"])
def test_link_failure_is_ignored(execution: Execution, emulator: Emulator, time: Time, kind: str) -> None:
    emulator.add_fault(Fault("rest.get_task", kind, times=None))

    assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert "run_url" not in execution.pushed


@pytest.mark.promise("stored-run-unreadable")
@pytest.mark.parametrize("kind", ["drop_before", "rate_limited", "garbage", "unauthorized"])
def test_unreadable_earlier_run_fails_and_next_try_resumes(
    execution: Execution, emulator: Emulator, kind: str
) -> None:
    emulator.next_run(RunFate("hang"))
    run_id = execution.next_try()
    emulator.add_fault(Fault("rest.get_task_run", kind, times=None))

    with pytest.raises((CallError, OnlineTaskRunUnreachable)) as caught:
        execution.next_try()
    assert not isinstance(caught.value, AirflowFailException)  # the next try resumes

    emulator.clear_faults()
    assert execution.next_try() == run_id
    assert run_ids(emulator) == [run_id]


@pytest.mark.promise("stored-run-ended-badly")
def test_deleted_earlier_run_starts_new_run(execution: Execution, emulator: Emulator) -> None:
    first = execution.next_try()
    assert execution.store is not None
    deleted = {"id": "VGFza1J1bjo5OTk5OnFSd1g=", "known": [first]}
    execution.store.set(STATE_KEY, {**(stored(execution) or {}), **deleted})

    run_id = execution.next_try()

    assert run_ids(emulator) == [first, run_id]


@pytest.mark.promise("stored-run-ended-badly")
def test_earlier_run_in_list_is_not_deleted(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang"))
    run_id = execution.next_try()
    emulator.add_fault(Fault("rest.get_task_run", "not_found", times=None))

    assert execution.next_try() == run_id
    assert run_ids(emulator) == [run_id]


def test_earlier_run_in_list_is_found_by_id(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang"))
    run_id = execution.next_try()
    shown = {"status": "RUNNING", "task_id": execution.online_task_id}
    listed = [{**shown, "id": one} for one in ("0", run_id, "z")]
    body = json.dumps({"task_runs": listed, "pagination": {"has_more": False}})
    emulator.add_fault(Fault("rest.get_task_run", "not_found", times=None))
    emulator.add_fault(Fault(LIST, "garbage", body=body))

    assert execution.next_try() == run_id


@pytest.mark.promise("stored-run-unreadable")
def test_rejected_earlier_run_and_task_raise_unreachable(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang"))
    run_id = execution.next_try()
    for operation in ("rest.get_task_run", LIST):
        emulator.add_fault(Fault(operation, "not_found", times=None))

    with pytest.raises(OnlineTaskRunUnreachable) as caught:
        execution.next_try()

    assert not isinstance(caught.value, AirflowFailException)
    assert run_ids(emulator) == [run_id]
