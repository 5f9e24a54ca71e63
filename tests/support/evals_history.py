"""Fill Airflow's database with a history of evals like that of the operators, without running DAGs.

``make`` creates a database for a separate server, ``fill`` adds to the database of this process.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

DAY = timedelta(days=1)
# A right-to-left override, which reverses the text after it, a new line, and 300 characters.
ODD_LABEL = "\u202eetaruccani\n" + "very " * 60
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> & 'quoted'"
RUN_TASK, RESULTS_TASK, GATE_TASK, OTHER_TASK = "run_task", "read_results", "gate", "other_work"
# Name, labels (the good one first), share of the good label, evaluations per window.
EVALUATORS: Sequence[tuple[str, Sequence[str], float, int]] = (
    ("correctness", ("correct", "incorrect"), 0.94, 420),
    ("helpfulness", ("helpful", "partly helpful", "not helpful"), 0.85, 420),
    ("toxicity", ("safe", "toxic"), 0.995, 1_200),
    ("retrieval_relevance", ("relevant", "irrelevant"), 0.78, 150),
    ("groundedness", ("grounded", "hallucinated"), 0.9, 300),
)
BOUND = 0.9
SPANS_URL = "https://app.arize.com/organizations/o/spaces/s/projects/p?startA=1&endA=2"
SECONDS = 600
DAG_FILE = """
from datetime import datetime
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, chain

for dag_id in {dags!r}:
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        chain(*[EmptyOperator(task_id=name) for name in {tasks!r}])
    globals()[dag_id] = dag
