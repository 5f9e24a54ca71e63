"""Create an eval task once, and update an existing one to match the DAG.

Two tasks with the same name evaluate, and cost, twice. A task is recognized by its exact name in the same
project, so the operator searches for it before it creates one.

An update sends what differs from what REST returns. REST does not return the templates, labels, LLM and code
of evaluators that are written in the task: these are sent each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import Task
from airflow_provider_online_tasks.exceptions import BadRequest, CallError, NotFound, TaskExists
from airflow_provider_online_tasks.idempotency import create_once
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore
from airflow_provider_online_tasks.inputs.arguments import describe_sampling_rate
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

STATE_KEY = "eval_task"
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class TaskIntent(Intent):
    """The intent to create a task; ``server_time`` is Arize's clock just before the first request."""

    server_time: str
    model_id: str
    name: str


class TaskChanges(NamedTuple):
    """The fields that an update sets, and the names of those that Arize does not return."""

    fields: Mapping[str, Any]
    not_compared: tuple[str, ...]


def find_changes(task: Task, wanted: EvalTaskInput) -> TaskChanges:
    """Compare a task with the arguments of the DAG."""
    rate = task.sampling_rate
    named_filters, default = {}, {}
    if wanted.query_filters is not None:
        named_filters = wanted.query_filters.to_rest()
        # Arize adds the default expression of a single filter: the filter itself.
        default = {"expression": named_filters["filters"][0]["id"]}
    existing = {name: value for name, value in (task.query_filters or {}).items() if value is not None}
    # A field that is missing here cannot be compared, and is sent each time.
    is_same = {
        "sampling_rate": rate is not None and math.isclose(rate, wanted.sampling_rate, abs_tol=1e-9),
        "query_filter": (task.query_filter or "").strip() == (wanted.query_filter or "").strip(),
        "query_filters": default | existing == default | named_filters,
        "run_continuously": task.run_continuously == wanted.run_continuously,
        "evaluators": wanted.evaluators is None or calls.same_attachments(wanted.evaluators, task),
    }
    names = [name for name in type(wanted).model_fields if name not in ("name", "model_id")]
    fields = {name: getattr(wanted, name) for name in names}
    changed = {name: value for name, value in fields.items() if not is_same.get(name, value is None)}
    return TaskChanges(changed, not_compared=tuple(name for name in changed if name not in is_same))


