"""Limits of a run, and budgets over time. They are checked before the run is started."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._defaults import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.costs.ranges import NONE
from airflow_provider_online_tasks.exceptions import (
    EvalBudgetExceeded,
    EvalBudgetReserved,
    InvalidInput,
    NotFound,
)
from airflow_provider_online_tasks.inputs.arguments import is_empty, read_count
from airflow_provider_online_tasks.inputs.budgets import EvalBudget
from airflow_provider_online_tasks.inputs.prices import read_amount, read_prices
from airflow_provider_online_tasks.inputs.templating import is_templated

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.costs.estimates import RunEstimate
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.runs import RunInput

OnOverBudget = Literal["fail", "cap", "ask"]
ESTIMATED = ("evaluations", "input_tokens", "output_tokens", "cost")
"""What is kept of an estimate."""
MAX_PAGES = 200
"""Pages of up to 100 tasks or runs that a check of a budget reads."""


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """The limits of a run."""

    max_evaluations: int | None = None
    max_cost: float | None = None
    prices: Any = None
    budget: EvalBudget | None = None

    @classmethod
    def check_literals(cls, **values: Any) -> None:
        """Check each limit that is a literal when the DAG is parsed."""
        cls.read((), **{name: None if is_templated(value) else value for name, value in values.items()})

    @classmethod
    def read(cls, names: Collection[str] = (), **values: Any) -> RunLimits:
        """Return the limits.

        :param names: the limits that are set in the DAG. If one is empty when it is rendered, it is invalid.
        """
        for name, value in values.items():
            if name != "prices" and (is_empty(value) or (value is None and name in names)):
                raise InvalidInput(
                    f"{name} is empty, so the run would have no limit. Set the parameter that its template "
                    f"uses, or leave out {name}."
                )
        given = {name: value for name, value in values.items() if not (value is None or is_empty(value))}
        return cls(**{name: _READERS[name](value) for name, value in given.items()})

    def __bool__(self) -> bool:
        return self != RunLimits()

    def of_run(self, run: RunInput) -> str:
        """Return the run and its limits on one line, for the person who decides."""
        limits = {"max_evaluations": self.max_evaluations, "max_cost": self.max_cost, "budget": self.budget}
        given = ", ".join(f"{name}={value}" for name, value in limits.items() if value is not None)
        again = ", also if they have a label" if run.override_evaluations else ""
        most = run.max_spans or DEFAULT_MAX_SPANS
        return f"Task {run.online_task_id} for {run.window}: at most {most:,} spans{again}. Limits: {given}."


def _check_prices(value: Any) -> Any:
    read_prices(value)
    return value


def _read_budget(value: Any) -> EvalBudget:
    try:
        return EvalBudget.read(value)
    except InvalidInput as error:
        raise InvalidInput(f"budget: {error}") from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "max_evaluations": lambda value: read_count(value, "max_evaluations"),
    "max_cost": lambda value: read_amount(value, "max_cost"),
    "prices": _check_prices,
    "budget": _read_budget,
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """The run as it may be started, and the limit that it exceeds.

    :param run: the run. Its ``max_spans`` is at most what the limits on evaluations leave.
    :param spending: what the check found, as JSON values, to be kept with the run.
    :param excess: why the run must not be started unless a person approves it; None if it is within limits.
    :param details: the estimate and what it assumes, for the person who decides.
    :param is_temporary: whether it may be within limits when other runs have finished.
    """

    run: RunInput
    spending: dict[str, Any] | None = None
    excess: str | None = None
    details: tuple[str, ...] = ()
    is_temporary: bool = False

    def with_max_spans(self, max_spans: int) -> Check:
        """Return the check of a run that is started with at most this ``max_spans``."""
        spending, run = {**(self.spending or {}), "max_spans": max_spans}, self.run
        if max_spans < (run.max_spans or DEFAULT_MAX_SPANS):
            run = run.model_copy(update={"max_spans": max_spans})
        return Check(run=run, spending=spending)

    def error(self) -> EvalBudgetExceeded | EvalBudgetReserved:
        """Return the exception for a run that exceeds a limit."""
        kind = EvalBudgetReserved if self.is_temporary else EvalBudgetExceeded
        return kind(
            f"No run was started. {self.excess} Increase the limit, use a shorter window, or set "
            f'on_over_budget="cap" to evaluate fewer spans.'
        )


def with_planned_spans(run: RunInput, budget: EvalBudget | None) -> RunInput:
    """Return the run with at most the ``max_spans`` with which the budget counts an unfinished run."""
    if budget is None or (run.max_spans or DEFAULT_MAX_SPANS) <= budget.max_spans:
        return run
    if run.max_spans is None:
        return run.model_copy(update={"max_spans": budget.max_spans})
    raise InvalidInput(
        f"max_spans is {run.max_spans:,}, but the budget counts an unfinished run with at most "
        f"{budget.max_spans:,} spans. Set EvalBudget(max_spans={run.max_spans}) in all DAGs that use it."
    )


def check_run(hook: OnlineTasksHook, run: RunInput, limits: RunLimits, *, may_lower: bool, log: Any) -> Check:
    """Check a run against its limits, without starting it.

    :param may_lower: whether a run that exceeds them may be started with a lower ``max_spans``.
    """
    of_dag = run.max_spans or DEFAULT_MAX_SPANS
    run = with_planned_spans(run, limits.budget)
    planned = run.max_spans or DEFAULT_MAX_SPANS
    spent = None if limits.budget is None else count_spent(hook, limits.budget, run.online_task_id)
    each_allowed = tuple(_allowed(limits, spent))
    allowed = min(each_allowed, key=lambda each: each.evaluations, default=None)
    is_estimate_needed = allowed is not None and allowed.evaluations < planned and not may_lower
    estimate = _estimate(hook, run, limits, is_needed=is_estimate_needed, log=log)
    needed = planned if estimate is None else int(estimate.evaluations.high)
    excesses = []
    if allowed is not None and (needed > allowed.evaluations or allowed.evaluations < 1):
        excesses.append(f"The run may evaluate {needed:,} spans, and {allowed.limit}.")
    max_spans = planned if allowed is None else min(planned, allowed.evaluations)
    least = 1 if may_lower else max(1, needed)
    may_fit_later = all(least <= each.later for each in each_allowed)
    if limits.max_cost is not None and estimate is not None:
        within_cost = estimate.max_spans_within(max_cost=limits.max_cost)
        if within_cost < planned:
            excesses.append(f"The run may cost {estimate.cost}, and max_cost allows {limits.max_cost:g}.")
        max_spans = min(max_spans, estimate.max_spans_worth(limits.max_cost))
        may_fit_later = may_fit_later and within_cost >= (1 if may_lower else planned)
    check = Check(
        run=run,
        spending=_spending(of_dag, planned, limits.budget, spent, estimate),
        excess=" ".join(excesses) or None,
        details=(str(estimate), *estimate.assumptions) if estimate is not None else (),
        is_temporary=may_fit_later,
    )
    if check.excess and not (may_lower and max_spans > 0):
        return check
    if check.excess:
        log.warning("%s max_spans is lowered to %d, so the run may leave out spans.", check.excess, max_spans)
    elif max_spans < of_dag and (estimate is None or (estimate.matching_spans or NONE).high > max_spans):
        log.warning("A limit lowers max_spans to %d, so the run may leave out spans.", max_spans)
    # Lowered also if the estimate is within the limits: it may be wrong.
    return check.with_max_spans(max_spans)


class _Allowed(NamedTuple):
    """How many evaluations a limit allows, and how many when all other runs have finished."""

    evaluations: int
    later: int
    limit: str


def _allowed(limits: RunLimits, spent: Spent | None) -> Iterator[_Allowed]:
    if limits.max_evaluations is not None:
        most = limits.max_evaluations
        yield _Allowed(most, most, f"max_evaluations allows {most:,}")
    if limits.budget is not None and spent is not None:
        left = limits.budget.max_evaluations - spent.finished
        yield _Allowed(max(0, left - spent.in_flight), left, _budget_text(limits.budget, spent))


def _spending(
    of_dag: int, planned: int, budget: EvalBudget | None, spent: Spent | None, estimate: RunEstimate | None
) -> dict[str, Any]:
    """Return what a check found, as JSON values."""
    found: dict[str, Any] = {"planned_max_spans": of_dag, "max_spans": planned}
    if budget is not None and spent is not None:
        found["budget"] = {**budget.to_rest(), **spent.to_json()}
    if estimate is not None:
        summary = estimate.summary()
        found["estimate"] = {name: summary[name] for name in ESTIMATED}
    return found


def _estimate(
    hook: OnlineTasksHook, run: RunInput, limits: RunLimits, *, is_needed: bool, log: Any
) -> RunEstimate | None:
    """Return the estimate of a run, if a limit needs it or prices are set."""
    is_needed = is_needed or limits.max_cost is not None
    if not is_needed and limits.prices is None:
        return None
    try:
        return hook.estimate_run(**run.to_rest(), prices=limits.prices)
    except Exception as error:
        if is_needed:
            raise
        log.warning("The run's cost can't be estimated: %s", error)
        return None


def summarize_spending(run: TaskRun, spending: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a finished run used of its limits, for its summary.

    :param spending: what the check of its limits found.
    """
    spending = spending or {}
    facts = {name: spending[name] for name in ("max_spans", "budget", "approved_by") if name in spending}
    if (max_spans := spending.get("max_spans")) is not None:
        is_lowered = max_spans < spending["planned_max_spans"]
        facts["capped"] = is_lowered and run.counts.done >= max_spans
    if estimate := spending.get("estimate"):
        for name in ESTIMATED[1:]:
            facts[f"estimated_{name}"] = _for_evaluations(estimate, name, run.counts.attempted)
    return facts


