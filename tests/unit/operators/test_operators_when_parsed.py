"""When a DAG is parsed, literals are checked, templates are let through, and nothing is looked up."""

from __future__ import annotations

import ast
import inspect
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

import airflow_provider_online_tasks
from airflow_provider_online_tasks._airflow import BaseHook
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import (
    UNSET,
    CodeEvaluator,
    EvalTaskInput,
    EvalTaskPatch,
    HubEvaluator,
    LlmConfig,
    RunInput,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.operators.eval_tasks import (
    CreateEvalTaskOperator,
    DeleteOnlineTaskOperator,
    PatchEvalTaskOperator,
)
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import CancelOnlineTaskRunOperator, RunOnlineTaskOperator
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor

JUDGE: dict[str, Any] = {"name": "j", "template": "{output}", "rails": ["good", "bad"]}
HUB: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjEyOmFCY0Q="}
MAPPING = {"variable_name": "input", "query_ids": ["A"], "attribute_path": "attributes.input.value"}
VALID: dict[type[BaseOperator], dict[str, Any]] = {
    CreateEvalTaskOperator: {"name": "n", "model_id": "M", "template_evaluators": [JUDGE]},
    PatchEvalTaskOperator: {"online_task_id": "T", "name": "n"},
    DeleteOnlineTaskOperator: {"online_task_id": "T"},
    RunOnlineTaskOperator: {"online_task_id": "T"},
    CancelOnlineTaskRunOperator: {"run_id": "R"},
    OnlineTaskRunSensor: {"run_id": "R"},
    EvaluatorOperator: {
        "name": "n",
        "template": "{output}",
        "classification_choices": {"good": 1, "bad": 0},
        "llm_config": {"integration_id": "I", "model_name": "m"},
    },
    EvalResultsOperator: {"run_id": "R"},
    EvalGateOperator: {"summary": {"evaluators": {}}, "rules": {"j": {"good": ">= 0.9"}}},
    SendSpansOperator: {"run_id": "R", "evaluator": "j", "labels": ["bad"], "annotation_queue_id": "Q"},
}
KINDS = pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)


def make(kind: type[BaseOperator], **changes: Any) -> Any:
    """Make a valid operator with these changes; ``...`` leaves an argument out."""
    arguments = {name: value for name, value in (VALID[kind] | changes).items() if value is not ...}
    return kind(task_id="a_task", **arguments)


