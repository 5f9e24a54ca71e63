"""Bad input is refused before anything is sent, and the message says what, where, and what to do instead."""

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
from airflow_provider_online_tasks.inputs import (
    CodeEvaluator,
    EvalTaskInput,
    EvalTaskPatch,
    EvaluatorLlmConfig,
    HubEvaluator,
    LlmConfig,
    QueryFilters,
    RunInput,
    TemplateEvaluator,
    WireInput,
    read_id,
    read_sampling_rate,
)
from airflow_provider_online_tasks.inputs.hub import EvaluatorInput
from tests.support.random_examples import examples

LONGEST_MESSAGE = 700
JUDGE: dict[str, Any] = {"name": "j", "template": "{output}", "rails": ["good", "bad"]}
HUB: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjEyOmFCY0Q="}
TASK: dict[str, Any] = {"name": "n", "model_id": "TW9kZWw6MTIzOmFCY0Q=", "template_evaluators": [JUDGE]}
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
    TemplateEvaluator: JUDGE,
    CodeEvaluator: {"name": "c"},
    HubEvaluator: HUB,
    LlmConfig: {"model_name": "gpt-4o"},
    EvaluatorLlmConfig: {"integration_id": "I", "model_name": "gpt-4o"},
    EvaluatorInput: {"name": "n", "code": "class N: ...", "variables": ["output"]},
}


def refused(kind: type[WireInput], **changes: Any) -> str:
    """Return what is said about a valid input with these changes; UNSET fields are those left out."""
    written = {name: value for name, value in (VALID[kind] | changes).items() if value is not ...}
    with pytest.raises(InvalidInput) as caught:
        kind.read(written)
    return str(caught.value)


@pytest.mark.parametrize("rate", [0, -1, 101, math.nan, math.inf, "abc", "", True, None, 10**400, b"50"])
def test_sampling_rates_that_mean_nothing(rate: Any) -> None:
    if rate is None:
        assert "sampling_rate cannot be cleared" in refused(EvalTaskPatch, sampling_rate=rate)
        return
    for kind in (EvalTaskInput, EvalTaskPatch):
        message = refused(kind, sampling_rate=rate)
        assert message.startswith(f"{kind.__name__}.sampling_rate must be above 0 and at most 100, not ")
        assert "0.25 and 25 both mean 25 %, 1 and 100 both mean every span" in message


def test_no_evaluators() -> None:
    message = refused(EvalTaskInput, template_evaluators=...)
    assert message == (
        "EvalTaskInput has no evaluators: give template_evaluators, code_evaluators or evaluators."
    )
    assert "template_evaluators is empty: give at least one" in refused(EvalTaskInput, template_evaluators=[])
    assert "evaluators is empty" in refused(EvalTaskInput, template_evaluators=..., evaluators=[])


def test_both_inline_and_hub_evaluators() -> None:
    message = refused(EvalTaskInput, evaluators=[HUB])
    assert message == (
        "Give either template_evaluators (written in the task) or evaluators (Eval Hub IDs), not both."
    )


@pytest.mark.parametrize(
    ("rails", "said"),
    [
        (..., "EvalTaskInput.template_evaluators[0] needs rails: not given, or None."),
        (None, "EvalTaskInput.template_evaluators[0] needs rails"),
        ([], "EvalTaskInput.template_evaluators[0].rails needs at least two labels to choose from, got []."),
        (
            ["good"],
            "template_evaluators[0].rails needs at least two labels to choose from, got ['good'].",
        ),
        (
            ["good", "bad", "good"],
            "EvalTaskInput.template_evaluators[0].rails names 'good' twice; each label once.",
        ),
        (["good", " "], "EvalTaskInput.template_evaluators[0].rails[1] is empty: give some text."),
        (["good", 1], "EvalTaskInput.template_evaluators[0].rails[1] must be text, not 1."),
        ("good, bad", "EvalTaskInput.template_evaluators[0].rails must be a list, not 'good, bad'."),
    ],
)
def test_rails_that_leave_no_choice(rails: Any, said: str) -> None:
    judge = {**JUDGE, "rails": rails} if rails is not ... else {"name": "j", "template": "t"}
    message = refused(EvalTaskInput, template_evaluators=[judge])
    assert said in message
    assert message.startswith("EvalTaskInput.template_evaluators[0]")


