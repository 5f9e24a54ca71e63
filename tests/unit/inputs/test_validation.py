"""Wrong input is rejected before anything is sent, and the message names the field."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.exceptions import InvalidInput, OnlineTasksError
from airflow_provider_online_tasks.inputs.arguments import read_id
from airflow_provider_online_tasks.inputs.base import WireInput
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    EvaluatorInput,
    EvaluatorLlmConfig,
    HubEvaluator,
    LlmConfig,
    QueryFilters,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.runs import RunInput

LONGEST_MESSAGE = 700
TEMPLATE: dict[str, Any] = {"name": "j", "template": "{output}", "rails": ["good", "bad"]}
HUB: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjEyOmFCY0Q="}
TASK: dict[str, Any] = {
    "name": "n",
    "model_id": "TW9kZWw6MTIzOmFCY0Q=",
    "template_evaluators": [TEMPLATE],
    "llm_config": {"model_name": "m"},
}
NO_INLINE: dict[str, Any] = {"template_evaluators": ..., "llm_config": ...}
PATCH: dict[str, Any] = {"online_task_id": "T25saW5lVGFzazo0NTpxUndY", "name": "n"}
RUN: dict[str, Any] = {
    "online_task_id": "T25saW5lVGFzazo0NTpxUndY",
    "data_start_time": "2024-10-08T00:00:00Z",
    "data_end_time": "2024-10-09T00:00:00Z",
}
VALID: dict[type[WireInput], dict[str, Any]] = {
    EvalTaskInput: TASK,
    EvalTaskPatch: PATCH,
    RunInput: RUN,
    TemplateEvaluator: TEMPLATE,
    CodeEvaluator: {"name": "c"},
    HubEvaluator: HUB,
    LlmConfig: {"model_name": "gpt-4o"},
    EvaluatorLlmConfig: {"integration_id": "I", "model_name": "gpt-4o"},
    EvaluatorInput: {"name": "n", "code": "class N: ...", "variables": ["output"]},
}
TWO_FILTERS: list[dict[str, Any]] = [{"id": "A", "filter": "x = 1"}, {"id": "B", "filter": "x = 2"}]


def rejection(model: type[WireInput], **changes: Any) -> str:
    """Return the message for a valid input with these changes; a field set to ... is left out."""
    values = {name: value for name, value in (VALID[model] | changes).items() if value is not ...}
    with pytest.raises(InvalidInput) as caught:
        model.read(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "field", "values"),
    [
        (EvalTaskInput, "sampling_rate", [0, -1, 101, math.nan, math.inf, "abc", "", True, 10**400, b"50"]),
        (EvalTaskPatch, "sampling_rate", [0, -1, 101, math.nan, None, 10**5000]),
        (RunInput, "max_spans", [0, -1, 1.5, "many", math.nan, 2**31, True, [], 10**5000]),
        (RunInput, "online_task_id", ["", " ", "None", "none", "null", "undefined", " None\n", "my task", 5]),
        (EvalTaskInput, "model_id", ["None", None, ".", "..", "a b"]),
        (EvalTaskInput, "name", ["", " ", "\n", 5, "\ud800", b"n"]),
        (EvalTaskInput, "run_continuously", ["maybe", 5, []]),
        (EvalTaskInput, "evaluators", [5, [], "j"]),
        (TemplateEvaluator, "position", [-1, 2**31, True, "first"]),
        (TemplateEvaluator, "direction", ["up", 5]),
        (TemplateEvaluator, "query_filter", ["", 5]),
        (TemplateEvaluator, "rails", ["good, bad", [], ["good"], ["a", "b", "a"], ["a", 1], ["a", " "], ...]),
        (TemplateEvaluator, "classification_choices", [{"good": "high"}, {"other": 1}, {"good": True}, 5]),
        (EvalTaskPatch, "query_filter", [" ", 5]),
        (LlmConfig, "temperature", [-1, math.inf, "warm", True]),
        (
            LlmConfig,
            "invocation_parameters",
            [{1: 2}, {"a": {"b": [math.nan]}}, {"a": {1, 2}}, {"a": "\ud800"}],
        ),
        (EvaluatorInput, "column_name", ["a/b", ""]),
        (EvaluatorInput, "name", ["n" * 256, "tone: v1"]),
    ],
)
def test_read_wrong_value_names_field(model: type[WireInput], field: str, values: list[Any]) -> None:
    for value in values:
        message = rejection(model, **{field: value})
        assert field in message or (field == "name" and "column_name" in message), (value, message)
        assert len(message) < LONGEST_MESSAGE


def test_read_nested_value_names_its_place() -> None:
    wrong = {**TEMPLATE, "name": "k", "rails": ["one"]}
    assert rejection(EvalTaskInput, template_evaluators=[TEMPLATE, wrong]).startswith(
        "template_evaluators[1].rails "
    )
    assert rejection(EvalTaskInput, template_evaluators=[{**TEMPLATE, "rails": ["a", 1]}]).startswith(
        "template_evaluators[0].rails[1] "
    )
    assert rejection(EvalTaskInput, llm_config={}).startswith("llm_config ")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-10-09T00:00:00Z", "2024-10-08T00:00:00Z"),
        ("2024-10-08", "2024-10-08T00:00Z"),
        ("2024-10-08", "2999-10-08"),
        ("yesterday", "2024-10-08"),
        ("2024-10-08", "2024-13-08"),
        ("2024-10-08", "None"),
        ("2024-10-08", ""),
        (1728345701, "2024-10-09"),
        (date(2024, 10, 8), "2024-10-09"),
        ("0001-01-01T00:00:00+14:00", "2024-10-09"),
        (..., None),
    ],
)
def test_run_input_wrong_window_is_rejected(start: Any, end: Any) -> None:
    rejection(RunInput, data_start_time=start, data_end_time=end)


def test_message_is_bounded() -> None:
    wrong = {"position": -1, "direction": "up", "rails": [], "include_explanations": 5, "name": 1}
    message = rejection(TemplateEvaluator, **wrong)
    assert [field for field in wrong if field in message] == ["position", "rails", "name"]
    assert message.endswith("2.")
    assert len(rejection(EvalTaskInput, **{"a" * 900: 1})) < LONGEST_MESSAGE


def test_numbers_at_their_limits_are_accepted() -> None:
    assert RunInput.read(RUN | {"max_spans": 2**31 - 1}).max_spans == 2**31 - 1
    assert RunInput.read(RUN | {"max_spans": "1"}).max_spans == 1
    largest = {"seed": 2**63 - 1}
    assert LlmConfig(model_name="m", invocation_parameters=largest).invocation_parameters == largest


@pytest.mark.parametrize(
    ("model", "key", "nearest"),
    [
        (EvalTaskInput, "sampling_rates", "sampling_rate"),
        (EvalTaskInput, "samplingrate", "sampling_rate"),
        (EvalTaskInput, "queryfilter", "query_filter"),
        (TemplateEvaluator, "rail", "rails"),
        (LlmConfig, "model", "model_name"),
        (LlmConfig, "modelNames", "modelName"),
        (RunInput, "start", "data_start_time"),
        (HubEvaluator, "zzz", "column_mappings"),
        (RunInput, 5, "data_end_time"),
    ],
)
def test_key_unknown_rejected_with_nearest_name(model: type[WireInput], key: Any, nearest: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        model.read({**VALID[model], key: "x"})
    assert repr(key) in str(caught.value)
    assert nearest in str(caught.value)


def test_unknown_key_in_nested_dict_is_named_with_its_place() -> None:
    message = rejection(EvalTaskInput, template_evaluators=[{**TEMPLATE, "labels": ["a", "b"]}])
    assert message.startswith("template_evaluators[0] ")
    assert "'labels'" in message


def test_field_in_both_spellings_is_rejected() -> None:
    assert "model_id" in rejection(EvalTaskInput, modelId="x")


@pytest.mark.parametrize("text", [".", "..", " ... ", "", "None"])
def test_read_id_wrong_text_is_rejected(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^run_id "):
        read_id(text, "run_id")


def test_patch_without_a_change_is_rejected() -> None:
    rejection(EvalTaskPatch, name=...)


def test_patch_required_field_set_to_none_is_rejected() -> None:
    for name in ("name", "sampling_rate", "run_continuously", "template_evaluators", "llm_config"):
        assert name in rejection(EvalTaskPatch, **{name: None})
    for name in ("query_filter", "query_filters"):
        assert EvalTaskPatch.read({**PATCH, name: None}).to_rest()[name] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"template_evaluators": ...},
        {"template_evaluators": []},
        {"evaluators": [HUB]},
        {"template_evaluators": [TEMPLATE, TEMPLATE]},
        {"code_evaluators": [{"name": "j"}]},
        {"template_evaluators": ..., "evaluators": [HUB, HUB]},
        {**NO_INLINE, "evaluators": [HUB], "query_filters": {"filters": TWO_FILTERS}},
        {
            **NO_INLINE,
            "evaluators": [HUB],
            "query_filters": {"filters": [TWO_FILTERS[0]] * 2, "expression": "A"},
        },
        {"query_filters": {"filters": TWO_FILTERS[:1]}},
        {
            **NO_INLINE,
            "evaluators": [HUB],
            "query_filter": "x = 1",
            "query_filters": {"filters": TWO_FILTERS[:1]},
        },
        {
            **NO_INLINE,
            "evaluators": [
                {**HUB, "query_mappings": [{"variable_name": "v", "query_ids": ["B"], "attribute_path": "a"}]}
            ],
            "query_filters": {"filters": TWO_FILTERS[:1]},
        },
        {
            "template_evaluators": ...,
            "evaluators": [{**HUB, "column_mappings": {"a": "b"}}],
        },
    ],
)
def test_create_fields_that_do_not_fit_together_are_rejected(changes: dict[str, Any]) -> None:
    rejection(EvalTaskInput, **changes)


MAPPED: dict[str, Any] = {"variable_name": "v", "query_ids": ["A"], "attribute_path": "a"}
OTHER_QUERY = {**MAPPED, "query_ids": ["B"]}
FOR_TRACES: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjE6YQ==", "query_mappings": [MAPPED]}
FOR_SPANS: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjI6Yg==", "column_mappings": {"v": "a"}}
FILTER_A: dict[str, Any] = {"filters": TWO_FILTERS[:1]}


@pytest.mark.parametrize(
    ("valid", "wrong"),
    [
        # The kind of the evaluators and the kind of the filter.
        (
            {"evaluators": [FOR_TRACES], "query_filters": FILTER_A},
            {"query_filter": "x", "query_filters": ...},
        ),
        (
            {"evaluators": [FOR_SPANS], "query_filter": "x"},
            {"query_filter": ..., "query_filters": FILTER_A},
        ),
        (
            {"evaluators": [HUB, FOR_TRACES], "query_filters": FILTER_A},
            {"evaluators": [FOR_SPANS, FOR_TRACES]},
        ),
        (
            {"evaluators": [{**HUB, "query_filter": "x"}]},
            {"evaluators": [{**FOR_TRACES, "query_filter": "x"}], "query_filters": FILTER_A},
        ),
        # Each mapping of each evaluator names a filter of the task.
        (
            {"evaluators": [FOR_TRACES], "query_filters": FILTER_A},
            {"evaluators": [{**FOR_TRACES, "query_mappings": [MAPPED, OTHER_QUERY]}]},
        ),
        (
            {"evaluators": [FOR_TRACES, {**HUB, "query_mappings": [MAPPED]}], "query_filters": FILTER_A},
            {"evaluators": [FOR_TRACES, {**HUB, "query_mappings": [OTHER_QUERY]}]},
        ),
        (
            {"evaluators": [FOR_TRACES], "query_filters": {"filters": TWO_FILTERS, "expression": "A OR B"}},
            {"query_filters": {"filters": TWO_FILTERS}},
        ),
    ],
)
@pytest.mark.parametrize("model", [EvalTaskInput, EvalTaskPatch])
def test_hub_fields_that_do_not_fit_together_are_rejected(
    model: type[WireInput], valid: dict[str, Any], wrong: dict[str, Any]
) -> None:
    base = VALID[model] | NO_INLINE
    model.read({name: value for name, value in (base | valid).items() if value is not ...})
    rejection(model, **(base | valid | wrong))


def test_mapping_without_query_filters_rejected_except_in_patch() -> None:
    rejection(EvalTaskInput, **NO_INLINE, evaluators=[FOR_TRACES])
    EvalTaskPatch.read({**PATCH, "evaluators": [FOR_TRACES]})
    rejection(EvalTaskPatch, evaluators=[FOR_TRACES], query_filters=None)
    rejection(EvalTaskPatch, evaluators=[FOR_TRACES, FOR_SPANS])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({**NO_INLINE, "evaluators": [HUB, HUB]}, "evaluators"),
        ({"template_evaluators": [{**TEMPLATE, "rails": "good, bad"}]}, "template_evaluators[0].rails"),
        (
            {"template_evaluators": [{**TEMPLATE, "classification_choices": {"fair": 1}}]},
            "template_evaluators[0].classification_choices",
        ),
        ({"template_evaluators": [{**TEMPLATE, "rail": "good"}]}, "template_evaluators[0]"),
        ({"llm_config": {"provider": "openAI"}}, "llm_config"),
        ({"query_filters": {"filters": TWO_FILTERS}}, "query_filters"),
    ],
)
def test_rejection_names_field_as_written(changes: dict[str, Any], place: str) -> None:
    assert rejection(EvalTaskInput, **changes).split()[0] == place


def test_rejection_of_jinja_names_field_as_written() -> None:
    jinja = "{{ ds }} {output}"
    values = {**TASK, "template_evaluators": [{**TEMPLATE, "template": jinja}]}
    with pytest.raises(InvalidInput, match=r"^template_evaluators\[0\]\.template "):
        EvalTaskInput.check_literals(values)
    with pytest.raises(InvalidInput, match=r"^template "):
        EvaluatorInput.check_literals({"name": "n", "template": jinja})


@pytest.mark.parametrize(
    "inline",
    [
        {"llm_config": {"model_name": "m"}},
        {"code_evaluators": {"name": "c"}},
        {"template_evaluators": TEMPLATE},
    ],
)
@pytest.mark.parametrize("hub", [{"evaluators": [HUB]}, {"query_filters": None}])
def test_patch_of_inline_and_hub_fields_is_rejected(inline: dict[str, Any], hub: dict[str, Any]) -> None:
    EvalTaskPatch.read(PATCH | inline)
    EvalTaskPatch.read(PATCH | hub)
    rejection(EvalTaskPatch, **inline, **hub)


@pytest.mark.parametrize(
    "field",
    [
        {"column_mappings": {"v": "a"}},
        {"evaluator_version_id": "VmVyc2lvbjox"},
        {"query_filter": "x = 1"},
        {"query_mappings": [MAPPED]},
    ],
)
def test_second_evaluator_with_a_field_that_only_rest_has_needs_rest(field: dict[str, Any]) -> None:
    other = {"evaluator_id": "RXZhbHVhdG9yOjE6YQ=="}
    task = {**TASK, "template_evaluators": None, "llm_config": None}
    assert not EvalTaskInput.read(task | {"evaluators": [other, HUB]}).needs_rest

    filters = FILTER_A if "query_mappings" in field else None
    found = EvalTaskInput.read(task | {"evaluators": [other, HUB | field], "query_filters": filters})

    assert found.needs_rest
    assert [each.needs_rest for each in found.evaluators or ()] == [False, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"code": ...},
        {"template": "t"},
        {"direction": "minimize"},
        {"variables": []},
        {"variables": ...},
        {"code": ..., "variables": ..., "template": "{output}", "classification_choices": {"a": 1}},
        {
            "code": ...,
            "variables": ...,
            "template": "{output}",
            "llm_config": {"integration_id": "I", "model_name": "m"},
        },
    ],
)
def test_evaluator_fields_that_do_not_fit_together_are_rejected(changes: dict[str, Any]) -> None:
    rejection(EvaluatorInput, **changes)


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_input_is_frozen(model: type[WireInput]) -> None:
    value = model.read(VALID[model])
    for name in type(value).model_fields:
        with pytest.raises(ValidationError):
            setattr(value, name, getattr(value, name))


def test_every_input_is_frozen_and_forbids_unknown_keys() -> None:
    def below(model: type[WireInput]) -> set[type[WireInput]]:
        return {model}.union(*(below(child) for child in model.__subclasses__()))

    assert [model for model in below(WireInput) if not model.model_config.get("frozen")] == []
    assert [model for model in below(WireInput) if model.model_config.get("extra") != "forbid"] == []


def test_constructor_rejects_as_read_does() -> None:
    with pytest.raises(InvalidInput) as caught:
        TemplateEvaluator(name="j", template="t", rails=["one"])
    assert str(caught.value) == rejection(TemplateEvaluator, rails=["one"])
    with pytest.raises(InvalidInput, match="'rail'"):
        TemplateEvaluator(**TEMPLATE, rail=[])
    with pytest.raises(InvalidInput, match="model_id"):
        EvalTaskInput(name="n")  # type: ignore[call-arg]


def test_error_hides_the_library() -> None:
    with pytest.raises(InvalidInput) as caught:
        EvalTaskInput.read({**TASK, "template_evaluators": [{**TEMPLATE, "rails": "x" * 100_000}]})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert len(str(caught.value)) < LONGEST_MESSAGE


def test_invalid_input_is_not_retried() -> None:
    assert issubclass(InvalidInput, AirflowFailException)
    assert issubclass(InvalidInput, OnlineTasksError)
    assert issubclass(InvalidInput, ValueError)


# When the DAG is parsed


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_check_literals_missing_field_rejected_unless_found_later(model: type[WireInput]) -> None:
    model.check_literals("{{ params.all }}")
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required:
        with pytest.raises(InvalidInput, match=required[0]):
            model.check_literals({})
        model.check_literals({}, later=required)


@pytest.mark.parametrize("field", ["template_evaluators", "code_evaluators", "evaluators"])
def test_check_literals_next_to_template_checked(field: str) -> None:
    literal = {"template_evaluators": TEMPLATE, "code_evaluators": {"name": "c"}, "evaluators": HUB}[field]
    task = {"name": "n", "model_id": TASK["model_id"], field: ["{{ params.one }}", literal]}
    EvalTaskInput.check_literals(task)
    with pytest.raises(InvalidInput, match=rf"{field}\[1\]"):
        EvalTaskInput.check_literals(task | {field: ["{{ params.one }}", literal | {"nmae": 1}]})


def test_check_literals_checks_rules_only_if_all_fields_are_literal() -> None:
    both = {**TASK, "evaluators": [HUB]}
    with pytest.raises(InvalidInput):
        EvalTaskInput.check_literals(both)
    EvalTaskInput.check_literals({**both, "name": "{{ params.name }}"})
    QueryFilters.check_literals({"filters": "{{ params.filters }}"})
    QueryFilters.check_literals({"filters": [{"id": "{{ params.id }}", "filter": "x = 1"}]})


def test_check_literals_unfinished_window_accepted_and_read_rejects() -> None:
    window = {"data_start_time": "2999-01-01", "data_end_time": "2999-01-02"}
    RunInput.check_literals(RUN | window)
    rejection(RunInput, **window)
    reversed_window = {"data_start_time": "2999-01-02", "data_end_time": "2999-01-01"}
    with pytest.raises(InvalidInput):
        RunInput.check_literals(RUN | reversed_window)


def test_check_literals_code_with_jinja_rejected_unless_jinja_set() -> None:
    evaluator = VALID[EvaluatorInput] | {"code": "class N: x = '{{ ds }}'"}
    with pytest.raises(InvalidInput):
        EvaluatorInput.check_literals(evaluator)
    EvaluatorInput.check_literals(evaluator | {"jinja": True})


@pytest.mark.parametrize("field", ["eval_class_code_block", "evalClassCodeBlock", "package_imports"])
def test_check_literals_code_of_task_with_jinja_rejected_unless_jinja_set(field: str) -> None:
    jinja = 'class N: x = f"{{ds}}"'
    with pytest.raises(InvalidInput, match=r"^code_evaluators\[0\]\.(eval_c|package_i)"):
        EvalTaskInput.check_literals({**TASK, "code_evaluators": [{"name": "c", field: jinja}]})
    for allowed in ({field: jinja, "jinja": True}, {field: f"{{% raw %}}{jinja}{{% endraw %}}"}):
        CodeEvaluator.check_literals({"name": "c", **allowed})


def test_check_literals_imports_with_jinja_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"^imports "):
        EvaluatorInput.check_literals(VALID[EvaluatorInput] | {"code": "class N: ...", "imports": "{{ ds }}"})


def test_check_literals_template_as_a_key_is_rejected() -> None:
    scores = {"classification_choices": {"{{ params.label }}": 1}}
    with pytest.raises(InvalidInput, match="classification_choices"):
        TemplateEvaluator.check_literals(TEMPLATE | scores)
    with pytest.raises(InvalidInput, match="invocation_parameters"):
        LlmConfig.check_literals({"model_name": "m", "invocation_parameters": {"{{ params.key }}": 1}})


# Any value

garbage = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(), max_size=20),
        st.binary(max_size=5),
        st.datetimes(),
        st.dates(),
        st.timedeltas(),
        st.decimals(),
        st.complex_numbers(),
        st.sampled_from(["", " ", "None", "nan", "1e999", "{{ x }}", "\x00", "true", 10**400, object, ...]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "template", "rails", "evaluator_id", "model_name", "position"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)


def check_length(error: Exception) -> None:
    assert len(str(error)) < LONGEST_MESSAGE


def read_or_reject(model: type[WireInput], name: str, value: Any) -> None:
    """Check that a value is rejected, or that it can be sent and read back."""
    try:
        accepted = model.read({**VALID[model], name: value})
    except InvalidInput as error:
        check_length(error)
        return
    wire = accepted.to_wire()
    json.dumps(wire, allow_nan=False)
    if "jinja" not in model.model_fields or not accepted.model_dump().get("jinja"):
        assert model.read(wire).to_wire() == wire


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_is_rejected_or_can_be_sent(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(list(VALID)))
    name = data.draw(st.sampled_from(list(model.model_fields)))
    read_or_reject(model, name, data.draw(garbage))


def test_extreme_values_are_rejected_or_can_be_sent() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for value in (10**400, deep, endless, "x" * 100_000, Decimal("NaN"), object()):
        for model in VALID:
            for name in model.model_fields:
                for written in (value, [value], {"name": value}):
                    read_or_reject(model, name, written)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=garbage)
@example(data=None, value="{{")
def test_any_value_instead_of_an_input_is_read_or_rejected(data: st.DataObject | None, value: Any) -> None:
    model = RunInput if data is None else data.draw(st.sampled_from(list(VALID)))
    for read in (model.read, model.check_literals):
        try:
            read(value)
        except InvalidInput as error:
            check_length(error)
