"""Online tasks and their evaluators: what both APIs accept, and what the server keeps of it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.judges.judge import HUB_EVALUATORS
from airflow_provider_online_tasks.emulator.spans.filters import CompiledFilter, FilterError, compile_filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.store import Store

TEMPLATE_EVALUATION = "TEMPLATE_EVALUATION"
CODE_EVALUATION = "CODE_EVALUATION"

_QUERY_ID = re.compile(r"\b[A-E]\b")


class RefusedInputError(Exception):
    """A request whose values do not fit; the message is what the client is told."""


class UnknownObjectError(Exception):
    """A request that names something which does not exist."""


@dataclasses.dataclass(kw_only=True)
class Evaluator:
    """An evaluator as attached to a task, inline or from the Eval Hub."""

    name: str
    kind: str
    position: int = 0
    template: str | None = None
    rails: list[str] = dataclasses.field(default_factory=list)
    choices: dict[str, float] | None = None
    explain: bool = True
    granularity: str = "span"
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[dict[str, Any]] | None = None
    evaluator_id: str | None = None
    evaluator_version_id: str | None = None
    evaluation_class: str | None = None
    parameters: dict[str, Any] | None = None

    @property
    def code_name(self) -> str:
        """The code that evaluates: the class of an inline code evaluator, else the evaluator's own name."""
        return self.evaluation_class or self.name


@dataclasses.dataclass(kw_only=True)
class Task:
    """An online task; its sampling rate is a fraction whatever the API it came through."""

    number: int
    id: str
    name: str
    type: str
    model_id: str
    sampling_rate: float
    query_filter: str | None
    query_filters: dict[str, Any] | None
    is_continuous: bool
    evaluators: list[Evaluator]
    llm_config: dict[str, Any] | None
    created_at: float
    updated_at: float
    last_run_at: float | None = None
    deleted: bool = False

    @property
    def span_filter(self) -> str | None:
        """The one filter that says which spans the task is about."""
        if self.query_filters is None:
            return self.query_filter
        return combined_filter(self.query_filters)


def hub_evaluator_ids() -> dict[str, str]:
    """Return the identifiers of the built-in Eval Hub evaluators by name."""
    return {each.name: ids.encode("Evaluator", number) for number, each in enumerate(HUB_EVALUATORS, 1)}


def hub_evaluator(evaluator_id: str, version_id: str | None = None, **attachment: Any) -> Evaluator:
    """Return a built-in Eval Hub evaluator, attached.

    :param attachment: the fields of :class:`Evaluator` that belong to the attachment.
    """
    by_id = {ids.encode("Evaluator", number): number for number in range(1, len(HUB_EVALUATORS) + 1)}
    if evaluator_id not in by_id:
        raise UnknownObjectError(f"Evaluator {evaluator_id!r} not found")
    number = by_id[evaluator_id]
    entry = HUB_EVALUATORS[number - 1]
    if version_id is not None and version_id != ids.encode("EvaluatorVersion", number):
        raise RefusedInputError(f"{version_id!r} is not a version of evaluator {evaluator_id!r}")
    return Evaluator(
        name=entry.name,
        kind=entry.kind,
        template=entry.template,
        rails=list(entry.rails),
        choices=dict(entry.choices) if entry.choices is not None else None,
        evaluator_id=evaluator_id,
        evaluator_version_id=version_id,
        **attachment,
    )


def compiled(query_filter: str | None) -> CompiledFilter | None:
    """Compile a filter, or refuse the request that brings it."""
    if query_filter is None or not query_filter.strip():
        return None
    try:
        return compile_filter(query_filter)
    except FilterError as error:
        raise RefusedInputError(f"Invalid query filter: {error}") from error


