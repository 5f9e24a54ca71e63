"""Never two tasks for one.

createEvalTask has no idempotency key, and two tasks of one name evaluate, and cost, twice. So the task is
looked for by its exact name on the same model before it is created, an operator execution writes down that
it is about to create it, and within a try what may have been created is looked for before it is asked for
again.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.exceptions import (
    CallError,
    InputRefused,
    NotFound,
    RateLimited,
    TaskExists,
    Unavailable,
)
from airflow_provider_online_tasks.inputs import describe_sampling_rate
from airflow_provider_online_tasks.once._state import State
from airflow_provider_online_tasks.once._task_changes import bring_up_to_date
from airflow_provider_online_tasks.once.run import (
    LOOK_UP_SECONDS,
    MAX_SUBMISSIONS,
    SERVER_TIME_MARGIN,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.calls import Task
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import EvalTaskInput

STATE_KEY = "eval_task"


class How(enum.Enum):
    """How an operator execution came by its task."""

    CREATED = "created"
    ADOPTED = "created by this execution, as it turns out"
    EXISTED = "there already"


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """The task of an operator execution.

    :param task_id: its ID.
    :param how: how it was come by.
    """

    task_id: str
    how: How


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is written down about a creation.

    :param model_id: the model the task is for.
    :param name: the task's name.
    :param server_time: the server's clock just before the task was asked for.
    :param task_id: the task, once it is known.
    :param succeeded_at: ``max_tries`` of the task instance when its execution succeeded: the same in a retry
        whose predecessor's success was not heard of, higher in a task that was cleared.
    """

    model_id: str
    name: str
    server_time: str
    task_id: str | None = None
    succeeded_at: int | None = None

    @classmethod
    def read(cls, value: Any) -> Record | None:
        """Read a stored record; None if it is none of this version's."""
        if not isinstance(value, Mapping):
            return None
        try:
            return cls(**value)
        except TypeError:
            return None

    @property
    def since(self) -> datetime:
        """When the task can have been created at the earliest, by the server's clock."""
        return parse_time(self.server_time, "server_time") - SERVER_TIME_MARGIN


