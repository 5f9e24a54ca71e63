"""All task runs: how they start, proceed with the clock, and finish."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.control.faults import RunFate
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KINDS, Outcome, evaluate
from airflow_provider_online_tasks.emulator.evaluators.template import usage
from airflow_provider_online_tasks.emulator.runs.models import DEFAULT_MAX_SPANS, NotStartedError, Run
from airflow_provider_online_tasks.emulator.runs.plans import Plan, fraction, make_plans, without_labels
from airflow_provider_online_tasks.emulator.spans.filters import checked_filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_online_tasks.emulator.spans.values import Unit
    from airflow_provider_online_tasks.emulator.state import EmulatorState
    from airflow_provider_online_tasks.emulator.tasks.models import Task

TICK_SECONDS = 0.1
CONTINUOUS_SECONDS = 120.0

ALREADY_LABELLED = (
    "All matching data already has evaluation labels. Trigger the run again with override_evaluations "
    "enabled to evaluate it once more."
)
_FAILED_REASON = "The run stopped: the model provider returned an internal error."
_CANCELLED_REASON = "The run was cancelled by a user."
_REJECTION_SECONDS = 1.0
_BATCH = 500
_LLM_BATCH = 8  # requests at a time

_STATUS_OF_OUTCOME = {
    "complete": "COMPLETED",
    "nothing": "COMPLETED",
    "fail": "FAILED",
    "cancel": "CANCELLED",
}


class Runs:
    """All runs. They proceed whenever they are read, and every 0.1 seconds."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._storage = state.storage
        self._clock = state.clock
        self._runs: dict[str, Run] = {}
        self._of_task: dict[str, list[Run]] = {}
        self._plans: dict[str, Plan] = {}
        for record, plan in self._storage.runs():
            run = Run(**record)
            self._add(run)
            if not run.over and not run.synthetic:
                self._plans[run.id] = Plan.from_record(plan)

    def get(self, run_id: str) -> Run:
        """Return a run in its current state."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"Task run {run_id!r} not found")
        self.advance(run)
        return run

    def of_task(self, task_id: str) -> list[Run]:
        """Return the runs of a task in the order they were created, in the state of their last read."""
        return self._of_task.get(task_id, [])

    def all(self) -> list[Run]:
        """Return all runs in the order they were created, in their current state."""
        for run in self._runs.values():
            self.advance(run)
        return list(self._runs.values())

    def create(
        self,
        task: Task,
        *,
        data_start: float | None = None,
        data_end: float | None = None,
        max_spans: int | None = None,
        override: bool | None = None,
        most_days: int | None = None,
        fate: RunFate | None = None,
    ) -> Run:
        """Start a run of a task."""
        settings = self._state.settings
        start = task.last_run_at if data_start is None else data_start
        end = self._clock.stamp() if data_end is None else data_end
        if start is None:
            raise NotStartedError("The start of the data is required for the first run of a task")
        if start >= end:
            raise NotStartedError("The start of the data must be before the end")
        if most_days is not None and end - start > most_days * 86_400:
            raise NotStartedError(f"The data window is longer than {most_days} days")
        max_spans = max_spans or DEFAULT_MAX_SPANS
        plans = make_plans(
            self._state.spans,
            task,
            [self._state.hub.current(each, task.llm_config) for each in task.evaluators],
            (start, end),
            max_spans=max_spans,
            # Spans in the future do not exist yet, and young spans are not in the index yet.
            indexed_until=self._clock.now() - settings.index_delay,
            readable_until=self._clock.stamp() - settings.index_delay,
        )
        if settings.no_data == "task_error" and not any(plan.items for plan in plans):
            raise NotStartedError("There is no data in this window: no span matches the task", "NO_DATA")
        fields = {"task_id": task.id, "data_start": start, "data_end": end}
        fields |= {"max_spans": max_spans, "override": bool(override)}
        if fate is None:
            fate = self._state.faults.take_fate()  # only now: a rejected request uses up no fate
        if len(plans) == 1:
            run = self._start(plans[0], fate, **fields)
        else:
            empty = Plan(plans[0].granularity, [], [], plans[0].indexed_until)
            run = self._start(empty, RunFate(), **fields)
            children = [self._start(plan, fate, parent_id=run.id, **fields) for plan in plans]
            run.children = [child.id for child in children]
            self._save(run)
        task.last_run_at = run.created_at
        self._state.tasks.save(task)
        return run

    def _start(self, plan: Plan, fate: RunFate, **fields: Any) -> Run:
        """Start one run: decide how it ends, and what it has to evaluate."""
        settings = self._state.settings
        todo = plan.items if fields["override"] else without_labels(self._storage, plan)
        skips = len(plan.items) - len(todo)
        if fate.skipped is not None:
            skips = fate.skipped
            todo = todo[skips:]
        outcome, reason = fate.outcome, fate.failure_reason
        seconds = settings.run_seconds if fate.seconds is None else fate.seconds
        if plan.items and not todo and fate.skipped is None and outcome == "complete":
            outcome, reason, skips = "cancel", ALREADY_LABELLED, 0
        elif todo and outcome == "complete":
            rejections = (KINDS[each.kind].rejection(each) for each in plan.evaluators)
            rejection = next(filter(None, rejections), None)
            if rejection is not None:
                outcome, reason, skips = rejection.outcome, rejection.reason, 0
                seconds = min(seconds, _REJECTION_SECONDS)
        if outcome == "fail" and reason is None:
            reason = _FAILED_REASON
        run = self._scheduled(
            number=self._storage.take_numbers("TaskRun"),
            seconds=seconds,
            fate=fate,
            outcome=outcome,
            reason=reason,
            skips=0 if outcome == "nothing" else skips,
            note=plan.note,
            target=int(len(todo) * fate.evaluated_share) if outcome == fate.outcome else 0,
            **fields,
        )
        plan = dataclasses.replace(plan, items=todo[: run.target])
        self._storage.add_runs([(dataclasses.asdict(run), dataclasses.asdict(plan))])
        self._add(run)
        self._plans[run.id] = plan
        return run

    def create_synthetic(
        self, task: Task, count: int, *, seconds: tuple[float, float], total: int, fate: RunFate
    ) -> list[Run]:
        """Create many runs that evaluate nothing and only change their status, for load tests."""
        first = self._storage.take_numbers("TaskRun", count)
        now = self._clock.stamp()
        low, high = seconds
        runs = [
            self._scheduled(
                number=number,
                task_id=task.id,
                # Spread evenly, but not in the order of creation.
                seconds=low + (high - low) * fraction(f"run {number}"),
                fate=fate,
                outcome=fate.outcome,
                reason=fate.failure_reason,
                skips=fate.skipped or 0,
                target=int(total * fate.evaluated_share),
                synthetic=True,
                max_spans=DEFAULT_MAX_SPANS,
                override=False,
                data_start=now - 86_400,
                data_end=now,
            )
            for number in range(first, first + count)
        ]
        self._storage.add_runs((dataclasses.asdict(run), {}) for run in runs)
        for run in runs:
            self._add(run)
        return runs

    def start_continuous(self) -> None:
        """Run continuous tasks over new spans, every two minutes."""
        now = self._clock.stamp()
        until = now - self._state.settings.index_delay
        for task in self._state.tasks.all():
            if not task.is_continuous or task.deleted:
                continue
            since = task.continuous_until
            if since is None:
                task.continuous_until = since = now
            if now < since + CONTINUOUS_SECONDS:
                continue
            compiled = checked_filter(task.span_filter)
            if self._state.spans.matching(
                project_id=task.model_id, start=since, end=until, compiled=compiled
            ):
                with contextlib.suppress(NotStartedError):  # no_data, and the sampling leaves no span
                    self.create(task, data_start=since, data_end=until, fate=RunFate())
            task.continuous_until = max(since, until)
            self._state.tasks.save(task)

    def _scheduled(self, *, number: int, seconds: float, fate: RunFate, outcome: str, **fields: Any) -> Run:
        now = self._clock.now()
        pending = seconds / 10 if fate.pending_seconds is None else fate.pending_seconds
        paced_until = now + max(seconds, pending)
        return Run(
            number=number,
            id=ids.encode("TaskRun", number),
            created_at=self._clock.stamp(now),
            begins=now + pending,
            paced_until=paced_until,
            ends=None if outcome == "hang" else paced_until,
            outcome=outcome,
            error_rate=fate.error_rate,
            **fields,
        )

    def _add(self, run: Run) -> None:
        self._runs[run.id] = run
        self._of_task.setdefault(run.task_id, []).append(run)

    async def tick_forever(self) -> None:
        """Let runs proceed while no one reads them, and start continuous tasks."""
        while True:
            self.start_continuous()
            for run_id in list(self._plans):
                self.advance(self._runs[run_id])
            await asyncio.sleep(TICK_SECONDS)

    def advance(self, run: Run) -> None:
        """Bring a run up to date with the clock."""
        now = self._clock.now()
        if run.over or run.pinned:
            return
        if run.children:
            self._sum_up(run, [self.get(run_id) for run_id in run.children])
            return
        if now < run.begins:
            return
        if run.status == "PENDING":
            run.status = "RUNNING"
            run.started_at = self._clock.stamp(run.begins)
            run.num_skipped = run.skips
        if run.synthetic:
            run.position = run.due(now)
            run.num_errors = int(run.position * run.error_rate)
            run.num_successes = run.position - run.num_errors
        elif self._state.llm_judge is None:
            while run.position < run.due(now):
                evaluated = self._evaluated(run, min(run.due(now), run.position + _BATCH))
                self._record(run, [outcome for _, outcome in evaluated])
        if run.ends is not None and now >= run.ends and run.position >= run.target:
            only_errors = run.num_errors > 0 and run.num_successes == 0
            reason = run.note if only_errors and run.reason is None else run.reason
            self._finish(run, _STATUS_OF_OUTCOME[run.outcome], reason, max(run.ends, run.begins))

    def _sum_up(self, run: Run, children: Sequence[Run]) -> None:
        """Bring a run with child runs up to date with these."""
        for count in ("num_successes", "num_errors", "num_skipped"):
            setattr(run, count, sum(getattr(child, count) for child in children))
        run.note = next((child.note for child in children if child.note is not None), None)
        if run.status == "PENDING" and any(child.status != "PENDING" for child in children):
            run.status = "RUNNING"
            run.started_at = min(child.started_at or child.created_at for child in children)
        if all(child.over for child in children):
            statuses = {child.status for child in children}
            # A failure decides; CANCELLED, as after all labels existed, only if it is the only status.
            status = next(each for each in ("FAILED", "COMPLETED", "CANCELLED") if each in statuses)
            reason = next((child.failure_reason for child in children if child.status == status), None)
            self._finish(run, status, reason, self._clock.now())

    def _evaluated(self, run: Run, until: int) -> list[tuple[Unit, Outcome]]:
        """Evaluate the next items, up to a position."""
        plan = self._plans[run.id]
        items = plan.items[run.position : until]
        units = self._state.spans.units(plan.granularity, [item.key for item in items], plan.indexed_until)
        evaluated = []
        for index, (unit, item) in enumerate(zip(units, items, strict=True), run.position):
            outcome = Outcome([], failed=True)
            if not run.is_forced_error(index):
                evaluators = [plan.evaluators[each] for each in item.evaluators]
                outcome = evaluate(unit, evaluators, plan.queries)
                if self._state.llm_judge is None:
                    self._state.usage.update(usage(outcome.evaluations, unit, plan.queries))
            evaluated.append((unit, outcome))
        return evaluated

    async def judge_forever(self) -> None:
        """Let the LLM judge evaluate what is due; the server serves other requests meanwhile."""
        while (judge := self._state.llm_judge) is not None:
            for run in [self._runs[run_id] for run_id in self._plans]:
                until = min(run.due(self._clock.now()), run.position + _LLM_BATCH)
                if run.id in self._plans and run.status == "RUNNING" and run.position < until:
                    evaluated = self._evaluated(run, until)
                    outcomes = await judge.evaluate(evaluated, self._plans[run.id].queries)
                    if run.id in self._plans:  # the run was not cancelled meanwhile
                        self._record(run, outcomes)
            await asyncio.sleep(TICK_SECONDS)

    def _record(self, run: Run, outcomes: Sequence[Outcome]) -> None:
        """Count and save the results of the next items."""
        plan = self._plans[run.id]
        items = plan.items[run.position : run.position + len(outcomes)]
        now = self._clock.stamp()
        run_id = run.parent_id or run.id
        origin = {"task_id": run.task_id, "run_id": run_id}
        if plan.granularity != "span":
            origin["granularity"] = plan.granularity.upper()
        if run.parent_id is not None:
            origin["child_run_id"] = run.id
        rows = [
            {
                "span_id": item.span_id,
                "granularity": plan.granularity,
                "name": evaluator.name,
                **evaluation._asdict(),
                "metadata": json.dumps(
                    origin | ({"evaluator_id": evaluator.evaluator_id} if evaluator.evaluator_id else {})
                ),
                "task_id": run.task_id,
                "run_id": run_id,
                "created_at": now,
            }
            for item, outcome in zip(items, outcomes, strict=True)
            for evaluator, evaluation in outcome.evaluations
        ]
        run.position += len(outcomes)
        run.num_errors += sum(1 for each in outcomes if each.failed)
        run.num_successes += sum(1 for each in outcomes if each.evaluations)
        run.num_skipped += sum(1 for each in outcomes if not each.failed and not each.evaluations)
        run.note = next((each.note for each in outcomes if each.note is not None), run.note)
        self._save(run, rows)

    def _save(self, run: Run, evaluations: Sequence[Mapping[str, Any]] = ()) -> None:
        self._storage.save_run(dataclasses.asdict(run), evaluations)

    def _finish(self, run: Run, status: str, reason: str | None, when: float) -> None:
        run.status = status
        run.failure_reason = reason
        run.finished_at = self._clock.stamp(when)
        self._plans.pop(run.id, None)
        # A synthetic run that finishes by the clock would finish the same way after a restart.
        if not run.synthetic or when != run.ends:
            self._save(run)

    def cancel(self, run: Run) -> None:
        """Cancel a run that has not finished."""
        if run.over:
            raise RequestError(400, f"cannot cancel a run with status '{run.status.lower()}'")
        for each in (*map(self.get, run.children), run):
            if not each.over:
                self._finish(each, "CANCELLED", _CANCELLED_REASON, self._clock.now())

    def set(self, run: Run, changes: Mapping[str, Any]) -> None:
        """Change a run: its status, its reason, its counts, or how long it still takes."""
        changes = dict(changes)
        status = changes.pop("status", None)
        if "seconds" in changes:
            seconds = changes.pop("seconds")
            run.ends = None if seconds is None else self._clock.now() + seconds
            if run.ends is not None:
                run.begins, run.paced_until = min(run.begins, run.ends), run.ends
                if run.outcome == "hang":
                    run.outcome = "complete"
            run.pinned = False
        for field, value in changes.items():
            if field not in {"failure_reason", "num_successes", "num_errors", "num_skipped"}:
                raise InvalidError(f"The field {field!r} of a run cannot be set")
            setattr(run, field, value)
        if "failure_reason" in changes:
            run.reason = changes["failure_reason"]
        if status is not None and status.upper() in _STATUS_OF_OUTCOME.values():
            self._finish(run, status.upper(), run.failure_reason, self._clock.now())
            return
        if status is not None:
            if run.over:
                run.target = run.position
            run.status, run.pinned, run.finished_at = status, True, None
        self._save(run)

    def clear(self) -> None:
        """Delete all runs."""
        self._runs.clear()
        self._of_task.clear()
        self._plans.clear()