@pytest.fixture(autouse=True)
def _nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("looked up while a DAG is parsed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(BaseHook, "get_connection", refuse)


@KINDS
def test_all_arguments_are_named(kind: type[BaseOperator]) -> None:
    with pytest.raises(TypeError):
        kind("a_task")
    with pytest.raises((TypeError, InvalidInput), match=r"missing|[Oo]ne of|[Ee]ither"):
        kind(task_id="a_task")
    own = [
        parameter for name, parameter in inspect.signature(kind.__init__).parameters.items() if name != "self"
    ]
    assert {parameter.kind for parameter in own} == {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


@KINDS
def test_what_can_be_a_template_is_an_attribute_and_conn_id_is_one(kind: type[BaseOperator]) -> None:
    operator = make(kind)
    assert "conn_id" in operator.template_fields
    for name in operator.template_fields:
        assert hasattr(operator, name), name
        assert f":param {name}:" in (kind.__doc__ or ""), name
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)


def type_of(kind: type[BaseOperator], name: str) -> str:
    """What the source says of an argument's type, with the words that its module makes for types."""
    declared = next(
        one for one in kind.__mro__ if name in inspect.signature(vars(one).get("__init__", len)).parameters
    )
    written = str(inspect.signature(vars(declared)["__init__"]).parameters[name].annotation)
    module = ast.parse(Path(inspect.getfile(declared)).read_text(encoding="utf-8"))
    made = {
        target.id: ast.unparse(one.value)
        for one in ast.walk(module)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    return " ".join([written, *(made[word] for word in re.findall(r"\w+", written) if word in made)])


@KINDS
def test_what_is_templated_takes_the_output_of_a_task_for_type_checkers_too(kind: type[BaseOperator]) -> None:
    types = {name: type_of(kind, name) for name in kind.template_fields}
    assert {name: text for name, text in types.items() if text != "Any" and "XComArg" not in text} == {}


@KINDS
def test_every_argument_is_documented(kind: type[BaseOperator]) -> None:
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    assert {name for name in own if f":param {name}:" not in (kind.__doc__ or "")} == set()


def test_every_field_of_the_api_can_be_a_template() -> None:
    """Of the fields that the seed page and the reference name, not one must be a literal."""

    for kind, inputs in (
        (CreateEvalTaskOperator, EvalTaskInput),
        (PatchEvalTaskOperator, EvalTaskPatch),
        (RunOnlineTaskOperator, RunInput),
    ):
        assert set(inputs.model_fields) <= set(make(kind).template_fields)


@KINDS
def test_default_args_reach_it(kind: type[BaseOperator]) -> None:
    with DAG("a_dag", default_args={"conn_id": "another_arize", "retries": 7}):
        operator = make(kind)
    assert (operator.conn_id, operator.retries) == ("another_arize", 7)
    assert make(kind).conn_id == "arize_online_tasks_default"


def test_default_args_reach_the_arguments_of_each() -> None:
    shared = {
        "model_id": "M",
        "evaluators": [HUB],
        "sampling_rate": 25,
        "online_task_id": "T",
        "lookback": timedelta(days=1),
        "wait_for_completion": True,
        "run_id": "R",
        "on_nothing_evaluated": "fail",
        "max_error_rate": 0.5,
    }
    with DAG("a_dag", default_args=shared):
        create: Any = CreateEvalTaskOperator(task_id="create", name="n")
        patch: Any = PatchEvalTaskOperator(task_id="patch", name="n")
        run: Any = RunOnlineTaskOperator(task_id="run")
        sensor: Any = OnlineTaskRunSensor(task_id="wait")
    assert (create.model_id, create.evaluators, create.sampling_rate) == ("M", [HUB], 25)
    assert (patch.online_task_id, patch.sampling_rate) == ("T", 25)
    assert (run.online_task_id, run.lookback, run.wait_for_completion) == ("T", timedelta(days=1), True)
    assert (sensor.run_id, sensor.on_nothing_evaluated, sensor.max_error_rate) == ("R", "fail", 0.5)


@KINDS
def test_a_wrong_default_argument_is_refused_like_a_given_one(kind: type[BaseOperator]) -> None:
    name = next(iter(VALID[kind]))
    with DAG("a_dag", default_args={name: " "}), pytest.raises(InvalidInput):
        make(kind, **{name: ...})


# Literals are refused ------------------------------------------------------------------------------------

IN_A_YEAR = (datetime.now(UTC) + timedelta(days=365)).isoformat()
REFUSED: list[tuple[type[BaseOperator], dict[str, Any], str]] = [
    (CreateEvalTaskOperator, {"sampling_rate": 0}, "sampling_rate"),
    (CreateEvalTaskOperator, {"sampling_rate": "abc"}, "sampling_rate"),
    (CreateEvalTaskOperator, {"name": ""}, "name"),
    (CreateEvalTaskOperator, {"model_id": "None"}, "_id"),
    (CreateEvalTaskOperator, {"template_evaluators": ...}, "template_evaluators"),
    (CreateEvalTaskOperator, {"evaluators": [HUB]}, "not both"),
    (CreateEvalTaskOperator, {"template_evaluators": [{**JUDGE, "rails": ["one"]}]}, "rails"),
    (CreateEvalTaskOperator, {"template_evaluators": [{**JUDGE, "rial": []}]}, "Did you mean 'rails'"),
    (CreateEvalTaskOperator, {"llm_config": {"temperature": 1}}, "model_name"),
    (
        CreateEvalTaskOperator,
        {"project": "support"},
        "project",
    ),
    (
        CreateEvalTaskOperator,
        {"model_id": ...},
        "project",
    ),
    (CreateEvalTaskOperator, {"model_id": ..., "project": " "}, "project is empty"),
    (CreateEvalTaskOperator, {"if_exists": "replace"}, "if_exists must be one of fail, skip, update"),
    (PatchEvalTaskOperator, {"name": ...}, "online_task_id"),
    (PatchEvalTaskOperator, {"name": None}, "name"),
    (PatchEvalTaskOperator, {"sampling_rate": 101}, "sampling_rate"),
    (PatchEvalTaskOperator, {"online_task_id": ""}, "_id"),
    (
        DeleteOnlineTaskOperator,
        {"online_task_id": "None"},
        "_id",
    ),
    (CancelOnlineTaskRunOperator, {"run_id": ""}, "_id"),
    (RunOnlineTaskOperator, {"online_task_id": "None"}, "_id"),
    (RunOnlineTaskOperator, {"max_spans": 0}, "max_spans"),
    (RunOnlineTaskOperator, {"override_evaluations": "maybe"}, "override_evaluations"),
    (
        RunOnlineTaskOperator,
        {"data_start_time": "2024-10-08"},
        "data_start_time is set without data_end_time",
    ),
    (RunOnlineTaskOperator, {"lookback": timedelta(0)}, "lookback must be above 0"),
    (RunOnlineTaskOperator, {"data_start_time": "2024-10-09", "data_end_time": "2024-10-08"}, "is reversed"),
    (RunOnlineTaskOperator, {"data_start_time": "2024-10-08", "data_end_time": "2024-10-08"}, "is empty"),
    (
        RunOnlineTaskOperator,
        {"data_start_time": "today", "data_end_time": "{{ ts }}"},
        "is not a time: 'today'",
    ),
    (RunOnlineTaskOperator, {"poll_interval": 0}, "poll_interval"),
    (RunOnlineTaskOperator, {"timeout": -1}, "timeout"),
    (RunOnlineTaskOperator, {"on_nothing_evaluated": "ignore"}, "must be one of fail, skip, succeed"),
    (RunOnlineTaskOperator, {"max_error_rate": 5}, "max_error_rate must be from 0 to 1"),
    (RunOnlineTaskOperator, {"conn_id": ""}, "conn_id is empty"),
    (RunOnlineTaskOperator, {"cancel_on_kill": "false"}, "cancel_on_kill must be True or False, not 'false'"),
    (RunOnlineTaskOperator, {"wait_for_completion": 1}, "wait_for_completion must be True or False"),
    (DeleteOnlineTaskOperator, {"ignore_if_missing": None}, "ignore_if_missing must be True or False"),
    (EvaluatorOperator, {"classification_choices": {}}, "classification_choices"),
    (EvalResultsOperator, {"evaluators": []}, "evaluators is empty"),
    (EvalResultsOperator, {"evaluators": ["j", 3]}, "evaluators must be a list of names, such as"),
    (EvalResultsOperator, {"group_by": " "}, "group_by is empty"),
    (EvalResultsOperator, {"rows_path": ""}, "rows_path is empty"),
    (EvalResultsOperator, {"max_segments": 0}, "max_segments"),
    (EvalResultsOperator, {"direction": "up"}, "direction must be one of maximize, minimize, not 'up'"),
    (
        EvalResultsOperator,
        {
            "run_id": ...,
            "online_task_id": "T",
            "data_start_time": "2024-10-09",
            "data_end_time": "2024-10-08",
        },
        "The window is reversed",
    ),
    (
        EvalResultsOperator,
        {"run_id": ..., "online_task_id": "T", "data_start_time": "today", "data_end_time": "{{ ts }}"},
        "is not a time: 'today'",
    ),
    (EvalGateOperator, {"summary": "results"}, "summary must be"),
    (EvalGateOperator, {"baseline": [None, 3]}, "baseline must be"),
    (EvalGateOperator, {"labels": ["good", "bad"]}, "labels must be a dict of evaluators and their labels"),
    (EvalGateOperator, {"labels": {"j": "good"}}, "labels['j'] must be a list of names"),
    (EvalGateOperator, {"accept_unverified": "false"}, "accept_unverified must be True or False"),
    (
        EvalGateOperator,
        {"across_evaluator_versions": "no"},
        "across_evaluator_versions must be True or False",
    ),
    (EvalGateOperator, {"response_timeout": "PT1H"}, "response_timeout"),
    (EvalGateOperator, {"on_failure": "warn"}, "on_failure must be one of fail, skip, ask"),
    (SendSpansOperator, {"labels": []}, "labels is empty"),
    (SendSpansOperator, {"labels": "bad"}, "labels must be a list of names"),
    (SendSpansOperator, {"evaluator": ""}, "evaluator is empty"),
    (SendSpansOperator, {"max_spans": True}, "max_spans"),
    (OnlineTaskRunSensor, {"deferrable": "yes"}, "deferrable must be True or False, not 'yes'"),
    (OnlineTaskRunSensor, {"conn_id": None}, "conn_id must be text"),
    (OnlineTaskRunSensor, {"run_id": "None"}, "_id"),
    (OnlineTaskRunSensor, {"poke_interval": 0}, "poke_interval"),
    (OnlineTaskRunSensor, {"on_nothing_evaluated": "ignore"}, "must be one of fail, skip, succeed"),
    (OnlineTaskRunSensor, {"max_error_rate": float("nan")}, "max_error_rate must be from 0 to 1"),
]


def own_arguments(kind: type[BaseOperator]) -> list[str]:
    given = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("airflow_provider")
        for name in (inspect.signature(base.__init__).parameters if "__init__" in vars(base) else ())
    }
    return sorted(given - {"self", "kwargs"})


EACH_ARGUMENT = pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in VALID for name in own_arguments(kind)],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)