"""


def write_dags(folder: Path, dag_ids: Sequence[str]) -> None:
    """Write a file with DAGs that have a results task, a gate, and another task."""
    folder.mkdir(parents=True, exist_ok=True)
    text = DAG_FILE.format(dags=list(dag_ids), tasks=[OTHER_TASK, RUN_TASK, RESULTS_TASK, GATE_TASK])
    (folder / "history_of_evals.py").write_text(text)


def summaries(
    end: datetime,
    *,
    windows: int,
    evaluators: int,
    hostile: bool = False,
    misspelled: str | None = None,
    failed_runs: int = 0,
    human_labels: bool = False,
    recurring: bool = False,
    budget: bool = False,
    labels_of_first: Sequence[str] = (),
    is_last_manual: bool = False,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the results of ``EvalResultsOperator`` and ``EvalGateOperator`` for a number of days.

    After two thirds of the days the evaluator versions change; a week before the end the first evaluator
    drops for two days; and every 40th day the results are incomplete.

    :param hostile: whether a label is HTML, another has odd characters, and another is empty.
    :param misspelled: an evaluator that has a rule and no results.
    :param failed_runs: how many of the newest runs failed before there were results.
    :param human_labels: whether people labelled a sample of the first evaluator's evaluations every seventh
        day, at last three days before the end.
    :param recurring: whether the gate has ``false_alarms_per_year``; the share of the first evaluator is low
        from day 20 to 28 and on the last 6 days.
    :param budget: whether the runs have a budget and an estimated cost.
    :param labels_of_first: the labels of the first evaluator, the good one first.
    :param is_last_manual: whether the last DAG run was triggered manually, without a good label.
    """
    from airflow_provider_online_tasks.gate.intervals import share_interval
    from airflow_provider_online_tasks.results.human_labels import agreement_with_people

    chance = random.Random(windows * 100 + evaluators)
    found = []
    for place in range(windows):
        until = end - (windows - 1 - place) * DAY
        figures: dict[str, Any] = {}
        rules: list[dict[str, Any]] = []
        for number in range(evaluators):
            name, labels, share, evaluated = EVALUATORS[number % len(EVALUATORS)]
            if number >= len(EVALUATORS):
                name = f"{name}_{number // len(EVALUATORS) + 1}"
            if labels_of_first and number == 0:
                labels = labels_of_first
            if hostile and number == 1:
                labels = ("", ODD_LABEL)
            drop = 0.09 if number == 0 and windows - 9 <= place < windows - 7 else 0.0
            if recurring:
                drop = 0.2 if number == 0 and (20 <= place < 28 or place >= windows - 6) else 0.0
            total = max(8, int(evaluated * (0.8 + 0.4 * chance.random())))
            wave = 0.015 * math.sin(place / 9 + number)
            good = min(1.0, max(0.0, share + wave - drop + chance.gauss(0, 0.012)))
            is_manual = is_last_manual and place == windows - 1
            counts = {labels[0]: 0 if is_manual else round(total * good)}
            rest = total - counts[labels[0]]
            for label in labels[1:-1]:
                counts[label] = round(rest * 0.7)
                rest -= counts[label]
            counts[HOSTILE if hostile and number == 0 else labels[-1]] = rest
            score = counts[labels[0]] / total
            figures[name] = {
                "evaluated": total,
                "not_evaluated": int(total * 0.02),
                "labelled": total,
                "labels": {
                    label: {"count": count, "share": count / total} for label, count in counts.items()
                },
                "other_labels": 0,
                "scored": total,
                "score_mean": score,
                "score_variance": score * (1 - score) * total / (total - 1),
                "score_is_binary": True,
                "score_interval": list(share_interval(counts[labels[0]], total, 0.95)),
                "invalid_scores": 0,
                "evaluator_version": f"model: gpt-4o, version: {1 if place < windows * 2 // 3 else 2}",
                "version_id": f"version {1 if place < windows * 2 // 3 else 2}",
            }
            if human_labels and number == 0 and (windows - 1 - place) % 7 == 3:
                figures[name]["human_labels"] = _human_labels(counts, chance)
                figures[name]["human_labels"] |= agreement_with_people(name, figures[name])
            low, high = share_interval(counts[labels[0]], total, 0.95)
            outcome = "passed" if low >= BOUND else "failed" if high < BOUND else "inconclusive"
            if number == 0:
                rules.append(
                    {
                        "evaluator": name,
                        "measure": labels[0],
                        "rule": f">= {BOUND}",
                        "measured": score,
                        "low": low,
                        "high": high,
                        "evaluations": total,
                        "outcome": outcome,
                        "note": "",
                        "evaluations_needed": 900 if outcome == "inconclusive" else None,
                    }
                )
        if misspelled:
            rules.append(
                {
                    "evaluator": misspelled,
                    "measure": "min_evaluated",
                    "rule": ">= 1",
                    "measured": 0,
                    "outcome": "failed",
                    "note": "no evaluation of this evaluator; evaluators with results: 'correctness'",
                }
            )
        complete = place % 40 != 39
        run_id = f"run {place}"
        summary = {
            "run_id": run_id,
            "is_manual": is_last_manual and place == windows - 1,
            "data_start_time": (until - DAY).isoformat().replace("+00:00", "Z"),
            "data_end_time": until.isoformat().replace("+00:00", "Z"),
            "complete": complete,
            "expected": max(one["evaluated"] for one in figures.values()),
            "skipped": place % 7,
            "errors": place % 3,
            "evaluators": figures if place < windows - failed_runs else {},
        }
        if budget:
            summary["run"] = _run(summary, place)
        completeness = {
            "evaluator": "*",
            "measure": "complete",
            "rule": "all evaluations",
            "measured": None,
            "outcome": "passed" if complete else "failed",
            "note": "" if complete else "not all evaluations could be read",
        }
        outcomes = {rule["outcome"] for rule in [completeness, *rules]}
        outcome = next(one for one in ("failed", "inconclusive", "passed") if one in outcomes)
        verdict = {
            **{name: summary[name] for name in ("run_id", "data_start_time", "data_end_time")},
            "passed": outcome == "passed",
            "outcome": outcome,
            "confidence": 0.95,
            "rules": [completeness, *rules],
        }
        found.append((summary, verdict))
    return _recurring(found) if recurring else found


