"""The documented wire format, taken from the API's documentation and not from the code under test.

Each strategy draws a pair: a dict of a DAG author, and the JSON object that must be sent for it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Pair = tuple[dict[str, Any], dict[str, Any]]

# The fields in the spelling of the API's documentation.
TASK_FIELDS = {
    "name": "name",
    "model_id": "modelId",
    "online_task_id": "onlineTaskId",
    "sampling_rate": "samplingRate",
    "query_filter": "queryFilter",
    "run_continuously": "runContinuously",
    "template_evaluators": "templateEvaluators",
    "code_evaluators": "codeEvaluators",
    "evaluators": "evaluators",
    "llm_config": "llmConfig",
}
TEMPLATE_FIELDS = {
    "name": "name",
    "template": "template",
    "position": "position",
    "include_explanations": "includeExplanations",
    "use_function_calling_if_available": "useFunctionCallingIfAvailable",
    "rails": "rails",
    "query_filter": "queryFilter",
    "classification_choices": "classificationChoices",
    "direction": "direction",
    "data_granularity_type": "dataGranularityType",
    "llm_config": "llmConfig",
}
CODE_FIELDS = {
    "name": "name",
    "position": "position",
    "eval_class_code_block": "evalClassCodeBlock",
    "evaluation_class": "evaluationClass",
    "evaluation_input_params": "evaluationInputParams",
    "package_imports": "packageImports",
    "query_filter": "queryFilter",
    "span_attributes": "spanAttributes",
    "data_granularity_type": "dataGranularityType",
}
HUB_FIELDS = {"evaluator_id": "evaluatorId", "position": "position"}
LLM_FIELDS = {
    "model_name": "modelName",
    "provider": "provider",
    "temperature": "temperature",
    "integration_id": "integrationId",
    "invocation_parameters": "invocationParameters",
    "provider_parameters": "providerParameters",
}
RUN_FIELDS = {
    "online_task_id": "onlineTaskId",
    "data_start_time": "dataStartTime",
    "data_end_time": "dataEndTime",
    "max_spans": "maxSpans",
    "override_evaluations": "overrideEvaluations",
}
NESTED = {
    "templateEvaluators": TEMPLATE_FIELDS,
    "codeEvaluators": CODE_FIELDS,
    "evaluators": HUB_FIELDS,
    "llmConfig": LLM_FIELDS,
}


def in_camel_case(given: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """Return the dict with the API's spelling of every field."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        inner = NESTED.get(fields[name])
        if inner and isinstance(value, dict):
            found[fields[name]] = in_camel_case(value, inner)
        elif inner and isinstance(value, list):
            found[fields[name]] = [in_camel_case(item, inner) for item in value]
        else:
            found[fields[name]] = value
    return found


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30).filter(str.strip)
ids = st.from_regex(r"[A-Za-z0-9+/]{1,30}={0,2}", fullmatch=True).filter(
    lambda text: text.lower() not in ("none", "null", "undefined")
)
positions = st.integers(0, 2**31 - 1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
granularities = st.sampled_from(["span", "trace", "session"])


def _same(pairs: dict[str, str], given: dict[str, Any]) -> Pair:
    return given, {pairs[name]: value for name, value in given.items()}


@st.composite
def llm_configs(draw: st.DrawFn) -> Pair:
    given = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "model_name": texts,
                "integration_id": ids,
                "provider": texts,
                "temperature": st.floats(0, 2),
                "invocation_parameters": json_objects,
                "provider_parameters": json_objects,
            },
        ).filter(lambda found: "model_name" in found or "integration_id" in found)
    )
    return _same(LLM_FIELDS, given)


EVALUATOR_LLM_FIELDS = {
    name: LLM_FIELDS[name]
    for name in ("integration_id", "model_name", "invocation_parameters", "provider_parameters")
}


@st.composite
def evaluator_llm_configs(draw: st.DrawFn) -> Pair:
    given, wire = _same(
        EVALUATOR_LLM_FIELDS,
        draw(
            st.fixed_dictionaries(
                {"integration_id": ids, "model_name": texts},
                optional={"invocation_parameters": json_objects, "provider_parameters": json_objects},
            )
        ),
    )
    return given, {"invocationParameters": {}, "providerParameters": {}, **wire}