class TaskCreation(create_once.CreateOnce[TaskIntent, Task]):
    """Finds or creates the eval task of one execution."""

    noun: ClassVar[str] = "task"

    def __init__(
        self, *, hook: OnlineTasksHook, task: EvalTaskInput, if_exists: str, context: Context, log: Any
    ) -> None:
        super().__init__(hook=hook, intents=IntentStore(context, STATE_KEY, TaskIntent), log=log)
        self._task = task
        self._if_exists = if_exists

    def run(self) -> Result[Task]:
        """Return the task of an earlier try, an existing task, or a new one; update it if asked to."""
        result = self._adopt() or self._use_existing() or self._create()
        if self._if_exists == "update" and result.outcome is not Outcome.CREATED:
            self._update(result.id)
        if result.outcome is not Outcome.EXISTED:
            self._intents.finish()
        return result

    def _adopt(self) -> Result[Task] | None:
        """Return the task that an earlier try of this execution created."""
        intent = self._intents.read()
        task = self._find_without_intent() if intent is None else self._find_intended(intent)
        if task is None:
            return None
        self._log.info("Task %s (%r) was created by an earlier try.", task.id, task.name)
        if intent is not None:
            self._intents.write(replace(intent, id=task.id, succeeded_at=None))
        return Result(id=task.id, outcome=Outcome.ADOPTED, resource=task)

    def _find_intended(self, intent: TaskIntent) -> Task | None:
        if (intent.model_id, intent.name) != (self._task.model_id, self._task.name):
            self._log.warning(
                "An earlier try created task %r in project %s, not that of this try. It stays as it is.",
                intent.name,
                intent.model_id,
            )
            return None
        if intent.succeeded_at not in (None, self._try.max_tries):
            return None  # the task was cleared after it succeeded
        if intent.id is None:
            self._log.info("An earlier try may have created the task. Searching for it.")
            return self._search(intent)
        try:
            return self._hook.get_task(intent.id)
        except NotFound:
            self._log.warning("Task %s of an earlier try no longer exists.", intent.id)
            return None

    def _find_without_intent(self) -> Task | None:
        """Return a task created since the DAG run started: before Airflow 3.3 no intent is kept."""
        dag_run_start = self._try.dag_run_start
        if not self._intents.may_be_lost or self._try.number == 1 or dag_run_start is None:
            return None
        tasks = self._find_by_name()
        since = dag_run_start + (self._server_now - _clock.now()) - create_once.SERVER_TIME_MARGIN
        return next((task for task in tasks if task.created_at and task.created_at >= since), None)

    def _use_existing(self) -> Result[Task] | None:
        """Return the oldest task of this name. Raise TaskExists if ``if_exists`` is ``fail``."""
        tasks = self._find_by_name()
        if not tasks:
            return None
        oldest = tasks[0]
        if self._if_exists == "fail":
            raise TaskExists(
                f"A task named {oldest.name!r} exists in project {self._task.model_id}: {oldest.id}. Use "
                f'another name, or set if_exists="skip" to use the task as it is or if_exists="update" to '
                f"change what differs.",
                online_task_id=oldest.id,
            )
        if len(tasks) > 1:
            self._log.warning(
                "Several tasks in project %s are named %r: %s. Using the oldest.",
                self._task.model_id,
                oldest.name,
                ", ".join(task.id for task in tasks),
            )
        self._log.info("Task %s (%r) exists already.", oldest.id, oldest.name)
        return Result(id=oldest.id, outcome=Outcome.EXISTED, resource=oldest)

    def _create(self) -> Result[Task]:
        server_time = wire_time(self._server_now)
        intent = TaskIntent(server_time=server_time, model_id=self._task.model_id, name=self._task.name)
        try:
            return self._create_once(intent)
        except BadRequest as error:
            # Another process may have created the task since the search. The error does not say so reliably.
            if error.may_have_executed or self._if_exists == "fail":
                raise
            if (existing := self._use_existing()) is None:
                raise
            return existing

    def _update(self, task_id: str) -> None:
        """Change what differs between an existing task and the arguments of the DAG."""
        task = self._hook.get_task(task_id)
        changes = find_changes(task, self._task)
        if not changes.fields:
            self._log.info("Task %s matches the DAG. Nothing was sent.", task_id)
            return
        over_rest = (
            set(changes.fields)
            if self._task.needs_rest
            else set(changes.fields) & {"evaluators", "query_filters"}
        )
        patch = {name: value for name, value in changes.fields.items() if name not in over_rest}
        if patch:
            self._hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, **patch))
        if over_rest:
            self._hook.update_hub_task(self._task, over_rest, task)
        rate = changes.fields.get("sampling_rate")
        sampling = "" if rate is None else f"; {describe_sampling_rate(rate)}"
        self._log.info("Updated %s of task %s%s.", ", ".join(changes.fields), task_id, sampling)
        if changes.not_compared:
            self._log.info(
                "Arize does not return %s, so they are sent each time.", ", ".join(changes.not_compared)
            )

    def _send_request(self) -> str:
        if self._task.evaluators and not self._task.needs_rest:
            with suppress(CallError):  # only a warning
                self._hook.check_mappings(calls.attachments(self._task.evaluators))
        return self._hook.create_eval_task(self._task)

    def _describe_created(self, intent: TaskIntent, created_id: str) -> str:
        continuously = ", continuously" if self._task.run_continuously else ""
        sampling = describe_sampling_rate(self._task.sampling_rate)
        return f"Task {created_id} ({intent.name!r}): {sampling}{continuously}."

    def _find_matching(self, intent: TaskIntent) -> Iterator[Task]:
        since = parse_time(intent.server_time, "server_time") - create_once.SERVER_TIME_MARGIN
        for task in self._find_by_name():
            if self._if_exists != "fail" or task.created_at is None or task.created_at >= since:
                yield task

    def _find_by_name(self) -> list[Task]:
        """Return the tasks of exactly this name in the project, oldest first."""
        name, project_id = self._task.name, self._task.model_id
        listed = self._list(lambda cursor: calls.list_tasks(project_id=project_id, name=name, cursor=cursor))
        # Arize's filter also matches parts of a name.
        tasks = [task for task in listed if task.name == name and task.project_id in (None, project_id)]
        return sorted(tasks, key=lambda task: (task.created_at or _LATEST, task.id))