def _human_labels(counts: Mapping[str, int], chance: random.Random) -> dict[str, Any]:
    """Return the labels that people gave to a random sample: one in ten differs from the evaluator's."""
    good, *_, bad = counts
    strata = {}
    for label, evaluated in counts.items():
        labelled = min(evaluated, 120 if label == good else 40)
        wrong = sum(chance.random() < 0.1 for _ in range(labelled))
        other = bad if label == good else good
        labels = {label: labelled - wrong, other: wrong}
        strata[label] = {"evaluated": evaluated, "labelled": labelled, "labels": labels, "clusters": None}
    labelled = sum(stratum["labelled"] for stratum in strata.values())
    return {
        "annotation": "correctness_review",
        "labelled": labelled,
        "strata": strata,
        "sample": {"is_random": True},
        "sample_problem": None,
    }


def _recurring(
    found: Sequence[tuple[dict[str, Any], dict[str, Any]]],
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the results with the verdicts of a gate that has ``false_alarms_per_year``."""
    from airflow_provider_online_tasks.gate.checks import check_summary, verdict
    from airflow_provider_online_tasks.gate.recurring import RecurringCheck
    from airflow_provider_online_tasks.gate.rules import read_rules

    rules = read_rules({EVALUATORS[0][0]: {EVALUATORS[0][1][0]: f">= {BOUND}"}})
    windows: list[str] = []
    checked = []
    for summary, _ in found:
        check = RecurringCheck(rules=rules, summary=summary, score_ranges={}, false_alarms_per_year=1)
        results = check_summary(rules, summary, confidence=check.budget.confidence, accept_unverified=True)
        results, record, _ = check.check(results, windows)
        windows.append(record)
        ends = {name: summary[name] for name in ("run_id", "data_start_time", "data_end_time")}
        checked.append((summary, {**verdict(results), **ends, "false_alarms_per_year": 1}))
    return checked


def _run(summary: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return what ``RunOnlineTaskOperator`` leaves of a run with a budget and prices."""
    evaluations = summary["expected"] + summary["errors"]
    return {
        "run_id": summary["run_id"],
        "status": "COMPLETED",
        "evaluations": evaluations,
        "capped": False,
        "estimated_input_tokens": {"low": evaluations * 900.0, "high": evaluations * 1_100.0},
        "estimated_output_tokens": {"low": evaluations * 40.0, "high": evaluations * 60.0},
        "estimated_cost": {"low": evaluations * 0.003, "high": evaluations * 0.0035},
        "budget": {
            "max_evaluations": 40_000,
            "per": "month",
            "scope": "project",
            "project_id": "P",
            "since": "2026-11-01T00:00:00Z",
            "finished": 400 * place,
            "in_flight": 1_000,
        },
    }


def fill(
    session: Session,
    dag_id: str,
    found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    *,
    spans_url: str | None = None,
) -> None:
    """Write a DAG run per window, with its task instances and the XComs that the operators push."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import func, insert, select

    from airflow_provider_online_tasks.results.history import (
        RESULTS_KEY,
        RUN_KEY,
        VERDICT_KEY,
        results_record,
        verdict_record,
    )

    first = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    runs, instances, xcoms = [], [], []
    for place, (summary, verdict) in enumerate(found):
        until = datetime.fromisoformat(summary["data_end_time"])
        run_id = f"scheduled__{until.isoformat()}"
        common = {"dag_id": dag_id, "run_id": run_id}
        has_failed = not summary["evaluators"]
        state = "success" if verdict["passed"] and not has_failed else "failed"
        runs.append(
            {
                **common,
                "id": first + place,
                "run_type": "manual" if summary["is_manual"] else "scheduled",
                "state": state,
                "logical_date": until,
                "run_after": until,
                "start_date": until,
                "end_date": until + timedelta(minutes=9),
            }
        )
        ended_of = {OTHER_TASK: "success", RUN_TASK: "success", RESULTS_TASK: "success", GATE_TASK: state}
        if has_failed:
            ended_of |= {RESULTS_TASK: "failed", GATE_TASK: "upstream_failed"}
        ids = {task_id: uuid4() for task_id in ended_of}
        for task_id, ended in ended_of.items():
            instances.append(
                {
                    **common,
                    "id": ids[task_id],
                    "task_id": task_id,
                    "map_index": -1,
                    "state": ended,
                    "try_number": 1,
                    "max_tries": 0,
                    "pool": "default_pool",
                    "pool_slots": 1,
                    "start_date": until,
                    "end_date": until + timedelta(minutes=3),
                    "operator": "EmptyOperator",
                }
            )
        for task_id, key, value in (
            ()
            if has_failed
            else (
                (RESULTS_TASK, RESULTS_KEY, results_record(summary, spans_url=spans_url)),
                (GATE_TASK, VERDICT_KEY, verdict_record(verdict)),
                *([(RUN_TASK, RUN_KEY, summary["run"])] if "run" in summary else []),
            )
        ):
            xcoms.append(
                {
                    **common,
                    "dag_run_id": first + place,
                    "task_instance_id": ids[task_id],
                    "task_id": task_id,
                    "map_index": -1,
                    "key": key,
                    "value": _stored(value),
                    "timestamp": until + timedelta(minutes=3),
                }
            )
    session.connection().execute(insert(DagRun.__table__), runs)
    add_task_instances(session, instances)
    add_xcoms(session, xcoms)


def add_task_instances(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert task instances."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    table = TaskInstance.__table__
    rows = [{**row, "id": table.c.id.type.python_type(str(row["id"]))} for row in rows]  # text before 3.2
    if "map_index" not in table.columns:  # Airflow 3.4
        rows = [{**row, "region_index": row["map_index"]} for row in rows]
    known = [{key: value for key, value in row.items() if key in table.columns} for row in rows]
    session.connection().execute(insert(table), known)


def add_xcoms(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert XComs; each row names its task instance by ID, and by DAG, run, task and map index."""
    from airflow.models import xcom
    from sqlalchemy import insert

    # Airflow 3.4 has a table for XComs of task instances, and XComModel is a view.
    table = getattr(xcom, "XComModelV2", xcom.XComModel).__table__
    known = [{key: value for key, value in row.items() if key in table.columns} for row in rows]
    session.connection().execute(insert(table), known)


def delete(session: Session, dag_ids: Sequence[str]) -> None:
    """Delete what :func:`fill` wrote."""
    from airflow.models import xcom
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete as delete_from
    from sqlalchemy import select

    if hasattr(xcom, "XComModelV2"):
        ours = select(TaskInstance.id).where(TaskInstance.dag_id.in_(dag_ids))
        session.execute(delete_from(xcom.XComModelV2).where(xcom.XComModelV2.task_instance_id.in_(ours)))
    else:
        session.execute(delete_from(xcom.XComModel).where(xcom.XComModel.dag_id.in_(dag_ids)))
    for model in (TaskInstance, DagRun):
        session.execute(delete_from(model).where(model.dag_id.in_(dag_ids)))


def _stored(value: Any) -> Any:
    """Return a value as this Airflow stores it: a JSON object since 3.3, JSON text before."""
    from airflow.sdk.bases.xcom import BaseXCom

    return BaseXCom.serialize_value(value)


def make(home: Path, plan: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> None:
    """Create DAGs, database and history, by ``{"dag_id": {"windows": 365, "evaluators": 5}}``."""
    write_dags(home / "dags", list(plan))
    for command in (
        ["-m", "airflow", "db", "migrate"],
        ["-m", "airflow", "dags", "reserialize"],
        [__file__, json.dumps(plan)],
    ):
        subprocess.run(
            [sys.executable, *command],
            env=dict(environment),
            check=True,
            timeout=SECONDS,
            stdout=subprocess.DEVNULL,
        )


def main(plan: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill the database of this process."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))
        for dag_id, what in plan.items():
            fill(session, dag_id, summaries(end, **what), spans_url=SPANS_URL)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
