"""Turn records into one history per evaluator: its windows, their verdicts, and its status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.gate.checks import FAILED, INCONCLUSIVE, PASSED
from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY
from airflow_provider_online_tasks.ui.evals.records import VERSION_FIELDS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.ui.evals.records import DagState, FinishedRun, Record

STALE = "stale"
# The newest window of a history, from bad news to good news. None: no gate checks the evaluator.
STATES = (FAILED, STALE, INCONCLUSIVE, PASSED, None)
OF_ALL = "*"  # rules on the run, such as its completeness
NO_FIGURES: Mapping[str, Any] = {
    "evaluated": 0,
    "not_evaluated": None,
    "shares": {},
    "score": None,
    **dict.fromkeys(VERSION_FIELDS),
    "human_labels": None,
}


@dataclass(frozen=True, kw_only=True)
class Window:
    """The figures of one evaluator in one window, and what gates decided on them.

    :param record: the record of the results; that of the gate if there are none.
    :param gates: the records of the gates that have rules on the evaluator.
    """

    record: Record
    figures: Mapping[str, Any]
    gates: Sequence[Record]
    rules: Sequence[Mapping[str, Any]]

    @property
    def outcome(self) -> str | None:
        """The worst outcome of the rules."""
        outcomes = {rule["outcome"] for rule in self.rules}
        return next((one for one in (FAILED, INCONCLUSIVE, PASSED) if one in outcomes), None)

    @property
    def failing_since(self) -> str | None:
        """Since when the rules fail that have a history; None if they don't."""
        return min(filter(None, (rule["failing_since"] for rule in self.rules)), default=None)

    @property
    def order(self) -> tuple[datetime, datetime, int]:
        """The order of windows in time. Of results of the same window, the worst counts as the newest."""
        end, at = self.record.value["end"], self.record.at
        return parse_time(end) if end else at, at, -STATES.index(self.outcome)


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of a history's newest window, and why it is stale.

    :param run_id: the DAG run that left no results or no verdict.
    :param at: when that run, or a missing one, was due.
    """

    state: str | None
    why: str | None = None
    run_id: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """The windows of one evaluator that one task read, in order of time.

    :param name: the evaluator; None if the task has left no records.
    """

    dag_id: str
    task_id: str
    name: str | None
    windows: list[Window] = field(default_factory=list)

    @property
    def scheduled(self) -> list[Window]:
        """The windows of the schedule; of a DAG without one, all."""
        return [window for window in self.windows if not window.record.is_manual] or self.windows

    @property
    def newest(self) -> Window | None:
        """The newest window of the schedule; of a DAG without one, the newest of all."""
        return self.scheduled[-1] if self.windows else None

    @property
    def end(self) -> datetime:
        """The end of that window."""
        return self.newest.order[0] if self.newest else datetime.min.replace(tzinfo=UTC)

    def status(self, dag: DagState, verdicts: Collection[tuple[Any, ...]]) -> Status:
        """Return the state of the newest window that the schedule demands.

        :param verdicts: where there is a verdict, see :func:`_where`.
        """
        run, newest = dag.newest, self.newest
        has_failed = run and newest and (newest.record.run_id, newest.outcome) == (run.run_id, FAILED)
        if (
            run is not None
            and not has_failed
            and (newest is None or newest.record.at <= run.at)
            and (why := self._missing(run, verdicts))
        ):
            return Status(state=STALE, why=why, run_id=run.run_id, at=run.at)
        if dag.due is not None:
            return Status(state=STALE, why="paused" if dag.is_paused else "overdue", at=dag.due)
        return Status(state=newest.outcome if newest else None)

    def _missing(self, run: FinishedRun, verdicts: Collection[tuple[Any, ...]]) -> str | None:
        """Return why a DAG run left no results or no verdict; None if it left both."""
        gates = {gate.task_id for window in self.windows for gate in window.gates}
        here = [window for window in self.windows if window.record.run_id == run.run_id]
        state = run.tasks.get(self.task_id)
        has_failed = state in ("failed", "upstream_failed")
        # A gate whose rule failed has failed, too, but not without a verdict.
        if has_failed and not (here and self.task_id in gates):
            return "failed"
        if not here:
            return {None: "removed", "skipped": "skipped"}.get(state, "no_results")
        without_verdict = {
            run.tasks.get(gate)
            for window in here
            for gate in gates
            if not window.gates and _where(window.record, gate) not in verdicts
        }
        if without_verdict & {"failed", "upstream_failed"}:
            return "failed"
        return "skipped" if "skipped" in without_verdict else None


def _where(record: Record, task_id: str) -> tuple[Any, ...]:
    """Return the place of the record of a task that belongs to a record of another task of the DAG run."""
    return record.dag_id, record.run_id, task_id, record.map_index


def histories(records: Sequence[Record], dags: Mapping[str, DagState]) -> list[tuple[History, Status]]:
    """Return the history of each evaluator of each task with its status, bad news first.

    :param records: records whose values were read, in order of time.
    """
    found: dict[tuple[str, str, str | None], History] = {}
    for window, name in _windows(records):
        key = (window.record.dag_id, window.record.task_id, name)
        if key not in found:
            found[key] = History(dag_id=key[0], task_id=key[1], name=name)
        found[key].windows.append(window)
    for history in found.values():
        history.windows.sort(key=lambda window: window.order)
    all_histories = [*found.values(), *_without_records(found.values(), dags)]
    verdicts = {_where(record, record.task_id) for record in records if record.key == VERDICT_KEY}
    with_status = [(history, history.status(dags[history.dag_id], verdicts)) for history in all_histories]

    with_status.sort(key=lambda pair: (pair[0].dag_id, pair[0].name or "", pair[0].task_id))
    with_status.sort(key=lambda pair: pair[0].end, reverse=True)
    return sorted(with_status, key=lambda pair: STATES.index(pair[1].state))


def _windows(records: Sequence[Record]) -> Iterator[tuple[Window, str]]:
    """Yield the windows with the names of their evaluators."""
    results: defaultdict[Any, list[Record]] = defaultdict(list)
    gates: defaultdict[Any, list[Record]] = defaultdict(list)
    for record in records:
        (results if record.key == RESULTS_KEY else gates)[_subject(record)].append(record)
    for subject in dict.fromkeys([*results, *gates]):
        measured: set[str] = set()
        for record in results[subject]:
            measured |= set(record.value["evaluators"])
            for name, figures in record.value["evaluators"].items():
                yield _window(record, figures, name, gates[subject]), name
        # Evaluators of rules without results, such as a misspelled name.
        for gate in gates[subject]:
            for name in dict.fromkeys(rule["evaluator"] for rule in gate.value["rules"]):
                if name not in measured and name not in (OF_ALL, None):
                    measured.add(name)
                    yield _window((results[subject] or [gate])[0], NO_FIGURES, name, gates[subject]), name


def _subject(record: Record) -> tuple[Any, ...]:
    """Return what a record is about: the verdict of a gate and the results that it checked have the same."""
    value = record.value
    return record.dag_id, value["run_id"] or record.run_id, value["start"], value["end"]


def _window(record: Record, figures: Mapping[str, Any], name: str, gates: Iterable[Record]) -> Window:
    own = [gate for gate in gates if any(rule["evaluator"] == name for rule in gate.value["rules"])]
    rules = [rule for gate in own for rule in gate.value["rules"] if rule["evaluator"] in (name, OF_ALL)]
    return Window(record=record, figures=figures, gates=own, rules=rules)


def _without_records(found: Iterable[History], dags: Mapping[str, DagState]) -> Iterator[History]:
    """Yield a history without windows for each task that left no record where it should have."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for history in found:
        gates = (gate.task_id for window in history.windows for gate in window.gates)
        seen[history.dag_id] |= {history.task_id, *gates}
    for dag_id, dag in dags.items():
        if dag.newest is None:
            continue
        for task_id, operator in dag.newest.eval_tasks.items():
            # If the results are missing, the gate adds no news.
            is_news = operator == "EvalResultsOperator" or dag.newest.tasks[task_id] == "failed"
            if is_news and task_id not in seen[dag_id]:
                yield History(dag_id=dag_id, task_id=task_id, name=None)
