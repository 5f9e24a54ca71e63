"""Every field of every response has a type and a limit."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, get_type_hints

import pytest
from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo

from airflow_provider_online_tasks.api import responses
from airflow_provider_online_tasks.api.fields import LONGEST_TEXT, MOST
from airflow_provider_online_tasks.api.responses import (
    Model,
)

TIME = "2026-01-02T03:04:05Z"
VALID: dict[type[Model], dict[str, Any]] = {
    responses.TaskError: {"message": "no", "code": "NO_DATA"},
    responses.Evaluator: {
        "id": "E",
        "name": "n",
        "type": "template",
        "version": {
            "id": "V",
            "template_config": {
                "name": "n",
                "template": "{input}",
                "include_explanations": False,
                "classification_choices": {"good": 1},
                "data_granularity": "TRACE",
                "llm_config": {"model_name": "gpt-4o", "invocation_parameters": {"max_tokens": 9}},
            },
        },
    },
    responses.EvaluatorVersion: {
        "id": "V",
        "evaluator_id": "E",
        "commit_message": "m",
        "created_at": TIME,
        "template_config": {"name": "n"},
    },
    responses.ArizeTemplate: {
        "column_name": "n",
        "template": "{input}",
        "classification_choices": {"good": 1, "bad": 0},
        "direction": "MAXIMIZE",
        "data_granularity": "SPAN",
    },
    responses.TaskRun: {
        "id": "R",
        "status": "COMPLETED",
        "task_id": "T",
        "num_successes": 1,
        "num_errors": 2,
        "num_skipped": 3,
        "created_at": TIME,
        "run_started_at": TIME,
        "run_finished_at": TIME,
        "data_start_time": TIME,
        "data_end_time": TIME,
        "failure_reason": "none",
    },
    responses.Project: {"id": "P", "name": "n", "space_id": "S"},
    responses.Space: {"id": "S", "name": "n"},
    responses.Evaluation: {
        "name": "n",
        "label": "l",
        "score": 0.5,
        "explanation": "e",
        "metadata": {"run": "R"},
    },
    responses.AnnotationValue: {"label": "l"},
    responses.AnnotationConfig: {"id": "C", "name": "n", "values": [{"label": "l"}]},
    responses.AnnotationQueue: {"id": "Q", "name": "n", "annotation_configs": [{"id": "C", "name": "n"}]},
    responses.AssignedUser: {"completion_status": "PENDING"},
    responses.QueueRecord: {
        "span_id": "s",
        "assigned_users": [{"completion_status": "COMPLETED"}],
        "annotations": [{"name": "n"}],
        "trace_annotations": [{"name": "n"}],
        "session_annotations": [{"name": "n"}],
    },
    responses.Annotation: {"name": "n", "label": "l", "updated_at": TIME},
    responses.Span: {
        "context": {"span_id": "s", "trace_id": "t"},
        "parent_id": "p",
        "name": "n",
        "start_time": TIME,
        "evaluations": [{"name": "n"}],
        "annotations": [{"name": "n"}],
        "trace_annotations": [{"name": "n"}],
        "attributes": {"input": {"value": "x"}},
    },
    responses.AttachedEvaluator: {
        "evaluator_id": "E",
        "evaluator_name": "n",
        "evaluator_version_id": "V",
        "query_filter": "a = 'b'",
        "column_mappings": {"input": "attributes.input.value"},
        "query_mappings": [{"variable_name": "input", "query_ids": ["A"], "attribute_path": "a"}],
    },
    responses.Task: {
        "id": "T",
        "name": "n",
        "project_id": "P",
        "sampling_rate": 0.5,
        "query_filter": "a = 'b'",
        "is_continuous": True,
        "evaluators": [{"evaluator_id": "E"}],
        "query_filters": {"filters": []},
        "created_at": TIME,
    },
}
# Objects with any content: the limits of the response apply.
OPEN = {
    (responses.Evaluation, "metadata"),
    (responses.Evaluator, "choices"),
    (responses.Evaluator, "parameters"),
    (responses.Span, "attributes"),
    (responses.AttachedEvaluator, "query_mappings"),
    (responses.Task, "query_filters"),
}
HOSTILE: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a negative number": -1,
    "a huge number": 10**400,
    "NaN": math.nan,
    "infinity": math.inf,
    "a text": "text",
    "nothing": "",
    "a long text": "x" * 3_000_000,
    "half a character": "a\ud800",
    "an escape": "a\x1b[31mb\nc",
    "a time without a zone": "2026-01-02T03:04:05",
    "a time beyond all": "9999-12-31T23:59:59-12:00",
    "a list": [1, [2, {"a": 3}]],
    "an object": {"a": {"b": [1, None]}},
    "an object of hostile values": {"a": math.nan, "b\ud800": "x" * 3_000_000},
}


def fields_of(kind: type[Model]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each field, and the path of the value that it is read from."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name != "__slots__":
            infos = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, FieldInfo)]
            alias = next((info.validation_alias for info in infos if info.validation_alias), name)
            alias = alias.choices[0] if isinstance(alias, AliasChoices) else alias
            yield name, tuple(map(str, alias.path)) if isinstance(alias, AliasPath) else (str(alias),)


def subclasses() -> set[type[Model]]:
    classes = {value for value in vars(responses).values() if isinstance(value, type)}
    return {kind for kind in classes if issubclass(kind, Model) and kind is not Model}


def check_bounded(value: Any) -> None:
    match value:
        case None | bool():
            pass
        case int():
            assert 0 <= value <= MOST
        case float():
            assert math.isfinite(value)
        case str():
            assert len(value) <= LONGEST_TEXT
        case datetime():
            assert value.utcoffset() is not None
        case tuple():
            for part in value:
                check_bounded(part)
        case Mapping():
            for name, part in value.items():
                check_bounded(name)
                check_bounded(part)
        case _:
            assert dataclasses.is_dataclass(value), type(value)
            for field in dataclasses.fields(value):
                check_bounded(getattr(value, field.name))


def test_valid_responses_cover_every_model() -> None:
    assert subclasses() == set(VALID)
    for model, value in VALID.items():
        read = {path[0] for _, path in fields_of(model)}
        assert set(value) == read, model


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_valid_response_is_read_and_unknown_fields_are_ignored(model: type[Model]) -> None:
    item = model.from_wire({**VALID[model], "a field of next year": {}})
    check_bounded(dataclasses.replace(item, **{name: {} for of, name in OPEN if of is model}))  # type: ignore[type-var]


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_hostile_field_is_rejected_or_bounded(model: type[Model]) -> None:
    for name, path in fields_of(model):
        for case, value in HOSTILE.items():
            wire = copy.deepcopy(VALID[model])
            holder = wire
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = value
            message = None
            try:
                result = getattr(model.from_wire(wire), name)
            except ValueError as error:
                message = str(error)
            if message is not None:
                assert len(message) < 400, (name, case)
                assert message.isprintable(), (name, case)
                assert message.startswith(path[0]), (name, case)
            elif (model, name) in OPEN:
                assert isinstance(result, Mapping | tuple | list | None), (name, case)
            else:
                check_bounded(result)


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_response_that_is_no_object_is_rejected(model: type[Model]) -> None:
    for value in (None, 5, "x", [], [1]):
        with pytest.raises(ValueError, match=re.escape(repr(value))):
            model.from_wire(value)


def test_wrong_field_is_named_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"^evaluators\[1\]\.evaluator_id "):
        responses.Task.from_wire({"id": "T", "name": "n", "evaluators": [{}, {"evaluator_id": True}]})
    with pytest.raises(ValueError, match=r"^context\.span_id "):
        responses.Span.from_wire({"context": {}})
    with pytest.raises(ValueError, match=r"^type "):
        responses.Evaluator.from_wire({"id": "E", "name": "n", "type": 5})
    # An evaluator of a new type must not hide the others of its list.
    assert responses.Evaluator.from_wire({"id": "E", "name": "n", "type": "agent"}).type == "AGENT"


def test_score_that_is_no_number_is_marked() -> None:
    odd = responses.Evaluation.from_wire({"name": "n", "score": "0.5"})
    assert (odd.score, odd.not_number) == (None, True)
    none = responses.Evaluation.from_wire({"name": "n", "score": None})
    assert (none.score, none.not_number) == (None, False)


def test_text_that_is_sent_back_stays_unchanged() -> None:
    filter_text = "a = 'tab\there' AND b = '\x1b'"
    mapping = {"in\tput": "x" * LONGEST_TEXT}
    attached = responses.AttachedEvaluator.from_wire(
        {"query_filter": filter_text, "column_mappings": mapping}
    )
    assert (attached.query_filter, attached.column_mappings) == (filter_text, mapping)
    json.dumps(attached.column_mappings)
