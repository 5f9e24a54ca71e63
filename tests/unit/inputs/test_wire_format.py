"""An accepted input is sent in the documented form, however it was written."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs.arguments import describe_sampling_rate
from airflow_provider_online_tasks.inputs.base import WireInput, plain
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    EvaluatorLlmConfig,
    HubEvaluator,
    LlmConfig,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.runs import RunInput
from tests.support.random_examples import examples
from tests.support.wire_forms import (
    RUN_FIELDS,
    TASK_FIELDS,
    Pair,
    eval_task_patches,
    eval_tasks,
    ids,
    in_camel_case,
    sampling_rates,
)

few = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def typed(written: dict[str, Any]) -> dict[str, Any]:
    """Return the same fields with typed classes instead of the nested dicts."""
    kinds = {
        "template_evaluators": TemplateEvaluator,
        "code_evaluators": CodeEvaluator,
        "evaluators": HubEvaluator,
    }
    found = dict(written)
    for name, kind in kinds.items():
        if name in found:
            found[name] = [kind(**_with_typed_llm(item, EvaluatorLlmConfig)) for item in found[name]]
    return _with_typed_llm(found, LlmConfig)


def _with_typed_llm(
    fields: dict[str, Any], kind: type[LlmConfig] | type[EvaluatorLlmConfig]
) -> dict[str, Any]:
    if fields.get("llm_config") is None:
        return fields
    return {**fields, "llm_config": kind(**fields["llm_config"])}


@few
@given(eval_tasks())
def test_task_is_sent_as_documented(pair: Pair) -> None:
    written, wire = pair
    for spelling in (written, in_camel_case(written, TASK_FIELDS), typed(written), plain(typed(written))):
        assert EvalTaskInput.read(spelling).to_wire() == wire
    json.dumps(wire, allow_nan=False)


@few
@given(eval_task_patches())
def test_patch_is_sent_as_documented(pair: Pair) -> None:
    written, wire = pair
    for spelling in (written, in_camel_case(written, TASK_FIELDS), typed(written), plain(typed(written))):
        assert EvalTaskPatch.read(spelling).to_wire() == wire


@st.composite
def runs(draw: st.DrawFn) -> Pair:
    start = draw(st.datetimes(datetime(2000, 1, 1), datetime(2024, 1, 1)))
    end = start + draw(st.timedeltas(timedelta(milliseconds=1), timedelta(days=400)))
    optional = {"max_spans": st.integers(1, 2**31 - 1), "override_evaluations": st.booleans()}
    written = draw(st.fixed_dictionaries({"online_task_id": ids}, optional=optional))
    wire = {RUN_FIELDS[name]: value for name, value in written.items()}
    for name, at in (("data_start_time", start), ("data_end_time", end)):
        written[name], wire[RUN_FIELDS[name]] = draw(written_times(at))
    return written, wire


@st.composite
def written_times(draw: st.DrawFn, at: datetime) -> tuple[datetime | str, str]:
    """Draw one of the ways to write a time at UTC, and the one way it is sent."""
    if at.microsecond == 0:
        sent = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    elif at.microsecond % 1000 == 0:
        sent = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
    else:
        sent = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    zone = timezone(timedelta(minutes=draw(st.integers(-14 * 60, 14 * 60))))
    aware = at.replace(tzinfo=UTC)
    ways: list[datetime | str] = [at, aware, aware.astimezone(zone), at.isoformat(), sent]
    return draw(st.sampled_from([*ways, aware.astimezone(zone).isoformat(), f" {sent} "])), sent


@few
@given(runs())
def test_run_is_sent_as_documented(pair: Pair) -> None:
    written, wire = pair
    assert RunInput.read(written).to_wire() == wire
    assert RunInput.read(in_camel_case(written, RUN_FIELDS)).to_wire() == wire
    assert RunInput(**written).to_wire() == wire


@given(sampling_rates())
def test_sampling_rate_is_sent_in_the_unit_of_the_connection(drawn: tuple[Any, float]) -> None:
    written, fraction = drawn
    patch = EvalTaskPatch(online_task_id="T", sampling_rate=written)
    assert sent(patch, "fraction") == fraction
    assert sent(patch, "percent") == pytest.approx(fraction * 100, rel=1e-11)
    assert 0 < patch.sampling_rate <= 1


def sent(patch: EvalTaskPatch, unit: str) -> float:
    rate: float = calls.patch_eval_task(patch, unit).input["samplingRate"]
    return rate


@pytest.mark.parametrize(
    ("written", "fraction", "percent", "said"),
    [
        (100, 1.0, 100.0, "sampling 100 % of matching spans"),
        (1, 1.0, 100.0, "sampling 100 % of matching spans"),
        (1.0, 1.0, 100.0, "sampling 100 % of matching spans"),
        ("25", 0.25, 25.0, "sampling 25 % of matching spans"),
        (0.07, 0.07, 7.0, "sampling 7 % of matching spans"),
        (0.29, 0.29, 29.0, "sampling 29 % of matching spans"),
        (12.5, 0.125, 12.5, "sampling 12.5 % of matching spans"),
        (0.001, 0.001, 0.1, "sampling 0.1 % of matching spans"),
    ],
)
def test_sampling_rate_is_described_as_it_is_sent(
    written: float | str, fraction: float, percent: float, said: str
) -> None:
    patch = EvalTaskPatch(online_task_id="T", sampling_rate=written)
    assert (sent(patch, "fraction"), sent(patch, "percent")) == (fraction, percent)
    assert describe_sampling_rate(patch.sampling_rate) == said


def test_evaluators_without_position_get_their_place() -> None:
    judge = {"template": "{output}", "rails": ["good", "bad"]}
    inline = EvalTaskInput(
        name="n",
        model_id="m",
        template_evaluators=[{"name": "a", **judge}, {"name": "b", "position": 7, **judge}],
        code_evaluators=[{"name": "c"}],
        llm_config={"model_name": "m"},
    ).to_wire()
    assert [one["position"] for one in inline["templateEvaluators"]] == [1, 7]
    assert [one["position"] for one in inline["codeEvaluators"]] == [3]
    hub = EvalTaskInput(name="n", model_id="m", evaluators=[{"evaluator_id": "x"}, {"evaluator_id": "y"}])
    assert [one["position"] for one in hub.to_wire()["evaluators"]] == [0, 1]


def test_single_evaluator_is_sent_as_a_list() -> None:
    alone = {"evaluator_id": "x"}
    listed = EvalTaskInput(name="n", model_id="m", evaluators=[alone]).to_wire()
    assert EvalTaskInput(name="n", model_id="m", evaluators=alone).to_wire() == listed
    assert EvalTaskInput(name="n", model_id="m", evaluators=HubEvaluator(**alone)).to_wire() == listed


def test_model_and_provider_names_are_sent_unchanged() -> None:
    config = LlmConfig(model_name="a model of next year", provider="someone new", temperature=0)
    wire = {"modelName": "a model of next year", "provider": "someone new", "temperature": 0.0}
    assert config.to_wire() == wire


def test_patch_sends_only_the_fields_that_are_set() -> None:
    assert EvalTaskPatch(online_task_id="T", run_continuously=False).to_wire() == {
        "onlineTaskId": "T",
        "runContinuously": False,
    }
    assert EvalTaskPatch(online_task_id="T", query_filter=None).to_wire() == {
        "onlineTaskId": "T",
        "queryFilter": None,
    }


def test_create_none_is_not_sent() -> None:
    hub = {"name": "n", "model_id": "m", "evaluators": [{"evaluator_id": "x"}]}
    with_none = {**hub, "query_filter": None, "template_evaluators": None, "llm_config": None}
    assert EvalTaskInput(**with_none).to_wire() == EvalTaskInput(**hub).to_wire()


def test_input_is_a_copy_of_its_dict() -> None:
    parameters = {"stop": ["END"]}
    config = LlmConfig(model_name="m", invocation_parameters=parameters)
    parameters["stop"].append("MORE")
    assert config.to_wire()["invocationParameters"] == {"stop": ["END"]}


@pytest.mark.parametrize(
    "value",
    [
        EvalTaskInput(name="n", model_id="m", evaluators={"evaluator_id": "x"}),
        EvalTaskPatch(online_task_id="T", name="n"),
        TemplateEvaluator(name="n", template="t", rails=["a", "b"]),
        CodeEvaluator(name="n"),
        RunInput(online_task_id="T", data_start_time="2024-01-01", data_end_time="2024-01-02"),
    ],
)
def test_wire_form_reads_back_as_the_same_input(value: WireInput) -> None:
    assert type(value).read(value.to_wire()) == value
    assert type(value).read(value) is value


def test_smallest_sampling_rate_is_sent_as_a_number() -> None:
    assert math.isfinite(sent(EvalTaskPatch(online_task_id="T", sampling_rate=5e-324), "percent"))


FLAGS: list[tuple[type[WireInput], dict[str, Any], str]] = [
    (
        EvalTaskInput,
        {"name": "n", "model_id": "m", "evaluators": {"evaluator_id": "x"}},
        "run_continuously",
    ),
    (EvalTaskPatch, {"online_task_id": "T"}, "run_continuously"),
    (
        RunInput,
        {"online_task_id": "T", "data_start_time": "2024-01-01", "data_end_time": "2024-01-02"},
        "override_evaluations",
    ),
    (TemplateEvaluator, {"name": "n", "template": "t", "rails": ["a", "b"]}, "include_explanations"),
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("false", False), ("False", False), (" FALSE ", False), ("true", True), ("True", True), (False, False)],
)
@pytest.mark.parametrize(("kind", "others", "name"), FLAGS)
def test_rendered_flag_is_sent_as_a_boolean(
    kind: type[WireInput], others: dict[str, Any], name: str, written: Any, meant: bool
) -> None:
    """A template renders to text, and the text "false" is true for Python."""
    assert kind.read({**others, name: written}).to_rest()[name] is meant


def test_position_is_set_on_a_copy() -> None:
    evaluator = HubEvaluator(evaluator_id="x")
    EvalTaskInput(name="n", model_id="m", evaluators=[evaluator])
    assert evaluator.position is None
