"""Tests for the queries of the Evals page, against the tables of Airflow in memory."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY
from tests.support.evals_history import add_task_instances, add_xcoms

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
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as made:
        yield made
    engine.dispose()


def add_runs(
    session: Any,
    dag_id: str,
    days: int,
    *pushed: tuple[str, str],
    map_indexes: Any = (-1,),
    run_type: str = "scheduled",
    state: str = "success",
    tasks: Any = (),
    first: datetime | None = None,
    queued_at: datetime | None = None,
) -> None:
    """Add a DAG run per day up to noon, each with one XCom per task, key and map index."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import func, insert, select

    first_id = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    pushing = {(task_id, index, "", "success") for task_id, _ in pushed for index in map_indexes}
    for number in range(days):
        at = first + number * DAY if first else NOON - (days - 1 - number) * DAY
        name = "run" if run_type == "scheduled" else run_type
        run = {"dag_id": dag_id, "run_id": f"{name} {number}"}
        row = {"id": first_id + number, "run_type": run_type, "run_after": at, "log_template_id": None}
        session.execute(insert(DagRun.__table__).values(**run, **row, state=state, queued_at=queued_at))
        ids, instances = {}, []
        for task_id, map_index, operator, task_state in [*pushing, *tasks]:
            ids[task_id, map_index] = uuid4()
            facts = {"id": ids[task_id, map_index], "max_tries": 0, "pool": "default_pool", "pool_slots": 1}
            facts |= {"task_id": task_id, "map_index": map_index, "operator": operator, "state": task_state}
            instances.append({**run, **facts})
        if instances:
            add_task_instances(session, instances)
        xcoms = [
            {
                **run,
                "dag_run_id": first_id + number,
                "task_instance_id": ids[task_id, map_index],
                "task_id": task_id,
                "map_index": map_index,
                "key": key,
                "timestamp": at,
                "value": json.dumps({"number": number}),
            }
            for task_id, key in pushed
            for map_index in map_indexes
        ]
        if xcoms:
            add_xcoms(session, xcoms)


def span(reads: ModuleType, days: int = 366) -> Any:
    return reads.Span(since=NOON - days * DAY, until=NOON + timedelta(seconds=1))


def test_overview_task_with_both_kinds_gets_newest_twelve_of_each(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 15, ("t", RESULTS_KEY), ("t", VERDICT_KEY))

    found, _ = reads.overview(session, dag_ids=["d"], span=span(reads))

    for key in (RESULTS_KEY, VERDICT_KEY):
        numbers = [json.loads(one.value)["number"] for one in found if one.key == key]
        assert numbers == list(range(3, 15))


def test_overview_two_tasks_and_two_dags_each_get_twelve(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 15, ("t", RESULTS_KEY), ("u", RESULTS_KEY))
    add_runs(session, "e", 14, ("t", RESULTS_KEY))
    add_runs(session, "hidden", 2, ("t", RESULTS_KEY))

    found, _ = reads.overview(session, dag_ids=["d", "e"], span=span(reads))

    counts = dict.fromkeys((("d", "t"), ("d", "u"), ("e", "t")), 0)
    for one in found:
        counts[one.dag_id, one.task_id] += 1
    assert counts == {("d", "t"): 12, ("d", "u"): 12, ("e", "t"): 12}


def test_overview_mapped_task_gets_all_map_indexes_of_twelve_runs(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 15, ("t", RESULTS_KEY), map_indexes=range(20))

    found, _ = reads.overview(session, dag_ids=["d"], span=span(reads))

    assert sorted((one.run_id, one.map_index) for one in found) == sorted(
        (f"run {number}", index) for number in range(3, 15) for index in range(20)
    )


def test_overview_verdicts_of_a_gate_that_runs_less_often_have_their_results(
    reads: ModuleType, session: Any
) -> None:
    first = NOON - 30 * DAY
    add_runs(session, "d", 10, ("t", RESULTS_KEY), ("g", VERDICT_KEY), first=first)
    add_runs(session, "d", 13, ("t", RESULTS_KEY), run_type="backfill")
    add_runs(session, "d", 1, ("t", RESULTS_KEY), ("g", VERDICT_KEY), first=NOON, run_type="asset_triggered")

    found, _ = reads.overview(session, dag_ids=["d"], span=span(reads))

    runs = {key: {one.run_id for one in found if one.key == key} for key in (RESULTS_KEY, VERDICT_KEY)}
    assert len(runs[VERDICT_KEY]) == 11
    assert runs[VERDICT_KEY] < runs[RESULTS_KEY]


