"""Never two runs for one.

runOnlineTask has no idempotency key, and a run costs LLM money. So an operator execution writes down what
it is about to start before it does so, and the run's ID after it. A later try finds the record and goes
on from there; within a try, a request that may have been carried out is looked for before it is repeated.
``docs/reliability.md`` tells what that guarantees and what it cannot.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.exceptions import (
    CallError,
    InputRefused,
    NotFound,
    RateLimited,
    Unavailable,
)
from airflow_provider_online_tasks.inputs import DataWindow
from airflow_provider_online_tasks.once._state import State
from airflow_provider_online_tasks.waiting.endings import Ending, read_ending

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import RunInput

STATE_KEY = "online_task_run"
LOOK_UP_SECONDS = 60.0
MAX_SUBMISSIONS = 3
MAX_LOOK_UP_PAGES = 1000
SERVER_TIME_MARGIN = timedelta(seconds=60)
WINDOW_TOLERANCE = timedelta(seconds=1)
MAX_KNOWN_RUNS = 300


class How(enum.Enum):
    """How an operator execution came by its run."""

    STARTED = "started"
    ADOPTED = "found after a lost answer"
    REATTACHED = "taken up from an earlier try"
    FINISHED = "finished already, started by an earlier try"


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """The run of an operator execution.

    :param run_id: its ID.
    :param how: how it was come by.
    :param run: the run as it was found, unless it was just started.
    """

    run_id: str
    how: How
    run: TaskRun | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is written down about a submission.

    :param online_task_id: the task that is run.
    :param data_start_time: begin of the window.
    :param data_end_time: end of the window.
    :param server_time: the server's clock just before the run was first asked for.
    :param known: IDs of runs over the same window that were there before.
    :param knows_all: whether ``known`` has all of them, so that a run is recognised without any clock.
    :param asked_at: the server's clock when the run was last asked for; None before it was.
    :param asked_at_here: the same moment on the worker's clock.
    :param run_id: the run, once it is known.
    :param succeeded_at: ``max_tries`` of the task instance when its execution succeeded. Clearing a task
        raises ``max_tries``, a retry does not: so a retry whose predecessor's success was not heard of
        takes the same run, and a cleared task starts a new one.
    """

    online_task_id: str
    data_start_time: str
    data_end_time: str
    server_time: str
    known: tuple[str, ...] = ()
    knows_all: bool = False
    asked_at: str | None = None
    asked_at_here: str | None = None
    run_id: str | None = None
    succeeded_at: int | None = None

    @classmethod
    def read(cls, value: Any) -> Record | None:
        """Read a stored record; None if it is none of this version's."""
        if not isinstance(value, Mapping):
            return None
        try:
            return cls(**{**value, "known": tuple(value.get("known", ()))})
        except TypeError:
            return None

    @property
    def window(self) -> DataWindow:
        """The window of the run."""
        return DataWindow(
            start=parse_time(self.data_start_time, "data_start_time"),
            end=parse_time(self.data_end_time, "data_end_time"),
        )

    def is_for(self, run: RunInput) -> bool:
        """Whether it is about the same task and window."""
        return self.online_task_id == run.online_task_id and self.window == run.window


