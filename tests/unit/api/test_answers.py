"""What each answer becomes: the exception a DAG author can act on, or a clear word on what came instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskPatch
from tests.support.examples import RUN, eval_task, run_of
from tests.support.servers import RecordingServer, Reply

HookOn = Callable[..., OnlineTasksHook]

# Whether Airflow retries after each: it does unless the exception is an AirflowFailException.
ENDS_THE_TASK = {AuthenticationFailed, PermissionDenied, NotFound, BadRequest}


def check_kind(error: CallError, kind: type[CallError]) -> None:
    assert type(error) is kind, repr(error)
    assert isinstance(error, AirflowFailException) is (kind in ENDS_THE_TASK)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed, "HTTP 401"),
        ({"kind": "forbidden"}, PermissionDenied, "HTTP 403"),
        ({"kind": "not_found"}, NotFound, "HTTP 404"),
        ({"kind": "rate_limited"}, RateLimited, "HTTP 429"),
        ({"kind": "status_before", "status": 500}, Unavailable, "HTTP 500"),
        ({"kind": "status_after", "status": 503}, Unavailable, "HTTP 503"),
        ({"kind": "status_before", "status": 400}, BadRequest, "HTTP 400"),
        ({"kind": "status_before", "status": 409}, BadRequest, "HTTP 409"),
        ({"kind": "status_before", "status": 422}, BadRequest, "HTTP 422"),
        ({"kind": "drop_before"}, Unavailable, "no answer"),
        ({"kind": "drop_after"}, Unavailable, "no answer"),
        ({"kind": "truncated"}, Unavailable, "no answer"),
        (
            {"kind": "garbage"},
            UnexpectedResponse,
            "is a web page: this is not Arize. Check the host in the connection: <!doctype html><p>not JSON",
        ),
        ({"kind": "garbage", "body": ""}, UnexpectedResponse, "is not JSON: it is empty"),
        ({"kind": "not_object"}, UnexpectedResponse, "is not a JSON object"),
        ({"kind": "missing_field", "field": "id"}, UnexpectedResponse, "lacks the field 'id'"),
        (
            {"kind": "null_field", "field": "status"},
            UnexpectedResponse,
            "is malformed (status is ",
        ),
        ({"kind": "null_field", "field": "id"}, UnexpectedResponse, "is malformed (id is None, not an ID)"),
    ],
)
def test_rest(
    hook: OnlineTasksHook,
    emulator: Emulator,
    task_id: str,
    fault: dict[str, Any],
    kind: type[CallError],
    words: str,
) -> None:
    run_id = hook.run_online_task(run_of(task_id))
    emulator.add_fault(Fault("rest.get_task_run", times=None, **fault))

    with pytest.raises(CallError) as caught:
        hook.get_task_run(run_id)

    check_kind(caught.value, kind)
    assert f"get task run at {emulator.url}: " in str(caught.value)
    assert words in str(caught.value)
    assert not caught.value.may_have_executed  # a read may always be repeated


@pytest.mark.parametrize(
    ("fault", "kind", "may_have_executed", "words"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed, False, "HTTP 401"),
        ({"kind": "forbidden"}, PermissionDenied, False, "permission"),
        ({"kind": "not_found"}, NotFound, False, "not found"),
        ({"kind": "rate_limited"}, RateLimited, False, "HTTP 429"),
        ({"kind": "rate_limited", "status": 200}, RateLimited, False, "TOO_MANY_REQUESTS"),
        ({"kind": "status_before"}, Unavailable, True, "HTTP 502"),
        ({"kind": "status_after"}, Unavailable, True, "HTTP 502"),
        ({"kind": "drop_before"}, Unavailable, True, "no answer"),
        ({"kind": "drop_after"}, Unavailable, True, "no answer"),
        ({"kind": "truncated"}, Unavailable, True, "no answer"),
        ({"kind": "garbage"}, UnexpectedResponse, True, "is a web page: this is not Arize"),
        ({"kind": "not_object"}, UnexpectedResponse, True, "is not a JSON object"),
        ({"kind": "missing_field"}, UnexpectedResponse, True, "lacks the field"),
        ({"kind": "null_field"}, UnexpectedResponse, True, "is malformed"),
        ({"kind": "missing_field", "field": "data"}, UnexpectedResponse, True, "neither data nor errors"),
        (
            {"kind": "null_field", "field": "data.runOnlineTask"},
            UnexpectedResponse,
            True,
            "has no runOnlineTask",
        ),
        (
            {"kind": "missing_field", "field": "data.runOnlineTask.result"},
            UnexpectedResponse,
            True,
            "lacks the field 'result'",
        ),
        ({"kind": "graphql_error"}, Unavailable, True, "Internal server error"),
        ({"kind": "graphql_error", "code": "BAD_USER_INPUT"}, BadRequest, False, "Internal server error"),
        (
            {"kind": "graphql_error", "code": "BAD_USER_INPUT", "status": 400},
            BadRequest,
            False,
            "Internal server error",
        ),
        ({"kind": "graphql_error", "code": "FORBIDDEN"}, PermissionDenied, False, "Internal server error"),
        ({"kind": "graphql_error", "code": "UNAUTHENTICATED"}, AuthenticationFailed, False, "API key"),
        ({"kind": "graphql_error", "code": "NOT_FOUND"}, NotFound, False, "Check the ID"),
        ({"kind": "unknown_type"}, BadRequest, False, "Unknown type"),
        ({"kind": "partial"}, BadRequest, True, "Something went wrong on the way"),
        (
            {"kind": "task_error", "message": "paused", "code": "X1"},
            TaskErrorReturned,
            False,
            "paused (code X1)",
        ),
    ],
)
def test_the_mutation_that_must_not_be_repeated(
    hook: OnlineTasksHook,
    emulator: Emulator,
    task_id: str,
    fault: dict[str, Any],
    kind: type[CallError],
    may_have_executed: bool,
    words: str,
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", times=None, **fault))

    with pytest.raises(CallError) as caught:
        hook.run_online_task(run_of(task_id))

    check_kind(caught.value, kind)
    assert caught.value.may_have_executed is may_have_executed
    assert words in str(caught.value)
    # What says that nothing was executed must not lie.
    assert may_have_executed or not emulator.runs()


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "truncated", "garbage", "missing_field"])
def test_a_mutation_that_may_be_repeated_is_repeated(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, kind: str
) -> None:
    emulator.add_fault(Fault("graphql.patchEvalTask", kind))

    assert hook.patch_eval_task(EvalTaskPatch.read({"online_task_id": task_id, "name": "new"})) == task_id

    assert len(emulator.requests("graphql.patchEvalTask")) == 2


def test_task_error_carries_code_and_message(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "task_error", message="the task is paused", code="X1"))

    with pytest.raises(TaskErrorReturned) as caught:
        hook.run_online_task(run_of(task_id))

    assert (caught.value.code, caught.value.reason) == ("X1", "the task is paused")
    assert f"Task {task_id} was not started: the task is paused (code X1)" in str(caught.value)


def test_an_unknown_task(hook: OnlineTasksHook) -> None:
    with pytest.raises(TaskErrorReturned) as caught:
        hook.run_online_task(run_of("T25saW5lVGFzazo5OTk6cVJ3WA=="))
    assert caught.value.code == "NOT_FOUND"


def test_an_unknown_project(hook: OnlineTasksHook) -> None:
    with pytest.raises(NotFound, match="createEvalTask at http"):
        hook.create_eval_task(eval_task("TW9kZWw6OTk5OnFSd1g="))


def test_a_plan_without_mutations(hook: OnlineTasksHook, emulator: Emulator) -> None:
    emulator.configure(mutations_permitted=False)
    try:
        with pytest.raises(PermissionDenied, match="enterprise account"):
            hook.create_eval_task(eval_task(emulator.project_id))
    finally:
        emulator.configure(mutations_permitted=True)


@pytest.mark.parametrize("status", [200, 429])
def test_the_real_rate_limit(hook: OnlineTasksHook, emulator: Emulator, status: int) -> None:
    emulator.configure(queries_per_minute=1, mutations_per_minute=1, graphql_rate_limit_status=status)
    try:
        hook.create_eval_task(eval_task(emulator.project_id, emulator.evaluator_ids["output_present"]))
        with pytest.raises(RateLimited):
            hook.create_eval_task(eval_task(emulator.project_id))
    finally:
        emulator.configure(queries_per_minute=None, mutations_per_minute=None, graphql_rate_limit_status=200)
    assert len(emulator.tasks()) == 1


def test_a_cancelled_run_cannot_be_cancelled(hook: OnlineTasksHook, task_id: str) -> None:
    run_id = hook.run_online_task(run_of(task_id))

    with pytest.raises(BadRequest, match="cannot cancel a run with status 'completed'"):
        hook.cancel_task_run(run_id)


@pytest.mark.parametrize("size", [301, 20_000_000], ids=["long", "20 MB"])
def test_a_long_answer_is_cut(hook_on: HookOn, size: int) -> None:
    page = Reply(502, b"<html><h1>Bad gateway</h1>" + b"x" * size, (("Content-Type", "text/html"),))
    with RecordingServer(lambda _: page) as arize:
        for ask in (lambda hook: hook.get_task_run(RUN), lambda hook: hook.run_online_task(run_of())):
            hook = hook_on(host=arize.url)
            hook.client.retry = NO_RETRY
            with pytest.raises(Unavailable) as caught:
                ask(hook)
            assert "<h1>Bad gateway</h1>" in str(caught.value)
            assert "…" in str(caught.value)
            assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "said",
    [
        {"status": 403, "title": "Forbidden", "detail": "no PROJECT_EVAL_TASK_READ", "type": "x"},
        {"title": ["not", "text"]},
        ["a list"],
        "a string",
        None,
    ],
)
def test_a_problem_of_any_shape(hook_on: HookOn, said: Any) -> None:
    with (
        RecordingServer(lambda _: Reply.of(said, 403)) as arize,
        pytest.raises(PermissionDenied, match="HTTP 403") as caught,
    ):
        hook_on(host=arize.url).get_task_run(RUN)
    if isinstance(said, dict) and "detail" in said:
        assert "Forbidden: no PROJECT_EVAL_TASK_READ" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        ({"errors": "not a list"}, 200, UnexpectedResponse),
        ({"errors": ["only a string"]}, 200, BadRequest),
        ({"errors": [{"message": "x", "extensions": None}]}, 200, BadRequest),
        ({"errors": [{"message": "x", "extensions": "odd"}]}, 200, BadRequest),
        ({"errors": [{"message": None}], "data": None}, 200, BadRequest),
        ({"data": []}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": []}}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": {"result": None}}}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": {"result": "r"}}}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": {"result": {"runId": ""}}}}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": {"result": {"__typename": "Other"}}}}, 200, UnexpectedResponse),
        ({"data": {"runOnlineTask": {"result": {"runId": "r"}}}}, 400, BadRequest),
        ({"errors": []}, 200, UnexpectedResponse),
        ({}, 404, NotFound),
    ],
)
def test_a_graphql_answer_of_any_shape(
    hook_on: HookOn, answer: Any, status: int, kind: type[CallError]
) -> None:
    with RecordingServer(lambda _: Reply.of(answer, status)) as arize, pytest.raises(CallError) as caught:
        hook_on(host=arize.url).run_online_task(run_of())
    assert type(caught.value) is kind, repr(caught.value)
    assert "runOnlineTask at http://127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("number", [99, "99"])
def test_a_run_id_may_be_a_number(hook_on: HookOn, number: object) -> None:
    # Whether runId is a global ID or a number is not documented.
    answer = {"data": {"runOnlineTask": {"result": {"runId": number}}}}
    with RecordingServer(lambda _: Reply.of(answer)) as arize:
        assert hook_on(host=arize.url).run_online_task(run_of()) == "99"


@pytest.mark.parametrize("case", ["upper", "lower"])
def test_both_spellings_of_a_status(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, case: str
) -> None:
    emulator.configure(status_case=case)
    try:
        run = hook.get_task_run(hook.run_online_task(run_of(task_id)))
    finally:
        emulator.configure(status_case="upper")
    assert run.is_over
    assert run.summary()["status"] == "COMPLETED"


def test_connection_test_says_what_is_wrong(hook_on: HookOn) -> None:
    works, message = hook_on(password="ak-wrong").test_connection()
    assert not works
    assert "HTTP 401" in message
    assert "Check the connection's API key" in message

    with RecordingServer(lambda _: Reply(404, b"<h1>Welcome to nginx</h1>")) as other:
        works, message = hook_on(host=other.url).test_connection()
    assert not works
    assert "not as Arize does" in message
