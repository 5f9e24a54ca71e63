"""What ``if_exists`` does about a task that is there already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import hub_tasks
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.changes import find_changes
from airflow_provider_online_tasks.exceptions import InvalidInput, TaskExists
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput, EvalTaskPatch, HubEvaluator
from tests.support.task_instance import EVALUATOR, TASK, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

    Create = Callable[..., CreateEvalTaskOperator]
    Asked = Callable[[str], int]

CREATE, PATCH = "graphql.createEvalTask", "graphql.patchEvalTask"


@pytest.fixture
def hub(arize: Emulator) -> dict[str, Any]:
    """Arguments for an evaluator of the Eval Hub, all of which Arize returns to compare."""
    evaluator = {"evaluator_id": arize.evaluator_ids["correctness"]}
    return {"template_evaluators": None, "llm_config": None, "evaluators": [evaluator]}


def execute(operator: CreateEvalTaskOperator) -> str:
    """Run the operator as the first try of a task of its own."""
    return operator.execute(TaskInstance().next_try())


def test_fail_is_the_default_and_names_the_task_and_the_other_ways(create: Create, asked: Asked) -> None:
    task_id = execute(create())

    with pytest.raises(TaskExists, match=r'if_exists="skip".*if_exists="update"') as failure:
        execute(create())

    assert failure.value.online_task_id == task_id
    assert asked(CREATE) == 1


@pytest.mark.parametrize("continuously", [True, False])
def test_the_log_names_the_new_task(
    create: Create, caplog: pytest.LogCaptureFixture, continuously: bool
) -> None:
    task_id = execute(create(run_continuously=continuously))

    continues = ", continuously" if continuously else ""
    said = f"Task {task_id} ('answer correctness'): sampling 100 % of matching spans{continues}."
    assert said in [record.message for record in caplog.records]


@pytest.mark.parametrize("count", [1, 2])
def test_of_several_tasks_the_oldest_is_used_and_the_log_names_them(
    arize: Emulator, create: Create, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    # The emulator takes a name once in a project; of Arize that is not documented.
    first = execute(create())
    listed = [
        {
            "id": first,
            "name": TASK["name"],
            "project_id": arize.project_id,
            "created_at": "2026-01-01T00:00:00Z",
        },
        {"id": "VGFzazo5", "name": TASK["name"], "project_id": None, "created_at": "2026-01-02T00:00:00Z"},
    ]
    body = {"tasks": listed[:count][::-1], "pagination": {"has_more": False, "next_cursor": None}}
    arize.add_fault(Fault("rest.list_tasks", "garbage", body=json.dumps(body), times=None))

    assert execute(create(if_exists="skip")) == first

    warned = f"Several tasks are named 'answer correctness' on model {arize.project_id}: {first}, VGFzazo5."
    assert (warned in caplog.text) is (count == 2)
    assert ("Several" in caplog.text) is (count == 2)


def test_skip_returns_the_task_as_it_is(arize: Emulator, create: Create, asked: Asked) -> None:
    task_id = execute(create(if_exists="skip"))
    before = arize.tasks()

    assert execute(create(if_exists="skip", sampling_rate=0.1)) == task_id
    assert arize.tasks() == before
    assert (asked(CREATE), asked(PATCH)) == (1, 0)


def test_only_the_exact_name_on_the_same_model_counts(arize: Emulator, create: Create) -> None:
    execute(create(name="answer correctness of yesterday"))
    execute(create(name="Answer correctness"))

    task_id = execute(create(if_exists="skip"))

    assert {task["id"]: task["name"] for task in arize.tasks()}[task_id] == "answer correctness"
    assert len(arize.tasks()) == 3


def test_the_name_is_found_beyond_the_first_page(arize: Emulator, create: Create) -> None:
    task_id = execute(create())
    for number in range(101):
        execute(create(name=f"answer correctness {number}"))

    assert execute(create(if_exists="skip")) == task_id


def test_a_name_goes_as_data_whatever_it_holds(arize: Emulator, create: Create) -> None:
    name = 'a "name" & more=?/#% {x} 正確'
    task_id = execute(create(if_exists="skip", name=name))
    assert execute(create(if_exists="skip", name=name)) == task_id
    assert [task["name"] for task in arize.tasks()] == [name]


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
def test_update_sends_what_differs_and_nothing_else(
    arize: Emulator,
    create: Create,
    asked: Asked,
    hub: dict[str, Any],
    arguments: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    task_id = execute(create(**hub))
    with OnlineTasksHook() as hook:
        wanted = EvalTaskInput.read(create(**hub, **arguments)._arguments())
        changes = find_changes(hook.get_task(task_id), wanted)

    assert execute(create(if_exists="update", **hub, **arguments)) == task_id

    assert EvalTaskPatch(online_task_id=task_id, **changes.fields).to_wire() == {
        "onlineTaskId": task_id,
        **sent,
    }
    [task] = arize.tasks()
    wire = {
        "samplingRate": "sampling_rate",
        "runContinuously": "is_continuous",
        "queryFilter": "query_filter",
    }
    assert {name: task[wire[name]] for name in sent} == sent
    assert asked(PATCH) == 1

    execute(create(if_exists="update", **hub, **arguments))
    assert asked(PATCH) == 1, "nothing differs any more"


def test_update_sends_nothing_when_nothing_differs(
    arize: Emulator, create: Create, asked: Asked, hub: dict[str, Any]
) -> None:
    task_id = execute(create(sampling_rate=33, **hub))
    before = arize.tasks()

    assert execute(create(if_exists="update", sampling_rate=0.33, **hub)) == task_id

    assert arize.tasks() == before
    assert (asked(CREATE), asked(PATCH), asked("rest.update_task")) == (1, 0, 0)


def test_update_of_a_task_that_an_earlier_try_created(arize: Emulator, create: Create, asked: Asked) -> None:
    instance = TaskInstance()
    task_id = create(if_exists="update").execute(instance.next_try())
    # Between the two tries, the DAG was changed.
    assert create(if_exists="update", sampling_rate=0.5).execute(instance.next_try()) == task_id
    assert [task["sampling_rate"] for task in arize.tasks()] == [0.5]
    assert asked(CREATE) == 1


def test_an_update_whose_answer_was_lost(arize: Emulator, create: Create) -> None:
    execute(create())
    arize.add_fault(Fault(PATCH, "drop_after"))
    execute(create(if_exists="update", sampling_rate=0.5))
    assert [task["sampling_rate"] for task in arize.tasks()] == [0.5]


def test_update_replaces_eval_hub_evaluators(arize: Emulator, create: Create, asked: Asked) -> None:
    first, second = (arize.evaluator_ids[name] for name in ("correctness", "hallucination"))
    hub = {"template_evaluators": None, "llm_config": None, "if_exists": "update"}

    def evaluators() -> list[str]:
        [task] = arize.tasks()
        return [one["evaluator_id"] for one in task["evaluators"]]

    execute(create(evaluators=[{"evaluator_id": first}], **hub))
    execute(create(evaluators=[{"evaluator_id": first}], **hub))
    assert asked("rest.update_task") == 0

    execute(create(evaluators=[{"evaluator_id": second}, {"evaluator_id": first}], **hub))
    assert evaluators() == [second, first]
    execute(create(evaluators=[{"evaluator_id": first}, {"evaluator_id": second}], **hub))
    assert asked("rest.update_task") == 1, "their order is not compared"


def test_what_stays_of_eval_hub_evaluators_keeps_its_mappings() -> None:
    attached = {
        "evaluator_id": "one",
        "column_mappings": {"input": "attributes.input.value"},
        "query_filter": None,
    }
    task = calls.Task.from_wire(
        {"id": "task", "name": "x", "evaluators": [attached, {"evaluator_id": "two"}]}
    )
    wanted = EvalTaskInput(
        name="x",
        model_id="m",
        evaluators=[HubEvaluator(evaluator_id="one"), HubEvaluator(evaluator_id="three")],
    )

    assert hub_tasks.update_hub_task("task", wanted, ["evaluators"], task).body == {
        "evaluators": [
            {"evaluator_id": "one", "column_mappings": {"input": "attributes.input.value"}},
            {"evaluator_id": "three"},
        ]
    }


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"template_evaluators": [{**EVALUATOR, "template": "{output}"}]}, "template"),
        ({"template_evaluators": [{**EVALUATOR, "rails": ["right", "wrong"]}]}, "rails"),
        ({"template_evaluators": [{**EVALUATOR, "name": "tone"}]}, "name"),
        ({"llm_config": {"model_name": "GPT_4o_MINI", "provider": "openAI", "temperature": 1}}, "llm_config"),
    ],
)
def test_a_judge_written_in_the_task_is_the_one_of_the_dag_after_an_update(
    arize: Emulator, create: Create, arguments: dict[str, Any], kept: str
) -> None:
    execute(create())
    [before] = arize.tasks()

    execute(create(if_exists="update", **arguments))

    [task] = arize.tasks()
    if kept == "llm_config":
        assert task["llm_config"] != before["llm_config"]
        assert "GPT_4o_MINI" in str(task["llm_config"])
    else:
        assert task["evaluators"][0][kept] == arguments["template_evaluators"][0][kept]


def test_a_judge_that_arize_does_not_return_is_sent_each_time(create: Create, asked: Asked) -> None:
    execute(create())
    execute(create(if_exists="update"))
    execute(create(if_exists="update"))
    assert asked(PATCH) == 2


def test_what_arize_does_not_return_is_sent() -> None:
    wanted = EvalTaskInput.read({"model_id": "model", **TASK})
    bare = calls.Task.from_wire(
        {"id": "task", "name": "x", "query_filters": {"filters": [], "expression": "A"}}
    )

    changes = find_changes(bare, wanted)

    assert set(changes.fields) == {
        *("sampling_rate", "query_filter", "query_filters", "run_continuously"),
        *("template_evaluators", "llm_config"),
    }
    assert changes.unseen == ("template_evaluators", "llm_config")

    hub = EvalTaskInput.read({"model_id": "model", "name": "x", "evaluators": [{"evaluator_id": "one"}]})
    assert find_changes(bare, hub).fields["evaluators"] == hub.evaluators


def test_a_new_field_of_a_task_is_part_of_an_update_without_another_word() -> None:
    """A field that createEvalTask gets is never left out in silence."""

    class NextEvalTaskInput(EvalTaskInput, frozen=True):
        retention_days: int | None = None

    wanted = NextEvalTaskInput(
        name="x", model_id="model", evaluators=[HubEvaluator(evaluator_id="one")], retention_days=7
    )
    bare = calls.Task.from_wire({"id": "task", "name": "x", "evaluators": [{"evaluator_id": "one"}]})
    assert find_changes(bare, wanted).fields["retention_days"] == 7


def test_every_field_of_a_new_task_can_be_changed_or_is_what_it_is_found_by() -> None:
    found_by, changed_over_rest = {"name", "model_id"}, {"evaluators", "query_filters"}
    patchable = set(EvalTaskPatch.model_fields) - {"online_task_id"}
    assert set(EvalTaskInput.model_fields) - found_by - changed_over_rest <= patchable


def test_several_tasks_of_the_name_the_oldest_is_used(arize: Emulator, create: Create) -> None:
    """The emulator refuses a second one; an API that does not is played by renaming what it tells."""
    newer, older = execute(create()), execute(create(name="other"))
    page = [{"id": newer, "name": TASK["name"], "created_at": "2026-02-02T00:00:00Z"}]
    page.append({"id": older, "name": TASK["name"], "created_at": "2026-01-01T00:00:00Z"})
    arize.add_fault(
        Fault(
            "rest.list_tasks", "garbage", body=json.dumps({"tasks": page, "pagination": {"has_more": False}})
        )
    )
    assert execute(create(if_exists="skip")) == older


def test_another_word_is_refused_when_the_dag_is_parsed(create: Create) -> None:
    with pytest.raises(InvalidInput, match="if_exists must be one of fail, skip, update"):
        create(if_exists="replace")