def test_the_evaluator_that_is_wrong_is_named_by_its_place() -> None:
    second = refused(EvalTaskInput, template_evaluators=[JUDGE, {**JUDGE, "name": "k", "rails": ["one"]}])
    assert second.startswith("EvalTaskInput.template_evaluators[1].rails needs")


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_an_empty_name(name: str) -> None:
    assert refused(EvalTaskInput, name=name) == "EvalTaskInput.name is empty: give some text."
    assert refused(EvalTaskPatch, name=name) == "EvalTaskPatch.name is empty: give some text."


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (
            "2024-10-09T00:00:00Z",
            "2024-10-08T00:00:00Z",
            "The window is reversed: data_start_time 2024-10-09T00:00:00Z is after data_end_time "
            "2024-10-08T00:00:00Z.",
        ),
        (
            "2024-10-08",
            "2024-10-08T00:00Z",
            "The window is empty: it starts and ends at 2024-10-08T00:00:00Z.",
        ),
        ("2024-10-08", "2999-10-08", "The window ends in the future, at "),
        ("yesterday", "2024-10-08", "data_start_time is not a time: 'yesterday'. Give ISO 8601, such as "),
        ("2024-10-08", "2024-13-08", "data_end_time is not a time: '2024-13-08'. Give ISO 8601, such as "),
        ("2024-10-08", "None", "data_end_time is not a time: 'None'. Give ISO 8601, such as "),
        ("2024-10-08", "", "data_end_time is not a time: ''. Give ISO 8601, such as "),
        (1728345701, "2024-10-09", "data_start_time is not a time: 1728345701. Give a datetime or ISO 8601"),
        (date(2024, 10, 8), "2024-10-09", "data_start_time is not a time: datetime.date(2024, 10, 8)."),
        ("0001-01-01T00:00:00+14:00", "2024-10-09", "data_start_time is out of range"),
    ],
)
def test_windows_that_are_none(start: Any, end: Any, said: str) -> None:
    assert said in refused(RunInput, data_start_time=start, data_end_time=end)


def test_a_window_that_is_not_given() -> None:
    message = refused(RunInput, data_start_time=..., data_end_time=None)
    assert message == "RunInput needs data_start_time, data_end_time: not given, or None."


def test_a_message_is_cut() -> None:
    with pytest.raises(InvalidInput) as caught:
        HubEvaluator.read({}, "a" * 900)
    assert str(caught.value) == "a" * 500 + "…"


@pytest.mark.parametrize("length", [499, 500])
def test_a_message_that_fits_is_whole(length: int) -> None:
    said = refused(HubEvaluator, evaluator_id=...).removeprefix("HubEvaluator")
    with pytest.raises(InvalidInput) as caught:
        HubEvaluator.read({}, "a" * (length - len(said)))
    assert str(caught.value) == "a" * (length - len(said)) + said


@pytest.mark.parametrize("rate", [0, -1, 101, "abc", None, True])
def test_a_sampling_rate_alone_is_refused_too(rate: Any) -> None:
    with pytest.raises(InvalidInput, match="sampling_rate must be above 0 and at most 100"):
        read_sampling_rate(rate)


def test_the_largest_whole_numbers() -> None:
    most = 2**31 - 1
    assert RunInput.read(RUN | {"max_spans": most}).max_spans == most
    largest = {"seed": 2**63 - 1}
    assert LlmConfig(model_name="m", invocation_parameters=largest).invocation_parameters == largest
    for beyond in (2**63, 2**64 - 1):
        assert "cannot be written as JSON" in refused(LlmConfig, invocation_parameters={"seed": beyond})


@pytest.mark.parametrize("spans", [0, -1, 1.5, "many", math.nan, 2**31, True, []])
def test_a_cap_that_lets_no_span_through(spans: Any) -> None:
    message = refused(RunInput, max_spans=spans)
    assert message.startswith("RunInput.max_spans must be a whole number from 1 on, not ")


