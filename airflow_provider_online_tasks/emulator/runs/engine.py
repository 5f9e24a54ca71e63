"""All task runs: how they are started, proceed with the clock, and end."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.runs.evaluation import Evaluation, evaluate
from airflow_provider_online_tasks.emulator.runs.run import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    PENDING,
    RUNNING,
    NoDataError,
    Plan,
    Run,
    RunEndedError,
)
from airflow_provider_online_tasks.emulator.runs.selection import fraction, matching_items, unlabelled_items
from airflow_provider_online_tasks.emulator.runs.tasks import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.store import evaluation_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.control.faults import RunFate
    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.runs.tasks import Task
    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings
    from airflow_provider_online_tasks.emulator.store import Store

DEFAULT_MAX_SPANS = 10_000
TICK_SECONDS = 0.1

ALREADY_LABELLED = (
    "All matching data already has evaluation labels. Trigger the run again with override_evaluations "
    "enabled to evaluate it once more."
)
_FAILED_REASON = "The run stopped: the model provider answered with an internal error."
_CANCELLED_REASON = "The run was cancelled by a user."
_BATCH = 500
_REMOTE_BATCH = 4

_STATUS_OF_OUTCOME = {
    "complete": COMPLETED,
    "nothing": COMPLETED,
    "fail": FAILED,
    "cancel": CANCELLED,
}


class RunEngine:
    """All runs, brought up to date with the clock whenever somebody looks, and by a ticker in between."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        judge: Judge,
        judge_is_remote: bool,
        settings: Callable[[], EmulatorSettings],
    ) -> None:
        self._store = store
        self._clock = clock
        self._judge = judge
        self._judge_is_remote = judge_is_remote
        self._settings = settings
        self._runs: dict[str, Run] = {}
        self._of_task: dict[str, list[Run]] = {}
        self._plans: dict[str, Plan] = {}
        self._judging: dict[str, asyncio.Task[None]] = {}
        for record, plan in store.runs():
            run = Run(**record)
            self._add(run)
            if not run.over and not run.synthetic:
                self._plans[run.id] = Plan.of(plan)

    # -- looking ----------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Return a run as it stands now, or refuse."""
        run = self._runs.get(run_id)
        if run is None:
            raise UnknownObjectError(f"Task run {run_id!r} not found")
        self.advance(run)
        return run

    def of_task(self, task_id: str) -> list[Run]:
        """Return the runs of a task in the order they were created, as they stood when last looked at."""
        return self._of_task.get(task_id, [])

    def all(self) -> list[Run]:
        """Return every run in the order they were created, as they stand now."""
        for run in self._runs.values():
            self.advance(run)
        return list(self._runs.values())

    # -- creating ---------------------------------------------------------------------------------

    def create(
        self,
        task: Task,
        *,
        start: float,
        end: float,
        max_spans: int,
        override: bool,
        take_fate: Callable[[], RunFate],
    ) -> Run:
        """Start a run of a task over a window.

        :param take_fate: called once the run is certain, so that a refused one uses up no fate.
        """
        delay = self._settings().index_delay
        seen_until = min(end, self._clock.now() - delay) if delay else end
        matching = matching_items(self._store, task, start, seen_until)
        if not matching and self._settings().no_data == "task_error":
            raise NoDataError("There is no data to evaluate in this window: no span matches the task")
        items = matching[:max_spans]
        todo = items if override else unlabelled_items(self._store, task, items)
        fate = take_fate()
        skips = len(items) - len(todo)
        if fate.skipped is not None:
            skips = fate.skipped
            todo = todo[skips:]
        outcome, reason, seconds = fate.outcome, fate.failure_reason, fate.seconds
        if items and not todo and fate.skipped is None and outcome == "complete":
            outcome, reason, skips = "cancel", ALREADY_LABELLED, 0
        if outcome == "nothing":
            skips = 0
        if seconds is None:
            seconds = self._settings().run_seconds
        number = self._store.take_numbers("TaskRun")
        run = self._scheduled(
            number=number,
            task_id=task.id,
            seconds=seconds,
            pending_seconds=fate.pending_seconds,
            data_start=start,
            data_end=end,
            max_spans=max_spans,
            override=override,
            outcome=outcome,
            reason=_FAILED_REASON if outcome == "fail" and reason is None else reason,
            error_rate=fate.error_rate,
            skips=skips,
            target=int(len(todo) * fate.evaluated_share) if outcome == fate.outcome else 0,
        )
        plan = Plan(task.evaluators, todo[: run.target])
        self._store.add_runs([(number, dataclasses.asdict(run), plan.record())])
        self._add(run)
        self._plans[run.id] = plan
        task.last_run_at = run.created_at
        return run

    def create_synthetic(
        self, task: Task, count: int, *, seconds: tuple[float, float], total: int, fate: RunFate
    ) -> list[Run]:
        """Make many runs that evaluate nothing and only pass through their states, for load tests."""
        first = self._store.take_numbers("TaskRun", count)
        now = self._clock.stamp()
        low, high = seconds
        made = [
            self._scheduled(
                number=number,
                task_id=task.id,
                # Spread evenly but not in order of creation.
                seconds=low + (high - low) * fraction(f"run {number}"),
                pending_seconds=fate.pending_seconds,
                data_start=now - 86_400,
                data_end=now,
                max_spans=DEFAULT_MAX_SPANS,
                override=False,
                outcome=fate.outcome,
                reason=fate.failure_reason,
                error_rate=fate.error_rate,
                skips=fate.skipped or 0,
                target=int(total * fate.evaluated_share),
                synthetic=True,
            )
            for number in range(first, first + count)
        ]
        self._store.add_runs((run.number, dataclasses.asdict(run), {}) for run in made)
        for run in made:
            self._add(run)
        return made

    def _scheduled(
        self, *, number: int, seconds: float, pending_seconds: float | None, outcome: str, **fields: Any
    ) -> Run:
        now = self._clock.now()
        pending = seconds / 10 if pending_seconds is None else pending_seconds
        paced_until = now + max(seconds, pending)
        return Run(
            number=number,
            id=ids.encode("TaskRun", number),
            created_at=self._clock.stamp(now),
            begins=now + pending,
            paced_until=paced_until,
            ends=None if outcome == "hang" else paced_until,
            outcome=outcome,
            **fields,
        )

    def _add(self, run: Run) -> None:
        self._runs[run.id] = run
        self._of_task.setdefault(run.task_id, []).append(run)

    # -- proceeding -------------------------------------------------------------------------------

    def advance(self, run: Run) -> None:
        """Bring a run up to date with the clock."""
        now = self._clock.now()
        if run.over or run.pinned or now < run.begins:
            return
        if run.status == PENDING:
            run.status = RUNNING
            run.started_at = self._clock.stamp(run.begins)
            run.num_skipped = run.skips
        if run.synthetic:
            run.position = run.due(now)
            run.num_errors = int(run.position * run.error_rate)
            run.num_successes = run.position - run.num_errors
        elif self._judge_is_remote:
            if run.position < run.due(now):
                self._start_judging(run)
        else:
            while run.position < run.due(now):
                until = min(run.due(now), run.position + _BATCH)
                self._record(run, self._judged(run, run.position, until))
        if run.ends is not None and now >= run.ends and run.position >= run.target:
            self._end(run, _STATUS_OF_OUTCOME[run.outcome], run.reason, max(run.ends, run.begins))

    async def tick_forever(self) -> None:
        """Let runs proceed while nobody looks."""
        while True:
            for run_id in list(self._plans):
                run = self._runs.get(run_id)
                if run is not None:
                    self.advance(run)
            await asyncio.sleep(TICK_SECONDS)

    def _judged(self, run: Run, begin: int, until: int) -> list[list[Evaluation] | None]:
        """Judge some of a run's spans: per span the verdicts, or None where one could not be had."""
        plan = self._plans[run.id]
        items = plan.items[begin:until]
        spans = self._store.spans([span_id for span_id, _ in items])
        return [
            None
            if run.is_forced_error(index)
            else evaluate(self._judge, span, [plan.evaluators[i] for i in indices])
            for index, (span, (_, indices)) in enumerate(zip(spans, items, strict=True), begin)
        ]

    def _record(self, run: Run, outcomes: Sequence[list[Evaluation] | None]) -> None:
        now = self._clock.stamp()
        rows = [
            evaluation_row(
                span_id=span_id,
                name=evaluator.name,
                verdict=verdict,
                task_id=run.task_id,
                run_id=run.id,
                evaluator_id=evaluator.evaluator_id,
                created_at=now,
            )
            for verdicts in outcomes
            if verdicts is not None
            for evaluator, span_id, verdict in verdicts
        ]
        failed = sum(1 for verdicts in outcomes if verdicts is None)
        run.position += len(outcomes)
        run.num_errors += failed
        run.num_successes += len(outcomes) - failed
        self._store.save_run(run.number, dataclasses.asdict(run), rows)

    def _start_judging(self, run: Run) -> None:
        if run.id not in self._judging:
            task = asyncio.get_running_loop().create_task(self._judge_remotely(run))
            self._judging[run.id] = task
            task.add_done_callback(lambda _: self._judging.pop(run.id, None))

    async def _judge_remotely(self, run: Run) -> None:
        """Judge what is due in threads: a model behind a network must not hold up the server."""
        while run.id in self._plans and run.position < run.due(self._clock.now()):
            plan = self._plans[run.id]
            items = plan.items[run.position : min(run.due(self._clock.now()), run.position + _REMOTE_BATCH)]
            spans = list(self._store.spans([span_id for span_id, _ in items]))

            async def verdicts(
                index: int, span: Mapping[str, Any], indices: list[int], plan: Plan = plan
            ) -> list[Evaluation] | None:
                if run.is_forced_error(index):
                    return None
                evaluators = [plan.evaluators[i] for i in indices]
                return await asyncio.to_thread(evaluate, self._judge, span, evaluators)

            outcomes = await asyncio.gather(
                *(
                    verdicts(run.position + offset, span, indices)
                    for offset, (span, (_, indices)) in enumerate(zip(spans, items, strict=True))
                )
            )
            if run.id in self._plans:
                self._record(run, outcomes)

    # -- ending -----------------------------------------------------------------------------------

    def _end(self, run: Run, status: str, reason: str | None, when: float) -> None:
        run.status = status
        run.failure_reason = reason
        run.finished_at = self._clock.stamp(when)
        self._plans.pop(run.id, None)
        # A synthetic run that ends by the clock would end the same way after a restart.
        if not run.synthetic or when != run.ends:
            self._store.save_run(run.number, dataclasses.asdict(run))

    def cancel(self, run: Run) -> None:
        """Cancel a live run as a user would."""
        if run.over:
            raise RunEndedError(f"cannot cancel a run with status '{run.status.lower()}'")
        self._end(run, CANCELLED, _CANCELLED_REASON, self._clock.now())

    def set(self, run: Run, changes: Mapping[str, Any]) -> None:
        """Change a run from outside: its status, its reason, its counts, or when it ends.

        A status that is no end stays until it is set again.
        """
        changes = dict(changes)
        status = changes.pop("status", None)
        if "seconds" in changes:
            seconds = changes.pop("seconds")
            run.ends = None if seconds is None else self._clock.now() + seconds
            if run.ends is not None:
                run.begins, run.paced_until = min(run.begins, run.ends), run.ends
            run.pinned = False
            if run.ends is not None and run.outcome == "hang":
                run.outcome = "complete"
        for field, value in changes.items():
            if field not in {"failure_reason", "num_successes", "num_errors", "num_skipped"}:
                raise RefusedInputError(f"A run has no field {field!r} that can be set")
            setattr(run, field, value)
        if "failure_reason" in changes:
            run.reason = changes["failure_reason"]
        if status is not None and status.upper() in ENDED:
            self._end(run, status.upper(), run.failure_reason, self._clock.now())
            return
        if status is not None:
            if run.over:
                run.target = run.position
            run.status, run.pinned, run.finished_at = status, True, None
        self._store.save_run(run.number, dataclasses.asdict(run))

    def clear(self) -> None:
        """Forget all runs."""
        self._runs.clear()
        self._of_task.clear()
        self._plans.clear()

    async def close(self) -> None:
        """Stop what is judging."""
        judging = list(self._judging.values())
        for task in judging:
            task.cancel()
        await asyncio.gather(*judging, return_exceptions=True)