class Submission:
    """Obtains the one run of an operator execution.

    :param hook: how Arize is called.
    :param run: what is to be run.
    :param context: the Airflow context.
    :param log: where decisions are told.
    :param rerun_if_nothing_evaluated: whether a finished run that evaluated nothing counts as a failure.
    :param max_error_rate: see :func:`~airflow_provider_online_tasks.waiting.endings.read_ending`.
    :param look_up_seconds: how long a run whose answer was lost is looked for.
    """

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        run: RunInput,
        context: Context,
        log: Any,
        rerun_if_nothing_evaluated: bool = False,
        max_error_rate: float | None = None,
        look_up_seconds: float = LOOK_UP_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hook = hook
        self._run = run
        self._state = State(context, STATE_KEY)
        self._log = log
        self._rerun_if_nothing_evaluated = rerun_if_nothing_evaluated
        self._max_error_rate = max_error_rate
        self._look_up_seconds = look_up_seconds
        self._sleep = sleep
        self._server_now = datetime.now(UTC)

    def obtain(self) -> Obtained:
        """Return the run of this execution: found again if there is one, else started.

        :raises TaskErrorReturned: the server did not start it.
        :raises Unavailable: whether it was started could not be found out. The next try looks again.
        :raises CallError: the subclass that fits what happened.
        """
        record = Record.read(self._state.read())
        if record is not None and record.succeeded_at is not None:
            if record.succeeded_at != self._state.max_tries:
                self._log.info("The task was cleared after it had succeeded: a new run is started.")
                self._retire(record)
                return self._start(self._intent(known=_earlier(record)))
            record = replace(record, succeeded_at=None)
        if record is not None and not record.is_for(self._run):
            self._log.warning(
                "An earlier try was for task %s over %s, this one is not.",
                record.online_task_id,
                record.window,
            )
            self._retire(record)
            return self._start(self._intent())
        if record is not None:
            return self._resume(record)
        if not self._state.is_kept and self._state.try_number > 1:
            return self._resume_without_record() or self._start(self._intent())
        return self._start(self._intent())

    def start_instead_of(self, run_id: str) -> Obtained:
        """Start a new run in place of one that was cancelled while this execution took it up again."""
        return self._start(self._intent(known=(run_id,)))

    def finish(self) -> None:
        """Mark the execution as a success, so that a task cleared after it starts a new run."""
        record = Record.read(self._state.read())
        if record is not None:
            self._write(replace(record, succeeded_at=self._state.max_tries))

    def _write(self, record: Record) -> None:
        self._state.write({**asdict(record), "known": list(record.known)})

    def _start(self, record: Record) -> Obtained:
        for _ in range(MAX_SUBMISSIONS):
            # A request of before that got no answer may be carried out yet: its record is not given up.
            is_first = record.asked_at is None
            record = replace(
                record, asked_at=wire_time(self._server_now), asked_at_here=wire_time(datetime.now(UTC))
            )
            self._write(record)
            try:
                run_id = self._hook.run_online_task(self._run)
            except CallError as error:
                found = self._find_lost(record, error) if error.may_have_executed else None
                if found is not None:
                    self._keep(record, found.id)
                    return Obtained(run_id=found.id, how=How.ADOPTED, run=found)
                if error.may_have_executed and isinstance(error, Unavailable):
                    self._log.warning("No such run was created: it is asked for again.")
                    continue
                if is_first:
                    self._state.delete()
                raise
            self._keep(record, run_id)
            return Obtained(run_id=run_id, how=How.STARTED)
        raise Unavailable(
            f"Task {self._run.online_task_id}: {MAX_SUBMISSIONS} requests to run it got no answer, and none "
            f"created a run. Arize seems unavailable; the next try looks for a run before it asks again.",
            may_have_executed=True,
        )

    def _intent(self, *, known: tuple[str, ...] = ()) -> Record:
        """Return a record of what is about to be asked for: the server's clock, and what is there already."""
        page = self._runs_page(self._run.online_task_id)
        same = (run.id for run in page.items if self._is_same_window(run, self._run.window))
        seen = tuple(dict.fromkeys((*same, *known)))
        return replace(
            self._record(since=self._server_now),
            known=seen[-MAX_KNOWN_RUNS:],
            knows_all=page.next_cursor is None and len(seen) <= MAX_KNOWN_RUNS,
        )

    def _record(self, *, since: datetime) -> Record:
        wire = self._run.to_wire()
        return Record(
            online_task_id=self._run.online_task_id,
            data_start_time=wire["dataStartTime"],
            data_end_time=wire["dataEndTime"],
            server_time=wire_time(since),
        )

    def _keep(self, record: Record, run_id: str) -> Record:
        # The ID is logged first: should the store not be reached, a person can still find the run.
        self._log.info("Run %s: task %s over %s.", run_id, record.online_task_id, record.window)
        record = replace(record, run_id=run_id)
        self._write(record)
        return record

    def _resume(self, record: Record) -> Obtained:
        if record.run_id is None:
            self._log.info("An earlier try may have started a run before it ended. Looking for it.")
            found = self._look_up(record, seconds=self._time_left_to_appear(record))
            if found is None:
                self._log.info("It did not: no run over %s was created since.", record.window)
                return self._start(record)
            record, how = self._keep(record, found.id), How.ADOPTED
        else:
            try:
                found = self._hook.get_task_run(record.run_id)
            except NotFound:
                self._log.warning("Run %s of an earlier try is gone.", record.run_id)
                return self._start(self._intent(known=_earlier(record)))
            self._write(record)
            how = How.REATTACHED
        return self._take(found, how) or self._start(self._intent(known=_earlier(record)))

    def _resume_without_record(self) -> Obtained | None:
        """Take a run since the DAG run's start for ours: before Airflow 3.3 nothing is kept between tries."""
        since = self._state.dag_run_start
        if since is None:
            return None
        self._log.info("Try %d: looking for a run that an earlier try started.", self._state.try_number)
        self._runs_page(self._run.online_task_id)
        skew = self._server_now - datetime.now(UTC)
        found = sorted(
            self._matching(self._record(since=since + skew)),
            key=lambda run: (run.is_over, not self._is_good(run)),
        )
        return self._take(found[0], How.ADOPTED) if found else None

    def _take(self, run: TaskRun, how: How) -> Obtained | None:
        """Return a run that was found, unless it ended so that a new one is due."""
        if not run.is_over:
            return Obtained(run_id=run.id, how=how, run=run)
        if self._is_good(run):
            return Obtained(run_id=run.id, how=How.FINISHED, run=run)
        self._log.warning(
            "Run %s of an earlier try ended %s (%s): a new run is started.",
            run.id,
            run.status.value,
            run.failure_reason or run.counts,
        )
        return None

    def _is_good(self, run: TaskRun) -> bool:
        if not run.is_over:
            return False
        ending = read_ending(run, max_error_rate=self._max_error_rate)
        if ending is Ending.NOTHING_EVALUATED:
            return not self._rerun_if_nothing_evaluated
        return ending is Ending.SUCCEEDED

    def _retire(self, record: Record) -> None:
        """End a run that this try is not about, so that no two runs live."""
        try:
            found = (
                self._hook.get_task_run(record.run_id)
                if record.run_id
                else self._look_up(record, seconds=self._time_left_to_appear(record))
            )
            if found is not None and not found.is_over:
                self._log.warning("Run %s of an earlier try goes on: it is cancelled first.", found.id)
                self._cancel(found.id)
        except NotFound:
            return

    def _cancel(self, run_id: str) -> None:
        try:
            self._hook.cancel_task_run(run_id)
        except InputRefused:
            # It may have ended meanwhile, or by a request whose answer was lost.
            if not self._hook.get_task_run(run_id).is_over:
                raise

    def _find_lost(self, record: Record, error: CallError) -> TaskRun | None:
        # A server that has answered is done with the request: what it created is there by now.
        seconds = self._look_up_seconds if isinstance(error, Unavailable) else 0.0
        self._log.warning("%s. Looking for the run, for up to %.0f s.", error, seconds)
        try:
            return self._look_up(record, seconds=seconds)
        except CallError as trouble:
            raise Unavailable(
                f"{error} Whether a run was started could not be found out either ({trouble}). The next try "
                f"looks for it before it starts one; without a retry, look at the task's runs in Arize.",
                may_have_executed=True,
            ) from error

    def _look_up(self, record: Record, *, seconds: float) -> TaskRun | None:
        """Look for the run of a record until it appears or the time is over.

        :raises CallError: the last look got no answer, so that nothing is known.
        """
        until, pause = time.monotonic() + seconds, 1.0
        while True:
            trouble: CallError | None = None
            try:
                found = list(self._matching(record))
            except (RateLimited, Unavailable) as error:
                found, trouble = [], error
            if found:
                return min(found, key=lambda run: run.created_at or datetime.max.replace(tzinfo=UTC))
            left = until - time.monotonic()
            if left <= 0:
                if trouble is not None:
                    raise trouble
                return None
            self._sleep(min(pause, max(left, 0.05)))
            pause = min(pause * 2, 10.0)

    def _time_left_to_appear(self, record: Record) -> float:
        """Return how long the run of an earlier try may still take to appear, at most the look-up time.

        Two clocks tell, in case that one of them was set meanwhile.
        """
        if record.asked_at is None or record.asked_at_here is None:
            return 0.0
        self._runs_page(record.online_task_id)
        age = min(
            self._server_now - parse_time(record.asked_at, "asked_at"),
            datetime.now(UTC) - parse_time(record.asked_at_here, "asked_at_here"),
        )
        return min(max(self._look_up_seconds - age.total_seconds(), 0.0), self._look_up_seconds)

    def _matching(self, record: Record) -> Iterator[TaskRun]:
        """Yield the runs that may be the one of a record.

        :raises Unavailable: there are more runs than can be looked through.
        """
        since = parse_time(record.server_time, "server_time") - SERVER_TIME_MARGIN
        cursor = None
        for _ in range(MAX_LOOK_UP_PAGES):
            page = self._runs_page(record.online_task_id, cursor)
            for run in page.items:
                is_new = record.knows_all or run.created_at is None or run.created_at >= since
                if is_new and run.id not in record.known and self._is_same_window(run, record.window):
                    yield run
            cursor = page.next_cursor
            if cursor is None:
                return
        raise Unavailable(
            f"Task {record.online_task_id} has more than {MAX_LOOK_UP_PAGES * calls.RUNS_PAGE} runs, too "
            f"many to look for one in."
        )

    def _runs_page(self, task_id: str, cursor: str | None = None) -> calls.Page[TaskRun]:
        """Return a page of a task's runs, and note the server's clock."""
        page, answer = self._hook.client.exchange(calls.list_task_runs(task_id, cursor=cursor))
        self._server_now = answer.date or datetime.now(UTC)
        return page

    @staticmethod
    def _is_same_window(run: TaskRun, window: DataWindow) -> bool:
        if run.data_start_time is None or run.data_end_time is None:
            return False
        return (
            abs(run.data_start_time - window.start) < WINDOW_TOLERANCE
            and abs(run.data_end_time - window.end) < WINDOW_TOLERANCE
        )


def _earlier(record: Record) -> tuple[str, ...]:
    return (*record.known, record.run_id) if record.run_id else record.known
