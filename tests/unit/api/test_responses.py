"""Each response becomes its value, or the exception that a DAG author can act on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
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
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from tests.support.examples import RUN, eval_task, run_of
from tests.support.servers import RecordingServer, Reply

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

HookOn = Callable[..., OnlineTasksHook]

# Airflow retries unless the exception is an AirflowFailException.
ENDS_THE_TASK = {AuthenticationFailed, PermissionDenied, NotFound, BadRequest}


def send_async(settings: Settings, call: calls.RestCall[Any]) -> Any:
    async def main() -> Any:
        client = AsyncClient(settings)
        try:
            return await client.send(call)
        finally:
            await client.close()

    return asyncio.run(main())


def check_kind(error: CallError, kind: type[CallError]) -> None:
    assert type(error) is kind, repr(error)
    assert isinstance(error, AirflowFailException) is (kind in ENDS_THE_TASK)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed),
        ({"kind": "forbidden"}, PermissionDenied),
        ({"kind": "not_found"}, NotFound),
        ({"kind": "rate_limited"}, RateLimited),
        ({"kind": "status_before", "status": 500}, Unavailable),
        ({"kind": "status_after", "status": 503}, Unavailable),
        ({"kind": "status_before", "status": 400}, BadRequest),
        ({"kind": "status_before", "status": 409}, BadRequest),
        ({"kind": "status_before", "status": 422}, BadRequest),
        ({"kind": "drop_before"}, Unavailable),
        ({"kind": "drop_after"}, Unavailable),
        ({"kind": "truncated"}, Unavailable),
        ({"kind": "garbage"}, UnexpectedResponse),
        ({"kind": "garbage", "body": ""}, UnexpectedResponse),
        ({"kind": "not_object"}, UnexpectedResponse),
        ({"kind": "missing_field", "field": "id"}, UnexpectedResponse),
        ({"kind": "null_field", "field": "status"}, UnexpectedResponse),
        ({"kind": "null_field", "field": "id"}, UnexpectedResponse),
    ],
)
def test_rest_response_gives_its_exception_in_both_clients(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, fault: dict[str, Any], kind: type[CallError]
) -> None:
    run_id = hook.run_online_task(run_of(task_id))
    emulator.add_fault(Fault("rest.get_task_run", times=None, **fault))

    for send in (hook.client.send, lambda call: send_async(hook.settings, call)):
        with pytest.raises(CallError) as caught:
            send(calls.get_task_run(run_id))

        check_kind(caught.value, kind)
        assert f"get task run at {emulator.url}: " in str(caught.value)
        assert "<" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert not caught.value.may_have_executed  # a read may always be repeated


@pytest.mark.parametrize(
    ("fault", "kind", "may_have_executed"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed, False),
        ({"kind": "forbidden"}, PermissionDenied, False),
        ({"kind": "not_found"}, NotFound, False),
        ({"kind": "rate_limited"}, RateLimited, False),
        ({"kind": "rate_limited", "status": 200}, RateLimited, False),
        ({"kind": "status_before"}, Unavailable, True),
        ({"kind": "status_after"}, Unavailable, True),
        ({"kind": "drop_before"}, Unavailable, True),
        ({"kind": "drop_after"}, Unavailable, True),
        ({"kind": "truncated"}, Unavailable, True),
        ({"kind": "garbage"}, UnexpectedResponse, True),
        ({"kind": "not_object"}, UnexpectedResponse, True),
        ({"kind": "missing_field"}, UnexpectedResponse, True),
        ({"kind": "null_field"}, UnexpectedResponse, True),
        ({"kind": "missing_field", "field": "data"}, UnexpectedResponse, True),
        ({"kind": "null_field", "field": "data.runOnlineTask"}, UnexpectedResponse, True),
        ({"kind": "missing_field", "field": "data.runOnlineTask.result"}, UnexpectedResponse, True),
        ({"kind": "graphql_error"}, Unavailable, True),
        ({"kind": "graphql_error", "code": "BAD_USER_INPUT"}, BadRequest, False),
        ({"kind": "graphql_error", "code": "BAD_USER_INPUT", "status": 400}, BadRequest, False),
        ({"kind": "graphql_error", "code": "FORBIDDEN"}, PermissionDenied, False),
        ({"kind": "graphql_error", "code": "UNAUTHENTICATED"}, AuthenticationFailed, False),
        ({"kind": "graphql_error", "code": "NOT_FOUND"}, NotFound, False),
        ({"kind": "unknown_type"}, BadRequest, False),
        ({"kind": "partial"}, BadRequest, True),
        ({"kind": "task_error", "message": "paused", "code": "X1"}, TaskErrorReturned, False),
    ],
)
def test_mutation_response_tells_whether_it_may_have_executed(
    hook: OnlineTasksHook,
    emulator: Emulator,
    task_id: str,
    fault: dict[str, Any],
    kind: type[CallError],
    may_have_executed: bool,
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", times=None, **fault))

    with pytest.raises(CallError) as caught:
        hook.run_online_task(run_of(task_id))

    check_kind(caught.value, kind)
    assert caught.value.may_have_executed is may_have_executed
    assert may_have_executed or not emulator.runs()


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "truncated", "garbage", "missing_field"])
def test_patch_is_repeated_after_a_lost_response(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, kind: str
) -> None:
    emulator.add_fault(Fault("graphql.patchEvalTask", kind))

    assert hook.patch_eval_task(EvalTaskPatch.read({"online_task_id": task_id, "name": "new"})) == task_id

    assert len(emulator.requests("graphql.patchEvalTask")) == 2


def test_task_error_has_code_and_reason(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "task_error", message="the task is paused", code="X1"))

    with pytest.raises(TaskErrorReturned) as caught:
        hook.run_online_task(run_of(task_id))

    assert (caught.value.code, caught.value.reason) == ("X1", "the task is paused")


def test_unknown_task_is_a_task_error(hook: OnlineTasksHook) -> None:
    with pytest.raises(TaskErrorReturned) as caught:
        hook.run_online_task(run_of("T25saW5lVGFzazo5OTk6cVJ3WA=="))
    assert caught.value.code == "NOT_FOUND"


def test_unknown_project_is_not_found(hook: OnlineTasksHook) -> None:
    with pytest.raises(NotFound):
        hook.create_eval_task(eval_task("TW9kZWw6OTk5OnFSd1g="))


def test_plan_without_mutations_is_permission_denied(hook: OnlineTasksHook, emulator: Emulator) -> None:
    emulator.configure(mutations_permitted=False)
    try:
        with pytest.raises(PermissionDenied):
            hook.create_eval_task(eval_task(emulator.project_id))
    finally:
        emulator.configure(mutations_permitted=True)


@pytest.mark.parametrize("status", [200, 429])
def test_real_rate_limit_is_rate_limited(hook: OnlineTasksHook, emulator: Emulator, status: int) -> None:
    emulator.configure(queries_per_minute=1, mutations_per_minute=1, graphql_rate_limit_status=status)
    try:
        hook.create_eval_task(eval_task(emulator.project_id, emulator.evaluator_ids["output_present"]))
        with pytest.raises(RateLimited):
            hook.create_eval_task(eval_task(emulator.project_id))
    finally:
        emulator.configure(queries_per_minute=None, mutations_per_minute=None, graphql_rate_limit_status=200)
    assert len(emulator.tasks()) == 1


def test_cancel_finished_run_is_a_bad_request(hook: OnlineTasksHook, task_id: str) -> None:
    run_id = hook.run_online_task(run_of(task_id))

    with pytest.raises(BadRequest):
        hook.cancel_task_run(run_id)


@pytest.mark.parametrize("size", [301, 20_000_000], ids=["long", "20 MB"])
def test_long_html_response_is_not_shown(hook_on: HookOn, size: int) -> None:
    page = Reply(502, b"<html><h1>Bad gateway</h1>" + b"x" * size, (("Content-Type", "text/html"),))
    with RecordingServer(lambda _: page) as arize:
        for ask in (lambda hook: hook.get_task_run(RUN), lambda hook: hook.run_online_task(run_of())):
            hook = hook_on(host=arize.url)
            hook.client.retry = NO_RETRY
            with pytest.raises(Unavailable) as caught:
                ask(hook)
            assert "Bad gateway" not in str(caught.value)
            assert "HTTP 502" in str(caught.value)
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
def test_problem_of_any_shape_is_reported(hook_on: HookOn, said: Any) -> None:
    with (
        RecordingServer(lambda _: Reply.of(said, 403)) as arize,
        pytest.raises(PermissionDenied) as caught,
    ):
        hook_on(host=arize.url).get_task_run(RUN)
    if isinstance(said, dict) and "detail" in said:
        assert "no PROJECT_EVAL_TASK_READ" in str(caught.value)


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
def test_graphql_response_of_any_shape_is_reported(
    hook_on: HookOn, answer: Any, status: int, kind: type[CallError]
) -> None:
    with RecordingServer(lambda _: Reply.of(answer, status)) as arize, pytest.raises(CallError) as caught:
        hook_on(host=arize.url).run_online_task(run_of())
    assert type(caught.value) is kind, repr(caught.value)
    assert "runOnlineTask at http://127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("number", [99, "99"])
def test_run_id_may_be_a_number(hook_on: HookOn, number: object) -> None:
    # Whether runId is a global ID or a number is not documented.
    answer = {"data": {"runOnlineTask": {"result": {"runId": number}}}}
    with RecordingServer(lambda _: Reply.of(answer)) as arize:
        assert hook_on(host=arize.url).run_online_task(run_of()) == "99"


@pytest.mark.parametrize("case", ["upper", "lower"])
def test_status_may_be_upper_or_lower_case(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, case: str
) -> None:
    emulator.configure(status_case=case)
    try:
        run = hook.get_task_run(hook.run_online_task(run_of(task_id)))
    finally:
        emulator.configure(status_case="upper")
    assert run.is_over
    assert run.summary()["status"] == "COMPLETED"


def test_connection_test_names_the_problem(hook_on: HookOn) -> None:
    works, message = hook_on(password="ak-wrong").test_connection()
    assert not works
    assert "HTTP 401" in message

    with RecordingServer(lambda _: Reply(404, b"<h1>Welcome to nginx</h1>")) as other:
        works, message = hook_on(host=other.url).test_connection()
    assert not works
    assert "HTML" in message
