"""Start a run once per execution.

runOnlineTask has no idempotency key, and a run costs LLM money. A run is recognized by its window and because
it did not exist before the request. The run of an earlier try is used if it is running or finished
successfully.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock, exceptions
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import TaskRun
from airflow_provider_online_tasks.idempotency import create_once
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore, TryNoLongerCurrent
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.runs.wait_policy import run_unreachable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.runs import RunInput
    from airflow_provider_online_tasks.runs.end_states import EndRules

STATE_KEY = "online_task_run"
WINDOW_TOLERANCE = timedelta(seconds=1)
MAX_KNOWN_RUNS = 300


@dataclass(frozen=True, kw_only=True)
class RunIntent(Intent):
    """A request to start a run."""

    online_task_id: str
    server_time: str  # by Arize's clock, just before the first request
    data_start_time: str
    data_end_time: str
    known: tuple[str, ...] = ()  # the runs over the same window that existed before, or of earlier tries
    knows_all: bool = False  # if ``known`` has all of them, no clock is needed to recognize a new run
    conn_id: str = DEFAULT_CONN_ID
    cancel_on_kill: bool = True
    spending: dict[str, Any] | None = None  # the result of the check of the run's limits

    @property
    def window(self) -> DataWindow:
        """The window of the run."""
        return DataWindow(
            start=parse_time(self.data_start_time, "data_start_time"),
            end=parse_time(self.data_end_time, "data_end_time"),
        )

    @property
    def earlier_runs(self) -> tuple[str, ...]:
        """The IDs of runs that must not be mistaken for a new one."""
        return (*self.known, self.id) if self.id else self.known

    def may_have_started(self, run: TaskRun) -> bool:
        """Return whether a run of the task may be the result of this request."""
        since = parse_time(self.server_time, "server_time") - create_once.SERVER_TIME_MARGIN
        is_new = self.knows_all or run.created_at is None or run.created_at >= since
        return is_new and run.id not in self.known and has_window(run, self.window)


class Submission(create_once.CreateOnce[RunIntent, TaskRun]):
    """Starts the run of an execution, or finds it if an earlier try started it."""

    noun = "run"
    verb = "start"

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        run: RunInput,
        context: Context,
        log: Any,
        rules: EndRules,
        cancel_on_kill: bool,
    ) -> None:
        super().__init__(hook=hook, intents=IntentStore(context, STATE_KEY, RunIntent), log=log)
        self._run = run
        self._window = run.window
        self._rules = rules
        self._cancel_on_kill = cancel_on_kill
        self._known: tuple[str, ...] = ()  # runs of earlier tries, which are not the new one
        self._not_executed: RunIntent | None = None  # an earlier request that started no run
        self._spending: dict[str, Any] | None = None
        self.earlier_spending: dict[str, Any] | None = None  # of a run that ended so that a new one is needed

    def find_earlier(self) -> Result[TaskRun] | None:
        """Return the run of an earlier try; None if a new one is needed."""
        intent = self._intents.read()
        if intent is None:
            return self._find_without_intent()
        if intent.id is None and intent.sent_at is None:
            self._known = intent.known
            return None
        if intent.succeeded_at not in (None, self._try.max_tries):
            self._log.info("The task was cleared after it had succeeded. A new run is needed.")
            self._known = self._retire(intent)
            return None
        if (intent.online_task_id, intent.window) != (self._run.online_task_id, self._window):
            self._log.warning(
                "The earlier try was for task %s and window %s. A new run is needed.",
                intent.online_task_id,
                intent.window,
            )
            # The runs stay known: a later try may have that window again.
            self._known = self._retire(intent)
            return None
        return self._resume(replace(intent, succeeded_at=None))

    def give_up(self, run_id: str) -> None:
        """Don't use a run that was cancelled after this execution resumed it: a new one is needed."""
        intent = self._intents.read()
        self._known = (*(intent.earlier_runs if intent else ()), run_id)

    def start(self, run: RunInput, *, spending: dict[str, Any] | None = None) -> Result[TaskRun]:
        """Start a new run, unless :meth:`find_earlier` finds one.

        :param run: the run, with the ``max_spans`` that its limits allow.
        :param spending: what the check of its limits found, to be stored with the request.
        """
        self._run, self._spending = run, spending
        if self._not_executed is not None:
            return self._create_once(replace(self._not_executed, spending=spending))
        return self._start(known=self._known)

    @property
    def spending(self) -> dict[str, Any] | None:
        """What the check of the run's limits found before the run was started, if it was stored."""
        intent = self._intents.latest
        return intent.spending if intent is not None else None

    @property
    def is_last_try(self) -> bool:
        """Whether no other try resumes the run."""
        return self._try.is_last

    @property
    def unfinished(self) -> RunIntent | None:
        """The intent of this execution if its run may be unfinished. Sends no request."""
        intent = self._intents.latest
        return intent if intent is not None and intent.sent_at and intent.succeeded_at is None else None

    def find(self, intent: RunIntent) -> TaskRun | None:
        """Search once for the run of an intent, by its window."""
        return next(iter(self._find_matching(intent)), None)

    def check_try(self) -> None:
        """Raise TryNoLongerCurrent if Airflow has replaced this try; not if Airflow doesn't answer."""
        try:
            self._intents.check_try()
        except TryNoLongerCurrent:
            raise
        except Exception as error:  # noqa: BLE001  an outage must not keep a run alive
            self._log.warning("Airflow doesn't answer whether this try is current: %s", error)

    def finish(self) -> None:
        """Note the success of the execution, so that clearing the task later starts a new run."""
        self._intents.finish()

    def _start(self, *, known: tuple[str, ...]) -> Result[TaskRun]:
        """Note Arize's clock and the runs that exist, then send the request."""
        page = self._read_page(calls.list_task_runs(self._run.online_task_id))
        same_window = sorted((run for run in page.items if has_window(run, self._window)), key=_created_at)
        # The newest ones last: those are kept.
        known = tuple(dict.fromkeys((*known, *(run.id for run in same_window))))
        intent = replace(
            self._intent(since=self._server_now),
            known=known[-MAX_KNOWN_RUNS:],
            knows_all=page.next_cursor is None and len(known) <= MAX_KNOWN_RUNS,
        )
        return self._create_once(intent)

    def _intent(self, *, since: datetime) -> RunIntent:
        return RunIntent(
            online_task_id=self._run.online_task_id,
            data_start_time=wire_time(self._window.start),
            data_end_time=wire_time(self._window.end),
            server_time=wire_time(since),
            conn_id=self._hook.conn_id,
            cancel_on_kill=self._cancel_on_kill,
            spending=self._spending,
        )

    def _send_request(self) -> str:
        return self._hook.run_online_task(self._run)

    def _confirm_id(self, intent: RunIntent, created_id: str) -> str:
        if is_rest_id(created_id):
            return created_id
        self._log.warning("%s is not the ID of a run in Arize's REST API. Searching for the run.", created_id)
        with contextlib.suppress(exceptions.CallError):
            run = self._search(intent, seconds=create_once.SEARCH_SECONDS)
            return created_id if run is None else run.id
        return created_id

    def _withdraw_intent(self, intent: RunIntent) -> None:
        if intent.known:
            # Keep them: they may not be on the first page of runs that the next try reads.
            self._intents.write(replace(intent, sent_at=None, sent_at_worker=None))
        else:
            super()._withdraw_intent(intent)

    def _describe_created(self, intent: RunIntent, created_id: str) -> str:
        return f"Run {created_id}: task {intent.online_task_id}, window {intent.window}."

    def _discard(self, created_id: str) -> None:
        self._log.warning(
            "Cancelling run %s: its ID can't be stored, so no try would wait for it.", created_id
        )
        self._hook.end_task_run(created_id)

    def _resume(self, intent: RunIntent) -> Result[TaskRun] | None:
        """Return the run of an earlier try, or None if there is none that can be used."""
        if intent.id is None:
            self._log.info("An earlier try may have started a run. Searching for it.")
            run = self._search(intent)
            if run is None:
                self._log.info("The earlier try started no run for window %s.", intent.window)
                self._not_executed = intent
                return None
        else:
            # Not found, it may have another ID in REST than in the response to runOnlineTask.
            run = self._read_earlier_run(intent, intent.id) or self.find(intent)
            if run is None:
                self._log.warning("Run %s of an earlier try was deleted.", intent.id)
                self._known, self.earlier_spending = intent.earlier_runs, intent.spending
                return None
        if run.id == intent.id:
            outcome = Outcome.RESUMED
            self._intents.write(intent)
        else:
            outcome = Outcome.ADOPTED
            intent = self._store_id(intent, run.id)
        self._known = intent.earlier_runs
        result = self._use(run, outcome)
        if result is None:
            self.earlier_spending = intent.spending
        return result

    def _find_without_intent(self) -> Result[TaskRun] | None:
        """Return the newest run over the window, if an earlier try may have left one.

        Before Airflow 3.3, nothing is kept between tries. From Airflow 3.4 on, a clear deletes what was kept.
        What was kept may also be from another version of this package. A retry uses a run that was created
        since the DAG run started. A cleared task uses only one that is running, and was created since the DAG
        run was due.
        """
        was_cleared = self._try.follows_clear
        since = self._try.dag_run_due if was_cleared else self._try.dag_run_start
        may_be_lost = was_cleared or self._intents.may_be_lost
        if not may_be_lost or self._try.number == 1 or since is None:
            return None
        self._log.info("Try %d: searching for a run that an earlier try started.", self._try.number)
        self._read_page(calls.list_task_runs(self._run.online_task_id))  # for Arize's clock
        clock_difference = self._server_now - _clock.now()
        runs = self._new_runs(self._intent(since=since + clock_difference))
        newest = max(runs, key=lambda run: (not run.is_over, _created_at(run)), default=None)
        if newest is None:
            return None
        if was_cleared and newest.is_over:
            self._log.info("The task was cleared. A new run is needed.")
            return None
        return self._use(newest, Outcome.RESUMED)

    def _read_earlier_run(self, intent: RunIntent, run_id: str) -> TaskRun | None:
        """Return the run of an earlier try, None if it was deleted; raise if Arize rejects the request."""
        try:
            try:
                return self._hook.get_task_run(run_id)
            except exceptions.NotFound:  # deleted or a hiccup: the list of runs shows which
                return next((run for run in self._list_runs(intent) if run.id == run_id), None)
        except (exceptions.AuthenticationFailed, exceptions.NotFound, exceptions.PermissionDenied) as error:
            raise run_unreachable(run_id, error) from error

    def _use(self, run: TaskRun, outcome: Outcome) -> Result[TaskRun] | None:
        """Return a run of an earlier try, unless it finished so that a new run is needed."""
        if not run.is_over or self._rules.accept(run):
            return Result(id=run.id, outcome=Outcome.FINISHED if run.is_over else outcome, resource=run)
        self._log.warning(
            "Run %s of an earlier try ended as %s (%s). A new run is needed.",
            run.id,
            run.status.value,
            run.failure_reason or run.counts,
        )
        return None

    def _retire(self, intent: RunIntent) -> tuple[str, ...]:
        """Cancel the run of an earlier try for something else. Return the runs that aren't the new one."""
        try:
            run = self._read_earlier_run(intent, intent.id) if intent.id else self._search(intent)
        except exceptions.NotFound:
            run = None  # its task was deleted
        except exceptions.OnlineTaskRunUnreachable as error:
            if not isinstance(error.__cause__, exceptions.NotFound):
                raise
            run = None
        if run is None:
            return intent.earlier_runs
        if not run.is_over:
            self.check_try()
            self._log.warning("Cancelling run %s of an earlier try.", run.id)
            with contextlib.suppress(exceptions.NotFound):
                self._hook.end_task_run(run.id)
        return (*intent.earlier_runs, run.id)

    def _find_matching(self, intent: RunIntent) -> list[TaskRun]:
        # Unsuccessful runs last: they must not hide a running one.
        return sorted(
            self._new_runs(intent),
            key=lambda run: (run.is_over and not self._rules.accept(run), _created_at(run)),
        )

    def _new_runs(self, intent: RunIntent) -> Iterator[TaskRun]:
        """Yield the runs that may be the result of an intent."""
        return (run for run in self._list_runs(intent) if intent.may_have_started(run))

    def _list_runs(self, intent: RunIntent) -> Iterator[TaskRun]:
        for page in calls.pages(
            self._read_page, lambda cursor: calls.list_task_runs(intent.online_task_id, cursor=cursor)
        ):
            yield from page.items


def _created_at(run: TaskRun) -> datetime:
    return run.created_at or datetime.max.replace(tzinfo=UTC)


def is_rest_id(run_id: str) -> bool:
    """Return whether an ID has the documented form of a run's ID in REST: ``TaskRun:…`` in base64."""
    try:
        return base64.b64decode(run_id, validate=True).startswith(b"TaskRun:")
    except ValueError:
        return False


def has_window(run: TaskRun, window: DataWindow) -> bool:
    """Return whether a run has a window. Arize may round its times."""
    bounds = ((run.data_start_time, window.start), (run.data_end_time, window.end))
    return all(time is not None and abs(time - bound) < WINDOW_TOLERANCE for time, bound in bounds)