@st.composite
def template_evaluators(draw: st.DrawFn) -> Pair:
    rails = draw(st.lists(texts, min_size=2, max_size=4, unique=True))
    given = draw(
        st.fixed_dictionaries(
            {"name": texts, "template": texts, "rails": st.just(rails)},
            optional={
                "position": positions,
                "include_explanations": st.booleans(),
                "use_function_calling_if_available": st.booleans(),
                "query_filter": texts,
                "classification_choices": st.dictionaries(st.sampled_from(rails), st.floats(-1, 1)),
                "direction": st.sampled_from(["maximize", "minimize", "none"]),
                "data_granularity_type": granularities,
            },
        )
    )
    given, wire = _same(TEMPLATE_FIELDS, given)
    if draw(st.booleans()):
        given["llm_config"], wire["llmConfig"] = draw(evaluator_llm_configs())
    return given, {"includeExplanations": False, "useFunctionCallingIfAvailable": False, **wire}


@st.composite
def code_evaluators(draw: st.DrawFn) -> Pair:
    given = draw(
        st.fixed_dictionaries(
            {"name": texts},
            optional={
                "position": positions,
                "eval_class_code_block": texts,
                "evaluation_class": texts,
                "evaluation_input_params": json_objects,
                "package_imports": texts,
                "query_filter": texts,
                "span_attributes": st.lists(texts, max_size=3),
                "data_granularity_type": granularities,
            },
        )
    )
    return _same(CODE_FIELDS, given)


@st.composite
def hub_evaluators(draw: st.DrawFn) -> Pair:
    given = draw(st.fixed_dictionaries({"evaluator_id": ids}, optional={"position": positions}))
    return _same(HUB_FIELDS, given)


def _numbered(pairs: list[Pair], first: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    wires = [{"position": place, **wire} for place, (_, wire) in enumerate(pairs, first)]
    return [given for given, _ in pairs], wires


@st.composite
def sampling_rates(draw: st.DrawFn) -> tuple[Any, float]:
    """Draw a rate in a user's form, and its fraction."""
    rate = draw(st.floats(0, 1, exclude_min=True) | st.floats(1, 100, exclude_min=True) | st.integers(1, 100))
    written = draw(st.sampled_from([rate, repr(rate)]))
    return written, rate if rate <= 1 else rate / 100


@st.composite
def inline_evaluators(draw: st.DrawFn) -> Pair:
    by_name = {"unique_by": lambda pair: pair[0]["name"], "max_size": 3}
    templates = draw(st.lists(template_evaluators(), **by_name))
    codes = draw(st.lists(code_evaluators(), **by_name))
    taken = {given["name"] for given, _ in templates}
    codes = [pair for pair in codes if pair[0]["name"] not in taken]
    given: dict[str, Any] = {}
    wire: dict[str, Any] = {}
    if templates:
        given["template_evaluators"], wire["templateEvaluators"] = _numbered(templates, 1)
    if codes:
        given["code_evaluators"], wire["codeEvaluators"] = _numbered(codes, len(templates) + 1)
    return given, wire


@st.composite
def _common(draw: st.DrawFn) -> Pair:
    given, wire = _same(
        TASK_FIELDS,
        draw(st.fixed_dictionaries({}, optional={"query_filter": texts, "run_continuously": st.booleans()})),
    )
    if draw(st.booleans()):
        given["sampling_rate"], wire["samplingRate"] = draw(sampling_rates())
    if draw(st.booleans()):
        given["llm_config"], wire["llmConfig"] = draw(llm_configs())
    return given, wire


@st.composite
def eval_tasks(draw: st.DrawFn) -> Pair:
    given, wire = draw(_common())
    given |= {"name": draw(texts), "model_id": draw(ids)}
    wire = {"samplingRate": 1.0, "runContinuously": False, **wire}
    wire |= {"name": given["name"], "modelId": given["model_id"]}
    if draw(st.booleans()):
        pairs = draw(
            st.lists(hub_evaluators(), min_size=1, max_size=3, unique_by=lambda pair: pair[0]["evaluator_id"])
        )
        given["evaluators"], wire["evaluators"] = _numbered(pairs, 0)
    else:
        inline, inline_wire = draw(inline_evaluators().filter(lambda pair: pair[0]))
        given, wire = given | inline, wire | inline_wire
        if any("llm_config" not in each for each in inline.get("template_evaluators", ())):
            given["llm_config"], wire["llmConfig"] = draw(llm_configs())
    return given, wire


@st.composite
def eval_task_patches(draw: st.DrawFn) -> Pair:
    given, wire = draw(_common())
    inline, inline_wire = draw(inline_evaluators())
    given, wire = given | inline, wire | inline_wire
    if draw(st.booleans()) or not given:
        given["name"] = wire["name"] = draw(texts)
    if draw(st.booleans()):
        given["query_filter"] = wire["queryFilter"] = None
    given["online_task_id"] = wire["onlineTaskId"] = draw(ids)
    return given, wire