def _for_evaluations(estimate: Mapping[str, Any], name: str, evaluations: int) -> dict[str, float] | None:
    """Return the range of a value for the actual number of evaluations; None if it is unknown."""
    if estimate[name] is None or (evaluations and not estimate["evaluations"]["high"]):
        return None
    ends = sorted(
        estimate[name][end] * evaluations / (estimate["evaluations"][end] or math.inf)
        for end in ("low", "high")
    )
    return dict(zip(("low", "high"), ends, strict=True))


def _budget_text(budget: EvalBudget, spent: Spent) -> str:
    reserved = f", and unfinished runs may use {spent.in_flight:,}" if spent.in_flight else ""
    return (
        f"the budget of the {budget.scope} allows {budget.max_evaluations:,} per {budget.per}, of which "
        f"{spent.finished:,} are used since {wire_time(spent.since)}{reserved}"
    )


class Spent(NamedTuple):
    """What the runs of a period have used of a budget, and what unfinished runs may use."""

    since: datetime
    project_id: str | None
    finished: int
    in_flight: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**self._asdict(), "since": wire_time(self.since)}


def count_spent(hook: OnlineTasksHook, budget: EvalBudget, online_task_id: str) -> Spent:
    """Count the evaluations of the current period, from Arize's lists of runs.

    :raises CallError: a list can't be read.
    """
    since = budget.period_start(_clock.now())
    project_id = hook.get_task(online_task_id).project_id if budget.scope == "project" else None
    if budget.scope == "project" and project_id is None:
        raise InvalidInput(f"Task {online_task_id} has no project. Use a budget with scope='task'.")
    finished = in_flight = 0
    for run in _runs_since(hook, budget, online_task_id, project_id, since):
        if run.is_over:
            finished += run.counts.attempted
        else:
            in_flight += max(budget.max_spans, run.counts.attempted)
    return Spent(since, project_id, finished, in_flight)


