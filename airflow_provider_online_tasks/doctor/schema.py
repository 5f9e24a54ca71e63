"""Whether the GraphQL schema of an Arize is what this version sends and reads. Asks by introspection only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_online_tasks.api.calls import MUTATION_INPUT_TYPES
from airflow_provider_online_tasks.inputs import (
    CodeEvaluator,
    EvalTaskInput,
    EvalTaskPatch,
    EvaluatorLlmConfig,
    HubEvaluator,
    LlmConfig,
    RunInput,
    TemplateEvaluator,
    WireInput,
    wire_name,
)
from airflow_provider_online_tasks.inputs._base import nested

Query = Callable[[str], Mapping[str, Any]]
_KIND = "kind name ofType { kind name ofType { kind name ofType { kind name } } }"
_SENT: dict[str, type[WireInput]] = {
    "createEvalTask": EvalTaskInput,
    "patchEvalTask": EvalTaskPatch,
    "runOnlineTask": RunInput,
}
# What the provider fills in where the user does not.
_ALWAYS_SENT: dict[type[WireInput], frozenset[str]] = {
    EvalTaskInput: frozenset({"name", "modelId", "samplingRate", "runContinuously"}),
    EvalTaskPatch: frozenset({"onlineTaskId"}),
    RunInput: frozenset({"onlineTaskId", "dataStartTime", "dataEndTime"}),
    TemplateEvaluator: frozenset(
        {"name", "template", "rails", "position", "includeExplanations", "useFunctionCallingIfAvailable"}
    ),
    HubEvaluator: frozenset({"evaluatorId", "position"}),
    CodeEvaluator: frozenset({"name", "position"}),
    LlmConfig: frozenset(),
    EvaluatorLlmConfig: frozenset(
        {"integrationId", "modelName", "invocationParameters", "providerParameters"}
    ),
}
_READ: dict[str, dict[str, tuple[str, ...]]] = {
    "createEvalTask": {"evalTask": ("id", "name")},
    "patchEvalTask": {"evalTask": ("id", "name")},
}
_RESULT_MEMBERS = {"CreateTaskRunResponse": ("runId",), "TaskError": ("message", "code")}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that agrees with this version, or does not.

    :param subject: what was looked at.
    :param agrees: whether it is as expected.
    :param found: what was found, for a person.
    :param matters: whether a difference makes calls fail.
    """

    subject: str
    agrees: bool
    found: str
    matters: bool = True


def check_schema(query: Query) -> Iterator[Check]:
    """Yield what agrees and what differs.

    :param query: sends a GraphQL query and returns its data.
    """
    mutations = {field["name"]: field for field in _type(query, "Mutation").get("fields") or ()}
    for name, sent in _SENT.items():
        mutation = mutations.get(name)
        if mutation is None:
            yield Check(subject=name, agrees=False, found="there is no such mutation")
            continue
        yield from _check_input(query, name, mutation, sent)
        yield from _check_payload(query, name, _named(mutation["type"]))


def _check_input(
    query: Query, name: str, mutation: Mapping[str, Any], sent: type[WireInput]
) -> Iterator[Check]:
    argument = next((one for one in mutation["args"] if one["name"] == "input"), None)
    if argument is None:
        yield Check(subject=f"{name}(input:)", agrees=False, found="it takes no argument named input")
        return
    real, expected = _named(argument["type"]), MUTATION_INPUT_TYPES[name]
    yield Check(
        subject=f"{name}(input:)",
        agrees=real == expected,
        found=real if real == expected else f"{real} in place of {expected}; calls adapt to it",
        matters=False,
    )
    yield from _check_fields(query, name, real, sent)


def _check_fields(query: Query, where: str, type_name: str, sent: type[WireInput]) -> Iterator[Check]:
    fields = {one["name"]: one for one in _type(query, type_name).get("inputFields") or ()}
    always = _ALWAYS_SENT[sent]
    specs = {
        wire_name(name): name for name in sent.model_fields if name not in sent.rest_only | sent.not_sent
    }
    for name, spec in specs.items():
        known = name in fields
        yield Check(
            subject=f"{where}.{name}",
            agrees=known,
            found=_shown(fields[name]["type"]) if known else f"{type_name} has no such field",
            matters=name in always,
        )
        inner = nested(sent, spec)
        if known and inner is not None:
            yield from _check_fields(query, f"{where}.{name}", _named(fields[name]["type"]), inner)
    for name, one in fields.items():
        if name not in always and one["type"]["kind"] == "NON_NULL" and one.get("defaultValue") is None:
            known = name in specs
            yield Check(
                subject=f"{where}.{name}",
                agrees=False,
                found=f"{_shown(one['type'])}: required, "
                + ("give it always" if known else "and unknown to this version"),
                matters=not known,
            )


def _check_payload(query: Query, name: str, payload: str) -> Iterator[Check]:
    fields = {one["name"]: one for one in _type(query, payload).get("fields") or ()}
    for field, wanted in _READ.get(name, {}).items():
        if field not in fields:
            yield Check(subject=f"{name} → {field}", agrees=False, found=f"{payload} has no such field")
            continue
        inner = _named(fields[field]["type"])
        yield from _check_read(query, f"{name} → {field}", inner, wanted)
    if name != "runOnlineTask":
        return
    if "result" not in fields:
        yield Check(subject=f"{name} → result", agrees=False, found=f"{payload} has no such field")
        return
    union = _type(query, _named(fields["result"]["type"]))
    members = {one["name"] for one in union.get("possibleTypes") or ()}
    for member, wanted in _RESULT_MEMBERS.items():
        if member in members:
            yield from _check_read(query, f"{name} → {member}", member, wanted)
        else:
            yield Check(
                subject=f"{name} → {member}",
                agrees=False,
                found=f"result is one of {', '.join(sorted(members)) or 'nothing'}",
            )
    for member in sorted(members - set(_RESULT_MEMBERS)):
        yield Check(
            subject=f"{name} → {member}",
            agrees=False,
            found="a result unknown to this version",
            matters=False,
        )


def _check_read(query: Query, where: str, type_name: str, wanted: tuple[str, ...]) -> Iterator[Check]:
    fields = {one["name"]: one for one in _type(query, type_name).get("fields") or ()}
    for name in wanted:
        known = name in fields
        yield Check(
            subject=f"{where}.{name}",
            agrees=known,
            found=_shown(fields[name]["type"]) if known else f"{type_name} has no such field",
        )


def _type(query: Query, name: str) -> Mapping[str, Any]:
    # A type's name comes from the schema itself, or from this module; it is a GraphQL name in both cases.
    if not name.isidentifier():
        return {}
    data = query(
        f'{{ __type(name: "{name}") {{ kind possibleTypes {{ name }} inputFields {{ name defaultValue '
        f"type {{ {_KIND} }} }} fields {{ name type {{ {_KIND} }} args {{ name type {{ {_KIND} }} }} }} }} }}"
    )
    return data.get("__type") or {}


def _named(kind: Mapping[str, Any] | None) -> str:
    while kind and not kind.get("name"):
        kind = kind.get("ofType")
    return str(kind["name"]) if kind else ""


def _shown(kind: Mapping[str, Any] | None) -> str:
    if not kind:
        return "?"
    if kind["kind"] == "NON_NULL":
        return f"{_shown(kind.get('ofType'))}!"
    if kind["kind"] == "LIST":
        return f"[{_shown(kind.get('ofType'))}]"
    return str(kind.get("name"))
