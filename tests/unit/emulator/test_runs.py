"""Runs: which spans they evaluate, how they proceed, and every way they end."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from airflow_provider_online_tasks.emulator import Emulator, RunFate
from airflow_provider_online_tasks.emulator.control.client import EmulatorControlError
from tests.support.emulator_api import AGENTS, Api, days_ago, template_evaluator


def agents(api: Api, *, since: float = 7, until: float = 0) -> int:
    """How many spans of agents there are, by the spans' own endpoint."""
    body = {
        "project_id": api.emulator.info()["project_id"],
        "filter": AGENTS,
        "start_time": days_ago(since),
        "end_time": days_ago(until),
    }
    return len(api.rest("POST", "spans?limit=500", json=body).json()["spans"])


def test_run_evaluates_the_matching_spans_of_its_window(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    run_id = api.run(task_id, dataStartTime=days_ago(3), dataEndTime=days_ago(1))
    expected = agents(api, since=3, until=1)
    assert 0 < expected < agents(api)
    run = api.read(run_id)
    assert (run["status"], run["num_successes"], run["failure_reason"]) == ("COMPLETED", expected, None)
    assert run["created_at"] <= run["run_started_at"] <= run["run_finished_at"]
    evaluations = emulator.evaluations(task_id=task_id, run_id=run_id)
    assert len(evaluations) == expected
    assert {each["label"] for each in evaluations} == {"bad", "good"}
    assert all(each["explanation"] for each in evaluations)


def test_evaluator_filter_narrows_the_task_filter(api: Api, emulator: Emulator) -> None:
    evaluators = [
        template_evaluator("all"),
        template_evaluator("errors", queryFilter="status_code = 'ERROR'", includeExplanations=False),
    ]
    run_id = api.run(api.create(queryFilter="attributes.output.value != null", templateEvaluators=evaluators))
    spans, errors, skipped = api.counts(run_id)
    assert (errors, skipped) == (0, 0)
    evaluations = emulator.evaluations(run_id=run_id)
    counts = {name: sum(each["name"] == name for each in evaluations) for name in ("all", "errors")}
    assert counts["all"] == spans
    assert 0 < counts["errors"] < spans
    assert {each["explanation"] is None for each in evaluations if each["name"] == "errors"} == {True}


def test_sampling_selects_a_stable_share_of_spans(api: Api, emulator: Emulator) -> None:
    spans: list[set[str]] = []
    for name, rate in (("half", 0.5), ("half again", 0.5), ("quarter", 0.25)):
        evaluator = template_evaluator(name)
        task = api.create(name=name, queryFilter=None, samplingRate=rate, templateEvaluators=[evaluator])
        run_id = api.run(task)
        count = api.read(run_id)["num_successes"]
        assert count == pytest.approx(rate * emulator.info()["spans"], rel=0.2)
        spans.append({each["span_id"] for each in emulator.evaluations(run_id=run_id)})
    assert spans[0] == spans[1]
    assert spans[2] < spans[0]
    nothing = api.run(api.create(name="none", samplingRate=0))
    assert api.counts(nothing) == (0, 0, 0)


def test_max_spans_selects_the_newest_spans(api: Api, emulator: Emulator) -> None:
    run_id = api.run(api.create(), maxSpans=3)
    assert api.counts(run_id) == (3, 0, 0)
    body = {"project_id": emulator.project_id, "filter": AGENTS}
    newest = api.rest("POST", "spans?limit=3", json=body).json()["spans"]
    judged = {each["span_id"] for each in emulator.evaluations()}
    assert judged == {span["context"]["span_id"] for span in newest}


def test_labelled_spans_are_skipped_unless_overridden(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    first = api.run(task_id, dataStartTime=days_ago(3), dataEndTime=days_ago(1))
    labelled = api.read(first)["num_successes"]
    second = api.run(task_id)
    assert api.counts(second) == (agents(api) - labelled, 0, labelled)

    third = api.read(api.run(task_id))
    assert third["status"] == "CANCELLED"
    assert (third["num_successes"], third["num_errors"], third["num_skipped"]) == (0, 0, 0)
    assert "already has evaluation labels" in third["failure_reason"]
    assert "override_evaluations" in third["failure_reason"]

    fourth = api.run(task_id, overrideEvaluations=True)
    assert api.counts(fourth) == (agents(api), 0, 0)
    assert {each["run_id"] for each in emulator.evaluations(task_id=task_id)} == {fourth}


def test_window_without_spans_completes_or_is_a_task_error(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    window = {"dataStartTime": "2020-01-01T00:00:00Z", "dataEndTime": "2020-01-02T00:00:00Z"}
    run = api.read(api.run(task_id, **window))
    assert (run["status"], api.counts(run["id"])) == ("COMPLETED", (0, 0, 0))
    emulator.configure(no_data="task_error")
    refused = api.start(task_id, **window)
    assert (refused["__typename"], refused["code"]) == ("TaskError", "NO_DATA")
    emulator.next_run(RunFate("fail"))
    body = {"data_start_time": "2020-01-01T00:00:00Z", "data_end_time": "2020-01-02T00:00:00Z"}
    assert api.rest("POST", f"tasks/{task_id}/trigger", json=body).status_code == 422
    # The rejected request used up no fate.
    assert api.read(api.run(task_id))["status"] == "FAILED"


@pytest.mark.online_tasks_emulator(run_seconds=1500)
def test_counts_of_a_run_grow_until_it_completes(api: Api, emulator: Emulator) -> None:
    run_id = api.run(api.create())
    seen = [api.read(run_id)]
    while seen[-1]["status"] not in ("COMPLETED", "FAILED", "CANCELLED") and len(seen) < 40:
        emulator.advance(50)
        seen.append(api.read(run_id))
    assert len(seen) - 1 == 1500 / 50
    assert list(dict.fromkeys(run["status"] for run in seen)) == ["PENDING", "RUNNING", "COMPLETED"]
    counts = [run["num_successes"] for run in seen]
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert seen[0]["run_started_at"] is None
    started = datetime.fromisoformat(seen[-1]["run_started_at"])
    took = datetime.fromisoformat(seen[-1]["run_finished_at"]) - started
    assert took.total_seconds() == pytest.approx(1350, abs=0.01)


@pytest.mark.online_tasks_emulator(run_seconds=0.2)
def test_stopped_clock_moves_only_by_advance(api: Api, emulator: Emulator) -> None:
    emulator.stop_clock()
    run_id = api.run(api.create())
    time.sleep(0.4)
    assert api.read(run_id)["status"] == "PENDING"
    emulator.stop_clock()  # no news: it stands where it stood
    emulator.advance(0.25)
    run = api.read(run_id)
    assert run["status"] == "COMPLETED"
    assert len({request["time"] for request in emulator.requests("rest.*")}) == 2

    emulator.reset()
    first, second = api.read(api.run(api.create())), emulator.requests()[-1]["time"]
    assert second > datetime.fromisoformat(first["created_at"]).timestamp()


@pytest.mark.online_tasks_emulator(run_seconds=2)
def test_run_proceeds_without_being_read(api: Api, emulator: Emulator) -> None:
    api.run(api.create())
    time.sleep(3)
    # The page's numbers come from the stored evaluations alone.
    assert emulator.runs()[0]["status"] == "COMPLETED"
    made = emulator.evaluations()
    assert max(each["created_at"] for each in made) - min(each["created_at"] for each in made) > 0.15


@pytest.mark.parametrize(
    ("fate", "status", "counts", "reason"),
    [
        (RunFate(error_rate=0.25), "COMPLETED", (9, 3, 0), None),
        (RunFate(error_rate=1), "COMPLETED", (0, 12, 0), None),
        (RunFate(skipped=5), "COMPLETED", (7, 0, 5), None),
        (RunFate(skipped=12), "COMPLETED", (0, 0, 12), None),
        (RunFate("nothing"), "COMPLETED", (0, 0, 0), None),
        (RunFate("fail"), "FAILED", (6, 0, 0), "internal error"),
        (RunFate("fail", failure_reason="out of money", share=0), "FAILED", (0, 0, 0), "out of money"),
        (RunFate("cancel"), "CANCELLED", (0, 0, 0), None),
        (RunFate("cancel", failure_reason="bad credentials"), "CANCELLED", (0, 0, 0), "bad credentials"),
        (RunFate("cancel", share=0.5), "CANCELLED", (6, 0, 0), None),
    ],
)
def test_fate_decides_how_the_next_run_ends(
    api: Api, emulator: Emulator, fate: RunFate, status: str, counts: tuple[int, int, int], reason: str | None
) -> None:
    emulator.next_run(fate)
    run = api.read(api.run(api.create(), maxSpans=12))
    assert (run["status"], api.counts(run["id"])) == (status, counts)
    assert run["failure_reason"] is None if reason is None else reason in run["failure_reason"]
    assert len(emulator.evaluations()) == counts[0]
    # The next one goes its usual way.
    usual = api.read(api.run(api.create(name="next", templateEvaluators=[template_evaluator("next")])))
    assert usual["status"] == "COMPLETED"
    assert usual["num_successes"] > 12


def test_hanging_run_finishes_when_set_or_cancelled(api: Api, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang", times=2))
    task_id = api.create()
    hanging, other = api.run(task_id, maxSpans=4), api.run(task_id, overrideEvaluations=True)
    assert (api.read(hanging)["status"], api.counts(hanging)) == ("RUNNING", (2, 0, 0))
    emulator.set_run(hanging, seconds=0)
    assert api.read(hanging)["status"] == "COMPLETED"
    cancelled = api.rest("POST", f"task-runs/{other}/cancel").json()
    assert cancelled["status"] == "CANCELLED"
    assert cancelled["failure_reason"]


def test_unlimited_fate_lasts_until_cleared(api: Api, emulator: Emulator) -> None:
    emulator.next_run(RunFate("fail", times=None))
    task_id = api.create()
    for _ in range(2):
        assert api.read(api.run(task_id, overrideEvaluations=True))["status"] == "FAILED"
    emulator.clear_fates()
    assert api.read(api.run(task_id, overrideEvaluations=True))["status"] == "COMPLETED"


@pytest.mark.online_tasks_emulator(run_seconds=60)
def test_running_run_is_changed_by_set_run(api: Api, emulator: Emulator) -> None:
    run_id = api.run(api.create())
    # A word that no document knows stays until it is set again.
    emulator.set_run(run_id, status="QUEUED", num_successes=3)
    assert (api.read(run_id)["status"], api.counts(run_id)) == ("QUEUED", (3, 0, 0))
    emulator.set_run(run_id, status="CANCELLED", failure_reason="cancelled by somebody", num_errors=1)
    run = api.read(run_id)
    assert (run["status"], run["failure_reason"], run["num_errors"]) == (
        "CANCELLED",
        "cancelled by somebody",
        1,
    )
    assert run["run_finished_at"]
    emulator.set_run(run_id, status="RUNNING")
    assert (api.read(run_id)["status"], api.read(run_id)["run_finished_at"]) == ("RUNNING", None)
    emulator.set_run(run_id, seconds=None)
    emulator.set_run(run_id, seconds=0)
    assert api.read(run_id)["status"] == "COMPLETED"
    with pytest.raises(EmulatorControlError, match="colour"):
        emulator.set_run(run_id, colour="red")
    with pytest.raises(EmulatorControlError):
        emulator.set_run("nope", status="FAILED")


def test_create_runs_starts_many_runs_without_evaluations(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.stop_clock()
    run_ids = emulator.create_runs(task_id, 1000, seconds=(0.2, 60), total=50)
    assert len(set(run_ids)) == 1000
    first = api.rest("GET", f"tasks/{task_id}/runs?limit=100&status=RUNNING").json()["task_runs"]
    emulator.advance(1)
    statuses = [run["status"] for run in emulator.runs(task_id)]
    assert set(statuses) == {"PENDING", "RUNNING", "COMPLETED"}
    assert len(first) <= 100
    done = next(run for run in emulator.runs(task_id) if run["status"] == "COMPLETED")
    assert api.counts(done["id"]) == (50, 0, 0)
    failing = emulator.create_runs(task_id, 2, seconds=(0, 0), fate=RunFate("fail", error_rate=0.5))
    assert [api.read(run_id)["status"] for run_id in failing] == ["FAILED", "FAILED"]
    assert api.counts(failing[0]) == (25, 25, 0)
    cancelled = emulator.create_runs(task_id, 1, seconds=(60, 60))[0]
    assert api.rest("POST", f"task-runs/{cancelled}/cancel").json()["status"] == "CANCELLED"
    assert emulator.evaluations() == []
    with pytest.raises(EmulatorControlError):
        emulator.create_runs("nope", 1)


def test_reset_deletes_runs_and_reuses_no_id(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    old = api.run(task_id)
    api.read(old)
    emulator.set_clock_offset(100)
    emulator.reset()
    assert emulator.tasks() == emulator.runs() == emulator.evaluations() == emulator.requests() == []
    assert api.run(api.create()) != old
    run = emulator.runs()[0]
    assert abs(run["created_at"] - time.time()) < 60
