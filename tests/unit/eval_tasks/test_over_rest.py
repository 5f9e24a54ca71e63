"""Tasks with fields that only REST documents are created and updated over REST, with the same guarantees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks.api import responses
from airflow_provider_online_tasks.api.calls import task_type
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.creation import find_changes
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput, NotFound, UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.evaluators import HubEvaluator
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
    """``create_hub(evaluator_version_id=…)``: the operator for an Eval Hub evaluator with mappings."""

    def make(evaluator: str = "correctness", task: dict[str, Any] | None = None, **fields: Any) -> Any:
        attached = {"evaluator_id": arize.evaluator_ids[evaluator], "column_mappings": MAPPINGS, **fields}
        return create(evaluators=[attached], **INLINE, **(task or {}))

    return make


def execute(operator: CreateEvalTaskOperator) -> str:
    """Run the operator in a new execution."""
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


def test_mappings_version_and_filter_are_sent(
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


def test_evaluators_with_ids_only_are_sent_over_graphql(
    arize: Emulator, create: Create, requests: Requests
) -> None:
    execute(create(evaluators={"evaluator_id": arize.evaluator_ids["correctness"]}, **INLINE))
    assert (requests(CREATE), requests("graphql.createEvalTask")) == (0, 1)


def test_query_filters_and_mappings_are_sent(arize: Emulator, create: Create) -> None:
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


def test_task_of_code_evaluators_has_their_type(arize: Emulator, create_hub: Create) -> None:
    execute(create_hub("output_present", column_mappings=None, query_filter="status_code = 'OK'"))
    assert [task["type"] for task in arize.tasks()] == ["CODE_EVALUATION"]


def test_template_and_code_evaluators_in_one_task_are_rejected(arize: Emulator, create: Create) -> None:
    evaluators = [
        {"evaluator_id": arize.evaluator_ids["correctness"], "column_mappings": MAPPINGS},
        {"evaluator_id": arize.evaluator_ids["output_present"]},
    ]
    with pytest.raises(InvalidInput):
        execute(create(evaluators=evaluators, **INLINE))
    assert arize.tasks() == []


@pytest.mark.parametrize("kind", ["HARNESS", "REMOTE"])
def test_evaluator_type_without_task_type_is_rejected(kind: Any) -> None:
    with pytest.raises(InvalidInput):
        task_type(kind)


@pytest.mark.slow
def test_unknown_evaluator_type_is_unexpected_response(arize: Emulator, create_hub: Create) -> None:
    body = json.dumps({"id": "E", "name": "e", "type": "ORACLE"})
    arize.add_fault(Fault("rest.get_evaluator", "garbage", times=None, body=body))
    with pytest.raises(UnexpectedResponse):
        execute(create_hub())
    assert arize.tasks() == []


@pytest.mark.parametrize("fault", ["drop_after", "garbage"])
def test_lost_response_leaves_one_task(
    arize: Emulator, create_hub: Create, requests: Requests, fault: Any
) -> None:
    arize.add_fault(Fault(CREATE, fault))
    task_id = execute(create_hub())
    assert [task["id"] for task in arize.tasks()] == [task_id]
    assert requests(CREATE) == 1


def test_retry_uses_task_of_earlier_try(arize: Emulator, create_hub: Create, requests: Requests) -> None:
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
def test_update_sends_only_what_differs(
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
    assert requests(UPDATE) == 1  # nothing differs any more


def test_update_removes_filter_that_dag_no_longer_sets(arize: Emulator, create_hub: Create) -> None:
    execute(create_hub(query_filter="status_code = 'OK'"))
    execute(create_hub(task={"if_exists": "update"}))
    [task] = arize.tasks()
    assert task["evaluators"][0]["query_filter"] is None
    assert task["evaluators"][0]["column_mappings"] == MAPPINGS


def test_version_of_another_evaluator_is_rejected(arize: Emulator, create_hub: Create) -> None:
    other = version_of(arize, arize.evaluator_ids["hallucination"])
    with pytest.raises(BadRequest):
        execute(create_hub(evaluator_version_id=other))
    assert arize.tasks() == []


# Fields for spans, and fields for traces and sessions

SESSION_EVALUATOR = {
    "evaluator_id": "E",
    "query_mappings": [{"variable_name": "v", "query_ids": ["A"], "attribute_path": "conversation"}],
}
SPAN_EVALUATOR = {"evaluator_id": "S", "column_mappings": {"input": "attributes.input.value"}}
FILTERS = {"filters": [{"id": "A", "filter": "name = 'x'"}]}
MIXED: list[tuple[dict[str, Any], str]] = [
    ({"evaluators": [SESSION_EVALUATOR, SPAN_EVALUATOR], "query_filters": FILTERS}, "evaluators"),
    ({"evaluators": SESSION_EVALUATOR, "query_filter": "name = 'x'"}, "query_filter"),
    (
        {"evaluators": SPAN_EVALUATOR, "query_filters": FILTERS},
        "query_filters",
    ),
    ({"evaluators": SESSION_EVALUATOR}, "query_filters"),
    (
        {
            "evaluators": SESSION_EVALUATOR,
            "query_filters": {"filters": [{"id": "B", "filter": "name = 'x'"}]},
        },
        "query_filters",
    ),
]


@pytest.mark.parametrize(("fields", "message"), MIXED)
def test_span_and_session_fields_in_one_task_are_rejected(
    create: Create, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        create(**{"query_filter": None, **INLINE, **fields})
    assert message in str(caught.value)


def test_templated_fields_are_not_rejected_as_mixed(create: Create) -> None:
    later = {"filters": [{"id": "{{ params.id }}", "filter": "name = 'x'"}]}
    create(**INLINE, query_filter=None, evaluators=SESSION_EVALUATOR, query_filters=later)
    create(**INLINE, query_filter=None, evaluators=SESSION_EVALUATOR, query_filters="{{ params.filters }}")
    PatchEvalTaskOperator(task_id="patch", online_task_id="T", evaluators=SESSION_EVALUATOR)


# Patches over REST


def patched(task_id: str, **changes: Any) -> None:
    operator = PatchEvalTaskOperator(task_id="patch", online_task_id=task_id, **changes)
    assert operator.execute(TaskInstance().next_try()) == task_id


def test_patch_pins_version_and_keeps_other_fields(
    arize: Emulator, create_hub: Create, requests: Requests
) -> None:
    task_id = execute(create_hub(query_filter="status_code = 'OK'"))
    evaluator_id = arize.evaluator_ids["correctness"]
    version_id = version_of(arize, evaluator_id)
    pinned = {"evaluator_id": evaluator_id, "evaluator_version_id": version_id}

    patched(task_id, evaluators=[pinned], name="pinned", sampling_rate=10, run_continuously=True)

    assert (requests(UPDATE), requests("graphql.patchEvalTask")) == (1, 0)
    [task] = arize.tasks()
    assert (task["name"], task["sampling_rate"], task["is_continuous"]) == ("pinned", 0.1, True)
    assert task["query_filter"] == "attributes.openinference.span.kind = 'AGENT'"
    [attached] = task["evaluators"]
    assert attached["evaluator_version_id"] == version_id
    assert (attached["column_mappings"], attached["query_filter"]) == (MAPPINGS, "status_code = 'OK'")


@pytest.mark.parametrize("left_out", ["evaluator_version_id", "query_filter", "column_mappings"])
def test_patch_keeps_fields_that_are_left_out_of_evaluator(
    arize: Emulator, create_hub: Create, left_out: str
) -> None:
    evaluator_id = arize.evaluator_ids["correctness"]
    fields = {
        "evaluator_version_id": version_of(arize, evaluator_id),
        "query_filter": "status_code = 'OK'",
        "column_mappings": MAPPINGS,
    }
    task_id = execute(create_hub(**fields))
    changes = {
        "evaluator_version_id": None,
        "query_filter": "status_code = 'ERROR'",
        "column_mappings": {**MAPPINGS, "input": "attributes.question"},
    }
    given = {name: value for name, value in changes.items() if name != left_out}

    patched(task_id, evaluators={"evaluator_id": evaluator_id, **given})

    [attached] = arize.tasks()[0]["evaluators"]
    assert {name: attached[name] for name in fields} == {**given, left_out: fields[left_out]}


def test_patch_removes_field_of_evaluator_that_is_none(arize: Emulator, create_hub: Create) -> None:
    task_id = execute(create_hub(query_filter="status_code = 'OK'"))
    evaluator = HubEvaluator(evaluator_id=arize.evaluator_ids["correctness"], query_filter=None)
    patched(task_id, evaluators=[evaluator])
    [attached] = arize.tasks()[0]["evaluators"]
    assert (attached["query_filter"], attached["column_mappings"]) == (None, MAPPINGS)


def test_patch_with_ids_only_keeps_mappings(arize: Emulator, create_hub: Create) -> None:
    task_id = execute(create_hub(query_filter="status_code = 'OK'"))
    relevance = {"evaluator_id": arize.evaluator_ids["relevance"], "column_mappings": MAPPINGS}

    patched(task_id, evaluators=[{"evaluator_id": arize.evaluator_ids["correctness"]}, relevance])

    [task] = arize.tasks()
    first, second = task["evaluators"]
    assert (first["column_mappings"], first["query_filter"]) == (MAPPINGS, "status_code = 'OK'")
    assert (second["column_mappings"], second["query_filter"]) == (MAPPINGS, None)


def test_patch_changes_task_to_sessions(arize: Emulator, create_hub: Create) -> None:
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


def test_update_changes_task_from_sessions_to_spans_and_back(
    arize: Emulator, create: Create, create_hub: Create, requests: Requests
) -> None:
    calm = {
        "evaluator_id": arize.evaluator_ids["user_frustration"],
        "query_mappings": [{**CONVERSATION, "query_ids": []}],
    }
    session_fields = {"query_filter": None, "query_filters": AGENTS, "evaluators": calm, **INLINE}
    span_fields = {"task": {"if_exists": "update", "query_filter": None}}
    execute(create(**session_fields))

    execute(create_hub(**span_fields))
    [task] = arize.tasks()
    assert (task["query_filter"], task["query_filters"]) == (None, None)
    assert [evaluator["column_mappings"] for evaluator in task["evaluators"]] == [MAPPINGS]

    execute(create(**session_fields, if_exists="update"))
    [task] = arize.tasks()
    assert task["query_filters"] == {**AGENTS, "expression": "A"}
    assert [evaluator["query_mappings"] for evaluator in task["evaluators"]] == [calm["query_mappings"]]

    sent = requests(UPDATE)
    execute(create(**session_fields, if_exists="update"))
    assert requests(UPDATE) == sent == 2


@pytest.mark.parametrize(
    ("existing", "is_same"),
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
def test_named_filters_are_sent_unless_task_has_them(existing: Any, is_same: bool) -> None:
    calm = {"evaluator_id": "E", "query_mappings": [CONVERSATION]}
    wanted = EvalTaskInput.read({"name": "n", "model_id": "M", "query_filters": AGENTS, "evaluators": calm})
    task = responses.Task.from_wire({"id": "T", "name": "n", "query_filters": existing})

    changes = find_changes(task, wanted)

    assert ("query_filters" not in changes.fields) is is_same
    assert "query_filters" not in changes.not_compared


def test_patch_changes_task_to_spans(arize: Emulator, create: Create) -> None:
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
    ({"evaluators": [{"evaluator_id": "E"}] * 2}, "'E'"),
    ({"evaluators": None}, "evaluators"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_PATCHES, ids=[message for _, message in WRONG_PATCHES])
def test_inconsistent_patch_is_rejected_at_parse_time(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PatchEvalTaskOperator(task_id="patch", online_task_id="T", **changes)
    assert message in str(caught.value)


# The project by name


def test_project_is_found_by_name(arize: Emulator, create: Create) -> None:
    execute(create(model_id=None, project="search-assistant"))
    [task] = arize.tasks()
    assert task["model_id"] != arize.project_id
    execute(create(model_id=None, project="support-assistant"))
    assert {task["model_id"] for task in arize.tasks()} >= {arize.project_id}


def test_unknown_project_name_error_lists_similar_names(arize: Emulator, create: Create) -> None:
    with pytest.raises(NotFound) as caught:
        execute(create(model_id=None, project="assistant"))
    assert "'assistant'" in str(caught.value)
    assert "'support-assistant'" in str(caught.value)
    assert "'search-assistant'" in str(caught.value)
    with pytest.raises(NotFound):
        execute(create(model_id=None, project="nothing of the kind"))
    assert arize.tasks() == []


def test_ambiguous_project_name_error_lists_ids(arize: Emulator, create: Create) -> None:
    listed = [{"id": f"M{number}", "name": "twice", "space_id": f"S{number}"} for number in (1, 2)]
    body = json.dumps({"projects": listed, "pagination": {"has_more": False}})
    arize.add_fault(Fault("rest.list_projects", "garbage", body=body))
    with pytest.raises(InvalidInput) as caught:
        execute(create(model_id=None, project="twice"))
    assert all(each in str(caught.value) for each in ("M1", "S1", "M2", "S2"))
    assert arize.tasks() == []


def test_project_is_searched_in_connections_space_only(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(arize.connection_json)
    extra = {**connection.get("extra", {}), "space_id": "U3BhY2U6OTk6cVJ3WA=="}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps({**connection, "extra": extra}))
    with OnlineTasksHook() as hook, pytest.raises(NotFound):
        hook.find_project("support-assistant")


# Variables of templates

SOME = {name: MAPPINGS[name] for name in ("input", "output")}


def test_unmapped_variable_of_new_task_is_rejected(arize: Emulator, create_hub: Create) -> None:
    with pytest.raises(InvalidInput, match="reference"):
        execute(create_hub(column_mappings=SOME))
    assert arize.tasks() == []


def test_unmapped_variable_of_pinned_version_is_rejected(arize: Emulator, create_hub: Create) -> None:
    version_id = version_of(arize, arize.evaluator_ids["correctness"])
    with pytest.raises(InvalidInput, match="reference"):
        execute(create_hub(column_mappings=SOME, evaluator_version_id=version_id))
    with pytest.raises(InvalidInput, match="input"):
        execute(create_hub(column_mappings=None, evaluator_version_id=version_id))
    assert arize.tasks() == []


def test_unmapped_variable_of_update_is_rejected(arize: Emulator, create_hub: Create) -> None:
    execute(create_hub())
    with pytest.raises(InvalidInput, match="reference"):
        execute(create_hub(column_mappings=SOME, task={"if_exists": "update"}))
    assert arize.tasks()[0]["evaluators"][0]["column_mappings"] == MAPPINGS


def test_unmapped_variable_of_patch_is_rejected(arize: Emulator, create_hub: Create) -> None:
    task_id = execute(create_hub())
    evaluator_id = arize.evaluator_ids["correctness"]
    with pytest.raises(InvalidInput, match="reference"):
        patched(task_id, evaluators={"evaluator_id": evaluator_id, "column_mappings": SOME})
    assert arize.tasks()[0]["evaluators"][0]["column_mappings"] == MAPPINGS


def test_query_mappings_of_all_variables_are_required(arize: Emulator) -> None:
    evaluator_id = arize.evaluator_ids["correctness"]
    mappings = [{"variable_name": name} for name in MAPPINGS]
    with OnlineTasksHook() as hook:
        hook.check_mappings([{"evaluator_id": evaluator_id, "query_mappings": mappings}])
        with pytest.raises(InvalidInput, match="reference"):
            hook.check_mappings([{"evaluator_id": evaluator_id, "query_mappings": mappings[:2]}])


@pytest.mark.parametrize("fault", [None, "forbidden"])
def test_evaluator_with_id_only_is_created_with_a_warning(
    arize: Emulator, create: Create, caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    if fault:
        arize.add_fault(Fault("rest.get_evaluator", fault))
    execute(create(evaluators={"evaluator_id": arize.evaluator_ids["correctness"]}, **INLINE))
    assert len(arize.tasks()) == 1
    assert any("reference" in line for line in caplog.messages) is (fault is None)


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("{input} and { output }, {input} again", ["input", "output"]),
        ('Return {"label": "good"} or {} for {answer.text}', ["answer.text"]),
        ("{{input}} in double braces, {a b}, {1}", []),
        ("{attributes.input.value} {conversation}", []),
        (None, []),
    ],
)
def test_variables_of_template_are_its_names_in_single_braces(
    template: str | None, variables: list[str]
) -> None:
    config = {"template_config": {"template": template}}
    evaluator = responses.Evaluator.from_wire({"id": "E", "name": "e", "type": "TEMPLATE", "version": config})
    assert evaluator.variables == variables
