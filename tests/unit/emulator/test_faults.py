"""Faults: what each does to an answer, whether the request was executed, and which requests it meets."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest
import requests

from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.emulator.control.client import EmulatorControlError
from tests.support.emulator_api import CREATE, LLM, RUN, Api, days_ago, eventually, template_evaluator

WINDOW = {"dataStartTime": days_ago(2), "dataEndTime": days_ago(1)}


def ask(api: Api, task_id: str) -> requests.Response:
    """Ask for a run."""
    return api.graphql(RUN, input={"onlineTaskId": task_id, **WINDOW})


@pytest.mark.parametrize(("kind", "runs"), [("drop_before", 0), ("drop_after", 1)])
def test_dropped_connection_is_reset_before_or_after_the_run_starts(
    api: Api, emulator: Emulator, kind: str, runs: int
) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.runOnlineTask", kind))
    with pytest.raises(requests.ConnectionError):
        ask(api, task_id)
    assert len(emulator.runs()) == runs
    seen = emulator.requests("graphql.runOnlineTask")[-1]
    assert (seen["status"], seen["executed"], seen["fault"]) == (None, runs == 1, kind)
    # The same session continues with a new connection.
    assert ask(api, task_id).status_code == 200


@pytest.mark.parametrize(("kind", "runs"), [("status_before", 0), ("status_after", 1)])
def test_gateway_page_is_sent_before_or_after_the_run_starts(
    api: Api, emulator: Emulator, kind: str, runs: int
) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.*", kind))
    emulator.add_fault(Fault("graphql.*", kind, status=503, retry_after=7, message="down"))
    bad, down = ask(api, task_id), ask(api, task_id)
    assert (bad.status_code, bad.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert bad.text.startswith("<html>")
    assert (down.status_code, down.headers["retry-after"]) == (503, "7")
    assert "down" in down.text
    assert len(emulator.runs()) == 2 * runs


def test_truncated_response_is_shorter_than_its_content_length(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.runOnlineTask", "truncated"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(api, task_id)
    assert len(emulator.runs()) == 1


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (Fault("rest.*", "garbage"), "<!doctype html><p>not JSON"),
        (Fault("rest.*", "garbage", body=""), ""),
        (Fault("rest.*", "garbage", body='"text"', status=201), '"text"'),
    ],
)
def test_garbage_response_is_not_json(api: Api, emulator: Emulator, fault: Fault, body: str) -> None:
    run_id = api.run(api.create())
    emulator.add_fault(fault)
    response = api.rest("GET", f"task-runs/{run_id}")
    assert (response.status_code, response.text) == (fault.status or 200, body)


def test_not_object_response_is_a_list(api: Api, emulator: Emulator) -> None:
    run_id = api.run(api.create())
    emulator.add_fault(Fault("rest.get_task_run", "not_object"))
    (run,) = api.rest("GET", f"task-runs/{run_id}").json()
    assert run["id"] == run_id


REST_FIELDS = [
    ("GET", "tasks", "rest.list_tasks", "tasks"),
    ("GET", "tasks/{task}", "rest.get_task", "id"),
    ("POST", "tasks/{task}/trigger", "rest.trigger_task_run", "id"),
    ("GET", "tasks/{task}/runs", "rest.list_task_runs", "task_runs"),
    ("GET", "task-runs/{run}", "rest.get_task_run", "status"),
]


@pytest.mark.parametrize(("method", "path", "operation", "field"), REST_FIELDS)
def test_main_field_is_missing_or_null(
    api: Api, emulator: Emulator, method: str, path: str, operation: str, field: str
) -> None:
    task_id = api.create()
    path = path.format(task=task_id, run=api.run(task_id))
    whole = set(api.rest(method, path).json())
    emulator.add_fault(Fault(operation, "missing_field"))
    assert set(api.rest(method, path).json()) == whole - {field}
    emulator.add_fault(Fault(operation, "null_field"))
    answer = api.rest(method, path).json()
    assert (set(answer), answer[field]) == (whole, None)


def test_missing_field_of_a_mutation_is_the_main_or_the_named_field(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.runOnlineTask", "missing_field"))
    assert ask(api, task_id).json()["data"]["runOnlineTask"]["result"] == {
        "__typename": "CreateTaskRunResponse"
    }
    emulator.add_fault(Fault("graphql.runOnlineTask", "null_field", field="data.runOnlineTask.result"))
    assert ask(api, task_id).json() == {"data": {"runOnlineTask": {"result": None}}}
    emulator.add_fault(Fault("graphql.runOnlineTask", "missing_field", field="nothing.like.it"))
    assert ask(api, task_id).json()["data"]["runOnlineTask"]["result"]["runId"]
    assert len(emulator.runs()) == 3


@pytest.mark.parametrize(
    ("fault", "status", "code", "runs"),
    [
        (Fault("*", "graphql_error"), 200, "INTERNAL_SERVER_ERROR", 0),
        (Fault("*", "graphql_error", message="no", code="ODD", status=500), 500, "ODD", 0),
        (Fault("*", "not_found"), 200, "NOT_FOUND", 0),
        (Fault("*", "unknown_type"), 400, "GRAPHQL_VALIDATION_FAILED", 0),
        (Fault("*", "unauthorized"), 401, "UNAUTHENTICATED", 0),
        (Fault("*", "forbidden"), 403, "FORBIDDEN", 0),
        (Fault("*", "rate_limited", retry_after=3), 429, "TOO_MANY_REQUESTS", 0),
        (Fault("*", "rate_limited", status=200), 200, "TOO_MANY_REQUESTS", 0),
        (Fault("*", "partial", code="PARTLY"), 200, "PARTLY", 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_errors_of_graphql(
    api: Api, emulator: Emulator, fault: Fault, status: int, code: str, runs: int
) -> None:
    task_id = api.create()
    emulator.add_fault(fault)
    response = ask(api, task_id)
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert bool(response.json()["data"]) == (runs == 1)
    assert fault.message is None or error["message"] == fault.message
    assert response.headers.get("retry-after") == (str(fault.retry_after) if fault.retry_after else None)
    assert len(emulator.runs()) == runs


def test_unknown_type_names_the_type_of_the_document(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(Fault("graphql.patchEvalTask", "unknown_type"))
    document = "mutation ($input: SomeInput!) { patchEvalTask(input: $input) { evalTask { id } } }"
    assert api.graphql(document).json()["errors"][0]["message"] == 'Unknown type "SomeInput".'
    emulator.add_fault(Fault("*", "unknown_type"))
    assert "Unknown type" in api.graphql("{ viewer { id } }").json()["errors"][0]["message"]


def test_task_error_is_a_member_of_the_result_union(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.runOnlineTask", "task_error", message="no credits", code="PAYMENT"))
    emulator.add_fault(Fault("graphql.runOnlineTask", "task_error"))
    named, plain = (ask(api, task_id).json()["data"]["runOnlineTask"]["result"] for _ in range(2))
    assert named == {"__typename": "TaskError", "message": "no credits", "code": "PAYMENT"}
    assert plain["message"]
    assert emulator.runs() == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("rest.trigger_task_run", "unauthorized"), 401),
        (Fault("rest.trigger_task_run", "forbidden"), 403),
        (Fault("rest.trigger_task_run", "not_found"), 404),
        (Fault("rest.trigger_task_run", "task_error", message="no credits"), 422),
        (Fault("rest.trigger_task_run", "not_found", status=409, message="taken", code="CONFLICT"), 409),
        (Fault("rest.trigger_task_run", "rate_limited", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 429),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_errors_of_rest(api: Api, emulator: Emulator, fault: Fault, status: int) -> None:
    task_id = api.create()
    emulator.add_fault(fault)
    body = {"data_start_time": days_ago(2)}
    response = api.rest("POST", f"tasks/{task_id}/trigger", json=body)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert fault.message in (None, response.json()["detail"])
    assert response.json().get("error_code") == fault.code or fault.code is None
    assert response.headers.get("retry-after") == fault.retry_after
    assert emulator.runs() == []


@pytest.mark.parametrize(("kind", "runs"), [("delay", 1), ("delay_after", 1), ("drop_before", 0)])
def test_client_timeout_shorter_than_the_delay_loses_the_response(
    api: Api, emulator: Emulator, kind: str, runs: int
) -> None:
    task_id = api.create()
    emulator.add_fault(Fault("graphql.runOnlineTask", kind, seconds=3))
    body: dict[str, Any] = {"query": RUN, "variables": {"input": {"onlineTaskId": task_id, **WINDOW}}}
    headers = {"x-api-key": emulator.api_key}
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{emulator.url}/graphql", json=body, headers=headers, timeout=0.2)
    # With delay, the run is created after the client disconnected; with delay_after, before.
    assert kind == "delay_after" or emulator.runs() == []
    if runs:
        eventually(emulator.runs)
    else:
        time.sleep(4)
    assert len(emulator.runs()) == runs


def test_delay_lasts_as_long_as_requested(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(Fault("rest.list_tasks", "delay", seconds=0.4))
    began = time.monotonic()
    assert api.rest("GET", "tasks").status_code == 200
    assert time.monotonic() - began >= 0.4


def test_delay_does_not_block_other_requests(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(Fault("rest.list_tasks", "delay", seconds=300))
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            Api(emulator).rest("GET", "tasks")
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    eventually(lambda: emulator.requests("rest.list_tasks"))
    assert api.rest("GET", "tasks").status_code == 200
    assert not answered.is_set()


def test_fault_applies_to_matching_requests_for_its_number_of_times(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(Fault("rest.list_*", "forbidden", times=2, skip=1))
    paths = ["tasks", f"spaces/{emulator.space_id}", "tasks", "spaces", "projects"]
    assert [api.rest("GET", path).status_code for path in paths] == [200, 200, 403, 403, 200]
    emulator.add_fault(Fault("*", "unauthorized", times=None))
    assert [api.rest("GET", "tasks").status_code for _ in range(3)] == [401] * 3
    # A request with a wrong key uses up no fault, and the control plane is not affected.
    assert api.rest("GET", "tasks", key="wrong").status_code == 401
    emulator.clear_faults()
    assert api.rest("GET", "tasks").status_code == 200


def test_request_log_does_not_contain_the_key(api: Api, emulator: Emulator) -> None:
    api.graphql(CREATE, input={"name": "x", "modelId": emulator.project_id, "llmConfig": LLM})
    api.rest("GET", "tasks")
    mutation, read = emulator.requests()
    assert (mutation["operation"], mutation["method"], mutation["path"]) == (
        "graphql.createEvalTask",
        "POST",
        "/graphql",
    )
    assert (read["operation"], read["status"], read["executed"], read["key_ok"]) == (
        "rest.list_tasks",
        200,
        True,
        True,
    )
    assert read["host_header"] == emulator.url.removeprefix("http://")
    assert read["headers"]["user-agent"].startswith("python-requests")
    assert abs(read["time"] - time.time()) < 60
    assert emulator.api_key not in str(emulator.requests())
    assert emulator.requests("rest.*") == [read]
    emulator.clear_requests()
    assert emulator.requests() == []


def test_control_plane_rejects_wrong_keys_and_invalid_requests(emulator: Emulator) -> None:
    url = f"{emulator.url}/emulator"
    assert requests.get(f"{url}/runs", timeout=60).status_code == 401
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    bad = requests.post(f"{url}/faults", data="nonsense", headers=headers, timeout=60)
    assert bad.status_code == 400
    unknown = requests.post(f"{url}/faults", json={"colour": "red"}, headers=headers, timeout=60)
    assert "colour" in unknown.json()["detail"]
    with pytest.raises(EmulatorControlError, match="colour"):
        emulator.configure(colour="red")
    with pytest.raises(EmulatorControlError, match="port"):
        emulator.configure(port=5)
    with pytest.raises(EmulatorControlError, match="status_case"):
        emulator.configure(status_case="Title")


def test_two_template_evaluators_share_one_fault_free_run(api: Api, emulator: Emulator) -> None:
    evaluators = [template_evaluator("one"), template_evaluator("two")]
    run_id = api.run(api.create(templateEvaluators=evaluators), maxSpans=5)
    assert api.counts(run_id) == (5, 0, 0)
    assert len(emulator.evaluations(run_id=run_id)) == 10
