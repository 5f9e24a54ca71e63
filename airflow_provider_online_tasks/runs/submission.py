"""Never two runs for one.

runOnlineTask has no idempotency key, and a run costs LLM money. A run is recognised by its window and by not
having been there before. A run of an earlier try will do as long as it goes on or ended well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses.runs import TaskRun
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    NotFound,
    OnlineTaskRunUnreachable,
    PermissionDenied,
)
from airflow_provider_online_tasks.idempotency.create_once import (
    SEARCH_SECONDS,
    SERVER_TIME_MARGIN,
    CreateOnce,
    Outcome,
    Result,
)
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore
from airflow_provider_online_tasks.inputs import DataWindow
from airflow_provider_online_tasks.runs.end_states import EndState, read_end_state

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import RunInput

STATE_KEY = "online_task_run"
WINDOW_TOLERANCE = timedelta(seconds=1)
MAX_KNOWN_RUNS = 300
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class RunRecord(Intent):
    """What is written down about a run.

    :param online_task_id: the task that is run.
    :param server_time: Arize's clock just before the first request.
    :param data_start_time: begin of the window.
    :param data_end_time: end of the window.
    :param known: IDs of runs that were there before: over the same window, or started by earlier tries.
    :param knows_all: whether ``known`` has all of them, so that a run is recognised without any clock.
    """

    online_task_id: str
    server_time: str
    data_start_time: str
    data_end_time: str
    known: tuple[str, ...] = ()
    knows_all: bool = False

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

    @property
    def earlier(self) -> tuple[str, ...]:
        """The runs that a new one must not be taken for."""
        return (*self.known, self.id) if self.id else self.known


class Submission(CreateOnce[RunRecord, TaskRun]):
    """Obtains the one run of an operator execution.

    :param hook: how Arize is called.
    :param run: what is to be run.
    :param context: the Airflow context.
    :param log: the task's log.
    :param rerun_if_nothing_evaluated: whether a finished run that evaluated nothing counts as a failure.
    :param max_error_rate: see :func:`~airflow_provider_online_tasks.runs.end_states.read_end_state`.
    :param search_seconds: how long to search for a run whose answer was lost.
    """

    noun: ClassVar[str] = "run"
    verb: ClassVar[str] = "start"

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        run: RunInput,
        context: Context,
        log: Any,
        rerun_if_nothing_evaluated: bool,
        max_error_rate: float | None,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        super().__init__(
            hook=hook,
            intents=IntentStore(context, STATE_KEY, RunRecord),
            log=log,
            search_seconds=search_seconds,
        )
        self._run = run
        self._rerun_if_nothing_evaluated = rerun_if_nothing_evaluated
        self._max_error_rate = max_error_rate

    def obtain(self) -> Result[TaskRun]:
        """Return the run of this execution: that of an earlier try if there is one, else a new one.

        :raises TaskErrorReturned: Arize did not start it.
        :raises OnlineTaskRunUnreachable: Arize refuses to show the run of an earlier try. The next try looks
            again.
        :raises Unavailable: whether it was started is not known. The next try looks again.
        :raises CallError: the subclass that fits what happened.
        """
        record = self._intents.read()
        if record is None:
            return self._without_record() or self._start()
        if record.id is None and record.sent_at is None:
            return self._start(known=record.known)
        if record.succeeded_at not in (None, self._try.max_tries):
            self._log.info("The task was cleared after it had succeeded: a new run is started.")
            return self._start(known=self._retire(record))
        if not record.is_for(self._run):
            self._log.warning(
                "An earlier try was for task %s over %s, this one is not.",
                record.online_task_id,
                record.window,
            )
            # A later try may be for that window again.
            return self._start(known=self._retire(record))
        return self._resume(replace(record, succeeded_at=None))

    def start_instead_of(self, run_id: str) -> Result[TaskRun]:
        """Start a new run in place of one that was cancelled while this execution took it up again."""
        record = self._intents.read()
        return self._start(known=(*(record.earlier if record else ()), run_id))

    def finish(self) -> None:
        """Mark the execution as a success, so that a task cleared after it starts a new run."""
        self._intents.finish()

    # -- A new run. --

    def _start(self, *, known: tuple[str, ...] = ()) -> Result[TaskRun]:
        return self._create_once(self._intent(known))

    def _intent(self, known: tuple[str, ...]) -> RunRecord:
        """Return a record of what is about to be asked for: Arize's clock, and what is there already."""
        page = self._runs_page(self._run.online_task_id)
        same = (run.id for run in page.items if _is_same_window(run, self._run.window))
        seen = tuple(dict.fromkeys((*same, *known)))
        return replace(
            self._record(since=self._server_now),
            known=seen[-MAX_KNOWN_RUNS:],
            knows_all=page.next_cursor is None and len(seen) <= MAX_KNOWN_RUNS,
        )

    def _record(self, *, since: datetime) -> RunRecord:
        window = self._run.window
        return RunRecord(
            online_task_id=self._run.online_task_id,
            data_start_time=wire_time(window.start),
            data_end_time=wire_time(window.end),
            server_time=wire_time(since),
        )

    def _send_request(self) -> str:
        return self._hook.run_online_task(self._run)

    def _withdraw_intent(self, record: RunRecord) -> None:
        if record.known:
            # One of them may not be on the page of runs that the next try reads.
            self._intents.write(replace(record, sent_at=None, sent_at_worker=None))
        else:
            super()._withdraw_intent(record)

    def _describe_created(self, record: RunRecord, made_id: str) -> str:
        return f"Run {made_id}: task {record.online_task_id} over {record.window}."

    def _discard(self, created_id: str) -> None:
        self._log.warning("Cancelling run %s: another try has replaced this one.", created_id)
        self._hook.end_task_run(created_id)

    # -- The run of an earlier try. --

    def _resume(self, record: RunRecord) -> Result[TaskRun]:
        if record.id is None:
            self._log.info("An earlier try may have started a run before it ended. Searching for it.")
            found, outcome = self._search(record), Outcome.ADOPTED
            if found is None:
                self._log.info(
                    "No run over %s was created since: the earlier try did not start one.", record.window
                )
                return self._create_once(record)
            record = self._store_id(record, found.id)
        else:
            found, outcome = self._known(record, record.id), Outcome.RESUMED
            if found is None:
                self._log.warning("Run %s of an earlier try is gone.", record.id)
                return self._start(known=record.earlier)
            self._intents.write(record)
        return self._take(found, outcome) or self._start(known=record.earlier)

    def _without_record(self) -> Result[TaskRun] | None:
        """Take the newest run over the window for ours: before Airflow 3.3 nothing is kept between tries.

        A retry takes one since the DAG run's start. A task that was cleared takes only one that still goes
        on, since the DAG run was due.
        """
        was_cleared = self._try.follows_clear
        since = self._try.dag_run_due if was_cleared else self._try.dag_run_start
        if self._intents.is_available or self._try.number == 1 or since is None:
            return None
        self._log.info("Try %d: searching for a run that an earlier try started.", self._try.number)
        self._runs_page(self._run.online_task_id)
        skew = self._server_now - _clock.now()
        found = sorted(
            self._same_window_since(self._record(since=since + skew)),
            key=lambda run: (not run.is_over, run.created_at or LATEST),
        )
        if was_cleared and not (found and not found[-1].is_over):
            self._log.info("The task was cleared: a new run is started.")
            return None
        return self._take(found[-1], Outcome.RESUMED) if found else None

    def _known(self, record: RunRecord, run_id: str) -> TaskRun | None:
        """Return a run of an earlier try, or None if it is gone.

        :raises OnlineTaskRunUnreachable: Arize refuses to show it, which a new run must not be paid for.
        """
        try:
            try:
                return self._hook.get_task_run(run_id)
            except NotFound:  # gone, or a hiccup: the task's list of runs says which
                return next((run for run in self._listed(record) if run.id == run_id), None)
        except (AuthenticationFailed, NotFound, PermissionDenied) as error:
            raise OnlineTaskRunUnreachable(
                f"Arize refuses to show run {run_id} of an earlier try, which may go on: {error} The next "
                f"try looks at it again."
            ) from error

    def _take(self, run: TaskRun, outcome: Outcome) -> Result[TaskRun] | None:
        """Return a run that was found, unless it ended so that a new one is due."""
        if not run.is_over:
            return Result(id=run.id, outcome=outcome, resource=run)
        if self._is_good(run):
            return Result(id=run.id, outcome=Outcome.FINISHED, resource=run)
        self._log.warning(
            "Run %s of an earlier try ended %s (%s): a new run is started.",
            run.id,
            run.status.value,
            run.failure_reason or run.counts,
        )
        return None

    def _is_good(self, run: TaskRun) -> bool:
        """Whether a run that is over is the one that was wanted."""
        ending = read_end_state(run, max_error_rate=self._max_error_rate)
        if ending is EndState.NOTHING_EVALUATED:
            return not self._rerun_if_nothing_evaluated
        return ending is EndState.SUCCEEDED

    def _retire(self, record: RunRecord) -> tuple[str, ...]:
        """End a run that this try is not about, so that no two runs live.

        :return: the runs that a new one must not be taken for.
        """
        found = self._retired(record)
        if found is None:
            return record.earlier
        if not found.is_over:
            self._log.warning("Run %s of an earlier try goes on: it is cancelled first.", found.id)
            with contextlib.suppress(NotFound):
                self._hook.end_task_run(found.id)
        return (*record.earlier, found.id)

    def _retired(self, record: RunRecord) -> TaskRun | None:
        try:
            return self._known(record, record.id) if record.id else self._search(record)
        except NotFound:
            return None  # its task is gone
        except OnlineTaskRunUnreachable as error:
            if isinstance(error.__cause__, NotFound):
                return None
            raise

    # -- Recognising a run. --

    def _find_matching(self, record: RunRecord) -> Iterator[TaskRun]:
        found = self._same_window_since(record)
        # One that ended badly is of no use, whosever it is: a run that goes on must not be lost over it.
        yield from sorted(
            found, key=lambda run: (run.is_over and not self._is_good(run), run.created_at or LATEST)
        )

    def _same_window_since(self, record: RunRecord) -> Iterator[TaskRun]:
        since = parse_time(record.server_time, "server_time") - SERVER_TIME_MARGIN
        for run in self._listed(record):
            is_new = record.knows_all or run.created_at is None or run.created_at >= since
            if is_new and run.id not in record.known and _is_same_window(run, record.window):
                yield run

    def _listed(self, record: RunRecord) -> Iterator[TaskRun]:
        """Yield all runs of a record's task, page by page."""
        for page in calls.pages(
            self._read_page, lambda cursor: calls.list_task_runs(record.online_task_id, cursor=cursor)
        ):
            yield from page.items

    def _runs_page(self, task_id: str) -> calls.Page[TaskRun]:
        return self._read_page(calls.list_task_runs(task_id))


def _is_same_window(run: TaskRun, window: DataWindow) -> bool:
    if run.data_start_time is None or run.data_end_time is None:
        return False
    return (
        abs(run.data_start_time - window.start) < WINDOW_TOLERANCE
        and abs(run.data_end_time - window.end) < WINDOW_TOLERANCE
    )