@pytest.mark.parametrize(
    ("kind", "key", "said"),
    [
        (
            EvalTaskInput,
            "sampling_rates",
            "EvalTaskInput has no field 'sampling_rates'. Did you mean 'sampling_rate'?",
        ),
        (EvalTaskInput, "samplingrate", "Did you mean 'sampling_rate'?"),
        (EvalTaskInput, "queryfilter", "Did you mean 'query_filter'?"),
        (TemplateEvaluator, "rail", "TemplateEvaluator has no field 'rail'. Did you mean 'rails'?"),
        (LlmConfig, "model", "LlmConfig has no field 'model'. Did you mean 'modelName'?"),
        (RunInput, "start", "RunInput has no field 'start'. Did you mean 'data_start_time'?"),
        (HubEvaluator, "zzz", "HubEvaluator has no field 'zzz'. Known: column_mappings, evaluator_id, "),
        (RunInput, 5, "RunInput has no field 5. Known: data_end_time, "),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    kind: type[WireInput], key: Any, said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind.read({**VALID[kind], key: "x"})
    assert said in str(caught.value)


def test_an_unknown_key_in_a_nested_dict_is_named_with_its_place() -> None:
    message = refused(EvalTaskInput, template_evaluators=[{**JUDGE, "labels": ["a", "b"]}])
    assert message.startswith("EvalTaskInput.template_evaluators[0] has no field 'labels'.")


def test_a_field_that_is_given_in_both_spellings() -> None:
    assert refused(EvalTaskInput, modelId="x") == "EvalTaskInput has model_id twice, as 'modelId' too."


@pytest.mark.parametrize("text", ["", "  ", "None", "none", "null", "undefined", " None\n"])
def test_an_id_that_a_missing_xcom_rendered_to(text: str) -> None:
    for kind, name in (
        (RunInput, "online_task_id"),
        (EvalTaskPatch, "online_task_id"),
        (EvalTaskInput, "model_id"),
    ):
        message = refused(kind, **{name: text})
        assert message.startswith(f"{kind.__name__}.{name} is {text!r}: the XCom or variable it comes from ")
        assert message.endswith("holds nothing. Check the upstream task's ID and that it ran.")


def test_an_id_that_is_nothing_at_all() -> None:
    assert refused(RunInput, online_task_id=None) == "RunInput needs online_task_id: not given, or None."
    assert refused(EvalTaskPatch, online_task_id=None) == (
        "EvalTaskPatch needs online_task_id: not given, or None."
    )


@pytest.mark.parametrize("text", [".", "..", " ... "])
def test_an_id_that_would_climb_the_path_of_an_address(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"run_id is .* which is not an ID"):
        read_id(text, "run_id")


def test_a_patch_that_changes_nothing() -> None:
    assert refused(EvalTaskPatch, name=...) == (
        "Nothing to change: give at least one field besides online_task_id."
    )


@pytest.mark.parametrize(
    "name",
    ["name", "sampling_rate", "run_continuously", "template_evaluators", "code_evaluators", "llm_config"],
)
def test_what_a_patch_cannot_clear(name: str) -> None:
    assert refused(EvalTaskPatch, **{name: None}) == (
        f"EvalTaskPatch.{name} cannot be cleared: leave it out to keep it as it is, or give the new value."
    )


def test_two_evaluators_of_one_name() -> None:
    for changes in ({"template_evaluators": [JUDGE, JUDGE]}, {"code_evaluators": [{"name": "j"}]}):
        assert "two evaluators named 'j', whose labels would mix" in refused(EvalTaskInput, **changes)


def test_numbers_beyond_all_measure() -> None:
    huge = 10**5000  # too long for Python to write
    assert "sampling_rate must be above 0 and at most 100" in refused(EvalTaskPatch, sampling_rate=huge)
    assert "max_spans must be a whole number" in refused(RunInput, max_spans=huge)
    assert "cannot be written as JSON" in refused(LlmConfig, invocation_parameters={"seed": huge})


def test_json_may_be_twenty_objects_deep() -> None:
    value: dict[str, Any] = {}
    for _ in range(20):
        value = {"a": value}
    assert LlmConfig(model_name="m", invocation_parameters=value).invocation_parameters == value
    assert "cannot be written as JSON" in refused(LlmConfig, invocation_parameters={"a": value})
    listed: list[Any] = []
    for _ in range(19):
        listed = [listed]
    assert LlmConfig(model_name="m", invocation_parameters={"a": listed}).to_wire()
    assert "cannot be written as JSON" in refused(LlmConfig, invocation_parameters={"a": [listed]})


def test_the_first_of_several_evaluators_that_are_named_twice_is_said() -> None:
    hub = [{"evaluator_id": name} for name in ("b", "a", "b", "a")]
    assert "evaluators names 'a' twice" in refused(EvalTaskInput, template_evaluators=..., evaluators=hub)


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_an_input_does_not_change(kind: type[WireInput]) -> None:
    value = kind.read(VALID[kind])
    for name in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, getattr(value, name))


def test_what_every_input_has_in_common() -> None:
    def below(kind: type[WireInput]) -> set[type[WireInput]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    assert [kind for kind in below(WireInput) if not kind.model_config.get("frozen")] == []
    assert [kind for kind in below(WireInput) if kind.model_config.get("extra") != "forbid"] == []


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_what_is_still_to_come_is_missed_unless_it_may_come_later(kind: type[WireInput]) -> None:
    if any(field.is_required() for field in kind.model_fields.values()):
        with pytest.raises(InvalidInput, match=r"needs .*: not given, or None"):
            kind.check_literals({})


TWO_FILTERS: list[dict[str, Any]] = [{"id": "A", "filter": "x = 1"}, {"id": "B", "filter": "x = 2"}]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"filters": TWO_FILTERS}, "needs an expression, such as 'A AND B', for two or more filters"),
        ({"filters": [TWO_FILTERS[0]] * 2, "expression": "A"}, "filters names 'A' twice; each ID once"),
    ],
)
def test_filters_that_do_not_say_how_they_combine(filters: dict[str, Any], said: str) -> None:
    assert said in refused(EvalTaskInput, template_evaluators=..., evaluators=[HUB], query_filters=filters)
    with pytest.raises(InvalidInput, match="filters"):
        QueryFilters.check_literals(filters)
    QueryFilters.check_literals({"filters": TWO_FILTERS, "expression": "A OR B"})
    QueryFilters.check_literals({"filters": "{{ params.filters }}"})


