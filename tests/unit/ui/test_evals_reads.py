"""Tests for the queries of the Evals page, against the tables of Airflow in memory."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.since_airflow("3.1", "the Evals page")

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def reads() -> ModuleType:
    return importlib.import_module("airflow_provider_online_tasks.ui.evals.reads")


@pytest.fixture
def session() -> Iterator[Any]:
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine("sqlite://")
    for model in (DagRun, XComModel):
        model.__table__.create(engine)
    with Session(engine) as made:
        yield made
    engine.dispose()


def add_runs(
    session: Any, dag_id: str, days: int, *pushed: tuple[str, str], map_indexes: Any = (-1,)
) -> None:
    """Add a DAG run per day up to noon, each with one XCom per task, key and map index."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from sqlalchemy import func, insert, select

    first = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    for number in range(days):
        at = NOON - (days - 1 - number) * DAY
        run = {"dag_id": dag_id, "run_id": f"run {number}"}
        row = {"id": first + number, "run_type": "scheduled", "run_after": at, "log_template_id": None}
        session.execute(insert(DagRun.__table__).values(**run, **row))
        for task_id, key in pushed:
            for map_index in map_indexes:
                values = {"dag_run_id": first + number, "task_id": task_id, "key": key, "timestamp": at}
                session.execute(
                    insert(XComModel.__table__).values(
                        **run, **values, map_index=map_index, value=json.dumps({"number": number})
                    )
                )


def span(reads: ModuleType, days: int = 366) -> Any:
    return reads.Span(since=NOON - days * DAY, until=NOON + timedelta(seconds=1))


def test_overview_task_with_both_kinds_gets_newest_twelve_of_each(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 15, ("t", RESULTS_KEY), ("t", VERDICT_KEY))

    found = reads.overview(session, dag_ids=["d"], span=span(reads))

    for key in (RESULTS_KEY, VERDICT_KEY):
        numbers = [json.loads(one.value)["number"] for one in found if one.key == key]
        assert numbers == list(range(3, 15))


def test_overview_two_tasks_and_two_dags_each_get_twelve(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 15, ("t", RESULTS_KEY), ("u", RESULTS_KEY))
    add_runs(session, "e", 14, ("t", RESULTS_KEY))
    add_runs(session, "hidden", 2, ("t", RESULTS_KEY))

    found = reads.overview(session, dag_ids=["d", "e"], span=span(reads))

    counts = dict.fromkeys((("d", "t"), ("d", "u"), ("e", "t")), 0)
    for one in found:
        counts[one.dag_id, one.task_id] += 1
    assert counts == {("d", "t"): 12, ("d", "u"): 12, ("e", "t"): 12}


def test_overview_mapped_task_counts_map_indexes_of_newest_run_first(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 3, ("t", RESULTS_KEY), map_indexes=range(5))

    found = reads.overview(session, dag_ids=["d"], span=span(reads))

    assert [(one.run_id, one.map_index) for one in found][-5:] == [("run 2", index) for index in range(5)]
    assert len({(one.run_id, one.map_index) for one in found}) == len(found) == 12


def test_history_span_includes_its_start_and_excludes_its_end(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 4, ("t", RESULTS_KEY), ("t", "return_value"))

    found = reads.history(session, dag_id="d", span=reads.Span(since=NOON - 2 * DAY, until=NOON))

    assert [one.run_id for one in found] == ["run 1", "run 2"]
    assert {one.key for one in found} == {RESULTS_KEY}


def test_history_over_limit_keeps_newest_in_order(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 3)
    add_runs(session, "d", 10, ("t", RESULTS_KEY))

    found = reads.history(session, dag_id="d", span=span(reads))

    assert [one.run_id for one in found] == ["run 7", "run 8", "run 9"]


def test_run_of_any_age_returns_only_its_records(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 10, ("t", RESULTS_KEY), ("g", VERDICT_KEY), ("t", "return_value"))
    add_runs(session, "e", 10, ("t", RESULTS_KEY))

    found = reads.of_dag_run(session, dag_id="d", run_id="run 0")

    assert sorted((one.dag_id, one.run_id, one.task_id) for one in found) == [
        ("d", "run 0", "g"),
        ("d", "run 0", "t"),
    ]


def test_dags_with_records_lists_those_with_results_in_span(reads: ModuleType, session: Any) -> None:
    add_runs(session, "b", 10, ("t", RESULTS_KEY))
    add_runs(session, "a", 1, ("t", RESULTS_KEY))
    add_runs(session, "other", 1, ("t", "return_value"))

    assert reads.dags_with_records(session, span=span(reads)) == ["a", "b"]
    early = reads.Span(since=NOON - 9 * DAY, until=NOON - DAY)
    assert reads.dags_with_records(session, span=early) == ["b"]