def test_overview_limit_keeps_the_newest_records_of_each_dag(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 5)
    add_runs(session, "daily", 10, ("t", RESULTS_KEY), ("g", VERDICT_KEY))
    add_runs(session, "finished_long_ago", 1, ("t", RESULTS_KEY), ("g", VERDICT_KEY), first=NOON - 20 * DAY)

    found, is_cut = reads.overview(session, dag_ids=["daily", "finished_long_ago"], span=span(reads))

    assert is_cut
    assert sorted((one.dag_id, one.task_id) for one in found) == [
        ("daily", "g"),
        ("daily", "t"),
        ("finished_long_ago", "g"),
        ("finished_long_ago", "t"),
    ]


def test_history_span_includes_its_start_and_excludes_its_end(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 4, ("t", RESULTS_KEY), ("t", "return_value"))

    found, _ = reads.history(session, dag_id="d", span=reads.Span(since=NOON - 2 * DAY, until=NOON))

    assert [one.run_id for one in found] == ["run 1", "run 2"]
    assert {one.key for one in found} == {RESULTS_KEY}


def test_history_over_limit_keeps_newest_in_order(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 3)
    add_runs(session, "d", 10, ("t", RESULTS_KEY))

    found, _ = reads.history(session, dag_id="d", span=span(reads))

    assert [one.run_id for one in found] == ["run 7", "run 8", "run 9"]


def test_run_of_any_age_returns_only_its_records(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 10, ("t", RESULTS_KEY), ("g", VERDICT_KEY), ("t", "return_value"))
    add_runs(session, "e", 10, ("t", RESULTS_KEY))

    found, _ = reads.of_dag_run(session, dag_id="d", run_id="run 0")

    assert sorted((one.dag_id, one.run_id, one.task_id) for one in found) == [
        ("d", "run 0", "g"),
        ("d", "run 0", "t"),
    ]


def test_run_with_many_map_indexes_returns_those_of_one_and_of_tasks_that_are_not_mapped(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 5)
    add_runs(session, "d", 1, ("t", RESULTS_KEY), ("g", VERDICT_KEY), map_indexes=range(-1, 20))

    for map_index in (0, 19):
        found, is_cut = reads.of_dag_run(session, dag_id="d", run_id="run 0", map_index=map_index)

        assert {one.map_index for one in found} == {-1, map_index}
        assert not is_cut
    assert reads.of_dag_run(session, dag_id="d", run_id="run 0").is_cut


def test_dags_with_records_lists_dags_with_records_of_any_age(reads: ModuleType, session: Any) -> None:
    add_runs(session, "b", 10, ("t", RESULTS_KEY))
    add_runs(session, "a", 1, ("g", VERDICT_KEY))
    add_runs(session, "other", 1, ("t", "return_value"))

    assert reads.dags_with_records(session) == ["a", "b"]


def test_history_over_limit_omits_no_record_of_a_run(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 3)
    add_runs(session, "d", 10, ("t", RESULTS_KEY), ("g", VERDICT_KEY))

    found, is_cut = reads.history(session, dag_id="d", span=span(reads))

    assert [(one.run_id, one.task_id) for one in found] == [("run 9", "t"), ("run 9", "g")]
    assert is_cut


def test_order_of_records_is_fully_determined(reads: ModuleType, session: Any) -> None:
    from sqlalchemy import event

    sent: list[str] = []
    event.listen(session.bind, "before_cursor_execute", lambda *given: sent.append(given[2]))
    reads.history(session, dag_id="d", span=span(reads))

    [order] = [one.rpartition("ORDER BY")[2] for one in sent]
    for column in ("dag_run_id", "task_id", "map_index", '"key"'):  # the primary key of an XCom
        assert column in order


def test_overview_manual_runs_displace_no_scheduled_one(reads: ModuleType, session: Any) -> None:
    add_runs(session, "d", 3, ("t", RESULTS_KEY))
    add_runs(session, "d", 15, ("t", RESULTS_KEY), run_type="manual")

    found, _ = reads.overview(session, dag_ids=["d"], span=span(reads))

    assert [one.run_id for one in found if not one.is_manual] == ["run 0", "run 1", "run 2"]
    assert len(found) == reads.OVERVIEW_WINDOWS


