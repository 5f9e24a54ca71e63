"""A server may name the input types differently than documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, Fault
from airflow_provider_online_tasks.exceptions import BadRequest, OnlineTasksError, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from tests.support.examples import RUN, TASK, eval_task, run_of
from tests.support.servers import RecordingServer, Reply, Seen, graphql_server

HookOn = Callable[..., OnlineTasksHook]
PATCH = EvalTaskPatch.read({"online_task_id": TASK, "name": "new"})


@pytest.fixture(scope="module")
def odd_emulator() -> Iterator[Emulator]:
    settings = EmulatorSettings(
        patch_input_type="PatchEvalTaskInput", queries_per_minute=None, mutations_per_minute=None
    )
    with Emulator(settings) as emulator:
        yield emulator


def test_input_type_is_queried_once(hook_on: HookOn, odd_emulator: Emulator) -> None:
    hook = hook_on(host=odd_emulator.url)
    task_id = hook.create_eval_task(
        eval_task(odd_emulator.project_id, odd_emulator.evaluator_ids["output_present"])
    )
    odd_emulator.clear_requests()

    for name in ("one", "two"):
        hook.patch_eval_task(EvalTaskPatch.read({"online_task_id": task_id, "name": name}))

    assert [task["name"] for task in odd_emulator.tasks()] == ["two"]
    assert [request["operation"] for request in odd_emulator.requests()] == [
        "graphql.patchEvalTask",  # rejected: validation comes before execution
        "graphql.query",
        "graphql.patchEvalTask",
        "graphql.patchEvalTask",
    ]


@pytest.mark.parametrize("suffix", ["Input", "Payload_2"])
def test_input_type_is_adapted_for_every_mutation(hook_on: HookOn, suffix: str) -> None:
    mutations = {"createEvalTask": "Create", "patchEvalTask": "Patch", "runOnlineTask": "Run"}
    made = {"evalTask": {"id": TASK, "name": "quality"}, "result": {"runId": RUN}}
    server = graphql_server(
        {name: short + suffix for name, short in mutations.items()}, dict.fromkeys(mutations, made)
    )
    with server as arize:
        hook = hook_on(host=arize.url)
        assert hook.create_eval_task(eval_task()) == TASK
        assert hook.patch_eval_task(PATCH) == TASK
        assert hook.run_online_task(run_of()) == RUN

    assert len(arize.seen) == 9
    assert all(seen.headers["x-api-key"] for seen in arize.seen)


def test_other_validation_error_is_reported(hook_on: HookOn) -> None:
    def answer(seen: Seen) -> Reply:
        if "__type(" in seen.json["query"]:
            return Reply.of({"data": {"__type": {"fields": []}}})
        return Reply.of({"errors": [{"message": "Field 'x' is not defined"}]}, 400)

    with RecordingServer(answer) as arize, pytest.raises(BadRequest, match="Field 'x' is not defined"):
        hook_on(host=arize.url).run_online_task(run_of())
    assert len(arize.seen) == 2


@pytest.mark.parametrize(
    "schema",
    [
        Reply.of({"errors": [{"message": "introspection is off"}]}, 400),
        Reply.of({"data": {"__type": None}}),
        Reply.of({"data": {"__type": {"fields": [{"name": "runOnlineTask"}]}}}),
        Reply.of({"data": {"__type": {"fields": [{"name": "runOnlineTask", "args": [{}]}]}}}),
        Reply.of({"data": {"__type": {"fields": "odd"}}}),
        Reply.of({"data": {"__type": ["odd"]}}),
        Reply(500, b"<h1>down</h1>"),
        Reply.of([]),
    ],
)
def test_hidden_schema_reports_the_first_error(hook_on: HookOn, schema: Reply) -> None:
    refused = Reply.of({"errors": [{"message": "Unknown type"}]}, 400)

    def answer(seen: Seen) -> Reply:
        return schema if "__type(" in seen.json["query"] else refused

    with RecordingServer(answer) as arize, pytest.raises(BadRequest, match="Unknown type"):
        hook_on(host=arize.url).run_online_task(run_of())
    assert len(arize.seen) == 2


@pytest.mark.parametrize("name", ["Evil!) { id } } mutation { x(y: 1", "A B", "", "Ünknown"])
def test_hostile_type_name_is_not_sent(hook_on: HookOn, name: str) -> None:
    server = graphql_server({"runOnlineTask": name}, {"runOnlineTask": {}})
    with server as arize, pytest.raises(OnlineTasksError):
        hook_on(host=arize.url).run_online_task(run_of())
    assert all("Evil" not in seen.json["query"] for seen in arize.seen)


def test_adapted_request_may_have_executed(hook_on: HookOn, odd_emulator: Emulator) -> None:
    # The one that follows the schema is a request like any other.
    server = graphql_server({"runOnlineTask": "RunInput"}, {"runOnlineTask": []})
    with server as arize, pytest.raises(Unavailable) as caught:
        hook_on(host=arize.url).run_online_task(run_of())
    assert caught.value.may_have_executed


def test_execution_error_does_not_query_the_schema(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "partial"))

    with pytest.raises(BadRequest):
        hook.run_online_task(run_of(task_id))

    assert [request["operation"] for request in emulator.requests()] == ["graphql.runOnlineTask"]
