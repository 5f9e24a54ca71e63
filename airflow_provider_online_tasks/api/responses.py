"""The objects in Arize's responses. Fields: https://arize.com/docs/api-reference"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, AliasChoices, AliasPath, BeforeValidator, Field, PlainValidator

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import fields
from airflow_provider_online_tasks.api.fields import Count, Exact, Id, Line, Model, Name, Number, Time, Word
from airflow_provider_online_tasks.inputs.arguments import finite

ATTRIBUTES = "attributes."
EvaluatorType = Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]
# A variable of a template, such as {input}: braces around JSON are none.
_VARIABLE = re.compile(r"(?<!\{)\{ *([A-Za-z_][\w.\-]*) *\}(?!\})")
_FILTER_ID = re.compile(r"\b[A-E]\b")
_COLUMN = AliasChoices(*(AliasPath(f"{kind.lower()}_config", "name") for kind in get_args(EvaluatorType)))
SPAN = "span"
GRANULARITIES = (SPAN, "trace", "session")


def _of_version(*path: str) -> Any:
    """Return where a field of an evaluator's version is, for every type of evaluator."""
    configs = [f"{kind.lower()}_config" for kind in get_args(EvaluatorType)]
    return Field(validation_alias=AliasChoices(*(AliasPath("version", name, *path) for name in configs)))


class RunStatus(enum.StrEnum):
    """The status of a run. The API has used lower and upper case; a new word is UNKNOWN."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def read(cls, word: object) -> RunStatus:
        """Return the status for a word of the API."""
        return _STATUSES.get(str(word).upper(), cls.UNKNOWN)

    @property
    def is_over(self) -> bool:
        """Whether the run has finished. An unknown status counts as running."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


_STATUSES = {status.value: status for status in RunStatus}


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """The spans that a run evaluated, failed to evaluate, and skipped."""

    successes: int = 0
    errors: int = 0
    skipped: int = 0

    @property
    def attempted(self) -> int:
        """Spans that were evaluated or failed."""
        return self.successes + self.errors

    @property
    def done(self) -> int:
        """Spans that the run has processed."""
        return self.attempted + self.skipped

    @property
    def error_rate(self) -> float:
        """Errors as a share of the attempted spans; 0 if there are none."""
        return self.errors / self.attempted if self.attempted else 0.0

    def __str__(self) -> str:
        return f"{self.successes} evaluated, {self.errors} errors, {self.skipped} skipped"


@dataclass(frozen=True, kw_only=True)
class TaskRun(Model):
    """A run at the time of the response.

    :param id: its global ID.
    :param status: its status.
    :param status_text: its status in the API's spelling.
    :param task_id: the ID of its task.
    :param num_successes: spans that were evaluated.
    :param num_errors: spans whose evaluation failed.
    :param num_skipped: spans that were skipped.
    :param created_at: time of creation.
    :param run_started_at: time of its start.
    :param run_finished_at: time of its end.
    :param data_start_time: start of the window of spans.
    :param data_end_time: end of the window.
    :param failure_reason: Arize's reason why it failed or was cancelled.
    """

    id: Id
    status: Annotated[RunStatus, PlainValidator(RunStatus.read)]
    status_text: Annotated[Word, Field(validation_alias="status")]
    task_id: Id | None = None
    num_successes: Count = 0
    num_errors: Count = 0
    num_skipped: Count = 0
    created_at: Time | None = None
    run_started_at: fields.TimeOrNothing = None
    run_finished_at: fields.TimeOrNothing = None
    data_start_time: Time | None = None
    data_end_time: Time | None = None
    failure_reason: Line | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run has finished."""
        return self.status.is_over

    @property
    def counts(self) -> RunCounts:
        """The spans that it evaluated, failed to evaluate, and skipped."""
        return RunCounts(successes=self.num_successes, errors=self.num_errors, skipped=self.num_skipped)

    def summary(self) -> dict[str, Any]:
        """Return the run as plain JSON values, for XCom and a trigger's event."""
        times = ("created_at", "run_started_at", "run_finished_at", "data_start_time", "data_end_time")
        return {
            "run_id": self.id,
            "online_task_id": self.task_id,
            "status": self.status_text.upper(),
            "num_successes": self.num_successes,
            "num_errors": self.num_errors,
            "num_skipped": self.num_skipped,
            "evaluations": self.counts.attempted,
            "error_rate": self.counts.error_rate,
            "failure_reason": self.failure_reason,
            **{name: wire_time(at) if (at := getattr(self, name)) else None for name in times},
        }

    @classmethod
    def from_summary(cls, value: Mapping[str, Any]) -> Self:
        """Read the result of :meth:`summary`. KeyError and ValueError: it is something else."""
        return cls.from_wire({**value, "id": value["run_id"], "task_id": value["online_task_id"]})