def test_the_first_of_several_queries_that_are_not_declared_is_said() -> None:
    mappings = [{"variable_name": "v", "query_ids": ["C", "B"], "attribute_path": "name"}]
    hub = [{**HUB, "query_mappings": mappings}]
    assert "to the query B, which" in refused(
        EvalTaskInput,
        template_evaluators=...,
        evaluators=hub,
        query_filters={"filters": TWO_FILTERS[:1]},
    )


def test_a_score_for_a_label_that_is_none() -> None:
    judge = {**JUDGE, "classification_choices": {"good": 1, "gud": 0}}
    assert "classification_choices scores ['gud'], which rails ['good', 'bad'] does not have" in refused(
        EvalTaskInput, template_evaluators=judge
    )


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (
            TemplateEvaluator,
            {"direction": "up"},
            "direction must be one of 'maximize', 'minimize' or 'none', not 'up'.",
        ),
        (TemplateEvaluator, {"position": -1}, "position must be a whole number from 0 on, not -1."),
        (TemplateEvaluator, {"query_filter": ""}, "query_filter is empty. Leave it out"),
        (EvalTaskPatch, {"query_filter": " "}, "query_filter is empty. Leave it out (or give None to clear"),
        (
            EvalTaskInput,
            {"run_continuously": "maybe"},
            "run_continuously must be true or false, not 'maybe'.",
        ),
        (LlmConfig, {"model_name": ...}, "LlmConfig needs model_name or integration_id."),
        (LlmConfig, {"temperature": -1}, "LlmConfig.temperature must be a number, 0 or more, not -1."),
        (LlmConfig, {"invocation_parameters": {1: 2}}, "invocation_parameters must be a dict with text keys"),
        (
            LlmConfig,
            {"invocation_parameters": {"a": {"b": [math.nan]}}},
            "holds nan, which cannot be written",
        ),
        (LlmConfig, {"provider_parameters": {"a": {1, 2}}}, "holds {1, 2}, which cannot be written as JSON"),
        (EvalTaskInput, {"name": "\ud800"}, "name holds half a character, which cannot be sent"),
        (EvalTaskInput, {"template_evaluators": ["j"]}, "must be a dict or TemplateEvaluator, not 'j'."),
        (EvalTaskInput, {"evaluators": 5, "template_evaluators": ...}, "evaluators must be a list, not 5."),
    ],
)
def test_other_values_that_the_api_would_refuse(kind: type[WireInput], changes: Any, said: str) -> None:
    assert said in refused(kind, **changes)


