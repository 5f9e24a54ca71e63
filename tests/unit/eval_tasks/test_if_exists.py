"""What ``if_exists`` does if the project has a task of the same name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api import calls, responses
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.creation import find_changes
from airflow_provider_online_tasks.exceptions import InvalidInput, PermissionDenied, TaskExists
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import HubEvaluator
from tests.support.task_instance import EVALUATOR, TASK, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

    Create = Callable[..., CreateEvalTaskOperator]
    Requests = Callable[[str], int]

CREATE, PATCH, UPDATE = "graphql.createEvalTask", "graphql.patchEvalTask", "rest.update_task"


@pytest.fixture
def hub(arize: Emulator) -> dict[str, Any]:
    """Arguments for an Eval Hub evaluator, all of which Arize returns."""
    evaluator = {"evaluator_id": arize.evaluator_ids["correctness"]}
    return {"template_evaluators": None, "llm_config": None, "evaluators": [evaluator]}


def execute(operator: CreateEvalTaskOperator) -> str:
    """Run the operator in a new execution."""
    return operator.execute(TaskInstance().next_try())


# Finding the task


def test_fail_is_default_and_error_names_task(create: Create, requests: Requests) -> None:
    task_id = execute(create())
    with pytest.raises(TaskExists) as caught:
        execute(create())
    assert caught.value.online_task_id == task_id
    assert requests(CREATE) == 1


def test_skip_returns_task_unchanged(arize: Emulator, create: Create, requests: Requests) -> None:
    task_id = execute(create(if_exists="skip"))
    before = arize.tasks()
    assert execute(create(if_exists="skip", sampling_rate=0.1)) == task_id
    assert arize.tasks() == before
    assert (requests(CREATE), requests(PATCH), requests(UPDATE)) == (1, 0, 0)


def listed(arize: Emulator, *tasks: dict[str, Any]) -> None:
    """Let the list of tasks show these."""
    body = json.dumps({"tasks": tasks, "pagination": {"has_more": False, "next_cursor": None}})
    arize.add_fault(Fault("rest.list_tasks", "garbage", body=body, times=None))


def test_several_tasks_of_one_name_use_oldest_in_any_order(arize: Emulator, create: Create) -> None:
    # The emulator allows a name once per project; whether Arize does is not documented.
    oldest = execute(create())
    tasks = [
        {
            "id": oldest,
            "name": TASK["name"],
            "project_id": arize.project_id,
            "created_at": "2026-01-01T00:00:00Z",
        },
        {"id": "VGFzazo5", "name": TASK["name"], "project_id": None, "created_at": "2026-01-02T00:00:00Z"},
        {"id": "VGFzazo4", "name": TASK["name"], "project_id": arize.project_id, "created_at": None},
    ]
    for order in (tasks, tasks[::-1]):
        listed(arize, *order)
        assert execute(create(if_exists="skip")) == oldest
        arize.clear_faults()


@pytest.mark.parametrize("created_at", ["2026-01-01T00:00:00Z", None])
def test_tasks_created_at_the_same_time_use_lowest_id_in_any_order(
    arize: Emulator, create: Create, created_at: str | None
) -> None:
    tasks = [
        {"id": task_id, "name": TASK["name"], "project_id": arize.project_id, "created_at": created_at}
        for task_id in ("VGFzazo1", "VGFzazo2")
    ]
    for order in (tasks, tasks[::-1]):
        listed(arize, *order)
        assert execute(create(if_exists="skip")) == "VGFzazo1"
        arize.clear_faults()


def test_task_listed_without_project_is_used(arize: Emulator, create: Create) -> None:
    listed(arize, {"id": "VGFzazo5", "name": TASK["name"], "project_id": None, "created_at": None})
    assert execute(create(if_exists="skip")) == "VGFzazo5"


def test_only_exact_name_matches(arize: Emulator, create: Create) -> None:
    execute(create(name="answer correctness of yesterday"))
    execute(create(name="Answer correctness"))
    task_id = execute(create(if_exists="skip"))
    assert {task["id"]: task["name"] for task in arize.tasks()}[task_id] == "answer correctness"
    assert len(arize.tasks()) == 3


def test_name_is_found_after_first_page(arize: Emulator, create: Create) -> None:
    task_id = execute(create())
    with OnlineTasksHook() as hook:
        for number in range(101):
            name = f"answer correctness {number}"
            hook.create_eval_task({"model_id": arize.project_id, **TASK, "name": name})
    assert execute(create(if_exists="skip")) == task_id


def test_name_with_special_characters_is_sent_as_data(arize: Emulator, create: Create) -> None:
    name = 'a "name" & more=?/#% {x} 正確'
    task_id = execute(create(if_exists="skip", name=name))
    assert execute(create(if_exists="skip", name=name)) == task_id
    assert [task["name"] for task in arize.tasks()] == [name]


# Updating it


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"sampling_rate": 25}, {"samplingRate": 0.25}),
        ({"run_continuously": True}, {"runContinuously": True}),
        ({"query_filter": "status_code = 'ERROR'"}, {"queryFilter": "status_code = 'ERROR'"}),
        ({"query_filter": None}, {"queryFilter": None}),
        (
            {"sampling_rate": 0.5, "run_continuously": True, "query_filter": None},
            {"samplingRate": 0.5, "runContinuously": True, "queryFilter": None},
        ),
    ],
)
def test_update_sends_only_what_differs(
    arize: Emulator,
    create: Create,
    requests: Requests,
    hub: dict[str, Any],
    arguments: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    task_id = execute(create(**hub))
    with OnlineTasksHook() as hook:
        wanted = EvalTaskInput.read({"model_id": arize.project_id, **TASK, **hub, **arguments})
        changes = find_changes(hook.get_task(task_id), wanted)
    patch = EvalTaskPatch(online_task_id=task_id, **changes.fields)
    assert patch.to_wire() == {"onlineTaskId": task_id, **sent}

    assert execute(create(if_exists="update", **hub, **arguments)) == task_id

    [task] = arize.tasks()
    fields = {
        "samplingRate": "sampling_rate",
        "runContinuously": "is_continuous",
        "queryFilter": "query_filter",
    }
    assert {name: task[fields[name]] for name in sent} == sent
    assert requests(PATCH) == 1

    execute(create(if_exists="update", **hub, **arguments))
    assert requests(PATCH) == 1  # nothing differs any more


def test_update_of_unchanged_task_sends_nothing(
    arize: Emulator, create: Create, requests: Requests, hub: dict[str, Any]
) -> None:
    task_id = execute(create(sampling_rate=33, **hub))
    before = arize.tasks()
    assert execute(create(if_exists="update", sampling_rate=0.33, **hub)) == task_id
    assert arize.tasks() == before
    assert (requests(CREATE), requests(PATCH), requests(UPDATE)) == (1, 0, 0)


def test_update_of_new_task_sends_no_patch(create: Create, requests: Requests) -> None:
    execute(create(if_exists="update"))
    assert (requests(CREATE), requests(PATCH), requests(UPDATE)) == (1, 0, 0)


def test_update_of_task_of_earlier_try_applies_changed_dag(
    arize: Emulator, create: Create, requests: Requests
) -> None:
    instance = TaskInstance()
    task_id = create(if_exists="update").execute(instance.next_try())
    assert create(if_exists="update", sampling_rate=0.5).execute(instance.next_try()) == task_id
    assert [task["sampling_rate"] for task in arize.tasks()] == [0.5]
    assert requests(CREATE) == 1


def test_update_that_fails_is_repeated_by_next_try(arize: Emulator, create: Create) -> None:
    execute(create())
    instance = TaskInstance()
    arize.add_fault(Fault("rest.get_task", "forbidden"))
    with pytest.raises(PermissionDenied):
        create(if_exists="update", sampling_rate=0.5).execute(instance.next_try())
    create(if_exists="update", sampling_rate=0.5).execute(instance.next_try())
    assert [task["sampling_rate"] for task in arize.tasks()] == [0.5]


def test_update_whose_response_was_lost_is_applied(arize: Emulator, create: Create) -> None:
    execute(create())
    arize.add_fault(Fault(PATCH, "drop_after"))
    execute(create(if_exists="update", sampling_rate=0.5))
    assert [task["sampling_rate"] for task in arize.tasks()] == [0.5]


def test_update_of_two_tasks_changes_each(arize: Emulator, create: Create, hub: dict[str, Any]) -> None:
    for name in ("a", "b"):
        execute(create(name=name, **hub))
    execute(create(name="a", if_exists="update", sampling_rate=0.1, **hub))
    execute(create(name="b", if_exists="update", sampling_rate=0.2, **hub))
    assert {task["name"]: task["sampling_rate"] for task in arize.tasks()} == {"a": 0.1, "b": 0.2}


def test_update_replaces_eval_hub_evaluators_in_any_order(
    arize: Emulator, create: Create, requests: Requests
) -> None:
    first, second = (arize.evaluator_ids[name] for name in ("correctness", "hallucination"))
    hub = {"template_evaluators": None, "llm_config": None, "if_exists": "update"}

    def evaluators() -> list[str]:
        [task] = arize.tasks()
        return [evaluator["evaluator_id"] for evaluator in task["evaluators"]]

    execute(create(evaluators=[{"evaluator_id": first}], **hub))
    execute(create(evaluators=[{"evaluator_id": first}], **hub))
    assert requests(UPDATE) == 0
    execute(create(evaluators=[{"evaluator_id": second}, {"evaluator_id": first}], **hub))
    assert evaluators() == [second, first]
    execute(create(evaluators=[{"evaluator_id": first}, {"evaluator_id": second}], **hub))
    assert requests(UPDATE) == 1  # the order is not compared


def test_update_keeps_mappings_of_evaluator_given_by_id() -> None:
    attached = {
        "evaluator_id": "one",
        "column_mappings": {"input": "attributes.input.value"},
        "query_filter": None,
    }
    task = responses.Task.from_wire(
        {"id": "task", "name": "x", "evaluators": [attached, {"evaluator_id": "two"}]}
    )
    wanted = EvalTaskInput(
        name="x",
        model_id="m",
        evaluators=[HubEvaluator(evaluator_id="one"), HubEvaluator(evaluator_id="three")],
    )

    assert calls.update_hub_task("task", wanted, ["evaluators"], task).body == {
        "evaluators": [
            {"evaluator_id": "one", "column_mappings": {"input": "attributes.input.value"}},
            {"evaluator_id": "three"},
        ]
    }


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"template_evaluators": [{**EVALUATOR, "template": "{output}"}]}, "template"),
        ({"template_evaluators": [{**EVALUATOR, "rails": ["right", "wrong"]}]}, "rails"),
        ({"template_evaluators": [{**EVALUATOR, "name": "tone"}]}, "name"),
        ({"llm_config": {"model_name": "GPT_4o_MINI", "provider": "openAI", "temperature": 1}}, "llm_config"),
    ],
)
def test_update_changes_evaluator_that_is_written_in_task(
    arize: Emulator, create: Create, arguments: dict[str, Any], field: str
) -> None:
    execute(create())
    [before] = arize.tasks()

    execute(create(if_exists="update", **arguments))

    [task] = arize.tasks()
    if field == "llm_config":
        assert task["llm_config"] != before["llm_config"]
        assert "GPT_4o_MINI" in str(task["llm_config"])
    else:
        assert task["evaluators"][0][field] == arguments["template_evaluators"][0][field]


def test_evaluator_that_arize_does_not_return_is_sent_each_time(create: Create, requests: Requests) -> None:
    execute(create())
    execute(create(if_exists="update"))
    execute(create(if_exists="update"))
    assert requests(PATCH) == 2


def test_fields_that_arize_does_not_return_are_changes() -> None:
    wanted = EvalTaskInput.read({"model_id": "model", **TASK})
    bare = responses.Task.from_wire(
        {"id": "task", "name": "x", "query_filters": {"filters": [], "expression": "A"}}
    )

    changes = find_changes(bare, wanted)

    assert set(changes.fields) == {
        *("sampling_rate", "query_filter", "query_filters", "run_continuously"),
        *("template_evaluators", "llm_config"),
    }
    assert changes.not_compared == ("template_evaluators", "llm_config")
    hub = EvalTaskInput.read({"model_id": "model", "name": "x", "evaluators": [{"evaluator_id": "one"}]})
    assert find_changes(bare, hub).fields["evaluators"] == hub.evaluators


def test_new_field_of_input_is_part_of_update() -> None:
    """A field that createEvalTask gets is never left out silently."""

    class NextEvalTaskInput(EvalTaskInput, frozen=True):
        retention_days: int | None = None

    wanted = NextEvalTaskInput(
        name="x", model_id="model", evaluators=[HubEvaluator(evaluator_id="one")], retention_days=7
    )
    bare = responses.Task.from_wire({"id": "task", "name": "x", "evaluators": [{"evaluator_id": "one"}]})
    assert find_changes(bare, wanted).fields["retention_days"] == 7


def test_every_field_of_input_can_be_updated() -> None:
    patchable = set(EvalTaskPatch.model_fields) - {"online_task_id"}
    assert set(EvalTaskInput.model_fields) - {"name", "model_id"} <= patchable


@pytest.mark.parametrize("word", ["replace", "", None, True, "{{ params.word }}"])
def test_unknown_if_exists_is_rejected_at_parse_time(create: Create, word: Any) -> None:
    with pytest.raises(InvalidInput):
        create(if_exists=word)