class TaskBook:
    """The tasks of this server, in memory and written through."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._tasks: dict[str, Task] = {}
        for record in store.tasks():
            evaluators = [Evaluator(**each) for each in record.pop("evaluators")]
            task = Task(**record, evaluators=evaluators)
            self._tasks[task.id] = task

    def all(self) -> list[Task]:
        """Return every task, deleted ones included, in the order they were created."""
        return list(self._tasks.values())

    def get(self, task_id: str) -> Task:
        """Return a task, or refuse."""
        task = self._tasks.get(task_id)
        if task is None or task.deleted:
            raise UnknownObjectError(f"Task {task_id!r} not found")
        return task

    def create(
        self,
        *,
        name: str,
        model_id: str,
        evaluators: Sequence[Evaluator],
        sampling_rate: float = 1.0,
        query_filter: str | None = None,
        query_filters: dict[str, Any] | None = None,
        is_continuous: bool = False,
        llm_config: dict[str, Any] | None = None,
    ) -> Task:
        """Make a task of values that are checked here, for both APIs."""
        if model_id != ids.PROJECT_ID:
            raise UnknownObjectError(f"Model {model_id!r} not found")
        values: dict[str, Any] = {
            "name": name,
            "sampling_rate": sampling_rate,
            "query_filter": query_filter,
            "query_filters": query_filters,
            "is_continuous": is_continuous,
            "evaluators": list(evaluators),
            "llm_config": llm_config,
        }
        self._check(values, model_id, None)
        number = self._store.take_numbers("OnlineTask")
        now = self._clock.stamp()
        is_code = all(each.kind == "code" for each in evaluators)
        task = Task(
            number=number,
            id=ids.encode("OnlineTask", number),
            type=CODE_EVALUATION if is_code else TEMPLATE_EVALUATION,
            model_id=model_id,
            created_at=now,
            updated_at=now,
            **values,
        )
        self._tasks[task.id] = task
        self.save(task)
        return task

    def patch(self, task: Task, changes: Mapping[str, Any]) -> Task:
        """Change the given fields of a task and leave the others."""
        self._check(changes, task.model_id, task)
        for field, value in changes.items():
            setattr(task, field, value)
        task.updated_at = self._clock.stamp()
        self.save(task)
        return task

    def delete(self, task: Task) -> None:
        """Delete a task; its record stays for the emulator's own account of things."""
        task.deleted = True
        self.save(task)

    def save(self, task: Task) -> None:
        """Write a task through."""
        self._store.save_task(task.number, dataclasses.asdict(task))

    def clear(self) -> None:
        """Forget all tasks."""
        self._tasks.clear()

    def _check(self, values: Mapping[str, Any], model_id: str, task: Task | None) -> None:
        if "name" in values:
            self._check_name(values["name"], model_id, task)
        if "sampling_rate" in values and not 0 <= values["sampling_rate"] <= 1:
            raise RefusedInputError("The sampling rate is out of range")
        compiled(values.get("query_filter"))
        evaluators = values.get("evaluators", task.evaluators if task else [])
        if not evaluators:
            raise RefusedInputError("A task needs at least one evaluator")
        names = [each.name for each in evaluators]
        if len(set(names)) != len(names):
            raise RefusedInputError("The evaluators of a task need different names")
        for evaluator in evaluators:
            _check_evaluator(evaluator)
        if values.get("query_filters") is not None:
            compiled(combined_filter(values["query_filters"]))

    def _check_name(self, name: str, model_id: str, task: Task | None) -> None:
        if not name or not name.strip():
            raise RefusedInputError("The task's name is empty")
        for other in self._tasks.values():
            same_model = other.model_id == model_id and not other.deleted
            if same_model and other.name == name and other is not task:
                raise RefusedInputError(f"A task named {name!r} already exists on this model")


def combined_filter(query_filters: Mapping[str, Any]) -> str:
    """Write named filters and the expression that joins them as one filter."""
    filters = {each["id"]: each["filter"] for each in query_filters["filters"]}
    if len(filters) != len(query_filters["filters"]):
        raise RefusedInputError("The filters of query_filters need different ids")
    unknown = set(_QUERY_ID.findall(query_filters["expression"])) - set(filters)
    if unknown:
        raise RefusedInputError(
            f"query_filters.expression names {', '.join(sorted(unknown))}, which no filter declares"
        )
    return _QUERY_ID.sub(lambda match: f"({filters[match[0]]})", query_filters["expression"])


def _check_evaluator(evaluator: Evaluator) -> None:
    if not evaluator.name.strip():
        raise RefusedInputError("An evaluator's name is empty")
    compiled(evaluator.query_filter)
    if evaluator.kind != "template":
        return
    if not evaluator.template or not evaluator.template.strip():
        raise RefusedInputError(f"The template of evaluator {evaluator.name!r} is empty")
    if len(set(evaluator.rails)) < 2 or len(set(evaluator.rails)) != len(evaluator.rails):
        raise RefusedInputError(f"Evaluator {evaluator.name!r} needs at least two different rails")
