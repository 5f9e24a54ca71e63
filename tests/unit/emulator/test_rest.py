"""The REST API: tasks, runs, spans and names, as Arize's SDK and reference describe them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks.emulator import ids
from tests.support.emulator_api import AGENTS, PATCH, Api, days_ago, iso, template_evaluator

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


DOCUMENTED_TYPES = {
    400: "invalid-request",
    404: "resource-not-found",
    409: "resource-conflict",
    422: "validation-error",
}
MAPPING = {"variable_name": "input", "query_ids": [], "attribute_path": "attributes.input.value"}


def evaluation_task(emulator: Emulator, **fields: Any) -> dict[str, Any]:
    """The body that creates a task over REST."""
    return {
        "name": "nightly",
        "type": "TEMPLATE_EVALUATION",
        "project_id": emulator.project_id,
        "evaluators": [{"evaluator_id": emulator.evaluator_ids["correctness"]}],
        **fields,
    }


CALM = {"evaluator_id": "RXZhbHVhdG9yOjQ6cVJ3WA=="}  # user_frustration, of sessions


def about_sessions(filters: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
    """What makes a task one about sessions, with named filters."""
    evaluators = [{**CALM, "query_mappings": [MAPPING]}]
    return {"query_filters": {"filters": filters, **fields}, "evaluators": evaluators}


def problem(response: requests.Response, status: int) -> str:
    """Check that an answer is a problem document and return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    kind = response.json()["type"]
    assert kind.startswith("https://arize.com/docs/ax/rest-reference/errors#")
    assert kind.rpartition("#")[2] == DOCUMENTED_TYPES.get(
        status, HTTPStatus(status).phrase.lower().replace(" ", "-")
    )
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["type"].startswith("https://")
    assert requests.utils.urlparse(response.url).path == document["instance"]
    detail: str = document["detail"]
    return detail


def test_task_is_created_read_changed_and_deleted(api: Api, emulator: Emulator) -> None:
    evaluator = {
        "evaluator_id": emulator.evaluator_ids["correctness"],
        "evaluator_version_id": "RXZhbHVhdG9yVmVyc2lvbjoxOnFSd1g=",
        "query_filter": "status_code = 'OK'",
        "column_mappings": {"input": "attributes.input.value"},
    }
    body = evaluation_task(emulator, sampling_rate=0.5, query_filter=AGENTS, evaluators=[evaluator])
    created = api.rest("POST", "tasks", json=body)
    assert created.status_code == 201
    task = created.json()
    assert task["id"] == "T25saW5lVGFzazoxOnFSd1g="
    assert task["evaluators"] == [evaluator | {"evaluator_name": "correctness", "query_mappings": None}]
    assert api.rest("GET", f"tasks/{task['id']}").json() == task

    changes = {"name": "weekly", "is_continuous": True, "query_filter": None}
    changed = api.rest("PATCH", f"tasks/{task['id']}", json=changes)
    assert changed.status_code == 200
    updated = {"updated_at": changed.json()["updated_at"]}
    assert changed.json() == task | changes | updated

    run_id = api.run(task["id"])
    emulator.set_run(run_id, status="RUNNING")
    assert api.rest("DELETE", f"tasks/{task['id']}").status_code == 204
    assert problem(api.rest("GET", f"tasks/{task['id']}"), 404)
    assert problem(api.rest("GET", f"tasks/{task['id']}/runs"), 404)
    assert api.rest("GET", "tasks").json()["tasks"] == []
    assert emulator.runs()[0]["status"] == "CANCELLED"
    assert emulator.tasks()[0]["deleted"]
    # Its name is free again.
    assert api.rest("POST", "tasks", json=evaluation_task(emulator, name="weekly")).status_code == 201


