"""Any response becomes a value or a CallError that names the call and the host."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.http import (
    Response,
    graphql_data,
    http_date,
    rest_value,
)
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    InvalidInput,
    PermissionDenied,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.runs import RunInput
from tests.support.random_examples import examples

KEY = "ak-4a/b5+c6_d7="
HOST = "https://api.example.com"
LONGEST_MESSAGE = 1300
TASK_ID = "T25saW5lVGFzazo0NTpxUndY"
RUN = RunInput(online_task_id=TASK_ID, data_start_time="2024-10-08", data_end_time="2024-10-09")
TASK = EvalTaskInput(name="n", model_id="m", evaluators={"evaluator_id": "x"})
MUTATIONS = (
    calls.run_online_task(RUN),
    calls.create_eval_task(TASK, "fraction"),
    calls.patch_eval_task(EvalTaskPatch(online_task_id=TASK_ID, name="n"), "fraction"),
)
REQUESTS = (
    calls.get_task_run("R"),
    calls.list_task_runs(TASK_ID),
    calls.cancel_task_run("R"),
    calls.get_task(TASK_ID),
    calls.list_tasks(),
    calls.get_project_space("P"),
    calls.get_space_organization("S"),
    calls.list_queue_records("Q"),
    calls.list_annotation_configs("n", "S"),
    calls.create_annotation_queue({}),
)


def answer(
    body: bytes | str | Any = b"",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    call: str = "get task run",
    repeatable: bool = True,
) -> Response:
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    return Response(
        call=call,
        host=HOST,
        status=status,
        headers=headers or {},
        body=body.encode() if isinstance(body, str) else body,
        repeatable=repeatable,
        secret=KEY,
    )


def read_rest(call: calls.RestCall[Any], came: Response) -> Any:
    return calls.read_value(call, rest_value(came), came)


def read_graphql(call: calls.GraphQLCall[Any], came: Response) -> Any:
    payload = graphql_data(came).get(call.name)
    if not isinstance(payload, dict):
        came.unexpected(f"has no {call.name}")
    return calls.read_value(call, payload, came)


def check(error: CallError, came: Response) -> None:
    message = str(error)
    assert came.call in message
    assert came.host in message
    assert len(message) <= LONGEST_MESSAGE
    assert message.isprintable()
    assert KEY not in message
    assert KEY not in repr(error)
    if came.repeatable:
        assert not error.may_have_executed


# Any answer

FIELDS = [
    "id",
    "name",
    "status",
    "task_id",
    "num_successes",
    "num_errors",
    "created_at",
    "failure_reason",
    "task_runs",
    "tasks",
    "pagination",
    "has_more",
    "next_cursor",
    "space_id",
    "organization_id",
    "records",
    "annotation_configs",
    "project_id",
    "evaluators",
    "evalTask",
    "result",
    "runId",
    "message",
    "code",
    "data",
    "errors",
    "extensions",
    "path",
    "title",
    "detail",
    "runOnlineTask",
    "createEvalTask",
    "patchEvalTask",
    "__typename",
]
words = st.sampled_from(FIELDS)
texts = st.text(max_size=12) | st.sampled_from(
    [KEY, f"Bearer {KEY}", "x" * 5000, "TOO_MANY_REQUESTS", "COMPLETED"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | texts, inner, max_size=5),
    max_leaves=12,
)
like_a_run = st.fixed_dictionaries(
    {"id": json_values, "status": json_values | st.just("COMPLETED")},
    optional=dict.fromkeys(("task_id", "num_errors", "created_at", "name", "failure_reason"), json_values),
)
like_a_list = st.fixed_dictionaries(
    {"task_runs": st.lists(like_a_run | json_values, max_size=2) | json_values},
    optional={
        "pagination": st.fixed_dictionaries({"has_more": json_values, "next_cursor": json_values})
        | json_values,
    },
).map(lambda page: {**page, "tasks": page["task_runs"]})
like_graphql = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(
            st.sampled_from([call.name for call in MUTATIONS]),
            st.fixed_dictionaries({"result": json_values, "evalTask": json_values}) | json_values,
        )
        | json_values,
        "errors": st.lists(
            st.fixed_dictionaries(
                {"message": json_values}, optional={"extensions": json_values, "path": json_values}
            )
            | json_values,
            max_size=2,
        )
        | json_values,
    },
)
bodies = (
    (json_values | like_a_run | like_a_list | like_graphql).map(json.dumps)
    | st.binary(max_size=60)
    | st.text(max_size=60)
    | st.just("<!doctype html><p>" + "Bad gateway\n" * 500)
    | json_values.map(lambda value: json.dumps(value)[:-1])
)
statuses = st.sampled_from(
    [100, 200, 200, 200, 201, 202, 204, 301, 308, 400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 599]
)
headers = st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), texts)
many = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(call=st.sampled_from(REQUESTS), body=bodies, status=statuses, found=headers)
@example(REQUESTS[0], b"[" * 100_000, 200, {})
@example(REQUESTS[0], b"[" * 100_000, 404, {})
@example(REQUESTS[0], b"9" * 5_000, 200, {})
@example(REQUESTS[0], b"\xff\xfe\x00", 200, {})
@example(REQUESTS[0], f"location {KEY}", 302, {"location": f"https://elsewhere.example/?key={KEY}"})
def test_any_rest_response_is_a_value_or_a_call_error(
    call: calls.RestCall[Any], body: bytes | str, status: int, found: dict[str, str]
) -> None:
    came = answer(body, status, found, call=call.name, repeatable=call.repeatable)
    try:
        read_rest(call, came)
    except CallError as error:
        check(error, came)
    else:
        assert status in (200, 201, 204)


@many
@given(call=st.sampled_from(MUTATIONS), body=bodies, status=statuses, found=headers)
@example(MUTATIONS[0], b'{"errors": [{"message": "no", "extensions": ["code"]}]}', 200, {})
@example(MUTATIONS[0], json.dumps({"errors": [{"message": "long " * 5000}]}), 500, {})
@example(
    MUTATIONS[0],
    json.dumps({"data": {"runOnlineTask": {"result": {"message": KEY * 90, "code": 1}}}}),
    200,
    {},
)
@example(MUTATIONS[0], b"{" * 100_000, 401, {})
def test_any_graphql_response_is_a_value_or_a_call_error(
    call: calls.GraphQLCall[Any], body: bytes | str, status: int, found: dict[str, str]
) -> None:
    came = answer(body, status, found, call=call.name, repeatable=call.repeatable)
    try:
        read_graphql(call, came)
    except CallError as error:
        check(error, came)


@given(
    st.text() | st.dates().map(str) | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
)
@example("Tue, 08 Oct 2024 00:00:00 +9999999999")
@example("1 Jan 99999 00:00:00")
def test_any_date_header_is_a_date_or_none(text: str) -> None:
    found = http_date(text)
    assert found is None or found.tzinfo is not None


# The key


def test_key_in_body_is_hidden() -> None:
    came = answer({"id": KEY})
    assert KEY.encode() not in came.body
    assert came.json() == {"id": "***"}


def test_key_with_json_escapes_is_hidden_in_names_and_values() -> None:
    escaped = KEY.replace("/", r"\/")
    body = f'{{"{escaped}": ["{escaped}", {{"a": "x{escaped}"}}], "n": 1}}'
    assert answer(body).json() == {"***": ["***", {"a": "x***"}], "n": 1}


def test_key_at_the_end_of_a_cut_text_is_hidden() -> None:
    assert KEY[:4] not in answer().quoted("x" * 295 + KEY)


# What is read


def test_http_date_without_zone_is_utc_in_any_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert http_date("Thu, 01 Jan 1970 00:00:30 -0000") == datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_mutation_response_is_read() -> None:
    run, create, patch = MUTATIONS
    run_id = {"data": {"runOnlineTask": {"result": {"__typename": "CreateTaskRunResponse", "runId": "R"}}}}
    assert read_graphql(run, answer(run_id)) == "R"
    # Whether the ID is a global one or a number is not documented.
    assert read_graphql(run, answer({"data": {"runOnlineTask": {"result": {"runId": 99}}}})) == "99"
    for call in (create, patch):
        found = {"evalTask": {"id": TASK_ID, "name": "n"}}
        assert read_graphql(call, answer({"data": {call.name: found}})) == TASK_ID


@pytest.mark.parametrize(
    ("code", "message"),
    [("NO_DATA", "No spans"), (None, "No spans"), (7, None)],
)
def test_task_error_response_has_code_and_reason(code: Any, message: str | None) -> None:
    result = {"__typename": "TaskError", "message": message, "code": code}
    came = answer({"data": {"runOnlineTask": {"result": result}}}, call="runOnlineTask", repeatable=False)
    with pytest.raises(TaskErrorReturned) as caught:
        read_graphql(MUTATIONS[0], came)
    assert caught.value.code == (None if code is None else str(code))
    assert message in (caught.value.reason, None)
    for part in (HOST, TASK_ID, caught.value.code or "", caught.value.reason):
        assert part in str(caught.value)
    assert not caught.value.may_have_executed


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("", "HTTP 200"),
        ('{"data": {"runOnlineTask', "HTTP 200"),
        ("[1]", "[1]"),
        ("{}", "{}"),
        ('{"data": 5}', "5"),
        ('{"data": null, "errors": "no"}', "no"),
        ('{"data": {}}', "runOnlineTask"),
        ('{"data": {"runOnlineTask": null}}', "runOnlineTask"),
        ('{"data": {"runOnlineTask": {}}}', "result"),
        ('{"data": {"runOnlineTask": {"result": null}}}', "result"),
        ('{"data": {"runOnlineTask": {"result": {}}}}', "result.message"),
        ('{"data": {"runOnlineTask": {"result": {"runId": null}}}}', "result.runId"),
        ('{"data": {"runOnlineTask": {"result": {"runId": true}}}}', "result.runId"),
    ],
)
def test_mutation_malformed_response_may_have_executed(body: str, named: str) -> None:
    came = answer(body, call="runOnlineTask", repeatable=False)
    with pytest.raises(UnexpectedResponse) as caught:
        read_graphql(MUTATIONS[0], came)
    assert named in str(caught.value)
    assert caught.value.may_have_executed


@pytest.mark.parametrize(
    ("status", "errors", "kind", "executed"),
    [
        (200, [{"message": "Unknown type"}], BadRequest, False),
        (400, [{"message": "Unknown type"}], BadRequest, False),
        (200, [{"message": "late", "path": ["runOnlineTask"]}], BadRequest, True),
        (200, [{"message": "TOO_MANY_REQUESTS"}], RateLimited, False),
        (200, [{"message": "slow down", "extensions": {"code": "too_many_requests"}}], RateLimited, False),
        (429, [{"message": "slow down"}], RateLimited, False),
        (200, [{"message": "who", "extensions": {"code": "UNAUTHENTICATED"}}], AuthenticationFailed, False),
        (401, [{"message": "who"}], AuthenticationFailed, False),
        (200, [{"message": "no", "extensions": {"code": "FORBIDDEN"}}], PermissionDenied, False),
        (403, [{"message": "no"}], PermissionDenied, False),
        (200, [{"message": "crash", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}], Unavailable, True),
        (500, [{"message": "crash"}], Unavailable, True),
        (200, ["just a text"], BadRequest, False),
    ],
)
def test_graphql_top_level_errors_give_their_exception(
    status: int, errors: list[Any], kind: type[CallError], executed: bool
) -> None:
    came = answer({"data": None, "errors": errors}, status, call="runOnlineTask", repeatable=False)
    with pytest.raises(CallError) as caught:
        read_graphql(MUTATIONS[0], came)
    assert type(caught.value) is kind
    assert caught.value.may_have_executed is executed


@pytest.mark.parametrize("status", [200, 403])
def test_graphql_plan_error_is_permission_denied(status: int) -> None:
    said = "GraphQL Mutation access is only available for enterprise accounts"
    came = answer({"errors": [{"message": said}]}, status, call="runOnlineTask", repeatable=False)
    with pytest.raises(PermissionDenied):
        read_graphql(MUTATIONS[0], came)


def test_graphql_partial_data_may_have_executed() -> None:
    body = {
        "data": {"runOnlineTask": {"result": {"runId": "R"}}},
        "errors": [{"message": "half", "path": ["x"]}],
    }
    with pytest.raises(BadRequest, match="half") as caught:
        read_graphql(MUTATIONS[0], answer(body, call="runOnlineTask", repeatable=False))
    assert caught.value.may_have_executed


def test_page_has_more_without_cursor_is_rejected() -> None:
    list_runs = calls.list_task_runs(TASK_ID)
    more = {"task_runs": [], "pagination": {"has_more": True, "next_cursor": "c"}}
    last = {"task_runs": [], "pagination": {"has_more": False, "next_cursor": None}}
    assert read_rest(list_runs, answer(more)).next_cursor == "c"
    assert read_rest(list_runs, answer(last)).next_cursor is None
    assert read_rest(list_runs, answer({"task_runs": []})).next_cursor is None
    for cursor in (None, "", 5):
        broken = {"task_runs": [], "pagination": {"has_more": True, "next_cursor": cursor}}
        with pytest.raises(UnexpectedResponse, match="next_cursor"):
            read_rest(list_runs, answer(broken))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", ".."),
        ("id", "a\ud800"),
        ("id", "x" * 600),
        ("num_errors", 2**64),
        ("num_errors", -1),
        ("num_errors", 1.5),
        ("num_errors", True),
        ("status", 5),
        ("created_at", "soon"),
        ("created_at", 5),
        ("task_id", {}),
        ("task_id", ""),
    ],
)
def test_run_with_malformed_field_is_rejected(field: str, value: Any) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read_rest(calls.get_task_run("R"), answer({"id": "R", "status": "RUNNING", field: value}))
    assert field in str(caught.value)
    assert repr(value)[:10] in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"project_id": {}},
        {"sampling_rate": "all"},
        {"query_filter": 5},
        {"is_continuous": "yes"},
        {"evaluators": "all"},
        {"evaluators": ["x"]},
    ],
)
def test_task_with_malformed_field_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse, match=next(iter(changes))):
        read_rest(calls.get_task(TASK_ID), answer({"id": TASK_ID, "name": "n"} | changes))


def test_problem_text_is_one_line() -> None:
    problem = {"title": "Bad\nrequest", "detail": "data_start_time\tis\x1b[31m wrong"}
    with pytest.raises(BadRequest) as caught:
        rest_value(answer(problem, 422))
    assert str(caught.value).isprintable()
    assert {HOST, "422", "data_start_time"} <= set(str(caught.value).replace(": ", " ").split())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        (
            {"retry-after": "Tue, 08 Oct 2024 00:01:00 GMT", "date": "Tue, 08 Oct 2024 00:00:30 GMT"},
            30.0,
        ),
        ({"retry-after": "Tue, 08 Oct 2024 00:01:00 GMT", "date": "Tue, 08 Oct 2024 00:02:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(RateLimited) as caught:
        rest_value(answer({}, 429, headers))
    assert caught.value.retry_after == seconds


def test_date_header_is_the_time_of_the_server() -> None:
    assert answer(headers={"date": "Tue, 08 Oct 2024 00:00:30 GMT"}).date == datetime(
        2024, 10, 8, 0, 0, 30, tzinfo=UTC
    )
    assert answer().date is None


def test_key_in_broken_json_is_hidden() -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        rest_value(answer(" " * 400 + f'{{"detail": "bad key {KEY}', 401))
    assert "bad key ***" in str(caught.value)


# What is sent


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_id_is_one_part_of_the_path(text: str) -> None:
    try:
        path = calls.get_task_run(text).path
    except InvalidInput:
        return
    prefix, _, part = path.rpartition("/")
    assert prefix == "/v2/task-runs"
    assert part not in ("", ".", "..")
    assert part.isascii()
    assert not set(part) & set("/?#%") - {"%"}


def test_document_has_no_values_of_the_user() -> None:
    documents = {call.document() for call in MUTATIONS}
    other = calls.run_online_task(
        RunInput(online_task_id='"}', data_start_time="2024-01-01", data_end_time="2024-01-02")
    )
    assert other.document() in documents
    assert MUTATIONS[0].document() == (
        "mutation ($input: RunOnlineTaskMutationInput!) { runOnlineTask(input: $input) { result { __typename "
        "... on CreateTaskRunResponse { runId } ... on TaskError { message code } } } }"
    )


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ({"name": None, "ofType": {"name": "RunOnlineTaskInput"}}, "RunOnlineTaskInput"),
        ({"name": "RunOnlineTaskInput"}, "RunOnlineTaskInput"),
        ({"name": "Int!) { deleteEverything }"}, None),
        ({"name": 5}, None),
        ({}, None),
    ],
)
def test_argument_type_must_be_a_name(kind: dict[str, Any], found: str | None) -> None:
    argument = {"name": "input", "type": kind}
    schema = {
        "__type": {"fields": [{"name": "other", "args": []}, {"name": "runOnlineTask", "args": [argument]}]}
    }
    assert calls.argument_type(schema, "runOnlineTask") == found