def test_every_operator_is_among_them() -> None:
    names = [name for name in airflow_provider_online_tasks.__all__ if name.endswith(("Operator", "Sensor"))]
    assert {getattr(airflow_provider_online_tasks, name) for name in names} == set(VALID)


@EACH_ARGUMENT
def test_no_argument_takes_just_anything(kind: type[BaseOperator], name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        make(kind, **instead(kind, name, object()))


@EACH_ARGUMENT
def test_a_template_is_refused_where_airflow_renders_none(kind: type[BaseOperator], name: str) -> None:
    if name in kind.template_fields:
        return
    with pytest.raises(InvalidInput, match=name):
        make(kind, **{name: LATER})


@pytest.mark.parametrize(("kind", "changes", "said"), REFUSED)
def test_a_wrong_literal_is_refused(kind: type[BaseOperator], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(kind, **changes)
    assert said in str(caught.value)


@pytest.mark.parametrize(("kind", "changes", "said"), REFUSED)
def test_a_wrong_literal_is_refused_beside_a_template(
    kind: type[BaseOperator], changes: dict[str, Any], said: str
) -> None:
    """A rule across fields is checked only if all of them are literal."""
    if said in ("template_evaluators", "not both", "online_task_id", "classification_choices"):
        return
    beside = next((name for name in VALID[kind] if name not in changes), "conn_id")
    with pytest.raises(InvalidInput) as caught:
        make(kind, **{beside: "{{ params.it }}", **changes})
    assert said in str(caught.value) or beside in ("name", "template_evaluators")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"template_evaluators": [{**JUDGE, "template": "{{ params.t }}", "rails": ["one"]}]},
            "rails",
        ),
        (
            {"template_evaluators": [{**JUDGE, "name": "{{ params.n }}", "lables": []}]},
            "has no field 'lables'",
        ),
        ({"template_evaluators": [{"name": "{{ params.n }}", "template": "t"}]}, "rails"),
        (
            {"template_evaluators": {**JUDGE, "template": "{{ params.t }}", "position": -1}},
            "position must be",
        ),
        ({"model_id": ..., "project": "{{ params.p }}", "evaluators": [HUB]}, "evaluators"),
        (
            {
                "template_evaluators": ...,
                "evaluators": {**HUB, "query_mappings": [{**MAPPING, "query_ids": ["F"]}]},
            },
            "query_ids",
        ),
        (
            {
                "template_evaluators": ...,
                "evaluators": {**HUB, "column_mappings": {"{{ params.v }}": "attributes.input.value"}},
            },
            "column_mappings has the key '{{ params.v }}'. Airflow renders the values of a dict, not",
        ),
    ],
)
def test_a_literal_is_checked_however_deep_it_is(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(CreateEvalTaskOperator, **changes)
    assert said in str(caught.value)


def test_a_window_is_checked_though_the_task_is_only_known_later() -> None:
    with pytest.raises(InvalidInput, match="data_start_time"):
        make(
            RunOnlineTaskOperator,
            online_task_id="{{ ti.xcom_pull('create') }}",
            data_start_time="2024-10-09",
            data_end_time="2024-10-08",
        )


def test_a_window_that_is_not_over_yet_may_be_when_the_task_runs() -> None:
    arguments = {"data_start_time": "2024-10-08", "data_end_time": IN_A_YEAR}
    make(RunOnlineTaskOperator, **arguments)
    with pytest.raises(InvalidInput):
        RunInput.read({"online_task_id": "T25saW5lVGFzazoxOngx", **arguments})


# Templates are let through -------------------------------------------------------------------------------

LATER = "{{ params.later }}"
INSTEAD_OF = {
    "evaluators": ["template_evaluators"],
    "project": ["model_id"],
    "online_task": ["online_task_id"],
    "partition_length": ["data_start_time", "data_end_time", "lookback"],
    "dataset_id": ["annotation_queue_id"],
}
WINDOW = ("data_start_time", "data_end_time")
BY_CODE = ("code", "imports", "variables", "query_filter")


def instead(kind: type[BaseOperator], name: str, value: Any) -> dict[str, Any]:
    """Return the changes that give an argument this value, and bring what goes with it."""
    changes = {name: value}
    if kind is EvalResultsOperator and name in ("online_task_id", *WINDOW):
        changes = {"run_id": ..., "online_task_id": "T", **dict.fromkeys(WINDOW, LATER), name: value}
    elif kind is EvaluatorOperator and name in BY_CODE:
        by_template = dict.fromkeys(("template", "classification_choices", "llm_config"), ...)
        changes = {**by_template, "code": "class E: ...", "variables": ["output"], name: value}
    elif name in WINDOW:
        changes = dict.fromkeys(WINDOW, value)
    return changes | dict.fromkeys(INSTEAD_OF.get(name, ()), ...)


@pytest.mark.parametrize("name", ["data_start_time", "data_end_time"])
def test_one_end_of_a_window_may_be_a_template(name: str) -> None:
    window = {"data_start_time": "2024-10-08", "data_end_time": "2024-10-09", name: LATER}
    assert getattr(make(RunOnlineTaskOperator, **window), name) == LATER


@KINDS
def test_every_template_field_takes_a_template(kind: type[BaseOperator]) -> None:
    for name in make(kind).template_fields:
        assert getattr(make(kind, **instead(kind, name, LATER)), name) == LATER


@KINDS
def test_every_template_field_takes_an_xcom(kind: type[BaseOperator]) -> None:
    with DAG("a_dag"):
        upstream = BaseOperator(task_id="upstream")
        for number, name in enumerate(make_fields(kind)):
            changes = instead(kind, name, upstream.output)
            arguments = {key: value for key, value in (VALID[kind] | changes).items() if value is not ...}
            operator = kind(task_id=f"a_task_{number}", **arguments)
            assert "upstream" in operator.upstream_task_ids


def make_fields(kind: type[BaseOperator]) -> list[str]:
    return [name for name in make(kind).template_fields if name != "conn_id"]


@pytest.mark.parametrize(
    "template",
    [
        "Question: {{ input }}",
        "{{input}}",
        "Judge the answers of {{ ds }}: {output}",
        "{{ ds }}",
        "{% if output %}Answer: {output}{% endif %}",
        "{# for the judge #} {output}",
        "{% raw %}{{input}}{% endraw %} and {{ output }}",
        "{{ params.intro }} {{ input }}",
        "{{ unfinished",
    ],
)
@pytest.mark.parametrize("kind", [CreateEvalTaskOperator, PatchEvalTaskOperator])
def test_a_judges_template_that_jinja_would_change_is_refused(
    kind: type[BaseOperator], template: str
) -> None:
    for evaluators in (
        [{**JUDGE, "template": template}],
        TemplateEvaluator(**{**JUDGE, "template": template}),
    ):
        with pytest.raises(InvalidInput) as caught:
            make(kind, template_evaluators=evaluators)
        assert "template_evaluators[0]" in str(caught.value)
        assert all(way in str(caught.value) for way in ("single braces", "{% raw %}", "jinja=True"))


@pytest.mark.parametrize(
    "template",
    [
        "Question: {attributes.input.value}",
        "{% raw %}Question: {{input}}{% endraw %}",
        "{{ var.value.judge_prompt }}",
        "{{ params.prompts['tone'] }}",
        " {{ ti.xcom_pull('write_prompt') }}\n",
        "a } and a { and }} too",
    ],
)
def test_a_judges_template_that_is_plain_or_surely_airflows_is_taken(template: str) -> None:
    make(CreateEvalTaskOperator, template_evaluators=[{**JUDGE, "template": template}])


def test_a_judges_template_is_rendered_when_its_author_says_so() -> None:
    judge = {**JUDGE, "template": "On {{ ds }}: {output}", "jinja": True}
    operator = make(CreateEvalTaskOperator, template_evaluators=[judge])
    operator.render_template_fields({"ds": "2026-01-01"})
    (sent,) = EvalTaskInput.read(operator._arguments()).to_wire()["templateEvaluators"]
    assert sent["template"] == "On 2026-01-01: {output}"
    assert "jinja" not in sent


def test_templates_are_rendered_at_every_depth() -> None:
    operator = make(
        CreateEvalTaskOperator,
        conn_id="arize_{{ env }}",
        name="tone {{ env }}",
        template_evaluators=[
            TemplateEvaluator(
                name="{{ env }}", template="{% raw %}{{input}}{% endraw %}", rails=["{{ good }}", "bad"]
            ),
            {**JUDGE, "name": "second", "include_explanations": "{{ explain }}", "position": "{{ 3 + 1 }}"},
        ],
        llm_config={"model_name": "{{ model }}", "invocation_parameters": {"stop": ["{{ env }}"]}},
        sampling_rate="{{ rate }}",
    )
    operator.render_template_fields(
        {"env": "prod", "good": "fine", "explain": True, "model": "GPT_4o", "rate": 25}
    )
    assert operator.conn_id == "arize_prod"
    wire = EvalTaskInput.read(operator._arguments()).to_wire()
    first, second = wire["templateEvaluators"]
    assert (first["name"], first["template"], first["rails"]) == ("prod", "{{input}}", ["fine", "bad"])
    assert (second["includeExplanations"], second["position"]) == (True, 4)
    assert wire["llmConfig"] == {"modelName": "GPT_4o", "invocationParameters": {"stop": ["prod"]}}
    assert (wire["name"], wire["samplingRate"]) == ("tone prod", 0.25)


def test_what_a_patch_was_not_given_stays_left_out_when_rendered() -> None:
    operator = make(PatchEvalTaskOperator, name="{{ name }}", query_filter=None)
    operator.render_template_fields({"name": "new"})
    assert operator.sampling_rate is UNSET
    wire = EvalTaskPatch.read(operator._arguments()).to_wire()
    assert wire == {"onlineTaskId": "T", "name": "new", "queryFilter": None}


def test_typed_and_plain_inputs_make_the_same_operator() -> None:
    typed = make(
        CreateEvalTaskOperator,
        template_evaluators=TemplateEvaluator(**JUDGE),
        code_evaluators=[CodeEvaluator(name="c")],
        llm_config=LlmConfig(model_name="m"),
    )
    plain = make(CreateEvalTaskOperator, code_evaluators=[{"name": "c"}], llm_config={"modelName": "m"})
    assert EvalTaskInput.read(typed._arguments()) == EvalTaskInput.read(plain._arguments())
    hub = make(CreateEvalTaskOperator, template_evaluators=..., evaluators=HubEvaluator(**HUB))
    assert EvalTaskInput.read(hub._arguments()).to_wire()["evaluators"] == [
        {"evaluatorId": HUB["evaluator_id"], "position": 0}
    ]


def test_they_can_be_mapped() -> None:
    from airflow_provider_online_tasks.inputs import split_window

    with DAG("a_dag"):
        mapped = RunOnlineTaskOperator.partial(task_id="run", online_task_id="T").expand_kwargs(
            split_window("2024-10-08", "2024-12-07")
        )
        OnlineTaskRunSensor.partial(task_id="wait").expand(run_id=mapped.output)