def test_task_list_filters_by_name_type_and_project(api: Api, emulator: Emulator) -> None:
    for name in ("Alpha", "beta", "alphabet"):
        api.create(name=name)
    code = {"evaluator_id": emulator.evaluator_ids["json_parseable"]}
    api.rest("POST", "tasks", json=evaluation_task(emulator, type="CODE_EVALUATION", evaluators=[code]))

    def names(**query: str) -> list[str]:
        return [each["name"] for each in api.rest("GET", "tasks", params=query).json()["tasks"]]

    assert names() == ["nightly", "alphabet", "beta", "Alpha"]
    assert names(name="ALPHA") == ["alphabet", "Alpha"]
    assert names(type="CODE_EVALUATION") == ["nightly"]
    assert names(project_id=emulator.project_id, space_id=emulator.space_id, name="bet") == [
        "alphabet",
        "beta",
    ]
    assert (
        names(project_id="TW9kZWw6OTk6cVJ3WA==") == names(dataset_id="x") == names(space_name="other") == []
    )
    assert problem(api.rest("GET", "tasks", params={"type": "NONE"}), 400)


def test_next_page_continues_after_the_last(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    run_ids = [api.run(task_id) for _ in range(5)]

    def pages(limit: int) -> list[list[str]]:
        found, query = [], {"limit": str(limit)}
        while True:
            answer = api.rest("GET", f"tasks/{task_id}/runs", params=query).json()
            found.append([run["id"] for run in answer["task_runs"]])
            # What is created meanwhile shifts nothing.
            emulator.create_runs(task_id, 1)
            if not answer["pagination"]["has_more"]:
                return found
            query["cursor"] = answer["pagination"]["next_cursor"]

    newest = run_ids[::-1]
    assert pages(2) == [newest[:2], newest[2:4], newest[4:]]
    created = [run["id"] for run in emulator.runs()]
    emulator.configure(runs_order="oldest")
    oldest = [run_id for page in pages(3) for run_id in page]
    assert oldest[: len(created)] == created
    emulator.configure(runs_order="shuffled")
    shuffled = [run_id for page in pages(3) for run_id in page if run_id in created]
    assert sorted(shuffled) == sorted(created)
    assert shuffled not in (created, created[::-1])
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "many"}, {"cursor": "%"}, {"cursor": "e30="}):
        assert problem(api.rest("GET", f"tasks/{task_id}/runs", params=query), 400)


def test_cursor_of_another_list_is_rejected(api: Api, emulator: Emulator) -> None:
    tasks = [api.create(name=f"task {number}") for number in range(3)]
    for _ in range(2):
        api.run(tasks[0])
        api.run(tasks[1])

    def cursor(method: str, path: str, **options: Any) -> str:
        found: str = api.rest(method, path, **options).json()["pagination"]["next_cursor"]
        return found

    runs = f"tasks/{tasks[0]}/runs"
    spans = {"project_id": emulator.project_id}
    of_tasks, of_runs = cursor("GET", "tasks?limit=1"), cursor("GET", f"{runs}?limit=1")
    of_spans = cursor("POST", "spans?limit=1", json=spans)
    for path, foreign in (
        (runs, of_tasks),
        (f"tasks/{tasks[1]}/runs", of_runs),
        ("evaluators", of_tasks),
        ("tasks?name=task", of_tasks),
        (f"{runs}?status=COMPLETED", of_runs),
    ):
        assert problem(api.rest("GET", path, params={"cursor": foreign}), 400)
    for body in ({"filter": AGENTS}, {"start_time": days_ago(3)}, {"project_id": ids.SECOND_PROJECT_ID}):
        response = api.rest("POST", "spans", params={"cursor": of_spans}, json={**spans, **body})
        assert problem(response, 400), body
    # The limit may change from page to page.
    assert api.rest("GET", f"{runs}?limit=5", params={"cursor": of_runs}).status_code == 200
    assert api.rest("POST", "spans?limit=5", params={"cursor": of_spans}, json=spans).status_code == 200


