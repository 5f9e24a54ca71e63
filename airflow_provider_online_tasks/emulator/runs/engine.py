"""All task runs: how they are started, proceed with the clock, and end."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.control.faults import RunFate, RunOutcome
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, Trouble
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.runs.evaluation import Outcome, evaluate
from airflow_provider_online_tasks.emulator.runs.run import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    PENDING,
    RUNNING,
    NoDataError,
    Run,
    RunEndedError,
)
from airflow_provider_online_tasks.emulator.runs.selection import Item, Plan, fraction, plans, without_labels
from airflow_provider_online_tasks.emulator.runs.tasks import compiled
from airflow_provider_online_tasks.emulator.store import evaluation_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.judges.hub import Hub
    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.runs.tasks import Task
    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings
    from airflow_provider_online_tasks.emulator.spans.subjects import Subject
    from airflow_provider_online_tasks.emulator.store import Store

DEFAULT_MAX_SPANS = 10_000
TICK_SECONDS = 0.1
CONTINUOUS_SECONDS = 120.0

ALREADY_LABELLED = (
    "All matching data already has evaluation labels. Trigger the run again with override_evaluations "
    "enabled to evaluate it once more."
)
_FAILED_REASON = "The run stopped: the model provider answered with an internal error."
_CANCELLED_REASON = "The run was cancelled by a user."
_TROUBLE_SECONDS = 1.0
_BATCH = 500
_REMOTE_BATCH = 4

_STATUS_OF_OUTCOME = {
    "complete": COMPLETED,
    "nothing": COMPLETED,
    "fail": FAILED,
    "cancel": CANCELLED,
}


_OUTCOME_OF_STATUS: dict[str, RunOutcome] = {FAILED: "fail", CANCELLED: "cancel"}


class RunEngine:
    """All runs, brought up to date with the clock whenever somebody looks, and by a ticker in between."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        judge: Judge,
        judge_is_remote: bool,
        settings: Callable[[], EmulatorSettings],
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
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
        settings = self._settings()
        trouble: Trouble | None = None
        try:
            evaluators = [self._hub.current(each) for each in task.evaluators]
        except UnknownObjectError as error:
            evaluators, trouble = task.evaluators, Trouble("CANCELLED", str(error))
        planned = plans(
            self._store,
            task,
            evaluators,
            start=start,
            end=end,
            max_spans=max_spans,
            # What has not happened yet is nowhere, and what is young is not in the index.
            indexed_until=self._clock.now() - settings.index_delay,
            readable_until=self._clock.stamp() - settings.index_delay,
            lenient=settings.lenient,
        )
        if settings.no_data == "task_error" and not any(plan.items for plan in planned):
            raise NoDataError("There is no data to evaluate in this window: no span matches the task")
        about = {
            "task_id": task.id,
            "data_start": start,
            "data_end": end,
            "max_spans": max_spans,
            "override": override,
        }
        fate = take_fate()
        if len(planned) == 1:
            run = self._start(planned[0], fate, trouble, **about)
        else:
            run = self._start(
                Plan(planned[0].granularity, [], [], planned[0].indexed_until), RunFate(), None, **about
            )
            children = [self._start(plan, fate, trouble, parent_id=run.id, **about) for plan in planned]
            run.children = [child.id for child in children]
            self._store.save_run(run.number, dataclasses.asdict(run))
        task.last_run_at = run.created_at
        return run

    def _start(self, plan: Plan, fate: RunFate, trouble: Trouble | None, **about: Any) -> Run:
        """Start one run: decide how it will go, and what is left for it to evaluate."""
        settings = self._settings()
        items = plan.items
        todo = items if about["override"] else without_labels(self._store, plan)
        skips = len(items) - len(todo)
        if fate.skipped is not None:
            skips = fate.skipped
            todo = todo[skips:]
        outcome, reason, seconds = fate.outcome, fate.failure_reason, fate.seconds
        if seconds is None:
            seconds = settings.run_seconds
        if items and not todo and fate.skipped is None and outcome == "complete":
            outcome, reason, skips = "cancel", ALREADY_LABELLED, 0
        elif todo and outcome == "complete" and not settings.lenient:
            found = (KINDS[each.kind].trouble(each) for each in plan.evaluators)
            trouble = trouble or next((each for each in found if each is not None), None)
            if trouble is not None:
                outcome, reason, skips = _OUTCOME_OF_STATUS[trouble.status], trouble.reason, 0
                seconds = min(seconds, _TROUBLE_SECONDS)
        if outcome == "nothing":
            skips = 0
        number = self._store.take_numbers("TaskRun")
        run = self._scheduled(
            number=number,
            seconds=seconds,
            pending_seconds=fate.pending_seconds,
            outcome=outcome,
            reason=_FAILED_REASON if outcome == "fail" and reason is None else reason,
            error_rate=fate.error_rate,
            skips=skips,
            note=plan.note,
            target=int(len(todo) * fate.evaluated_share) if outcome == fate.outcome else 0,
            **about,
        )
        plan = dataclasses.replace(plan, items=todo[: run.target])
        self._store.add_runs([(number, dataclasses.asdict(run), plan.record())])
        self._add(run)
        self._plans[run.id] = plan
        return run

    def look_for_new_spans(self, tasks: Sequence[Task], save: Callable[[Task], None]) -> None:
        """Run the continuous tasks over the spans that came since they looked last, every two minutes."""
        now = self._clock.stamp()
        for task in tasks:
            if not task.is_continuous or task.deleted:
                continue
            if task.continuous_until is None:
                task.continuous_until = now
            if now < task.continuous_until + CONTINUOUS_SECONDS:
                continue
            until = now - self._settings().index_delay
            if until > task.continuous_until and self._sees(task, task.continuous_until, until):
                self.create(
                    task,
                    start=task.continuous_until,
                    end=until,
                    max_spans=DEFAULT_MAX_SPANS,
                    override=False,
                    take_fate=RunFate,
                )
            task.continuous_until = max(task.continuous_until, until)
            save(task)

    def _sees(self, task: Task, start: float, end: float) -> bool:
        rows = self._store.matching_spans(
            project_id=task.model_id, start=start, end=end, compiled=compiled(task.span_filter)
        )
        return bool(rows)

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
        if run.children and not run.over and not run.pinned:
            self._sum_up(run, [self.get(run_id) for run_id in run.children])
            return
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

    def _sum_up(self, run: Run, children: Sequence[Run]) -> None:
        """Bring a run that was split up to date with its children."""
        for count in ("num_successes", "num_errors", "num_skipped"):
            setattr(run, count, sum(getattr(child, count) for child in children))
        run.note = next((child.note for child in children if child.note is not None), None)
        if run.status == PENDING and any(child.status != PENDING for child in children):
            run.status, run.started_at = (
                RUNNING,
                min(child.started_at or child.created_at for child in children),
            )
        if all(child.over for child in children):
            statuses = {child.status for child in children}
            # A failure is what matters most; that some evaluators had nothing left to do, least.
            status = next(each for each in (FAILED, COMPLETED, CANCELLED) if each in statuses)
            reason = next((child.failure_reason for child in children if child.status == status), None)
            self._end(run, status, reason, self._clock.now())

    async def tick_forever(self, also: Callable[[], None]) -> None:
        """Let runs proceed while nobody looks.

        :param also: what else happens by the clock.
        """
        while True:
            also()
            for run_id in list(self._plans):
                run = self._runs.get(run_id)
                if run is not None:
                    self.advance(run)
            await asyncio.sleep(TICK_SECONDS)

    def _judged(self, run: Run, begin: int, until: int) -> list[Outcome]:
        """Judge some of what a run is about."""
        plan = self._plans[run.id]
        items = plan.items[begin:until]
        subjects = self._subjects(plan, items)
        return [
            Outcome([], failed=True)
            if run.is_forced_error(index)
            else self._evaluated(plan, subject, item.evaluators)
            for index, (subject, item) in enumerate(zip(subjects, items, strict=True), begin)
        ]

    def _subjects(self, plan: Plan, items: Sequence[Item]) -> list[Subject]:
        return self._store.subjects(plan.granularity, [item.key for item in items], plan.indexed_until)

    def _evaluated(self, plan: Plan, subject: Subject, indices: Sequence[int]) -> Outcome:
        evaluators = [plan.evaluators[index] for index in indices]
        return evaluate(self._judge, subject, evaluators, plan.queries, lenient=self._settings().lenient)

    def _record(self, run: Run, outcomes: Sequence[Outcome]) -> None:
        now = self._clock.stamp()
        plan = self._plans[run.id]
        items = plan.items[run.position : run.position + len(outcomes)]
        rows = [
            evaluation_row(
                span_id=item.span_id,
                granularity=plan.granularity,
                name=evaluator.name,
                verdict=verdict,
                task_id=run.task_id,
                run_id=run.parent_id or run.id,
                created_at=now,
                metadata=_origin(evaluator, plan, run),
            )
            for item, outcome in zip(items, outcomes, strict=True)
            for evaluator, verdict in outcome.verdicts
        ]
        run.position += len(outcomes)
        run.num_errors += sum(1 for each in outcomes if each.failed)
        run.num_successes += sum(1 for each in outcomes if each.verdicts)
        run.num_skipped += sum(1 for each in outcomes if not each.failed and not each.verdicts)
        run.note = next((each.note for each in outcomes if each.note is not None), run.note)
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
            subjects = self._subjects(plan, items)

            async def outcome(index: int, subject: Subject, indices: list[int], plan: Plan = plan) -> Outcome:
                if run.is_forced_error(index):
                    return Outcome([], failed=True)
                return await asyncio.to_thread(self._evaluated, plan, subject, indices)

            outcomes = await asyncio.gather(
                *(
                    outcome(run.position + offset, subject, item.evaluators)
                    for offset, (subject, item) in enumerate(zip(subjects, items, strict=True))
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
        for child_id in run.children:
            child = self.get(child_id)
            if not child.over:
                self._end(child, CANCELLED, _CANCELLED_REASON, self._clock.now())
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


def _origin(evaluator: Evaluator, plan: Plan, run: Run) -> dict[str, Any]:
    """Return what an evaluation says of where it comes from, next to task and run."""
    origin = {
        "evaluator_id": evaluator.evaluator_id,
        "granularity": plan.granularity.upper() if plan.granularity != "span" else None,
        "child_run_id": run.id if run.parent_id is not None else None,
    }
    return {name: value for name, value in origin.items() if value is not None}
