"""Results are read until they are whole: with real HTTP to an emulator whose index lags."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_online_tasks._airflow import TaskDeferred
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, Fault
from airflow_provider_online_tasks.exceptions import EvalResultsIncomplete, OnlineTasksError, PermissionDenied
from airflow_provider_online_tasks.inputs import DataWindow
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.reading import Look, Reader
from airflow_provider_online_tasks.results.statistics import Results
from airflow_provider_online_tasks.triggers import pause as pause_module
from airflow_provider_online_tasks.triggers.events import EARLIEST_EVENT_SECONDS
from airflow_provider_online_tasks.triggers.pause import PauseTrigger
from tests.support import quick_time
from tests.support.evaluated_runs import NOW, run_task, spans, spans_file

LAG = 3600.0


@contextmanager
def lagging(monkeypatch, spans=None, **settings):
    chosen = {"run_seconds": 0, "queries_per_minute": None, "mutations_per_minute": None, "index_delay": LAG}
    with Emulator(EmulatorSettings(**chosen | settings, spans=spans)) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", emulator.connection_json)
        yield emulator


@pytest.fixture
def arize(monkeypatch, tmp_path):
    with lagging(monkeypatch, spans_file(tmp_path, 400)) as emulator:
        yield emulator


def context(pushed=None):
    push = (lambda key, value: pushed.update({key: value})) if pushed is not None else lambda **_: None
    return {"ti": SimpleNamespace(xcom_push=push, try_number=1)}


def operator(run_id, **arguments):
    return EvalResultsOperator(task_id="results", run_id=run_id, **arguments)


def pause_of(reading):
    """The trigger that a read defers to."""
    with pytest.raises(TaskDeferred) as deferred:
        reading()
    trigger = deferred.value.trigger
    assert deferred.value.method_name == "execute_complete"
    assert isinstance(trigger, PauseTrigger)
    return trigger


def event_of(trigger):
    """What the task gets back, as it comes through the database."""
    return json.loads(json.dumps({"until": trigger.until, "payload": trigger.payload}))


def test_it_waits_until_the_index_has_caught_up(arize):
    _, run_id = run_task(arize)
    trigger = pause_of(lambda: operator(run_id).execute(context()))
    assert trigger.until == pytest.approx(time.time() + 15, abs=5)
    later = pause_of(lambda: operator(run_id).execute_complete(context(), event_of(trigger)))
    assert later.until == pytest.approx(time.time() + 30, abs=5)
    arize.advance(LAG + 1)
    summary = operator(run_id).execute_complete(context(), event_of(later))
    assert (summary["complete"], summary["expected"], summary["read"]) == (True, 400, 400)
    assert summary["evaluators"]["correctness"]["evaluated"] == len(arize.evaluations(run_id=run_id)) == 400


def test_there_are_no_rows_before_they_are_all_there(arize, tmp_path):
    _, run_id = run_task(arize)
    path = tmp_path / "rows.jsonl"
    rows = {"rows_path": f"file://{path}"}
    trigger = pause_of(lambda: operator(run_id, **rows).execute(context()))
    assert not path.exists()
    arize.advance(LAG + 1)
    operator(run_id, **rows).execute_complete(context(), event_of(trigger))
    assert len(path.read_text().splitlines()) == 400


@pytest.mark.parametrize("rows_format", ["jsonl", "parquet"])
def test_a_read_that_fails_leaves_an_older_file_as_it_is(monkeypatch, tmp_path, rows_format):
    if rows_format == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / "rows"
    path.write_text("yesterday's")
    rows = {"rows_path": f"file://{path}", "rows_format": rows_format}
    with lagging(monkeypatch, spans_file(tmp_path, 600), index_delay=0) as arize:
        _, run_id = run_task(arize)
        arize.add_fault(Fault("rest.list_spans", "forbidden", skip=1))  # the second page
        with pytest.raises(PermissionDenied):
            operator(run_id, **rows).execute(context())
        assert path.read_text() == "yesterday's"
        assert operator(run_id, **rows).execute(context())["rows_written"] == 600
    assert b"yesterday" not in path.read_bytes()


def test_the_deadline_is_the_runs_end_and_what_is_missing_then_fails(arize, caplog):
    _, run_id = run_task(arize)
    pushed = {}
    with pytest.raises(EvalResultsIncomplete, match="0 of 400") as failed:
        operator(run_id, complete_within=0).execute(context(pushed))
    assert failed.value.summary["complete"] is False
    assert pushed["return_value"] == failed.value.summary
    gate = EvalGateOperator(
        task_id="gate", summary=failed.value.summary, rules={"correctness": {"correct": ">= 0"}}
    )
    with pytest.raises(OnlineTasksError, match="complete is 0, not >= 400"):
        gate.execute(context())
    last = pause_of(lambda: operator(run_id, complete_within=10).execute(context()))
    assert last.until == pytest.approx(time.time() + 10, abs=3)


def test_a_retry_after_the_deadline_looks_once_more_and_does_not_wait(arize):
    _, run_id = run_task(arize)
    trigger = pause_of(lambda: operator(run_id, complete_within=1.5).execute(context()))
    time.sleep(max(0.0, trigger.until - time.time()) + 0.1)
    with pytest.raises(EvalResultsIncomplete):
        operator(run_id, complete_within=1.5).execute_complete(context(), event_of(trigger))
    with pytest.raises(EvalResultsIncomplete):
        operator(run_id, complete_within=1.5).execute(context())
    arize.advance(LAG + 1)
    assert operator(run_id, complete_within=1.5).execute(context())["complete"] is True


def test_on_incomplete_warn_returns_what_could_be_read_and_a_gate_refuses_it(arize, caplog):
    _, run_id = run_task(arize)
    with caplog.at_level(logging.WARNING):
        summary = operator(run_id, complete_within=0, on_incomplete="warn").execute(context())
    assert (summary["complete"], summary["read"], summary["expected"]) == (False, 0, 400)


def test_a_task_and_a_window_have_no_count_to_hold_against(arize):
    task_id, _ = run_task(arize)
    arize.advance(LAG + 1)
    summary = EvalResultsOperator(
        task_id="results",
        online_task_id=task_id,
        data_start_time=NOW - timedelta(days=2),
        data_end_time=NOW,
    ).execute(context())
    assert (summary["complete"], summary["expected"], summary["read"]) == (None, None, 400)
    rules = {"correctness": {"correct": ">= 0"}}
    with pytest.raises(OnlineTasksError, match="complete"):
        EvalGateOperator(task_id="gate", summary=summary, rules=rules).execute(context())
    accepted = EvalGateOperator(task_id="gate", summary=summary, rules=rules, accept_unverified=True)
    assert accepted.execute(context())["passed"] is True


def test_a_second_read_costs_only_the_pages_that_lacked_something(monkeypatch, tmp_path):
    """Evaluations are made over 100 seconds, and the index lags 25: about a quarter is missing at the end."""
    file = spans_file(tmp_path, 3_000)
    with lagging(monkeypatch, file, index_delay=25, run_seconds=0) as arize:
        arize.configure(run_seconds=100)
        _, run_id = run_task(arize, while_running=lambda: arize.advance(5))
        arize.clear_requests()
        trigger = pause_of(lambda: operator(run_id).execute(context()))
        assert len(arize.requests("rest.list_spans")) == 6
        look = Look.from_json(trigger.payload["look"])
        assert look.pages == 6
        assert 1 <= look.gap_pages <= 3
        assert len(look.gaps) == 1

        arize.clear_requests()
        again = pause_of(lambda: operator(run_id).execute_complete(context(), event_of(trigger)))
        assert len(arize.requests("rest.list_spans")) == look.gap_pages
        assert again.payload["look"] == trigger.payload["look"]

        arize.advance(26)
        arize.clear_requests()
        summary = operator(run_id).execute_complete(context(), event_of(again))
        assert (summary["complete"], summary["read"]) == (True, 3_000)
        # The stretch that lacked, then everything, then the worst examples.
        assert len(arize.requests("rest.list_spans")) == look.gap_pages + 6 + 1


def test_pages_with_gaps_that_follow_one_another_are_one_stretch(monkeypatch):
    listed = list(spans(16))
    lacking = {2, 6, 7, 9, 12, 13}
    shown = [
        dataclasses.replace(span, evaluations=()) if place in lacking else span
        for place, span in enumerate(listed)
    ]
    pages = [tuple(shown[place : place + 2]) for place in range(0, 16, 2)]
    monkeypatch.setattr(Reader, "_counted", lambda self, window: iter(pages))
    window = DataWindow(start=NOW - timedelta(days=1), end=NOW)

    look = Reader(None, None, log=None).read(window, Results(run_id="r", online_task_id="t"))

    at = [span.start_time for span in listed]
    assert look.gaps == ((at[3], at[2]), (at[9], at[6]), (at[13], at[12]))
    assert (look.gap_pages, look.pages, look.settled) == (4, 8, 8)


@pytest.mark.parametrize(
    ("gap_pages", "pages", "gaps", "saves"),
    [(0, 6, 0, False), (1, 2, 1, True), (1, 1, 1, False), (3, 6, 3, True), (4, 6, 1, False)],
)
def test_gaps_are_read_alone_where_that_costs_half_of_the_pages_at_most(gap_pages, pages, gaps, saves):
    stretch = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    look = Look(settled=0, gaps=(stretch,) * gaps, gap_pages=gap_pages, pages=pages)
    assert look.saves_pages is saves


def test_the_pause_outlives_a_restart_and_carries_no_secret(arize):
    _, run_id = run_task(arize)
    trigger = pause_of(lambda: operator(run_id).execute(context()))
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_online_tasks.triggers.pause.PauseTrigger"
    stored = json.loads(json.dumps(arguments))
    assert arize.api_key not in str(stored)
    again = PauseTrigger(**{**stored, "until": time.time() - 1})
    [event] = quick_time.run(events(again))
    assert event.payload["payload"] == trigger.payload


@pytest.mark.parametrize(("seconds", "pause"), [(0.2, EARLIEST_EVENT_SECONDS), (300.0, 300.0)])
def test_the_pause_ends_when_its_time_has_come_and_the_deferral_is_noted(monkeypatch, seconds, pause):
    async def paused():
        loop = asyncio.get_running_loop()
        # The wall clock goes as the loop's own, on which waiting takes no time.
        monkeypatch.setattr(pause_module, "time", SimpleNamespace(time=loop.time))
        began = loop.time()
        [event] = await events(PauseTrigger(until=began + seconds, payload={"a": 1}))
        assert event.payload == {"until": began + seconds, "payload": {"a": 1}}
        return loop.time() - began

    assert pause <= quick_time.run(paused()) < pause + 2


async def events(trigger):
    return [event async for event in trigger.run()]


@pytest.mark.parametrize("event", [None, {}, {"payload": "x"}, "over"])
def test_an_event_that_its_trigger_does_not_send_is_an_error(event):
    with pytest.raises(OnlineTasksError, match="does not send"):
        operator("r").execute_complete(context(), event)