def test_runs_are_listed_by_status(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    over, going = api.run(task_id), api.run(task_id, overrideEvaluations=True)
    emulator.set_run(going, status="RUNNING")

    def listed(status: str) -> list[str]:
        answer = api.rest("GET", f"tasks/{task_id}/runs", params={"status": status}).json()
        return [run["id"] for run in answer["task_runs"]]

    assert (listed("RUNNING"), listed("completed"), listed("FAILED")) == ([going], [over], [])
    bad = api.rest("GET", f"tasks/{task_id}/runs", params={"status": "DONE"})
    assert problem(bad, 400)


@pytest.mark.online_tasks_emulator(run_seconds=30)
def test_run_is_triggered_and_cancelled_once(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    window = {"data_start_time": days_ago(2), "data_end_time": days_ago(1)}
    body = window | {"max_spans": 7, "override_evaluations": True}
    triggered = api.rest("POST", f"tasks/{task_id}/trigger", json=body)
    assert triggered.status_code == 201
    run = triggered.json()
    assert run["status"] == "PENDING"
    assert {name: run[name] for name in window} == window
    assert run["failure_reason"] is run["run_started_at"] is run["run_finished_at"] is None
    assert (emulator.runs()[0]["max_spans"], emulator.runs()[0]["override"]) == (7, True)

    cancelled = api.rest("POST", f"task-runs/{run['id']}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "CANCELLED"
    again = api.rest("POST", f"task-runs/{run['id']}/cancel")
    assert problem(again, 400) == "cannot cancel a run with status 'cancelled'"
    # A trigger without a body takes the time since the last run.
    follow_up = api.rest("POST", f"tasks/{task_id}/trigger").json()
    assert follow_up["data_start_time"] == run["created_at"]


INVALID_TRIGGERS: list[tuple[dict[str, Any], int]] = [
    ({}, 400),
    ({"data_start_time": days_ago(1), "data_end_time": days_ago(2)}, 400),
    ({"data_start_time": days_ago(31), "data_end_time": days_ago(0.5)}, 400),
    ({"data_start_time": "monday"}, 400),
    ({"data_start_time": 5}, 400),
    ({"data_start_time": days_ago(1), "max_spans": 0}, 400),
    ({"data_start_time": days_ago(1), "max_spans": True}, 400),
    ({"data_start_time": days_ago(1), "override_evaluations": "yes"}, 400),
    ({"data_start_time": days_ago(1), "experiment_ids": ["x"]}, 400),
    ({"maxSpans": 5}, 400),
]


def test_invalid_trigger_is_rejected(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    for body, status in INVALID_TRIGGERS:
        assert problem(api.rest("POST", f"tasks/{task_id}/trigger", json=body), status), body
    assert emulator.runs() == []


INVALID_TASKS: list[tuple[dict[str, Any], int]] = [
    ({"name": ""}, 400),
    ({"name": 5}, 400),
    ({"type": "OTHER"}, 400),
    ({"type": "RUN_EXPERIMENT"}, 422),
    ({"type": "CODE_EVALUATION"}, 422),
    ({"project_id": "TW9kZWw6OTk6cVJ3WA=="}, 404),
    ({"dataset_id": "RGF0YXNldDoxOnFSd1g="}, 404),
    ({"sampling_rate": 2}, 422),
    ({"sampling_rate": "all"}, 400),
    ({"is_continuous": 1}, 400),
    ({"query_filter": "attributes.x ="}, 422),
    ({"query_filter": AGENTS, "query_filters": {"filters": []}}, 400),
    ({"query_filters": []}, 400),
    ({"query_filters": {"filters": []}}, 400),
    ({"query_filters": {"filters": [{"id": "F", "filter": AGENTS}]}}, 400),
    (about_sessions([{"id": "A", "filter": AGENTS}] * 2, expression="A"), 422),
    (about_sessions([{"id": "A", "filter": AGENTS}], expression="A AND B"), 422),
    (about_sessions([{"id": "A", "filter": "name = '" + "x" * 2000 + "'"}]), 400),
    (about_sessions([{"id": "A", "filter": AGENTS}], expression="A" * 513), 400),
    ({"evaluators": [{**CALM, "query_mappings": [{**MAPPING, "variable_name": "x" * 257}]}]}, 400),
    ({"evaluators": [{**CALM, "query_mappings": [{**MAPPING, "attribute_path": "x" * 1025}]}]}, 400),
    ({"evaluators": [CALM]}, 422),
    ({"evaluators": [{**CALM, "column_mappings": {"conversation": "name"}}]}, 422),
    ({"evaluators": [{**CALM, "query_mappings": [MAPPING]}]}, 400),
    ({"query_filters": {"filters": [{"id": "A", "filter": AGENTS}]}}, 400),
    ({"query_filters": {"filters": [{"id": "A", "filter": AGENTS}, {"id": "B", "filter": AGENTS}]}}, 400),
    ({"evaluators": []}, 400),
    ({"evaluators": None}, 400),
    ({"evaluators": ["x"]}, 400),
    ({"evaluators": [{}]}, 400),
    ({"evaluators": [{"evaluator_id": "x"}]}, 400),
    ({"evaluators": [{"evaluator_id": "RXZhbHVhdG9yOjk5OnFSd1g="}]}, 404),
    ({"evaluators": [{"evaluator_id": "RXZhbHVhdG9yOjE6cVJ3WA==", "evaluator_version_id": "x"}]}, 422),
    ({"evaluators": [{"evaluator_id": "RXZhbHVhdG9yOjE6cVJ3WA=="}] * 2}, 400),
    (
        {
            "evaluators": [
                {
                    "evaluator_id": "RXZhbHVhdG9yOjE6cVJ3WA==",
                    "query_mappings": [MAPPING],
                    "query_filter": AGENTS,
                }
            ]
        },
        400,
    ),
    (
        {
            "evaluators": [
                {"evaluator_id": "RXZhbHVhdG9yOjE6cVJ3WA=="},
                {"evaluator_id": "RXZhbHVhdG9yOjI6cVJ3WA==", "query_mappings": [MAPPING]},
            ]
        },
        422,
    ),
    (
        {
            "query_filters": {"filters": [{"id": "A", "filter": AGENTS}]},
            "evaluators": [
                {"evaluator_id": "RXZhbHVhdG9yOjE6cVJ3WA=="},
                {**CALM, "query_mappings": [MAPPING]},
            ],
        },
        422,
    ),
    ({"evaluators": [{**CALM, "query_mappings": [{**MAPPING, "query_ids": ["A"] * 6}]}]}, 400),
    ({"experiment_ids": ["RXhwZXJpbWVudDoxOnFSd1g="]}, 400),
    ({"colour": "red"}, 400),
]


def test_invalid_task_is_rejected(api: Api, emulator: Emulator) -> None:
    for fields, status in INVALID_TASKS:
        body = evaluation_task(emulator, **fields)
        assert problem(api.rest("POST", "tasks", json=body), status), fields
    assert emulator.tasks() == []
    # A rejected task uses up no name.
    assert api.rest("POST", "tasks", json=evaluation_task(emulator)).status_code == 201


def test_invalid_update_is_rejected(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    api.create(name="taken")
    code = {"evaluator_id": emulator.evaluator_ids["json_parseable"]}
    for changes, status in (
        ({}, 400),
        ({"type": "CODE_EVALUATION"}, 400),
        ({"name": "taken"}, 422),
        ({"evaluators": [code]}, 422),
    ):
        assert problem(api.rest("PATCH", f"tasks/{task_id}", json=changes), status)
    assert emulator.tasks()[0]["name"] == "nightly"


def test_named_filters_are_changed_and_cleared(api: Api, emulator: Emulator) -> None:
    filters = [{"id": "A", "filter": AGENTS}, {"id": "B", "filter": "status_code = 'ERROR'"}]
    body = evaluation_task(emulator, **about_sessions(filters, expression="A AND NOT B"))
    task = api.rest("POST", "tasks", json=body).json()
    assert task["query_filters"]["expression"] == "A AND NOT B"
    single = {"filters": [{"id": "A", "filter": AGENTS}]}
    changed = api.rest("PATCH", f"tasks/{task['id']}", json={"query_filters": single}).json()
    assert changed["query_filters"] == single | {"expression": "A"}
    alone = api.rest("PATCH", f"tasks/{task['id']}", json={"query_filters": None})
    assert problem(alone, 400)
    of_spans = {
        "query_filters": None,
        "evaluators": [{"evaluator_id": emulator.evaluator_ids["correctness"]}],
    }
    cleared = api.rest("PATCH", f"tasks/{task['id']}", json=of_spans).json()
    assert cleared["query_filters"] is None


def test_patch_to_both_kinds_of_filter_is_rejected(api: Api, emulator: Emulator) -> None:
    named = about_sessions([{"id": "A", "filter": AGENTS}])
    sessions = api.rest("POST", "tasks", json=evaluation_task(emulator, **named)).json()
    problem(api.rest("PATCH", f"tasks/{sessions['id']}", json={"query_filter": AGENTS}), 400)
    patch = {"onlineTaskId": sessions["id"], "queryFilter": AGENTS}
    [error] = api.graphql(PATCH, input=patch).json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert api.rest("GET", f"tasks/{sessions['id']}").json() == sessions

    spans = evaluation_task(emulator, name="spans", query_filter=AGENTS)
    path = f"tasks/{api.rest('POST', 'tasks', json=spans).json()['id']}"
    problem(api.rest("PATCH", path, json=named), 400)
    assert api.rest("PATCH", path, json={**named, "query_filter": None}).status_code == 200


def test_task_name_is_unique_in_the_space(api: Api, emulator: Emulator) -> None:
    made = api.rest("POST", "tasks", json=evaluation_task(emulator))
    assert made.status_code == 201
    again = api.rest("POST", "tasks", json=evaluation_task(emulator, project_id=ids.SECOND_PROJECT_ID))
    assert problem(again, 422)


def test_unknown_ids_and_ids_of_other_types_are_rejected(api: Api, emulator: Emulator) -> None:
    for path in ("tasks/nope", "task-runs/nope", "projects/nope", "spaces/nope"):
        assert problem(api.rest("GET", path), 400)
    for path in (
        "tasks/T25saW5lVGFzazo5OnFSd1g=",
        "task-runs/VGFza1J1bjo5OTpxUndY",
        "projects/TW9kZWw6OTk6cVJ3WA==",
        "spaces/U3BhY2U6OTk6cVJ3WA==",
        f"tasks/{emulator.project_id}",
        f"projects/{emulator.space_id}",
    ):
        assert problem(api.rest("GET", path), 404)
    assert problem(api.rest("GET", "nothing"), 404)
    assert problem(api.rest("PUT", "tasks"), 405)


def test_operation_that_is_not_served_answers_501_with_its_name(api: Api, emulator: Emulator) -> None:
    for method, path in (
        ("GET", "webhooks"),
        ("POST", "webhooks/abc/test"),
        ("DELETE", "annotation-configs/abc"),
        ("GET", "alignment-tasks/abc/runs"),
        ("GET", "monitors"),
        ("DELETE", f"datasets/{emulator.project_id}"),
        ("PATCH", f"projects/{emulator.project_id}"),
        ("DELETE", "spans"),
        ("GET", "evaluators/abc/tags"),
    ):
        detail = problem(api.rest(method, path), 501)
        assert method in detail
        assert path.partition("/")[0] in detail
    assert problem(api.rest("GET", "webhooks", key="wrong"), 401)
    # What shares a path with it is served.
    assert api.rest("GET", f"projects/{emulator.project_id}").status_code == 200


def test_objects_are_found_by_name(api: Api, emulator: Emulator) -> None:
    project = api.rest("GET", f"projects/{emulator.project_id}").json()
    assert (project["name"], project["space_id"]) == ("support-assistant", emulator.space_id)
    space = api.rest("GET", f"spaces/{emulator.space_id}").json()
    assert space["organization_id"] == emulator.organization_id
    found = api.rest("GET", "projects", params={"name": "support", "space_id": emulator.space_id}).json()
    assert found == {"projects": [project], "pagination": {"has_more": False}}
    assert api.rest("GET", "projects", params={"space_id": "x"}).json()["projects"] == []
    assert api.rest("GET", "spaces", params={"name": "emulated"}).json()["spaces"] == [space]
    assert api.rest("GET", "spaces", params={"org_id": "x"}).json()["spaces"] == []


@pytest.mark.parametrize("key", ["", "wrong"])
def test_wrong_key_gets_401(api: Api, emulator: Emulator, key: str) -> None:
    assert problem(api.rest("GET", "tasks", key=key), 401)
    basic = requests.get(f"{emulator.url}/v2/tasks", auth=("user", emulator.api_key), timeout=60)
    assert problem(basic, 401)
    assert [seen["key_ok"] for seen in emulator.requests()] == [False, False]


@pytest.mark.parametrize("body", [b"nonsense", b"[]"])
def test_body_that_is_not_an_object_gets_400(api: Api, body: bytes) -> None:
    assert problem(api.rest("POST", "tasks", data=body), 400)


@pytest.mark.online_tasks_emulator(status_case="lower")
def test_status_case_setting_spells_statuses_in_lower_case(api: Api, emulator: Emulator) -> None:
    run_id = api.run(api.create())
    assert api.read(run_id)["status"] == "completed"
    emulator.configure(status_case="upper")
    assert api.read(run_id)["status"] == "COMPLETED"


# -- spans ----------------------------------------------------------------------------------------


def list_spans(api: Api, limit: int = 50, **body: Any) -> list[dict[str, Any]]:
    """List spans of the emulator's project."""
    given = {"project_id": api.emulator.info()["project_id"]} | body
    response = api.rest("POST", f"spans?limit={limit}", json=given)
    assert response.status_code == 200, response.text
    spans: list[dict[str, Any]] = response.json()["spans"]
    return spans


def test_spans_are_listed_newest_first_page_by_page(api: Api, emulator: Emulator) -> None:
    body = {"project_id": emulator.project_id, "start_time": days_ago(8)}
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 100}
    while True:
        answer = api.rest("POST", "spans", params=query, json=body).json()
        seen += answer["spans"]
        if not answer["pagination"]["has_more"]:
            break
        query["cursor"] = answer["pagination"]["next_cursor"]
    assert len({span["context"]["span_id"] for span in seen}) == len(seen) == emulator.info()["spans"]
    starts = [span["start_time"] for span in seen]
    assert starts == sorted(starts, reverse=True)
    assert problem(api.rest("POST", "spans?limit=501", json=body), 400)


def test_spans_of_a_window_with_a_filter(api: Api) -> None:
    day = {"start_time": days_ago(3), "end_time": days_ago(2)}
    spans = list_spans(api, 500, **day)
    assert spans
    assert all(day["start_time"] <= span["start_time"] <= day["end_time"] for span in spans)
    errors = list_spans(api, 500, filter="status_code = 'ERROR'")
    assert errors
    assert {span["status_code"] for span in errors} == {"ERROR"}
    # Both ends of the window belong to it.
    newest = spans[0]["start_time"]
    assert list_spans(api, start_time=newest, end_time=newest)[0]["start_time"] == newest


def test_evaluations_are_read_back_with_their_spans(api: Api) -> None:
    task_id = api.create()
    run_id = api.run(task_id)
    assert api.read(run_id)["status"] == "COMPLETED"
    labelled = list_spans(api, 500, filter="eval.\"answer quality\".label = 'bad'")
    assert labelled
    for span in labelled:
        (evaluation,) = span["evaluations"]
        assert (evaluation["name"], evaluation["label"]) == ("answer quality", "bad")
        assert evaluation["explanation"]
        assert evaluation["metadata"] == {"task_id": task_id, "run_id": run_id}


@pytest.mark.parametrize("field", ["label", "score", "explanation"])
def test_single_evaluation_column_is_included_or_excluded(api: Api, emulator: Emulator, field: str) -> None:
    choices = {"bad": 0, "good": 1}
    api.read(
        api.run(api.create(templateEvaluators=[template_evaluator("tone", classificationChoices=choices)]))
    )

    def shown(**columns: list[str]) -> set[str]:
        body = {"project_id": emulator.project_id, "filter": AGENTS, **columns}
        spans = api.rest("POST", "spans", json=body).json()["spans"]
        [evaluation] = spans[0]["evaluations"]
        return set(evaluation) - {"name", "metadata"}

    assert shown(included_columns=[f"eval.tone.{field}"]) == {field}
    assert shown(excluded_columns=[f"eval.tone.{field}"]) == {"label", "score", "explanation"} - {field}


def test_columns_are_selected_and_texts_truncated(api: Api) -> None:
    api.read(api.run(api.create()))
    (span,) = list_spans(api, 1, filter=AGENTS, included_columns=["attributes.input.value"])
    assert set(span["attributes"]) == {"input.value"}
    assert span["evaluations"] == []
    (span,) = list_spans(api, 1, filter=AGENTS, excluded_columns=["attributes.input.value"])
    assert "input.value" not in span["attributes"]
    assert span["evaluations"]
    (span,) = list_spans(api, 1, filter=AGENTS, truncate_string_length=5)
    assert span["attributes"]["openinference.span.kind"] == "AGENT"
    assert len(span["attributes"]["input.value"]) == 5
    assert span["attributes"]["input.value"].endswith("…")


def test_invalid_span_query_is_rejected(api: Api, emulator: Emulator) -> None:
    queries: list[tuple[dict[str, Any], int]] = [
        ({"project_id": "TW9kZWw6OTk6cVJ3WA=="}, 404),
        ({"project_id": None}, 400),
        ({"filter": " "}, 422),
        ({"filter": "status_code ="}, 422),
        ({"start_time": "yesterday"}, 400),
        ({"start_time": days_ago(1), "end_time": days_ago(2)}, 422),
        ({"included_columns": ["a"], "excluded_columns": ["b"]}, 422),
        ({"included_columns": []}, 400),
        ({"excluded_columns": ["a"] * 1001}, 400),
        ({"truncate_string_length": 0}, 400),
        ({"columns": []}, 400),
    ]
    for fields, status in queries:
        body = {"project_id": emulator.project_id} | fields
        assert problem(api.rest("POST", "spans", json=body), status), fields


@pytest.mark.online_tasks_emulator(run_seconds=30)
def test_clock_offset_changes_server_times(api: Api, emulator: Emulator) -> None:
    emulator.set_clock_offset(-3600)
    run = api.read(api.run(api.create(templateEvaluators=[template_evaluator()])))
    behind = datetime.now(UTC) - datetime.fromisoformat(run["created_at"])
    assert timedelta(minutes=59) < behind < timedelta(minutes=61)
    date = api.rest("GET", "spaces").headers["date"]
    told = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert timedelta(minutes=59) < datetime.now(UTC) - told < timedelta(minutes=61)


def test_times_keep_milliseconds(api: Api) -> None:
    start = datetime.now(UTC) - timedelta(days=1)
    run = api.read(api.run(api.create(), dataStartTime=start.isoformat()))
    assert run["data_start_time"] == iso(start)