def test_newest_finished_run_has_the_worst_state_of_mapped_tasks(reads: ModuleType, session: Any) -> None:
    states = (("r", 0, "EvalResultsOperator", "success"), ("r", 1, "EvalResultsOperator", "failed"))
    add_runs(session, "d", 2, tasks=[*states, ("g", -1, "MyGate", "upstream_failed")], state="failed")
    add_runs(session, "d", 2, tasks=[("r", -1, "EvalResultsOperator", "success")], run_type="manual")
    add_runs(session, "at_work", 1, tasks=[("r", -1, "EvalResultsOperator", "deferred")], state="running")

    found, is_cut = reads.dag_states(session, dag_ids=["d", "at_work"], task_ids=["g"], span=span(reads))

    assert not is_cut
    assert found["d"].newest.run_id == "run 1"
    assert found["d"].newest.tasks == {"r": "failed", "g": "upstream_failed"}
    assert found["d"].newest.eval_tasks == {"r": "EvalResultsOperator"}
    assert found["at_work"].newest is None


def test_tasks_without_evals_displace_no_state(
    reads: ModuleType, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_TASKS", 3)
    others = [(f"a{number}", -1, "EmptyOperator", "success") for number in range(20)]
    tasks = [*others, ("z", -1, "EvalResultsOperator", "failed"), ("gate", -1, "MyGate", "failed")]
    for dag_id in ("d", "e"):
        add_runs(session, dag_id, 1, tasks=tasks)
    add_runs(session, "replaced", 1, tasks=others)

    one, is_cut = reads.dag_states(session, dag_ids=["d"], task_ids=["gate"], span=span(reads))

    assert not is_cut
    assert one["d"].newest.tasks == {"z": "failed", "gate": "failed"}

    two, is_cut = reads.dag_states(
        session, dag_ids=["d", "e", "replaced"], task_ids=["gate"], span=span(reads)
    )

    assert is_cut
    assert two["d"].newest.tasks == {"z": "failed", "gate": "failed"}
    assert two["e"].newest is None  # not a part of its tasks
    monkeypatch.undo()
    all_found, is_cut = reads.dag_states(
        session, dag_ids=["d", "e", "replaced"], task_ids=["gate"], span=span(reads)
    )
    assert not is_cut
    assert all_found["replaced"].newest.tasks == {}


@pytest.mark.parametrize(("hours", "newest"), [(2, "run 0"), (30, "backfill 0")])
def test_run_that_takes_longer_than_a_day_counts_as_finished(
    reads: ModuleType, session: Any, hours: int, newest: str
) -> None:
    tasks = [("r", -1, "EvalResultsOperator", "success")]
    add_runs(session, "d", 1, tasks=tasks, first=NOON - DAY)
    started = datetime.now(UTC) - timedelta(hours=hours)
    add_runs(session, "d", 1, tasks=tasks, run_type="backfill", state="running", queued_at=started)

    found, _ = reads.dag_states(session, dag_ids=["d"], task_ids=[], span=span(reads))

    assert found["d"].newest.run_id == newest


@pytest.mark.parametrize(
    ("is_paused", "due_hours_ago", "is_at_work", "is_missing"),
    [
        (False, -1, False, False),
        (False, 0.5, False, False),  # the scheduler may be late
        (False, 2, False, True),
        (False, 2, True, False),  # the next run waits for the one at work
        (True, -1, False, False),
        (True, 0.5, False, True),
        (True, None, False, False),  # without a schedule
    ],
)
def test_missing_run_is_reported_when_it_was_due(
    reads: ModuleType,
    session: Any,
    is_paused: bool,
    due_hours_ago: float | None,
    is_at_work: bool,
    is_missing: bool,
) -> None:
    from airflow.models.dag import DagModel

    now = datetime.now(UTC)
    due = None if due_hours_ago is None else now - timedelta(hours=due_hours_ago)
    dag = DagModel(dag_id="d", is_paused=is_paused, next_dagrun_create_after=due, bundle_name="b")
    session.add(dag)
    session.flush()
    if is_at_work:
        add_runs(session, "d", 1, state="running")
    today = reads.Span(since=now - DAY, until=now)

    found, _ = reads.dag_states(session, dag_ids=["d"], task_ids=[], span=today)

    state = found["d"]

    assert (state.due is not None) is is_missing
    assert state.is_paused is (is_missing and is_paused)
    past = reads.Span(since=now - 3 * DAY, until=now - 2 * DAY)
    found, _ = reads.dag_states(session, dag_ids=["d"], task_ids=[], span=past)
    assert found["d"].due is None
