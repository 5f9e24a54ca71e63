"""The indexes lag: a run misses young spans, and an evaluation can be read some time after it is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.emulator.__main__ import _parser
from tests.support.emulator_api import AGENTS, Api, iso, template_evaluator

HOUR = 3600.0
LAGGING = pytest.mark.online_tasks_emulator(index_delay=2 * 24 * HOUR)


def evaluated(api: Api, query_filter: str = AGENTS) -> int:
    """How many spans show an evaluation, by the spans' own endpoint."""
    body = {
        "project_id": api.emulator.info()["project_id"],
        "filter": query_filter,
        "start_time": iso(datetime.now(UTC) - timedelta(days=7)),
        "end_time": iso(datetime.now(UTC)),
    }
    spans = api.rest("POST", "spans?limit=500", json=body).json()["spans"]
    return sum(bool(span["evaluations"]) for span in spans)


@LAGGING
def test_run_ignores_spans_younger_than_the_delay(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    early, *_ = api.counts(api.run(task_id))
    emulator.advance(2 * 24 * HOUR)
    later, _, skipped = api.counts(api.run(task_id))
    emulator.configure(index_delay=0)
    everything, *_ = api.counts(api.run(task_id, overrideEvaluations=True))
    assert early > 0
    assert later > 0
    assert (early + later, skipped) == (everything, early)


@LAGGING
def test_evaluations_can_be_read_after_the_delay(api: Api, emulator: Emulator) -> None:
    count, *_ = api.counts(api.run(api.create()))
    by_label = "eval.\"answer quality\".label = 'good'"
    assert (evaluated(api), evaluated(api, by_label)) == (0, 0)
    assert len(emulator.evaluations()) == count
    emulator.advance(2 * 24 * HOUR - 60)
    assert evaluated(api) == 0
    emulator.advance(61)
    assert evaluated(api) == count
    assert 0 < evaluated(api, by_label) < count


def test_index_has_no_delay_by_default(api: Api) -> None:
    count, *_ = api.counts(api.run(api.create(templateEvaluators=[template_evaluator()])))
    assert evaluated(api) == count


def test_advanced_clock_indexes_spans_for_later_runs(api: Api, emulator: Emulator) -> None:
    emulator.configure(run_seconds=3600)
    run_id = api.run(api.create())
    assert api.read(run_id)["status"] == "PENDING"
    emulator.advance(1800)
    assert api.read(run_id)["status"] == "RUNNING"
    emulator.advance(1801)
    run = api.read(run_id)
    assert run["status"] == "COMPLETED"
    assert run["run_started_at"] < run["run_finished_at"]
    emulator.reset()


def test_command_line_sets_the_index_delay() -> None:
    assert _parser().parse_args(["--index-delay", "7200"]).index_delay == 7200
    with pytest.raises(ValueError, match="index_delay"):
        EmulatorSettings(index_delay=-1)
