"""Online tasks: what both APIs accept, and what the server keeps of it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.spans.filters import CompiledFilter, FilterError, compile_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.store import Store

TASK_TYPES = tuple(kind.task_type for kind in KINDS.values())

_QUERY_ID = re.compile(r"\b[A-E]\b")


def _field(
    default: Any = dataclasses.MISSING,
    *,
    graphql: str | None = None,
    rest: str | None = None,
    type: type = str,  # noqa: A002 -- what the API calls it
    clearable: bool = False,
) -> Any:
    """Return a field that requests can give; what is said here is all that either API needs to know of it.

    :param graphql: its name in createEvalTask, patchEvalTask and OnlineTask.
    :param rest: its name over REST.
    :param type: its type over REST; GraphQL's is in the schema.
    :param clearable: whether null clears it; else null leaves it as it is.
    """
    metadata = {"graphql": graphql, "rest": rest, "type": type, "clearable": clearable}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(kw_only=True)
class Task:
    """An online task; its sampling rate is a fraction whatever the API it came through."""

    number: int
    id: str
    type: str
    model_id: str
    evaluators: list[Evaluator]
    created_at: float
    updated_at: float
    name: str = _field(graphql="name", rest="name")
    sampling_rate: float = _field(1.0, graphql="samplingRate", rest="sampling_rate", type=float)
    query_filter: str | None = _field(None, graphql="queryFilter", rest="query_filter", clearable=True)
    query_filters: dict[str, Any] | None = _field(None, rest="query_filters", type=dict, clearable=True)
    is_continuous: bool = _field(False, graphql="runContinuously", rest="is_continuous", type=bool)
    llm_config: dict[str, Any] | None = _field(None, graphql="llmConfig", clearable=True)
    last_run_at: float | None = None
    continuous_until: float | None = None
    deleted: bool = False

    @property
    def span_filter(self) -> str | None:
        """The one filter that says which spans the task is about."""
        if self.query_filters is None:
            return self.query_filter
        return combined_filter(self.query_filters)


def settable(api: str) -> list[tuple[str, dataclasses.Field[Any]]]:
    """Return the fields of a task that requests can give, with their names there.

    :param api: ``graphql`` or ``rest``.
    """
    return [(name, each) for each in dataclasses.fields(Task) if (name := each.metadata.get(api)) is not None]


def given(api: str, fields: Mapping[str, Any]) -> list[tuple[str, dataclasses.Field[Any]]]:
    """Return the settable fields that a request gives; null counts only where it clears a field."""
    return [
        (name, each)
        for name, each in settable(api)
        if name in fields and (fields[name] is not None or each.metadata["clearable"])
    ]


def compiled(query_filter: str | None, known: Container[str] | None = None) -> CompiledFilter | None:
    """Compile a filter, or refuse the request that brings it.

    :param known: the attributes there are; None takes any name for one.
    """
    if query_filter is None or not query_filter.strip():
        return None
    try:
        return compile_filter(query_filter, known)
    except FilterError as error:
        raise RefusedInputError(f"Invalid query filter: {error}") from error


class TaskBook:
    """The tasks of this server, in memory and written through.

    :param known: returns the attributes that filters on a project can name; None for any.
    """

    def __init__(self, store: Store, clock: Clock, known: Callable[[str], Container[str] | None]) -> None:
        self._store = store
        self._clock = clock
        self._known = known
        self._tasks: dict[str, Task] = {}
        for record in store.tasks():
            evaluators = [Evaluator(**each) for each in record.pop("evaluators")]
            task = Task(**record, evaluators=evaluators)
            self._tasks[task.id] = task

    def all(self) -> list[Task]:
        """Return every task, deleted ones included, in the order they were created."""
        return list(self._tasks.values())

    def find(self, task_id: str) -> Task | None:
        """Return a task, a deleted one included, or None."""
        return self._tasks.get(task_id)

    def get(self, task_id: str) -> Task:
        """Return a task, or refuse."""
        task = self._tasks.get(task_id)
        if task is None or task.deleted:
            raise UnknownObjectError(f"Task {task_id!r} not found")
        return task

    def create(self, *, model_id: str, evaluators: Sequence[Evaluator], **values: Any) -> Task:
        """Make a task of values that are checked here, for both APIs.

        :param values: fields of :class:`Task` that can be given.
        """
        if model_id not in ids.PROJECTS:
            raise UnknownObjectError(f"Model {model_id!r} not found")
        values["evaluators"] = list(evaluators)
        self._check(values, model_id, None)
        number = self._store.take_numbers("OnlineTask")
        now = self._clock.stamp()
        kinds = {each.kind for each in evaluators}
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
        known = self._known(model_id)
        compiled(values.get("query_filter"), known)
        evaluators = values.get("evaluators", task.evaluators if task else [])
        if not evaluators:
            raise RefusedInputError("A task needs at least one evaluator")
        names = [each.name for each in evaluators]
        if len(set(names)) != len(names):
            raise RefusedInputError("The evaluators of a task need different names")
        for evaluator in evaluators:
            _check_evaluator(evaluator, known)
        if values.get("query_filters") is not None:
            compiled(combined_filter(values["query_filters"]), known)

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


def _check_evaluator(evaluator: Evaluator, known: Container[str] | None) -> None:
    if not evaluator.name.strip():
        raise RefusedInputError("An evaluator's name is empty")
    compiled(evaluator.query_filter, known)
    KINDS[evaluator.kind].check(evaluator)
