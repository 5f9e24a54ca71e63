"""Every call: the emulator records it, and its wire format is the documented one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import RunStatus
from airflow_provider_online_tasks.emulator import Emulator, RunFate
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.ui.links import ProjectPage
from tests.support.examples import END, EVALUATOR, PROJECT, RUN, START, TASK, eval_task, run_of
from tests.support.servers import RecordingServer, Reply, Seen

if TYPE_CHECKING:
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

HookOn = Callable[..., "OnlineTasksHook"]


def only_request(emulator: Emulator) -> tuple[Any, ...]:
    (request,) = emulator.requests()
    assert request["key_ok"]
    assert request["status"] in (200, 204)
    return request["operation"], request["method"], request["path"]


def test_create_sends_one_mutation(hook: OnlineTasksHook, emulator: Emulator) -> None:
    task_id = hook.create_eval_task(
        eval_task(
            emulator.project_id,
            emulator.evaluator_ids["output_present"],
            sampling_rate=25,
            query_filter="attributes.openinference.span.kind = 'AGENT'",
        )
    )

    assert only_request(emulator) == ("graphql.createEvalTask", "POST", "/graphql")
    (task,) = emulator.tasks()
    assert (task["id"], task["name"], task["model_id"]) == (task_id, "quality", emulator.project_id)
    assert (task["sampling_rate"], task["is_continuous"]) == (0.25, False)
    assert task["query_filter"] == "attributes.openinference.span.kind = 'AGENT'"
    assert [each["evaluator_id"] for each in task["evaluators"]] == [emulator.evaluator_ids["output_present"]]


def test_patch_sends_one_mutation(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    assert hook.patch_eval_task(EvalTaskPatch.read({"online_task_id": task_id, "name": "new"})) == task_id

    assert only_request(emulator) == ("graphql.patchEvalTask", "POST", "/graphql")
    (task,) = emulator.tasks()
    assert (task["name"], task["sampling_rate"]) == ("new", 1.0)


def test_run_sends_one_mutation(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    run_id = hook.run_online_task(run_of(task_id, max_spans=7, override_evaluations=True))

    assert only_request(emulator) == ("graphql.runOnlineTask", "POST", "/graphql")
    (run,) = emulator.runs()
    assert (run["id"], run["task_id"], run["max_spans"], run["override"]) == (run_id, task_id, 7, True)
    assert (run["data_start"], run["data_end"]) == (START.timestamp(), END.timestamp())


def test_hook_accepts_dicts_in_both_spellings(hook: OnlineTasksHook, emulator: Emulator) -> None:
    task_id = hook.create_eval_task(
        {
            "name": "by dict",
            "modelId": emulator.project_id,
            "evaluators": {"evaluator_id": emulator.evaluator_ids["output_present"]},
        }
    )
    hook.patch_eval_task({"onlineTaskId": task_id, "name": "changed"})
    run_id = hook.run_online_task(
        {"online_task_id": task_id, "data_start_time": START, "dataEndTime": END, "max_spans": 7}
    )

    assert [(task["id"], task["name"]) for task in emulator.tasks()] == [(task_id, "changed")]
    assert [(run["id"], run["max_spans"]) for run in emulator.runs()] == [(run_id, 7)]


@pytest.mark.parametrize("wrong", [None, "", "a name", 3, [], {}, {"name": "n", "nmae": 1}])
def test_hook_wrong_input_sends_nothing(hook: OnlineTasksHook, emulator: Emulator, wrong: Any) -> None:
    calls: list[Callable[[Any], Any]] = [
        hook.create_eval_task,
        hook.patch_eval_task,
        hook.run_online_task,
        *([] if wrong == "a name" else [hook.find_task, hook.find_project]),
        lambda status: list(hook.list_task_runs("T", status="" if status is None else status)),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call(wrong)

    assert emulator.requests() == []


def test_hook_close_closes_the_pools(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"})) as arize:
        hook = hook_on(host=arize.url)
        client = hook.client  # kept, so that nothing but close() ends its session
        client.send(calls.get_task_run(RUN))
        pools = client._session.get_adapter(arize.url).poolmanager.pools  # type: ignore[attr-defined]
        assert (arize.open_connections, len(pools)) == (1, 1)
        hook.close()
        assert len(pools) == 0


def test_get_run_sends_one_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    run_id = hook.run_online_task(run_of(task_id))
    emulator.clear_requests()

    run = hook.get_task_run(run_id)

    assert only_request(emulator) == ("rest.get_task_run", "GET", f"/v2/task-runs/{run_id}")
    (record,) = emulator.runs()
    assert (run.id, run.task_id, run.status) == (run_id, task_id, RunStatus.COMPLETED)
    assert (run.data_start_time, run.data_end_time) == (START, END)
    assert run.counts.successes == record["num_successes"] > 0


def test_list_runs_reads_all_pages(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    made = emulator.create_runs(task_id, 250, (3600, 3600))

    assert {run.id for run in hook.list_task_runs(task_id)} == set(made)

    requests = emulator.requests()
    assert [(each["operation"], each["path"]) for each in requests] == [
        ("rest.list_task_runs", f"/v2/tasks/{task_id}/runs")
    ] * 3


def test_list_runs_filters_by_status(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    emulator.create_runs(task_id, 3, (0, 0))
    live = emulator.create_runs(task_id, 2, (3600, 3600), fate=RunFate(pending_seconds=0))

    assert {run.id for run in hook.list_task_runs(task_id, status=RunStatus.RUNNING)} == set(live)
    assert {run.id for run in hook.list_task_runs(task_id, status="running")} == set(live)


def test_cancel_run_sends_one_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    (run_id,) = emulator.create_runs(task_id, 1, (3600, 3600))

    assert hook.cancel_task_run(run_id).status is RunStatus.CANCELLED

    assert only_request(emulator) == ("rest.cancel_task_run", "POST", f"/v2/task-runs/{run_id}/cancel")
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_get_task_sends_one_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    task = hook.get_task(task_id)

    assert only_request(emulator) == ("rest.get_task", "GET", f"/v2/tasks/{task_id}")
    assert (task.id, task.name, task.project_id) == (task_id, "quality", emulator.project_id)


def test_list_tasks_sends_one_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    found = list(hook.list_tasks(model_id=emulator.project_id, name="qual"))

    assert only_request(emulator) == ("rest.list_tasks", "GET", "/v2/tasks")
    assert [task.id for task in found] == [task_id]


def test_delete_task_sends_one_request(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    hook.delete_task(task_id)

    assert only_request(emulator) == ("rest.delete_task", "DELETE", f"/v2/tasks/{task_id}")
    assert [task["deleted"] for task in emulator.tasks()] == [True]


def test_links_send_three_requests(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    window = DataWindow(start=START, end=END)

    page = ProjectPage(
        ui_url=emulator.url,
        organization_id=emulator.organization_id,
        space_id=emulator.space_id,
        project_id=emulator.project_id,
    )
    assert hook.links(task_id, window).spans == page.spans_url(window)
    assert [request["operation"] for request in emulator.requests()] == [
        "rest.get_task",
        "rest.get_project",
        "rest.get_space",
    ]


def test_connection_test_sends_only_reads(hook: OnlineTasksHook, emulator: Emulator) -> None:
    works, message = hook.test_connection()

    assert works, message
    assert [request["operation"] for request in emulator.requests()] == [
        "rest.list_tasks",
        "graphql.query",
        "rest.get_project",
        "rest.list_spaces",
        "graphql.query",
        "graphql.query",
    ]


MUTATION = "mutation ($input: {0}MutationInput!) {{ {1}(input: $input) {{ {2} }} }}"


@pytest.mark.parametrize(
    ("send", "document", "variables"),
    [
        pytest.param(
            lambda hook: hook.create_eval_task(eval_task(sampling_rate=0.5)),
            MUTATION.format("CreateEvalTask", "createEvalTask", "evalTask { id name }"),
            {
                "name": "quality",
                "modelId": PROJECT,
                "samplingRate": 0.5,
                "runContinuously": False,
                "evaluators": [{"evaluatorId": EVALUATOR, "position": 0}],
            },
            id="create",
        ),
        pytest.param(
            lambda hook: hook.patch_eval_task(
                EvalTaskPatch.read({"online_task_id": TASK, "query_filter": None})
            ),
            MUTATION.format("PatchEvalTask", "patchEvalTask", "evalTask { id name }"),
            {"onlineTaskId": TASK, "queryFilter": None},
            id="patch",
        ),
        pytest.param(
            lambda hook: hook.run_online_task(run_of(max_spans=10, override_evaluations=False)),
            MUTATION.format(
                "RunOnlineTask",
                "runOnlineTask",
                "result { __typename ... on CreateTaskRunResponse { runId } "
                "... on TaskError { message code } }",
            ),
            {
                "onlineTaskId": TASK,
                "dataStartTime": wire_time(START),
                "dataEndTime": wire_time(END),
                "maxSpans": 10,
                "overrideEvaluations": False,
            },
            id="run",
        ),
    ],
)
def test_mutation_wire_format(
    hook_on: Callable[..., OnlineTasksHook],
    send: Callable[[OnlineTasksHook], str],
    document: str,
    variables: dict[str, Any],
) -> None:
    made = str(variables.get("onlineTaskId", "made"))
    payload = {"evalTask": {"id": made, "name": "quality"}, "result": {"runId": made}}
    answer = {"createEvalTask": payload, "patchEvalTask": payload, "runOnlineTask": payload}
    with RecordingServer(lambda _: Reply.of({"data": answer})) as arize:
        assert send(hook_on(host=arize.url, password="the-key")) == made

    (seen,) = arize.seen
    assert (seen.method, seen.target) == ("POST", "/graphql")
    assert seen.headers["x-api-key"] == "the-key"
    assert "authorization" not in seen.headers
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("airflow-provider-online-tasks/")
    # Parsed and printed by a GraphQL library on the way: compared word by word.
    assert seen.json["query"].split() == document.split()
    assert seen.json["variables"] == {"input": variables}


@pytest.mark.parametrize(
    ("call", "method", "target"),
    [
        (calls.get_task_run(RUN), "GET", f"/v2/task-runs/{quote(RUN)}"),
        (calls.list_task_runs(TASK), "GET", f"/v2/tasks/{quote(TASK)}/runs?limit=100"),
        (
            calls.list_task_runs(TASK, status=RunStatus.RUNNING, limit=5, cursor="a&b"),
            "GET",
            f"/v2/tasks/{quote(TASK)}/runs?limit=5&cursor=a%26b&status=RUNNING",
        ),
        (calls.cancel_task_run(RUN), "POST", f"/v2/task-runs/{quote(RUN)}/cancel"),
        (calls.get_task(TASK), "GET", f"/v2/tasks/{quote(TASK)}"),
        (
            calls.list_tasks(project_id=PROJECT, name="a name"),
            "GET",
            f"/v2/tasks?limit=100&project_id={quote(PROJECT)}&name=a+name",
        ),
        (calls.delete_task(TASK), "DELETE", f"/v2/tasks/{quote(TASK)}"),
        (calls.get_project_space(PROJECT), "GET", f"/v2/projects/{quote(PROJECT)}"),
        (calls.get_space_organization("S"), "GET", "/v2/spaces/S"),
    ],
)
def test_rest_call_wire_format(
    hook_on: Callable[..., OnlineTasksHook], call: calls.RestCall[Any], method: str, target: str
) -> None:
    value = {
        "id": call.about or RUN,
        "name": "quality",
        "status": "running",
        "task_runs": [],
        "tasks": [],
        "space_id": "S",
        "organization_id": "O",
    }
    with RecordingServer(lambda _: Reply.of(value)) as arize:
        hook_on(host=arize.url, password="the-key").client.send(call)

    (seen,) = arize.seen
    assert (seen.method, seen.target) == (method, target)
    assert seen.headers["authorization"] == "Bearer the-key"
    assert "x-api-key" not in seen.headers


@pytest.mark.parametrize("hostile", ["../../v2/tasks/other", "a/b?c#d", "%2e%2e%2f"])
def test_hostile_id_is_quoted(hook_on: Callable[..., OnlineTasksHook], hostile: str) -> None:
    with RecordingServer(lambda _: Reply.of({"id": "r", "status": "RUNNING"})) as arize:
        call = dataclasses.replace(calls.get_task_run(hostile), about=None)
        hook_on(host=arize.url).client.send(call)

    (seen,) = arize.seen
    assert seen.target == f"/v2/task-runs/{quote(hostile, safe='')}"


def test_id_with_spaces_is_rejected() -> None:
    with pytest.raises(InvalidInput):
        calls.get_task_run("a b\r\nX-Evil: 1")


def test_values_are_sent_as_variables(hook_on: Callable[..., OnlineTasksHook]) -> None:
    name = '") { id } } mutation { deleteEverything(x: "'
    reply = Reply.of({"data": {"createEvalTask": {"evalTask": {"id": "made", "name": name}}}})
    with RecordingServer(lambda _: reply) as arize:
        hook_on(host=arize.url).create_eval_task(eval_task(name=name))

    (seen,) = arize.seen
    assert "deleteEverything" not in seen.json["query"]
    assert seen.json["variables"]["input"]["name"] == name


def test_each_api_is_called_at_its_host(hook_on: Callable[..., OnlineTasksHook]) -> None:
    def graphql(seen: Seen) -> Reply:
        return Reply.of({"data": {"runOnlineTask": {"result": {"runId": RUN}}}})

    def rest(seen: Seen) -> Reply:
        return Reply.of({"id": RUN, "status": "PENDING"})

    with RecordingServer(graphql) as app, RecordingServer(rest) as api:
        hook = hook_on(host=app.url, extra={"rest_host": api.url})
        assert hook.get_task_run(hook.run_online_task(run_of())).status is RunStatus.PENDING

    assert [seen.target for seen in app.seen] == ["/graphql"]
    assert [seen.target for seen in api.seen] == [f"/v2/task-runs/{quote(RUN)}"]


def test_hook_context_closes_its_session(hook_on: Callable[..., OnlineTasksHook]) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "PENDING"})) as arize:
        with hook_on(host=arize.url) as hook:
            for _ in range(3):
                hook.get_task_run(RUN)
            assert arize.open_connections == 1  # one session for all calls
        _eventually(lambda: arize.open_connections == 0)


def _eventually(holds: Callable[[], bool]) -> None:
    import time

    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