def _list_runs(online_task_id: str, cursor: str | None) -> RestCall[Page[TaskRun]]:
    from airflow_provider_online_tasks.api import calls

    return calls.list_task_runs(online_task_id, cursor=cursor)


def _runs_since(
    hook: OnlineTasksHook, budget: EvalBudget, online_task_id: str, project_id: str | None, since: datetime
) -> Iterator[TaskRun]:
    """Yield the runs in the scope of a budget that were created since a time."""
    from airflow_provider_online_tasks.api import calls

    pages = 0

    def send(call: RestCall[Any]) -> Any:
        nonlocal pages
        pages += 1
        if pages > MAX_PAGES:
            raise InvalidInput(
                f"The budget can't be counted: the {budget.scope} has too many eval tasks and runs "
                f"({MAX_PAGES} pages were read). Use a budget with scope='task' or a shorter period."
            )
        return hook.client.send(call)

    task_ids = [online_task_id]
    if project_id is not None:
        tasks = calls.items(send, lambda cursor: calls.list_tasks(project_id=project_id, cursor=cursor))
        task_ids = list(dict.fromkeys([online_task_id, *(task.id for task in tasks)]))
    for task_id in task_ids:
        runs: dict[str, TaskRun] = {}
        try:
            for page in calls.pages(send, partial(_list_runs, task_id)):
                runs |= {run.id: run for run in page.items}
                if calls.go_back_beyond(list(runs.values()), since):
                    break
        except NotFound:  # another task was deleted meanwhile: its runs no longer count
            if task_id == online_task_id:
                raise
        yield from (run for run in runs.values() if run.created_at is None or run.created_at >= since)
