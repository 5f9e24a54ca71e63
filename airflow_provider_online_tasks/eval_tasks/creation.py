"""Never two tasks for one.

createEvalTask has no idempotency key, and two tasks of one name evaluate, and cost, twice. A task is
recognised by its exact name on the same model, so it is searched for before it is created.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses.tasks import Task
from airflow_provider_online_tasks.eval_tasks.changes import bring_up_to_date
from airflow_provider_online_tasks.exceptions import BadRequest, NotFound, TaskExists
from airflow_provider_online_tasks.idempotency.create_once import (
    SEARCH_SECONDS,
    SERVER_TIME_MARGIN,
    CreateOnce,
    Outcome,
    Result,
)
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore
from airflow_provider_online_tasks.inputs import describe_sampling_rate

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import EvalTaskInput

STATE_KEY = "eval_task"
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class TaskRecord(Intent):
    """What is written down about a task that is created.

    :param server_time: Arize's clock just before the first request.
    :param model_id: the model the task is for.
    :param name: the task's name.
    """

    server_time: str
    model_id: str
    name: str

    @property
    def since(self) -> datetime:
        """When the task can have been created at the earliest, by Arize's clock."""
        return parse_time(self.server_time, "server_time") - SERVER_TIME_MARGIN


class TaskCreation(CreateOnce[TaskRecord, Task]):
    """Finds or creates the task of one operator execution.

    :param hook: how Arize is called.
    :param task: what is to be created.
    :param if_exists: what to do about a task of that name on the same model that this execution did not
        create: ``fail``, ``skip`` (return it as it is) or ``update`` (change what differs).
    :param context: the Airflow context.
    :param log: the task's log.
    :param search_seconds: how long to search for a task whose answer was lost.
    """

    noun: ClassVar[str] = "task"
    verb: ClassVar[str] = "create"

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        task: EvalTaskInput,
        if_exists: str,
        context: Context,
        log: Any,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        super().__init__(
            hook=hook,
            intents=IntentStore(context, STATE_KEY, TaskRecord),
            log=log,
            search_seconds=search_seconds,
        )
        self._task = task
        self._if_exists = if_exists
        self._is_recorded = False

    def obtain(self) -> Result[Task]:
        """Return the task of this execution: found again if there is one, else created.

        :raises TaskExists: another task has that name, and ``if_exists`` is ``fail``.
        :raises Unavailable: whether it was created is not known. The next try looks again.
        :raises CallError: the subclass that fits what happened.
        """
        own = self._of_an_earlier_try()
        if own is not None:
            return self._use(own, Outcome.ADOPTED)
        existing = self._same_name()
        if existing:
            return self._use_existing(existing)
        return self._create()

    def finish(self) -> None:
        """Mark the execution as a success, so that a retry after a lost success report finds its task."""
        if self._is_recorded:
            self._intents.finish()

    # -- A new task. --

    def _create(self) -> Result[Task]:
        record = TaskRecord(
            model_id=self._task.model_id, name=self._task.name, server_time=wire_time(self._server_now)
        )
        try:
            obtained = self._create_once(record)
        except BadRequest as error:
            # Another may have created it since the search; the words of that refusal are not documented.
            existing = [] if error.may_have_executed or self._if_exists == "fail" else self._same_name()
            if not existing:
                raise
            return self._use_existing(existing)
        self._is_recorded = True
        return obtained if obtained.resource is None else self._use(obtained.resource, obtained.outcome)

    def _send_request(self) -> str:
        return self._hook.create_eval_task(self._task)

    def _describe_created(self, record: TaskRecord, made_id: str) -> str:
        continuously = ", continuously" if self._task.run_continuously else ""
        sampling = describe_sampling_rate(self._task.sampling_rate)
        return f"Task {made_id} ({record.name!r}): {sampling}{continuously}."

    # -- The task of an earlier try. --

    def _of_an_earlier_try(self) -> Task | None:
        record = self._intents.read()
        if record is None:
            return self._without_record()
        if (record.model_id, record.name) != (self._task.model_id, self._task.name):
            self._log.warning(
                "An earlier try was for a task named %r on model %s. It is left as it is.",
                record.name,
                record.model_id,
            )
            return None
        if record.succeeded_at not in (None, self._try.max_tries):
            return None  # the task was cleared after it had succeeded
        record = replace(record, succeeded_at=None)
        found = self._recorded(record)
        if found is not None:
            self._intents.write(replace(record, id=found.id))
            self._is_recorded = True
        return found

    def _recorded(self, record: TaskRecord) -> Task | None:
        if record.id is None:
            self._log.info("An earlier try may have created the task before it ended. Searching for it.")
            return self._search(record)
        try:
            return self._hook.get_task(record.id)
        except NotFound:
            self._log.warning("Task %s of an earlier try is gone.", record.id)
            return None

    def _without_record(self) -> Task | None:
        """Take a task created since the DAG run's start for ours: all that is known before Airflow 3.3."""
        since = self._try.dag_run_start
        if self._intents.is_available or self._try.number == 1 or since is None:
            return None
        found = self._same_name()
        since += self._server_now - _clock.now() - SERVER_TIME_MARGIN
        return next((task for task in found if task.created_at and task.created_at >= since), None)

    # -- Recognising a task. --

    def _find_matching(self, record: TaskRecord) -> Iterator[Task]:
        for task in self._same_name():
            is_new = task.created_at is None or task.created_at >= record.since
            if is_new or self._if_exists != "fail":
                yield task

    def _same_name(self) -> list[Task]:
        """Return the tasks of exactly this name on the model, oldest first."""
        found: list[Task] = []
        for page in calls.pages(
            self._read_page,
            lambda cursor: calls.list_tasks(
                project_id=self._task.model_id, name=self._task.name, cursor=cursor
            ),
        ):
            # Arize's filter takes a part of the name for a match.
            found += [
                task
                for task in page.items
                if task.name == self._task.name and task.project_id in (None, self._task.model_id)
            ]
        return sorted(found, key=lambda task: (task.created_at or LATEST, task.id))

    # -- What to do with it. --

    def _use_existing(self, existing: list[Task]) -> Result[Task]:
        task = existing[0]
        if self._if_exists == "fail":
            raise TaskExists(
                f"A task named {task.name!r} exists on model {self._task.model_id}: {task.id}. Give another "
                f'name, if_exists="skip" to use it as it is, or if_exists="update" to change what differs.',
                online_task_id=task.id,
            )
        if len(existing) > 1:
            self._log.warning(
                "Several tasks are named %r on model %s: %s. The oldest is used.",
                task.name,
                self._task.model_id,
                ", ".join(one.id for one in existing),
            )
        return self._use(task, Outcome.EXISTED)

    def _use(self, task: Task, outcome: Outcome) -> Result[Task]:
        self._log.info("Task %s (%r): %s.", task.id, task.name, outcome.value)
        if self._if_exists == "update":
            bring_up_to_date(hook=self._hook, task_id=task.id, wanted=self._task, log=self._log)
        return Result(id=task.id, outcome=outcome, resource=task)