def test_all_that_is_wrong_is_said_at_once_and_a_long_list_is_cut() -> None:
    message = refused(EvalTaskInput, name="", sampling_rate=0)
    assert "EvalTaskInput.name is empty: give some text." in message
    assert "EvalTaskInput.sampling_rate must be above 0" in message
    judge = {**JUDGE, "position": -1, "direction": "up", "rails": [], "include_explanations": 5, "name": 1}
    assert refused(TemplateEvaluator, **judge).endswith("There are 2 more problems.")
    worse = judge | {"template": 7, "use_function_calling_if_available": 5}
    assert refused(TemplateEvaluator, **worse).endswith("There are 4 more problems.")


def test_a_class_refuses_as_a_dict_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        TemplateEvaluator(name="j", template="t", rails=["one"])
    assert str(caught.value) == refused(TemplateEvaluator, rails=["one"])
    with pytest.raises(InvalidInput, match=r"^TemplateEvaluator has no field 'rail'\. Did you mean 'rails'"):
        TemplateEvaluator(**JUDGE, rail=[])
    with pytest.raises(InvalidInput, match=r"^EvalTaskInput needs model_id: not given, or None\."):
        EvalTaskInput(name="n")  # type: ignore[call-arg]


def test_no_error_of_the_library_underneath_gets_out() -> None:
    with pytest.raises(InvalidInput) as caught:
        EvalTaskInput.read({**TASK, "template_evaluators": [{**JUDGE, "rails": "x" * 100_000}]})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert len(str(caught.value)) < LONGEST_MESSAGE


def test_a_refusal_is_not_retried_and_can_be_caught_as_any_error_of_the_provider() -> None:
    assert issubclass(InvalidInput, AirflowFailException)
    assert issubclass(InvalidInput, OnlineTasksError)
    assert issubclass(InvalidInput, ValueError)


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
            st.sampled_from(
                ["name", "template", "rails", "evaluator_id", "model_name", "position", "modelName"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)


def check_length(error: Exception) -> None:
    assert len(str(error)) < LONGEST_MESSAGE


def read_or_refuse(kind: type[WireInput], name: str, value: Any) -> None:
    try:
        accepted = kind.read({**VALID[kind], name: value})
    except InvalidInput as error:
        check_length(error)
        return
    wire = accepted.to_wire()
    json.dumps(wire, allow_nan=False)
    assert kind.read(wire).to_wire() == wire


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_field_takes_a_value_that_can_be_sent_or_refuses_it(
    kind: type[WireInput], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(list(kind.model_fields)))
    read_or_refuse(kind, name, data.draw(garbage))


def too_deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(500):
        found = [found]
    return found


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "value", [10**400, too_deep(), endless(), "x" * 100_000, Decimal("NaN"), object()], ids=range(6)
)
def test_every_field_survives_extremes(kind: type[WireInput], value: Any) -> None:
    for name in kind.model_fields:
        read_or_refuse(kind, name, value)
        read_or_refuse(kind, name, [value])
        read_or_refuse(kind, name, {"name": value})


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_an_input_that_is_only_known_later_is_not_checked(kind: type[WireInput]) -> None:
    kind.check_literals("{{ params.whole }}")


@pytest.mark.parametrize("field", ["template_evaluators", "code_evaluators", "evaluators"])
def test_evaluators_that_are_only_known_later_stand_beside_literal_ones(field: str) -> None:
    literal = {"template_evaluators": JUDGE, "code_evaluators": {"name": "c"}, "evaluators": HUB}[field]
    task = {"name": "n", "model_id": TASK["model_id"], field: ["{{ params.one }}", literal]}
    EvalTaskInput.check_literals(task)
    with pytest.raises(InvalidInput, match=rf"{field}\[1\]"):
        EvalTaskInput.check_literals(task | {field: ["{{ params.one }}", literal | {"nmae": 1}]})


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(50), deadline=None)
@given(value=garbage)
@example(value="{{")
def test_a_value_in_place_of_the_whole_input_is_read_or_refused(kind: type[WireInput], value: Any) -> None:
    for read in (kind.read, kind.check_literals):
        try:
            read(value)
        except InvalidInput as error:
            check_length(error)
