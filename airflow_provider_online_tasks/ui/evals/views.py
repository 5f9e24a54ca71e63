"""What the browser receives: JSON with what the page draws, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.results.history import RESULTS_KEY
from airflow_provider_online_tasks.ui.evals.records import ESTIMATED, OVERVIEW_WINDOWS, VERSION_FIELDS, Record

if TYPE_CHECKING:
    from airflow_provider_online_tasks.ui.evals.histories import History, Status, Window

OVERVIEW_LABELS = 4
MAX_BUDGETS = 5
DIGITS = 4
# Fields of results that the windows of all their evaluators share.
_SHARED = ("start", "end", "complete", "skipped", "errors", "spans_url")
_SPENT = ("evaluations", "capped", *ESTIMATED)
_WHERE = ("run_id", "task_id", "map_index")


def record(one: Record) -> dict[str, Any]:
    """Return a record of a task instance."""
    return {**_place(one), "kind": "results" if one.key == RESULTS_KEY else "verdict", "value": one.value}


def dag(found: Iterable[tuple[History, Status]], runs: Iterable[Record] = ()) -> dict[str, Any]:
    """Return histories with all their windows. What evaluators share is sent once, in ``records``.

    ``newest`` is the place of the window that gives the status.

    :param runs: the summaries of the runs.
    """
    spending = {run.value["run_id"]: run.value for run in runs}
    places: dict[int, int] = {}
    records: list[dict[str, Any]] = []
    evaluators = []
    for history, status in found:
        windows = []
        versions: dict[str, str] = {}  # the last known ones
        for window in history.windows:
            if (mark := id(window.record)) not in places:
                places[mark] = len(records)
                run = spending.get(window.record.value["run_id"])
                records.append({**_shared(window.record), "run": run and {key: run[key] for key in _SPENT}})
            now = {key: value for key in VERSION_FIELDS if (value := window.figures[key])}
            is_new_version = any(versions.get(key, value) != value for key, value in now.items())
            versions |= now
            windows.append(
                {
                    "record": places[mark],
                    **window.figures,
                    "outcome": window.outcome,
                    "rules": window.rules,
                    "gates": [_place(gate) for gate in window.gates],
                    "is_new_version": is_new_version,
                }
            )
        newest = history.windows.index(history.newest) if history.newest else None
        evaluators.append({**_head(history, status), "windows": windows, "newest": newest})
    return {"evaluators": evaluators, "records": records, "spending": _spending(list(spending.values()))}


def _spending(runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what runs used together, and the newest state of each of their budgets; None without runs."""
    budgets: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in runs:
        if (budget := run["budget"]) and budget["since"] and budget["finished"] is not None:
            of = run["online_task_id"] if budget["scope"] == "task" else budget["project_id"]
            state = {**budget, "of": of, "used": budget["finished"] + run["evaluations"]}
            key = (budget["scope"], budget["per"], of)
            budgets[key] = max(budgets.get(key, state), state, key=lambda one: (one["since"], one["used"]))
    costs = [run["cost"] for run in runs if None not in run["cost"].values()]
    if not runs:
        return None
    return {
        "runs": len(runs),
        "evaluations": sum(run["evaluations"] for run in runs),
        "runs_with_cost": len(costs),
        "cost": {end: sum(cost[end] for cost in costs) for end in ("low", "high")},
        "budgets": list(budgets.values())[:MAX_BUDGETS],
    }


def overview(found: Iterable[tuple[History, Status]]) -> dict[str, Any]:
    """Return the newest window of each history, and its trend."""
    return {
        "evaluators": [
            {**_head(history, status), "newest": _newest(history.newest), "trend": _trend(history)}
            for history, status in found
        ]
    }


def _head(history: History, status: Status) -> dict[str, Any]:
    return {
        "dag_id": history.dag_id,
        "task_id": history.task_id,
        "name": history.name,
        "status": {key: _json(value) for key, value in asdict(status).items() if value is not None},
        "outcome": history.newest.outcome if history.newest else None,
        "failing_since": history.newest.failing_since if history.newest else None,
    }


def _newest(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    shares = window.figures["shares"]
    return {
        **_shared(window.record),
        "evaluated": window.figures["evaluated"],
        "score": window.figures["score"],
        "shares": {label: {"share": shares[label]["share"]} for label in list(shares)[:OVERVIEW_LABELS]},
        "other_labels": max(0, len(shares) - OVERVIEW_LABELS),
        "gates": [_place(gate) for gate in window.gates],
    }


def _trend(history: History) -> dict[str, Any] | None:
    """Return the mean score of the newest windows, else the share of the most frequent label."""
    if history.newest is None:
        return None
    figures = [window.figures for window in history.scheduled[-OVERVIEW_WINDOWS:]]
    if history.newest.figures["score"]:
        what = "mean score"
        values = [each["score"]["mean"] for each in figures if each["score"]]
    else:
        what = next(iter(history.newest.figures["shares"]), "")
        values = [each["shares"].get(what, {"share": 0})["share"] for each in figures if each["shares"]]
    return {"what": what, "values": [round(value, DIGITS) for value in values]}


def _shared(one: Record) -> dict[str, Any]:
    return {**_place(one), **{key: one.value.get(key) for key in _SHARED}}


def _place(one: Record) -> dict[str, Any]:
    return {**{key: getattr(one, key) for key in _WHERE}, "at": one.at.isoformat()}


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
