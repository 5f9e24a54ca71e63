"""DAG parsing: literals are checked, templates are accepted, and no connection or network is used."""

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
from airflow_provider_online_tasks.inputs.arguments import UNSET
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    HubEvaluator,
    LlmConfig,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.runs import RunInput
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
from tests.support.valid_operators import EVALUATOR, HUB, KINDS, LATER, MAPPING, VALID, instead, make


@pytest.fixture(autouse=True)
def _no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a lookup at parse time")

    monkeypatch.setattr(socket.socket, "connect", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(BaseHook, "get_connection", fail)


@KINDS
def test_constructor_takes_keyword_arguments_only(kind: type[BaseOperator]) -> None:
    with pytest.raises(TypeError):
        kind("a_task")
    with pytest.raises((TypeError, InvalidInput)):
        kind(task_id="a_task")
    own = [
        parameter for name, parameter in inspect.signature(kind.__init__).parameters.items() if name != "self"
    ]
    assert {parameter.kind for parameter in own} == {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


@KINDS
def test_template_fields_are_documented_attributes(kind: type[BaseOperator]) -> None:
    operator = make(kind)
    assert "conn_id" in operator.template_fields
    for name in operator.template_fields:
        assert hasattr(operator, name), name
        assert f":param {name}:" in (kind.__doc__ or ""), name
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)


def type_of(kind: type[BaseOperator], name: str) -> str:
    """Return an argument's type as its source declares it, with the module's type aliases."""
    declared = next(
        base for base in kind.__mro__ if name in inspect.signature(vars(base).get("__init__", len)).parameters
    )
    written = str(inspect.signature(vars(declared)["__init__"]).parameters[name].annotation)
    module = ast.parse(Path(inspect.getfile(declared)).read_text(encoding="utf-8"))
    aliases = {
        target.id: ast.unparse(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return " ".join([written, *(aliases[word] for word in re.findall(r"\w+", written) if word in aliases)])


@KINDS
def test_template_fields_accept_xcomarg_by_type(kind: type[BaseOperator]) -> None:
    types = {name: type_of(kind, name) for name in kind.template_fields}
    assert {name: text for name, text in types.items() if text != "Any" and "XComArg" not in text} == {}


@KINDS
def test_every_argument_is_documented(kind: type[BaseOperator]) -> None:
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    assert {name for name in own if f":param {name}:" not in (kind.__doc__ or "")} == set()


def test_every_api_field_is_template_field() -> None:
    """None of the documented fields has to be a literal."""

    for kind, inputs in (
        (CreateEvalTaskOperator, EvalTaskInput),
        (PatchEvalTaskOperator, EvalTaskPatch),
        (RunOnlineTaskOperator, RunInput),
    ):
        assert set(inputs.model_fields) <= set(make(kind).template_fields)


@KINDS
def test_default_args_are_applied(kind: type[BaseOperator]) -> None:
    with DAG("a_dag", default_args={"conn_id": "another_arize", "retries": 7}):
        operator = make(kind)
    assert (operator.conn_id, operator.retries) == ("another_arize", 7)
    assert make(kind).conn_id == "arize_online_tasks_default"


def test_default_args_are_applied_to_arguments_of_each_operator() -> None:
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
def test_wrong_default_arg_is_rejected(kind: type[BaseOperator]) -> None:
    name = next(iter(VALID[kind]))
    with DAG("a_dag", default_args={name: " "}), pytest.raises(InvalidInput):
        make(kind, **{name: ...})


# Wrong literals

IN_A_YEAR = (datetime.now(UTC) + timedelta(days=365)).isoformat()
# Arguments that are wrong by themselves.
WRONG: list[tuple[type[BaseOperator], dict[str, Any]]] = [
    (CreateEvalTaskOperator, {"sampling_rate": 0}),
    (CreateEvalTaskOperator, {"sampling_rate": "abc"}),
    (CreateEvalTaskOperator, {"name": ""}),
    (CreateEvalTaskOperator, {"model_id": "None"}),
    (CreateEvalTaskOperator, {"template_evaluators": [{**EVALUATOR, "rails": ["one"]}]}),
    (CreateEvalTaskOperator, {"template_evaluators": [{**EVALUATOR, "rial": []}]}),
    (CreateEvalTaskOperator, {"llm_config": {"temperature": 1}}),
    (CreateEvalTaskOperator, {"project": "support"}),
    (CreateEvalTaskOperator, {"model_id": ...}),
    (CreateEvalTaskOperator, {"model_id": ..., "project": " "}),
    (CreateEvalTaskOperator, {"if_exists": "replace"}),
    (PatchEvalTaskOperator, {"name": None}),
    (PatchEvalTaskOperator, {"sampling_rate": 101}),
    (PatchEvalTaskOperator, {"online_task_id": ""}),
    (DeleteOnlineTaskOperator, {"online_task_id": "None"}),
    (CancelOnlineTaskRunOperator, {"run_id": ""}),
    (RunOnlineTaskOperator, {"online_task_id": "None"}),
    (RunOnlineTaskOperator, {"max_spans": 0}),
    (RunOnlineTaskOperator, {"override_evaluations": "maybe"}),
    (RunOnlineTaskOperator, {"data_start_time": "2024-10-08"}),
    (RunOnlineTaskOperator, {"lookback": timedelta(0)}),
    (RunOnlineTaskOperator, {"data_start_time": "2024-10-09", "data_end_time": "2024-10-08"}),
    (RunOnlineTaskOperator, {"data_start_time": "2024-10-08", "data_end_time": "2024-10-08"}),
    (RunOnlineTaskOperator, {"data_start_time": "today", "data_end_time": "{{ ts }}"}),
    (RunOnlineTaskOperator, {"poll_interval": 0}),
    (RunOnlineTaskOperator, {"timeout": -1}),
    (RunOnlineTaskOperator, {"on_nothing_evaluated": "ignore"}),
    (RunOnlineTaskOperator, {"max_error_rate": 5}),
    (RunOnlineTaskOperator, {"conn_id": ""}),
    (RunOnlineTaskOperator, {"cancel_on_kill": "false"}),
    (RunOnlineTaskOperator, {"wait_for_completion": 1}),
    (DeleteOnlineTaskOperator, {"ignore_if_missing": None}),
    (EvalResultsOperator, {"evaluators": []}),
    (EvalResultsOperator, {"evaluators": ["j", 3]}),
    (EvalResultsOperator, {"group_by": " "}),
    (EvalResultsOperator, {"rows_path": ""}),
    (EvalResultsOperator, {"max_segments": 0}),
    (EvalResultsOperator, {"direction": "up"}),
    (
        EvalResultsOperator,
        {
            "run_id": ...,
            "online_task_id": "T",
            "data_start_time": "2024-10-09",
            "data_end_time": "2024-10-08",
        },
    ),
    (
        EvalResultsOperator,
        {"run_id": ..., "online_task_id": "T", "data_start_time": "today", "data_end_time": "{{ ts }}"},
    ),
    (EvalGateOperator, {"summary": "results"}),
    (EvalGateOperator, {"baseline": [None, 3]}),
    (EvalGateOperator, {"labels": ["good", "bad"]}),
    (EvalGateOperator, {"labels": {"j": "good"}}),
    (EvalGateOperator, {"accept_unverified": "false"}),
    (EvalGateOperator, {"across_evaluator_versions": "no"}),
    (EvalGateOperator, {"response_timeout": "PT1H"}),
    (EvalGateOperator, {"on_failure": "ignore"}),
    (SendSpansOperator, {"labels": []}),
    (SendSpansOperator, {"labels": "bad"}),
    (SendSpansOperator, {"evaluator": ""}),
    (SendSpansOperator, {"max_spans": True}),
    (OnlineTaskRunSensor, {"deferrable": "yes"}),
    (OnlineTaskRunSensor, {"conn_id": None}),
    (OnlineTaskRunSensor, {"run_id": "None"}),
    (OnlineTaskRunSensor, {"poke_interval": 0}),
    (OnlineTaskRunSensor, {"on_nothing_evaluated": "ignore"}),
    (OnlineTaskRunSensor, {"max_error_rate": float("nan")}),
]
# Arguments that do not fit together, or are missing.
INCONSISTENT: list[tuple[type[BaseOperator], dict[str, Any]]] = [
    (CreateEvalTaskOperator, {"template_evaluators": ...}),
    (CreateEvalTaskOperator, {"evaluators": [HUB]}),
    (PatchEvalTaskOperator, {"name": ...}),
    (EvaluatorOperator, {"classification_choices": {}}),
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


def test_every_public_operator_is_tested() -> None:
    names = [name for name in airflow_provider_online_tasks.__all__ if name.endswith(("Operator", "Sensor"))]
    assert {getattr(airflow_provider_online_tasks, name) for name in names} == set(VALID)


@EACH_ARGUMENT
def test_object_as_argument_is_rejected(kind: type[BaseOperator], name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        make(kind, **instead(kind, name, object()))


@EACH_ARGUMENT
def test_template_in_argument_that_is_not_templated_is_rejected(kind: type[BaseOperator], name: str) -> None:
    if name in kind.template_fields:
        return
    with pytest.raises(InvalidInput, match=name):
        make(kind, **{name: LATER})


def assert_names(error: InvalidInput, changes: dict[str, Any]) -> None:
    """Assert that an error names one of the arguments, or the window that they define."""
    assert any(name in str(error) for name in (*changes, "online_task_id", "window"))


@pytest.mark.parametrize(("kind", "changes"), WRONG + INCONSISTENT)
def test_wrong_literal_is_rejected(kind: type[BaseOperator], changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(kind, **changes)
    assert_names(caught.value, changes)


@pytest.mark.parametrize(("kind", "changes"), WRONG)
def test_wrong_literal_next_to_template_is_rejected(
    kind: type[BaseOperator], changes: dict[str, Any]
) -> None:
    beside = next((name for name in VALID[kind] if name not in changes), "conn_id")
    with pytest.raises(InvalidInput):
        make(kind, **{beside: "{{ params.it }}", **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (
            {"template_evaluators": [{**EVALUATOR, "template": "{{ params.t }}", "rails": ["one"]}]},
            "rails",
        ),
        (
            {"template_evaluators": [{**EVALUATOR, "name": "{{ params.n }}", "lables": []}]},
            "lables",
        ),
        ({"template_evaluators": [{"name": "{{ params.n }}", "template": "t"}]}, "rails"),
        (
            {"template_evaluators": {**EVALUATOR, "template": "{{ params.t }}", "position": -1}},
            "position",
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
            "column_mappings",
        ),
    ],
)
def test_nested_wrong_literal_is_rejected(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(CreateEvalTaskOperator, **changes)
    assert field in str(caught.value)


def test_literal_window_is_checked_though_task_is_templated() -> None:
    with pytest.raises(InvalidInput, match="data_start_time"):
        make(
            RunOnlineTaskOperator,
            online_task_id="{{ ti.xcom_pull('create') }}",
            data_start_time="2024-10-09",
            data_end_time="2024-10-08",
        )


def test_window_that_ends_in_future_is_rejected_at_run_time_only() -> None:
    arguments = {"data_start_time": "2024-10-08", "data_end_time": IN_A_YEAR}
    make(RunOnlineTaskOperator, **arguments)
    with pytest.raises(InvalidInput):
        RunInput.read({"online_task_id": "T25saW5lVGFzazoxOngx", **arguments})


# Templates


@pytest.mark.parametrize("name", ["data_start_time", "data_end_time"])
def test_one_end_of_window_accepts_template(name: str) -> None:
    window = {"data_start_time": "2024-10-08", "data_end_time": "2024-10-09", name: LATER}
    assert getattr(make(RunOnlineTaskOperator, **window), name) == LATER


@KINDS
def test_every_template_field_accepts_template(kind: type[BaseOperator]) -> None:
    for name in make(kind).template_fields:
        assert getattr(make(kind, **instead(kind, name, LATER)), name) == LATER


@KINDS
def test_every_template_field_accepts_xcomarg(kind: type[BaseOperator]) -> None:
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
        "Rate the answers of {{ ds }}: {output}",
        "{{ ds }}",
        "{% if output %}Answer: {output}{% endif %}",
        "{# for the judge #} {output}",
        "{% raw %}{{input}}{% endraw %} and {{ output }}",
        "{{ params.intro }} {{ input }}",
        "{{ unfinished",
    ],
)
@pytest.mark.parametrize("kind", [CreateEvalTaskOperator, PatchEvalTaskOperator])
def test_evaluator_template_that_jinja_would_change_is_rejected(
    kind: type[BaseOperator], template: str
) -> None:
    for evaluators in (
        [{**EVALUATOR, "template": template}],
        TemplateEvaluator(**{**EVALUATOR, "template": template}),
    ):
        with pytest.raises(InvalidInput) as caught:
            make(kind, template_evaluators=evaluators)
        assert "template_evaluators[0]" in str(caught.value)
        assert "jinja" in str(caught.value)


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
def test_evaluator_template_without_jinja_or_airflow_value_only_allowed(template: str) -> None:
    make(CreateEvalTaskOperator, template_evaluators=[{**EVALUATOR, "template": template}])


def test_evaluator_template_with_jinja_set_is_rendered() -> None:
    judge = {**EVALUATOR, "template": "On {{ ds }}: {output}", "jinja": True}
    operator = make(CreateEvalTaskOperator, template_evaluators=[judge])
    operator.render_template_fields({"ds": "2026-01-01"})
    (sent,) = EvalTaskInput.read(operator._arguments()).to_wire()["templateEvaluators"]
    assert sent["template"] == "On 2026-01-01: {output}"
    assert "jinja" not in sent


def test_nested_templates_are_rendered() -> None:
    operator = make(
        CreateEvalTaskOperator,
        conn_id="arize_{{ env }}",
        name="tone {{ env }}",
        template_evaluators=[
            TemplateEvaluator(
                name="{{ env }}", template="{% raw %}{{input}}{% endraw %}", rails=["{{ good }}", "bad"]
            ),
            {
                **EVALUATOR,
                "name": "second",
                "include_explanations": "{{ explain }}",
                "position": "{{ 3 + 1 }}",
            },
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


def test_patch_fields_that_were_left_out_stay_unset_after_rendering() -> None:
    operator = make(PatchEvalTaskOperator, name="{{ name }}", query_filter=None)
    operator.render_template_fields({"name": "new"})
    assert operator.sampling_rate is UNSET
    wire = EvalTaskPatch.read(operator._arguments()).to_wire()
    assert wire == {"onlineTaskId": "T", "name": "new", "queryFilter": None}


def test_typed_and_dict_inputs_are_equal() -> None:
    typed = make(
        CreateEvalTaskOperator,
        template_evaluators=TemplateEvaluator(**EVALUATOR),
        code_evaluators=[CodeEvaluator(name="c")],
        llm_config=LlmConfig(model_name="m"),
    )
    plain = make(CreateEvalTaskOperator, code_evaluators=[{"name": "c"}], llm_config={"modelName": "m"})
    assert EvalTaskInput.read(typed._arguments()) == EvalTaskInput.read(plain._arguments())
    hub = make(CreateEvalTaskOperator, template_evaluators=..., evaluators=HubEvaluator(**HUB))
    assert EvalTaskInput.read(hub._arguments()).to_wire()["evaluators"] == [
        {"evaluatorId": HUB["evaluator_id"], "position": 0}
    ]


def test_operators_can_be_mapped() -> None:
    from airflow_provider_online_tasks.inputs.windows import split_window

    with DAG("a_dag"):
        mapped = RunOnlineTaskOperator.partial(task_id="run", online_task_id="T").expand_kwargs(
            split_window("2024-10-08", "2024-12-07")
        )
        OnlineTaskRunSensor.partial(task_id="wait").expand(run_id=mapped.output)
