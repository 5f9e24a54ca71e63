"""Online tasks: what the server stores, and the checks that both APIs share."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KINDS
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluator
from airflow_provider_online_tasks.emulator.spans.filters import checked_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.spans.store import SpanStore
    from airflow_provider_online_tasks.emulator.storage import Storage

_QUERY_ID = re.compile(r"\b[A-E]\b")


@dataclasses.dataclass(kw_only=True)
class Task:
    """An online task. Its sampling rate is a fraction, even if GraphQL set it as a percentage."""

    number: int
    id: str
    type: str
    model_id: str
    evaluators: list[Evaluator]
    created_at: float
    updated_at: float
    name: str
    sampling_rate: float = 1.0
    query_filter: str | None = None
    query_filters: dict[str, Any] | None = None
    is_continuous: bool = False
    llm_config: dict[str, Any] | None = None
    last_run_at: float | None = None
    continuous_until: float | None = None
    deleted: bool = False

    @property
    def span_filter(self) -> str | None:
        """The filter that selects the task's spans."""
        if self.query_filters is None:
            return self.query_filter
        return combined_filter(self.query_filters)


# A null in a request clears the fields that can be None; it leaves other fields unchanged.
CLEARABLE = frozenset(field.name for field in dataclasses.fields(Task) if field.default is None)


class Tasks:
    """The tasks of the server, in memory and in the database."""

    def __init__(self, storage: Storage, clock: Clock, spans: SpanStore) -> None:
        self._storage = storage
        self._clock = clock
        self._spans = spans
        self._tasks: dict[str, Task] = {}
        for record in storage.records("task"):
            evaluators = [Evaluator(**each) for each in record.pop("evaluators")]
            task = Task(**record, evaluators=evaluators)
            self._tasks[task.id] = task

    def all(self) -> list[Task]:
        """Return all tasks in the order they were created, including deleted ones."""
        return list(self._tasks.values())

    def get(self, task_id: str) -> Task:
        """Return a task."""
        task = self._tasks.get(task_id)
        if task is None or task.deleted:
            raise NotFoundError(f"Task {task_id!r} not found")
        return task

    def using(self, evaluator_id: str) -> list[Task]:
        """Return the tasks with an evaluator of the Eval Hub."""
        used = [task for task in self._tasks.values() if not task.deleted]
        return [task for task in used if any(each.evaluator_id == evaluator_id for each in task.evaluators)]

    def create(self, *, model_id: str, **values: Any) -> Task:
        """Create a task."""
        if model_id not in ids.PROJECTS:
            raise NotFoundError(f"Model {model_id!r} not found")
        self._check({"evaluators": [], **values}, model_id, None)
        number = self._storage.take_numbers("OnlineTask")
        now = self._clock.stamp()
        kinds = {each.kind for each in values["evaluators"]}
        task = Task(
            number=number,
            id=ids.encode("OnlineTask", number),
            type=KINDS[kinds.pop() if len(kinds) == 1 else "template"].task_type,
            model_id=model_id,
            created_at=now,
            updated_at=now,
            **values,
        )
        self._tasks[task.id] = task
        self.save(task)
        return task

    def patch(self, task: Task, changes: Mapping[str, Any]) -> Task:
        """Change fields of a task."""
        self._check(changes, task.model_id, task)
        for field, value in changes.items():
            setattr(task, field, value)
        task.updated_at = self._clock.stamp()
        self.save(task)
        return task

    def delete(self, task: Task) -> None:
        """Delete a task; the control plane still shows it."""
        task.deleted = True
        self.save(task)

    def save(self, task: Task) -> None:
        """Save a task."""
        self._storage.save_record("task", task.number, dataclasses.asdict(task))

    def check_name(self, name: str, task: Task | None, model_id: str | None = None) -> None:
        """Reject a name that another task has."""
        for other in self._tasks.values():
            compared = model_id in (None, other.model_id) and not other.deleted and other is not task
            if compared and other.name == name:
                where = "in this space" if model_id is None else "on this model"
                raise InvalidError(f"A task named {name!r} already exists {where}")

    def _check(self, values: Mapping[str, Any], model_id: str, task: Task | None) -> None:
        if "name" in values:
            if not values["name"].strip():
                raise InvalidError("The name of the task is empty")
            self.check_name(values["name"], task, model_id)
        if not 0 <= values.get("sampling_rate", 1.0) <= 1:
            raise InvalidError("The sampling rate is out of range")
        filters = [values.get(name, getattr(task, name, None)) for name in ("query_filter", "query_filters")]
        if None not in filters:
            raise RequestError(400, "Set only one of query_filter and query_filters; null clears the other")
        known = self._spans.attribute_names(model_id)
        checked_filter(values.get("query_filter"), known)
        if values.get("query_filters") is not None:
            checked_filter(combined_filter(values["query_filters"]), known)
        evaluators = values.get("evaluators", task.evaluators if task else [])
        llm_config = values.get("llm_config", task.llm_config if task else None)
        if not evaluators:
            raise InvalidError("A task needs at least one evaluator")
        if len({each.name for each in evaluators}) != len(evaluators):
            raise InvalidError("The evaluators of a task need different names")
        for evaluator in evaluators:
            if not evaluator.name.strip():
                raise InvalidError("The name of an evaluator is empty")
            checked_filter(evaluator.query_filter, known)
            KINDS[evaluator.kind].check(evaluator, llm_config)


def combined_filter(query_filters: Mapping[str, Any]) -> str:
    """Return named filters and the expression that combines them as one filter."""
    filters = {each["id"]: each["filter"] for each in query_filters["filters"]}
    if len(filters) != len(query_filters["filters"]):
        raise InvalidError("The filters of query_filters need different ids")
    unknown = set(_QUERY_ID.findall(query_filters["expression"])) - set(filters)
    if unknown:
        raise InvalidError(f"query_filters.expression uses undeclared filters: {', '.join(sorted(unknown))}")
    return _QUERY_ID.sub(lambda match: f"({filters[match[0]]})", query_filters["expression"])