@dataclass(frozen=True, kw_only=True)
class AttachedEvaluator(Model):
    """An evaluator of a task. One that is defined in the task has no ID; the newest version has none."""

    evaluator_id: Annotated[Id | None, fields.Blank] = None
    evaluator_name: Name | None = None
    evaluator_version_id: Annotated[Id | None, fields.Blank] = None
    query_filter: Exact | None = None
    column_mappings: dict[Exact, Exact] | None = None
    query_mappings: tuple[fields.Object, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Task(Model):
    """A task.

    :param id: its global ID.
    :param name: its name.
    :param project_id: the project with its spans; None if it evaluates a dataset.
    :param sampling_rate: fraction of the matching spans that it evaluates.
    :param query_filter: the spans that it evaluates.
    :param run_continuously: whether it evaluates new spans as they arrive.
    :param evaluators: its evaluators.
    :param query_filters: its named filters, instead of one filter.
    :param created_at: time of creation.
    """

    id: Id
    name: Name
    project_id: Id | None = None
    sampling_rate: Number | None = None
    query_filter: Exact | None = None
    run_continuously: Annotated[fields.Flag | None, Field(validation_alias="is_continuous")] = None
    evaluators: Annotated[tuple[AttachedEvaluator, ...], fields.Listed] = ()
    query_filters: fields.ObjectToCompare = None
    created_at: Time | None = None

    @property
    def span_filter(self) -> str | None:
        """Its filter, or its named filters as one; None if it has none, or they cannot be combined."""
        try:
            named = {each["id"]: each["filter"] for each in (self.query_filters or {})["filters"]}
            expression = (self.query_filters or {}).get("expression") or " OR ".join(named)
            return _FILTER_ID.sub(lambda match: f"({named[match[0]]})", expression)
        except (LookupError, TypeError):
            return self.query_filter

    @property
    def evaluator_ids(self) -> tuple[str | None, ...]:
        """The Eval Hub IDs of its evaluators in their order; None for those defined in the task."""
        return tuple(evaluator.evaluator_id for evaluator in self.evaluators)


@dataclass(frozen=True, kw_only=True)
class Evaluator(Model):
    """An evaluator of the Eval Hub with a version of it. Its name is unique in its space.

    :param template: the prompt.
    :param column: the column with its evaluations.
    :param model: the LLM judge.
    :param choices: its labels; None if it is unknown.
    :param explains: whether it writes explanations.
    :param parameters: the parameters of its LLM calls.
    :param granularity: whether it evaluates spans, traces or sessions.
    """

    id: Id
    name: Name
    type: Annotated[fields.Word, AfterValidator(str.upper)]
    template: Annotated[Exact | None, _of_version("template")] = None
    version_id: Annotated[Id | None, fields.Blank, Field(validation_alias=AliasPath("version", "id"))] = None
    column: Annotated[Name | None, _of_version("name")] = None
    model: Annotated[Name | None, _of_version("llm_config", "model_name")] = None
    choices: Annotated[fields.ObjectToCompare, _of_version("classification_choices")] = None
    explains: Annotated[
        bool, _of_version("include_explanations"), PlainValidator(lambda value: value is not False)
    ] = True
    parameters: Annotated[fields.ObjectToCompare, _of_version("llm_config", "invocation_parameters")] = None
    granularity: Annotated[
        str,
        _of_version("data_granularity"),
        PlainValidator(lambda value: value.lower() if str(value).lower() in GRANULARITIES else SPAN),
    ] = SPAN

    @property
    def placeholders(self) -> list[str]:
        """The variables of the template, in their order; one that is used twice is listed twice."""
        return _VARIABLE.findall(self.template or "")

    @property
    def text_around_variables(self) -> str:
        """The template without its variables."""
        return _VARIABLE.sub("", self.template or "")

    @property
    def variables(self) -> list[str]:
        """The variables of the template that a task has to map: attributes and conversations resolve."""
        names = dict.fromkeys(self.placeholders)
        return [name for name in names if not name.startswith("attributes.") and name != "conversation"]


@dataclass(frozen=True, kw_only=True)
class EvaluatorVersion(Model):
    """A version of an evaluator. It never changes. Its evaluations are in its column."""

    id: Id
    evaluator_id: Id
    commit_message: Annotated[
        fields.LongText, BeforeValidator(lambda value: "" if value is None else value)
    ] = ""
    created_at: Time | None = None
    column: Annotated[Name | None, Field(validation_alias=_COLUMN)] = None


@dataclass(frozen=True, kw_only=True)
class ArizeTemplate(Model):
    """One of Arize's own prompts for LLM judges. Without a granularity it evaluates spans."""

    name: Annotated[Name, Field(validation_alias="column_name")]
    template: Exact
    classification_choices: dict[Exact, Number]
    direction: Annotated[fields.Code, AfterValidator(str.lower)] | None = None
    data_granularity: Annotated[fields.Code, AfterValidator(str.lower)] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation(Model):
    """An evaluation of a span. `not_number`: its score is NaN, infinity, text or a boolean."""

    name: Name
    label: Name | None = None
    score: Annotated[float | None, PlainValidator(finite)] = None
    explanation: fields.LongText | None = None
    metadata: fields.ObjectOrNothing = field(default_factory=dict)
    not_number: Annotated[
        bool,
        Field(validation_alias="score"),
        PlainValidator(lambda value: value is not None and finite(value) is None),
    ] = False

    def names(self, identifier: str) -> bool:
        """Return whether its metadata contains an ID; the key is not documented."""
        return identifier in self.metadata.values()


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation(Model):
    """What a person said about a span or trace. The name is that of the annotation config."""

    name: Name
    label: Name | None = None
    updated_at: fields.TimeOrNothing = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Span(Model):
    """A span with its evaluations and annotations, and its requested attributes or all."""

    span_id: Annotated[Id, Field(validation_alias=AliasPath("context", "span_id"))]
    trace_id: Annotated[Id | None, Field(validation_alias=AliasPath("context", "trace_id"))] = None
    parent_id: Annotated[Id | None, fields.Blank] = None
    name: Name | None = None
    start_time: fields.TimeText | None = None
    evaluations: Annotated[tuple[Evaluation, ...], fields.Listed] = ()
    annotations: Annotated[tuple[Annotation, ...], fields.Listed] = ()
    trace_annotations: Annotated[tuple[Annotation, ...], fields.Listed] = ()
    attributes: fields.ObjectOrNothing = field(default_factory=dict)

    @property
    def started_at(self) -> datetime | None:
        """When it started; None if the time is unknown."""
        try:
            return parse_time(self.start_time)
        except ValueError:
            return None

    def attribute(self, path: str) -> Any:
        """Return an attribute by its dotted path; None if the span does not have it."""
        name = path.removeprefix(ATTRIBUTES)
        found: Any = self.attributes
        if name in found:
            return found[name]
        for part in name.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return found


@dataclass(frozen=True, kw_only=True)
class AnnotationValue(Model):
    """A label that people can choose."""

    label: Name


@dataclass(frozen=True, kw_only=True)
class AnnotationConfig(Model):
    """The labels that people can choose; none if they write scores or texts. Unique by name in its space."""

    id: Id
    name: Name
    values: Annotated[tuple[AnnotationValue, ...], fields.Listed] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels."""
        return tuple(value.label for value in self.values)


@dataclass(frozen=True, kw_only=True)
class AnnotationQueue(Model):
    """A queue of records that people annotate. Its name is unique in its space."""

    id: Id
    name: Name
    annotation_configs: Annotated[tuple[AnnotationConfig, ...], fields.Listed] = ()

    @property
    def config_ids(self) -> tuple[str, ...]:
        """The IDs of its annotation configs."""
        return tuple(config.id for config in self.annotation_configs)


@dataclass(frozen=True, kw_only=True)
class AssignedUser(Model):
    """A user who annotates a record of a queue. Documented statuses: PENDING and COMPLETED."""

    completion_status: Annotated[fields.Code, AfterValidator(str.upper)] = "PENDING"


@dataclass(frozen=True, kw_only=True)
class QueueRecord(Model):
    """A record of an annotation queue. It has no span if something else was added to the queue."""

    span_id: Id | None = None
    assigned_users: Annotated[tuple[AssignedUser, ...], fields.Listed] = ()
    annotations: Annotated[tuple[Annotation, ...], fields.Listed] = ()
    trace_annotations: Annotated[tuple[Annotation, ...], fields.Listed] = ()
    session_annotations: Annotated[tuple[Annotation, ...], fields.Listed] = ()

    @property
    def is_completed(self) -> bool:
        """Whether each assigned user has completed it, or it has an annotation and no assigned user."""
        if not self.assigned_users:
            return bool(self.annotations or self.trace_annotations or self.session_annotations)
        return all(user.completion_status == "COMPLETED" for user in self.assigned_users)


@dataclass(frozen=True, kw_only=True)
class Project(Model):
    """A project. Its ID is what GraphQL calls the model ID."""

    id: Id
    name: Name
    space_id: Id | None = None


@dataclass(frozen=True, kw_only=True)
class Space(Model):
    """A space."""

    id: Id
    name: Name


@dataclass(frozen=True, kw_only=True)
class TaskError(Model):
    """The result of runOnlineTask if it did not start a run. The code is not documented."""

    message: Line | None
    code: fields.Code | None = None
