"""A task with what only REST documents is created and changed over REST, with the same guarantees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls.hub_tasks import task_type
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.changes import find_changes
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput, NotFound, UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput
from airflow_provider_online_tasks.operators.eval_tasks import PatchEvalTaskOperator
from tests.support.task_instance import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

    Create = Callable[..., CreateEvalTaskOperator]
    Requests = Callable[[str], int]

MAPPINGS = {
    "input": "attributes.input.value",
    "output": "attributes.output.value",
    "reference": "attributes.support.context",
}
CREATE, UPDATE = "rest.create_task", "rest.update_task"
INLINE = {"template_evaluators": None, "llm_config": None}


@pytest.fixture
def create_hub(arize: Emulator, create: Create) -> Create:
    """``create_hub(evaluator_version_id=…)``: for a built-in evaluator, with its mappings."""

    def make(evaluator: str = "correctness", task: dict[str, Any] | None = None, **fields: Any) -> Any:
        attached = {"evaluator_id": arize.evaluator_ids[evaluator], "column_mappings": MAPPINGS, **fields}
        return create(evaluators=[attached], **INLINE, **(task or {}))

    return make


def execute(operator: CreateEvalTaskOperator) -> str:
    """Run the operator as the first try of a task of its own."""
    return operator.execute(TaskInstance().next_try())


def version_of(arize: Emulator, evaluator_id: str) -> str:
    """Return the newest version of an evaluator."""
    answer = requests.get(
        f"{arize.url}/v2/evaluators/{evaluator_id}",
        headers={"Authorization": f"Bearer {arize.api_key}"},
        timeout=60,
    )
    version_id: str = answer.json()["version"]["id"]
    return version_id


def test_mappings_a_version_and_a_filter_reach_arize(
    arize: Emulator, create_hub: Create, requests: Requests
) -> None:
    version_id = version_of(arize, arize.evaluator_ids["correctness"])

    task_id = execute(
        create_hub(
            evaluator_version_id=version_id,
            query_filter="status_code = 'OK'",
            task={"sampling_rate": 50, "run_continuously": True},
        )
    )

    [task] = arize.tasks()
    [evaluator] = task["evaluators"]
    assert (task["id"], task["type"], task["model_id"]) == (task_id, "TEMPLATE_EVALUATION", arize.project_id)
    assert (task["sampling_rate"], task["is_continuous"]) == (0.5, True)
    assert task["query_filter"] == "attributes.openinference.span.kind = 'AGENT'"
    assert evaluator["column_mappings"] == MAPPINGS
    assert evaluator["evaluator_version_id"] == version_id
    assert evaluator["query_filter"] == "status_code = 'OK'"
    assert (requests(CREATE), requests("graphql.createEvalTask")) == (1, 0)


def test_a_task_of_ids_alone_stays_with_graphql(arize: Emulator, create: Create, requests: Requests) -> None:
    execute(create(evaluators={"evaluator_id": arize.evaluator_ids["correctness"]}, **INLINE))
    assert (requests(CREATE), requests("graphql.createEvalTask")) == (0, 1)


def test_evaluators_of_traces_have_query_mappings(arize: Emulator, create: Create) -> None:
    mapping = {"variable_name": "conversation", "query_ids": ["A"], "attribute_path": "conversation"}
    filters = {
        "filters": [
            {"id": "A", "filter": "attributes.openinference.span.kind = 'AGENT'"},
            {"id": "B", "filter": "attributes.openinference.span.kind = 'LLM'"},
        ],
        "expression": "A AND B",
    }
    execute(
        create(
            query_filter=None,
            query_filters=filters,
            evaluators={
                "evaluator_id": arize.evaluator_ids["user_frustration"],
                "query_mappings": [mapping],
            },
            **INLINE,
        )
    )
    [task] = arize.tasks()
    assert task["query_filters"] == filters
    assert task["evaluators"][0]["query_mappings"] == [mapping]


def test_a_task_of_code_evaluators_is_of_their_type(arize: Emulator, create_hub: Create) -> None:
    execute(create_hub("output_present", column_mappings=None, query_filter="status_code = 'OK'"))
    assert [task["type"] for task in arize.tasks()] == ["CODE_EVALUATION"]


def test_evaluators_with_a_template_and_with_code_do_not_go_together(arize: Emulator, create: Create) -> None:
    evaluators = [
        {"evaluator_id": arize.evaluator_ids["correctness"], "column_mappings": MAPPINGS},
        {"evaluator_id": arize.evaluator_ids["output_present"]},
    ]
    with pytest.raises(InvalidInput, match="'correctness' is TEMPLATE, 'output_present' is CODE"):
        execute(create(evaluators=evaluators, **INLINE))
    assert arize.tasks() == []


@pytest.mark.parametrize("kind", ["HARNESS", "REMOTE"])
def test_an_evaluator_that_rest_has_no_task_for(kind: Any) -> None:
    with pytest.raises(InvalidInput, match=f"An evaluator of type {kind} cannot have mappings"):
        task_type(kind)


def test_an_evaluator_of_a_type_that_nobody_knows(arize: Emulator, create_hub: Create) -> None:
    body = json.dumps({"id": "E", "name": "e", "type": "ORACLE"})
    arize.add_fault(Fault("rest.get_evaluator", "garbage", times=None, body=body))
    with pytest.raises(UnexpectedResponse, match="type is 'ORACLE'"):
        execute(create_hub())
    assert arize.tasks() == []


@pytest.mark.parametrize("fault", ["drop_after", "garbage"])
def test_an_answer_that_is_lost_leaves_one_task(
    arize: Emulator, create_hub: Create, requests: Requests, fault: Any
) -> None:
    arize.add_fault(Fault(CREATE, fault))
    task_id = execute(create_hub())
    assert [task["id"] for task in arize.tasks()] == [task_id]
    assert requests(CREATE) == 1


def test_a_retry_takes_the_task_of_the_try_before(
    arize: Emulator, create_hub: Create, requests: Requests
) -> None:
    instance = TaskInstance()
    first = create_hub().execute(instance.next_try())
    assert create_hub().execute(instance.next_try()) == first
    assert requests(CREATE) == 1


@pytest.mark.parametrize(
    ("fields", "task", "sent"),
    [
        ({"column_mappings": {**MAPPINGS, "input": "attributes.question"}}, {}, {"evaluators"}),
        ({"query_filter": "status_code = 'ERROR'"}, {}, {"evaluators"}),
        ({}, {"sampling_rate": 0.5}, {"sampling_rate"}),
        ({}, {"query_filter": None, "run_continuously": True}, {"query_filter", "is_continuous"}),
    ],
)
def test_an_update_sends_what_differs_and_nothing_else(
    arize: Emulator,
    create_hub: Create,
    requests: Requests,
    fields: dict[str, Any],
    task: dict[str, Any],
    sent: set[str],
) -> None:
    execute(create_hub())
    [before] = arize.tasks()

    execute(create_hub(**fields, task={**task, "if_exists": "update"}))

    assert (requests(UPDATE), requests("graphql.patchEvalTask")) == (1, 0)
    [after] = arize.tasks()
    changed = {name for name in after if after[name] != before[name]} - {"updated_at", "continuous_until"}
    assert changed == sent
    for name, value in fields.items():
        assert after["evaluators"][0][name] == value

    execute(create_hub(**fields, task={**task, "if_exists": "update"}))
    assert requests(UPDATE) == 1, "nothing differs any more"


def test_an_update_takes_away_what_the_dag_says_no_more(arize: Emulator, create_hub: Create) -> None:
    execute(create_hub(query_filter="status_code = 'OK'"))
    execute(create_hub(task={"if_exists": "update"}))
    [task] = arize.tasks()
    assert task["evaluators"][0]["query_filter"] is None
    assert task["evaluators"][0]["column_mappings"] == MAPPINGS


def test_a_version_of_another_evaluator_is_refused(arize: Emulator, create_hub: Create) -> None:
    other = version_of(arize, arize.evaluator_ids["hallucination"])
    with pytest.raises(BadRequest):
        execute(create_hub(evaluator_version_id=other))
    assert arize.tasks() == []


# What is for spans, and what is for traces and sessions ----------------------------------------------------

OF_SESSIONS = {
    "evaluator_id": "E",
    "query_mappings": [{"variable_name": "v", "query_ids": ["A"], "attribute_path": "conversation"}],
}
OF_SPANS = {"evaluator_id": "S", "column_mappings": {"input": "attributes.input.value"}}
FILTERS = {"filters": [{"id": "A", "filter": "name = 'x'"}]}
MIXED: list[tuple[dict[str, Any], str]] = [
    ({"evaluators": [OF_SESSIONS, OF_SPANS], "query_filters": FILTERS}, "evaluators"),
    ({"evaluators": OF_SESSIONS, "query_filter": "name = 'x'"}, "query_filter"),
    (
        {"evaluators": OF_SPANS, "query_filters": FILTERS},
        "query_filters",
    ),
    ({"evaluators": OF_SESSIONS}, "query_filters"),
    (
        {"evaluators": OF_SESSIONS, "query_filters": {"filters": [{"id": "B", "filter": "name = 'x'"}]}},
        "query_filters",
    ),
]


@pytest.mark.parametrize(("fields", "message"), MIXED)
def test_the_two_are_not_mixed_in_a_task(create: Create, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        create(**{"query_filter": None, **INLINE, **fields})
    assert message in str(caught.value)


def test_what_is_only_known_later_is_not_taken_for_mixed(create: Create) -> None:
    later = {"filters": [{"id": "{{ params.id }}", "filter": "name = 'x'"}]}
    create(**INLINE, query_filter=None, evaluators=OF_SESSIONS, query_filters=later)
    create(**INLINE, query_filter=None, evaluators=OF_SESSIONS, query_filters="{{ params.filters }}")
    PatchEvalTaskOperator(task_id="patch", online_task_id="T", evaluators=OF_SESSIONS)


# A patch of what only REST documents -----------------------------------------------------------------------


def patched(task_id: str, **changes: Any) -> None:
    operator = PatchEvalTaskOperator(task_id="patch", online_task_id=task_id, **changes)
    assert operator.execute(TaskInstance().next_try()) == task_id


def test_a_patch_pins_a_version_and_leaves_the_rest(
    arize: Emulator, create_hub: Create, requests: Requests
) -> None:
    task_id = execute(create_hub(query_filter="status_code = 'OK'"))
    evaluator_id = arize.evaluator_ids["correctness"]
    version_id = version_of(arize, evaluator_id)
    pinned = {"evaluator_id": evaluator_id, "evaluator_version_id": version_id, "column_mappings": MAPPINGS}

    patched(task_id, evaluators=[pinned], name="pinned", sampling_rate=10, run_continuously=True)

    assert (requests(UPDATE), requests("graphql.patchEvalTask")) == (1, 0)
    [task] = arize.tasks()
    assert (task["name"], task["sampling_rate"], task["is_continuous"]) == ("pinned", 0.1, True)
    assert task["query_filter"] == "attributes.openinference.span.kind = 'AGENT'"
    [attached] = task["evaluators"]
    assert attached["evaluator_version_id"] == version_id
    assert (attached["column_mappings"], attached["query_filter"]) == (MAPPINGS, None)


def test_a_patch_by_ids_alone_keeps_what_the_evaluators_have(arize: Emulator, create_hub: Create) -> None:
    task_id = execute(create_hub(query_filter="status_code = 'OK'"))
    both = [{"evaluator_id": arize.evaluator_ids[name]} for name in ("correctness", "relevance")]

    patched(task_id, evaluators=both)

    [task] = arize.tasks()
    first, second = task["evaluators"]
    assert (first["column_mappings"], first["query_filter"]) == (MAPPINGS, "status_code = 'OK'")
    assert second["column_mappings"] is None


def test_a_patch_makes_a_task_one_about_sessions(arize: Emulator, create_hub: Create) -> None:
    task_id = execute(create_hub())
    mapping = {"variable_name": "conversation", "query_ids": [], "attribute_path": "conversation"}
    calm = {"evaluator_id": arize.evaluator_ids["user_frustration"], "query_mappings": [mapping]}
    filters = {"filters": [{"id": "A", "filter": "attributes.openinference.span.kind = 'AGENT'"}]}

    patched(task_id, evaluators=calm, query_filter=None, query_filters=filters)

    [task] = arize.tasks()
    assert (task["query_filter"], task["query_filters"]["filters"]) == (None, filters["filters"])
    assert task["evaluators"][0]["query_mappings"] == [mapping]


CONVERSATION = {"variable_name": "conversation", "query_ids": ["A"], "attribute_path": "conversation"}
AGENTS = {"filters": [{"id": "A", "filter": "attributes.openinference.span.kind = 'AGENT'"}]}


def test_an_update_turns_a_task_about_sessions_into_one_about_spans_and_back(
    arize: Emulator, create: Create, create_hub: Create, requests: Requests
) -> None:
    calm = {
        "evaluator_id": arize.evaluator_ids["user_frustration"],
        "query_mappings": [{**CONVERSATION, "query_ids": []}],
    }
    of_sessions = {"query_filter": None, "query_filters": AGENTS, "evaluators": calm, **INLINE}
    of_spans = {"task": {"if_exists": "update", "query_filter": None}}
    execute(create(**of_sessions))

    execute(create_hub(**of_spans))
    [task] = arize.tasks()
    assert (task["query_filter"], task["query_filters"]) == (None, None)
    assert [one["column_mappings"] for one in task["evaluators"]] == [MAPPINGS]

    execute(create(**of_sessions, if_exists="update"))
    [task] = arize.tasks()
    assert task["query_filters"] == {**AGENTS, "expression": "A"}
    assert [one["query_mappings"] for one in task["evaluators"]] == [calm["query_mappings"]]

    sent = requests(UPDATE)
    execute(create(**of_sessions, if_exists="update"))
    assert requests(UPDATE) == sent == 2


@pytest.mark.parametrize(
    ("kept", "is_same"),
    [
        ({**AGENTS, "expression": "A"}, True),
        ({**AGENTS, "expression": None}, True),
        (AGENTS, True),
        ({**AGENTS, "expression": "NOT A"}, False),
        ({"filters": [{"id": "A", "filter": "name = 'x'"}]}, False),
        ({}, False),
        (None, False),
        (["A"], False),
        ("A", False),
    ],
)
def test_filters_with_ids_are_sent_unless_the_task_has_them(kept: Any, is_same: bool) -> None:
    calm = {"evaluator_id": "E", "query_mappings": [CONVERSATION]}
    wanted = EvalTaskInput.read({"name": "n", "model_id": "M", "query_filters": AGENTS, "evaluators": calm})
    found = calls.Task.from_wire({"id": "T", "name": "n", "query_filters": kept})

    changes = find_changes(found, wanted)

    assert ("query_filters" not in changes.fields) is is_same
    assert "query_filters" not in changes.not_compared


def test_a_patch_makes_a_task_about_sessions_one_about_spans(arize: Emulator, create: Create) -> None:
    calm = {
        "evaluator_id": arize.evaluator_ids["user_frustration"],
        "query_mappings": [{**CONVERSATION, "query_ids": []}],
    }
    task_id = execute(create(query_filter=None, query_filters=AGENTS, evaluators=calm, **INLINE))

    patched(
        task_id,
        evaluators={"evaluator_id": arize.evaluator_ids["correctness"], "column_mappings": MAPPINGS},
        query_filters=None,
    )

    [task] = arize.tasks()
    assert (task["query_filters"], task["evaluators"][0]["column_mappings"]) == (None, MAPPINGS)


WRONG_PATCHES: list[tuple[dict[str, Any], str]] = [
    (
        {"evaluators": {"evaluator_id": "E"}, "llm_config": {"model_name": "GPT_4o"}},
        "llm_config",
    ),
    (
        {"query_filter": "x = 1", "query_filters": {"filters": [{"id": "A", "filter": "x = 1"}]}},
        "query_filters",
    ),
    ({"evaluators": [{"evaluator_id": "E"}] * 2}, "'E' twice"),
    ({"evaluators": None}, "evaluators"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_PATCHES, ids=[message for _, message in WRONG_PATCHES])
def test_a_patch_that_does_not_fit_is_refused_when_the_dag_is_parsed(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        PatchEvalTaskOperator(task_id="patch", online_task_id="T", **changes)
    assert message in str(caught.value)


# The project by its name ----------------------------------------------------------------------------------


def test_a_project_is_found_by_its_name(arize: Emulator, create: Create) -> None:
    execute(create(model_id=None, project="search-assistant"))
    [task] = arize.tasks()
    assert task["model_id"] != arize.project_id
    execute(create(model_id=None, project="support-assistant"))
    assert {task["model_id"] for task in arize.tasks()} >= {arize.project_id}


def test_a_name_that_no_project_has_names_those_like_it(arize: Emulator, create: Create) -> None:
    with pytest.raises(NotFound) as caught:
        execute(create(model_id=None, project="assistant"))
    assert "'assistant'" in str(caught.value)
    assert "'support-assistant'" in str(caught.value)
    assert "'search-assistant'" in str(caught.value)
    with pytest.raises(NotFound):
        execute(create(model_id=None, project="nothing of the kind"))
    assert arize.tasks() == []


def test_a_name_that_several_projects_have_names_them_all(arize: Emulator, create: Create) -> None:
    listed = [{"id": f"M{number}", "name": "twice", "space_id": f"S{number}"} for number in (1, 2)]
    body = json.dumps({"projects": listed, "pagination": {"has_more": False}})
    arize.add_fault(Fault("rest.list_projects", "garbage", body=body))
    with pytest.raises(InvalidInput, match="M1 in space S1, M2 in space S2"):
        execute(create(model_id=None, project="twice"))
    assert arize.tasks() == []


def test_the_connections_space_is_searched_alone(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(arize.connection_json)
    extra = {**connection.get("extra", {}), "space_id": "U3BhY2U6OTk6cVJ3WA=="}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps({**connection, "extra": extra}))
    with OnlineTasksHook() as hook, pytest.raises(NotFound):
        hook.find_project("support-assistant")