class TaskCreation:
    """Finds or creates the task of one operator execution.

    :param hook: how Arize is called.
    :param task: what is to be created.
    :param if_exists: what to do about a task of that name on the same model that this execution did not
        create: ``fail``, ``skip`` (return it as it is) or ``update`` (change what differs).
    :param context: the Airflow context.
    :param log: where decisions are told.
    :param look_up_seconds: how long a task whose answer was lost is looked for.
    """

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        task: EvalTaskInput,
        if_exists: str,
        context: Context,
        log: Any,
        look_up_seconds: float = LOOK_UP_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hook = hook
        self._task = task
        self._if_exists = if_exists
        self._state = State(context, STATE_KEY)
        self._log = log
        self._look_up_seconds = look_up_seconds
        self._sleep = sleep
        self._record: Record | None = None

    def obtain(self) -> Obtained:
        """Return the task of this execution: found again if there is one, else created.

        :raises TaskExists: another task has that name, and ``if_exists`` is ``fail``.
        :raises Unavailable: whether it was created could not be found out. The next try looks again.
        :raises CallError: the subclass that fits what happened.
        """
        own = self._of_this_execution()
        if own is not None:
            return self._use(own, How.ADOPTED)
        existing, server_time = self._same_name()
        if existing:
            return self._use_existing(existing)
        return self._create(server_time)

    def finish(self) -> None:
        """Mark the execution as a success, so that a retry that did not hear of it finds its task."""
        if self._record is not None:
            self._write(replace(self._record, succeeded_at=self._state.max_tries))

    def _write(self, record: Record) -> None:
        self._record = record
        self._state.write(asdict(record))

    def _forget(self) -> None:
        self._record = None
        self._state.delete()

    def _of_this_execution(self) -> Task | None:
        """Return the task that an earlier try of this execution created."""
        record = Record.read(self._state.read())
        if record is None:
            if self._state.is_kept or self._state.try_number == 1:
                return None
            return self._without_record()
        if (record.model_id, record.name) != (self._task.model_id, self._task.name):
            self._log.warning(
                "An earlier try was for a task named %r on model %s. It is left as it is.",
                record.name,
                record.model_id,
            )
            return None
        if record.succeeded_at not in (None, self._state.max_tries):
            return None  # the task was cleared after it had succeeded
        record = replace(record, succeeded_at=None)
        found = self._recorded(record)
        if found is not None:
            self._write(replace(record, task_id=found.id))
        return found

    def _recorded(self, record: Record) -> Task | None:
        if record.task_id is None:
            self._log.info("An earlier try may have created the task before it ended. Looking for it.")
            return self._look_up(record, seconds=self._time_left_to_appear(record))
        try:
            return self._hook.get_task(record.task_id)
        except NotFound:
            self._log.warning("Task %s of an earlier try is gone.", record.task_id)
            return None

    def _without_record(self) -> Task | None:
        """Take a task created since the DAG run's start for ours: all that is known before Airflow 3.3."""
        since = self._state.dag_run_start
        if since is None:
            return None
        found, server_time = self._same_name()
        since += server_time - datetime.now(UTC) - SERVER_TIME_MARGIN
        return next((task for task in found if task.created_at and task.created_at >= since), None)

    def _create(self, server_time: datetime) -> Obtained:
        for _ in range(MAX_SUBMISSIONS):
            record = Record(
                model_id=self._task.model_id, name=self._task.name, server_time=wire_time(server_time)
            )
            self._write(record)
            try:
                task_id = self._hook.create_eval_task(self._task)
            except CallError as error:
                if not error.may_have_executed:
                    return self._not_created(error)
                found = self._find_lost(record, error)
                if found is not None:
                    self._write(replace(record, task_id=found.id))
                    return self._use(found, How.ADOPTED)
                if not isinstance(error, Unavailable):  # Arize answered, and what it said is an error
                    self._forget()
                    raise
                self._log.warning("No such task was created: it is asked for again.")
                continue
            # The ID is logged first: should the store not be reached, a person can still find the task.
            self._log.info(
                "Created task %s (%r): %s%s.",
                task_id,
                self._task.name,
                describe_sampling_rate(self._task.sampling_rate),
                ", continuously" if self._task.run_continuously else "",
            )
            self._write(replace(record, task_id=task_id))
            return Obtained(task_id=task_id, how=How.CREATED)
        raise Unavailable(
            f"Task {self._task.name!r}: {MAX_SUBMISSIONS} requests to create it got no answer, and none "
            f"created it. Arize seems unavailable; the next try looks for the task before it asks again.",
            may_have_executed=True,
        )

    def _not_created(self, error: CallError) -> Obtained:
        self._forget()
        # Another may have created it since it was looked for; the words of that refusal are not documented.
        if isinstance(error, InputRefused) and self._if_exists != "fail":
            existing, _ = self._same_name()
            if existing:
                return self._use_existing(existing)
        raise error

    def _use_existing(self, existing: list[Task]) -> Obtained:
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
        return self._use(task, How.EXISTED)

    def _use(self, task: Task, how: How) -> Obtained:
        self._log.info("Task %s (%r) was %s.", task.id, task.name, how.value)
        if self._if_exists == "update":
            bring_up_to_date(hook=self._hook, task_id=task.id, wanted=self._task, log=self._log)
        return Obtained(task_id=task.id, how=how)

    def _find_lost(self, record: Record, error: CallError) -> Task | None:
        # An error that Arize answered with came when it was done, so that one look tells.
        seconds = self._look_up_seconds if isinstance(error, Unavailable) else 0.0
        self._log.warning("%s. Looking for the task, for up to %.0f s.", error, seconds)
        try:
            return self._look_up(record, seconds=seconds)
        except (RateLimited, Unavailable) as trouble:
            raise Unavailable(
                f"{error} Whether the task was created could not be found out either ({trouble}). The next "
                f"try looks for it before it creates one; without a retry, look at the tasks in Arize.",
                may_have_executed=True,
            ) from error

    def _look_up(self, record: Record, *, seconds: float) -> Task | None:
        """Look for the task of a record until it appears or the time is over.

        :raises CallError: the last look got no answer, so that nothing is known.
        """
        until, pause = time.monotonic() + seconds, 1.0
        while True:
            trouble: CallError | None = None
            found: list[Task] = []
            try:
                found, _ = self._same_name()
            except (RateLimited, Unavailable) as error:
                trouble = error
            for task in found:
                is_new = task.created_at is None or task.created_at >= record.since
                if is_new or self._if_exists != "fail":
                    return task
            left = until - time.monotonic()
            if left <= 0:
                if trouble is not None:
                    raise trouble
                return None
            self._sleep(min(pause, max(left, 0.05)))
            pause = min(pause * 2, 10.0)

    def _time_left_to_appear(self, record: Record) -> float:
        """Return how long the task of an earlier try may still take to appear, at most the look-up time."""
        _, server_time = self._same_name()
        age = server_time - parse_time(record.server_time, "server_time")
        return min(max(self._look_up_seconds - age.total_seconds(), 0.0), self._look_up_seconds)

    def _same_name(self) -> tuple[list[Task], datetime]:
        """Return the tasks of exactly this name on the model, oldest first, and the server's clock."""
        found: list[Task] = []
        cursor = None
        while True:
            page, answer = self._hook.client.exchange(
                calls.list_tasks(project_id=self._task.model_id, name=self._task.name, cursor=cursor)
            )
            # The server's filter takes a part of the name for a match.
            found += [
                task
                for task in page.items
                if task.name == self._task.name and task.project_id in (None, self._task.model_id)
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
        latest = datetime.max.replace(tzinfo=UTC)
        found.sort(key=lambda task: (task.created_at or latest, task.id))
        return found, answer.date or datetime.now(UTC)
