"""Segments, baselines and worst examples, read from runs on the emulator."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import EvalGateFailed
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.results import reading
from tests.support.evaluated_runs import NOW, arize_with, context, evaluator, read, run_task, spans_file, tone


@pytest.fixture
def many(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 1_200)) as emulator:
        yield emulator


def test_segments_are_those_of_the_attribute(many):
    _, run_id = run_task(many, evaluators=[tone()])
    found = read(run_id=run_id, evaluators=["tone"], group_by="attributes.metadata.tier")
    figures = found["evaluators"]["tone"]
    assert set(figures["segments"]) == {"free", "paid"}
    for name in ("free", "paid"):
        assert figures["segments"][name]["evaluated"] == 600
    total = Counter()
    for part in figures["segments"].values():
        total.update({label: one["count"] for label, one in part["labels"].items()})
    assert total == {label: one["count"] for label, one in figures["labels"].items()}
    means = [part["score_mean"] for part in figures["segments"].values()]
    assert sum(means) / 2 == pytest.approx(figures["score_mean"])


def test_a_read_that_takes_long_logs_how_far_it_is(many, monkeypatch, capsys):
    _, run_id = run_task(many, evaluators=[tone()])
    clock = itertools.count(0, 6)  # each look at it is 6 seconds later
    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    read(run_id=run_id, evaluators=["tone"])
    assert re.findall(r"\d+ spans read", "".join(capsys.readouterr())) == ["1200 spans read"]


def test_the_largest_segments_stand_alone_and_the_rest_is_other(many):
    _, run_id = run_task(many, evaluators=[tone()])
    for names in (["tone"], None):
        found = read(run_id=run_id, evaluators=names, group_by="attributes.input.value", max_segments=3)
        segments = found["evaluators"]["tone"]["segments"]
        assert len(segments) == 4
        assert segments["(other)"]["evaluated"] == 1_197
    found = read(run_id=run_id, evaluators=["tone"], group_by="attributes.no.such")
    assert set(found["evaluators"]["tone"]["segments"]) == {"(none)"}


def test_the_baseline_is_the_time_before_the_window(many):
    middle = NOW - timedelta(hours=12)
    task_id, earlier = run_task(many, evaluators=[tone()], start=NOW - timedelta(days=2), end=middle)
    _, run_id = run_again(many, task_id, middle)
    found = read(run_id=run_id, baseline=timedelta(days=2))
    before = found["baseline"]["evaluators"]["tone"]
    assert before["evaluated"] == len(many.evaluations(run_id=earlier)) > 300
    assert found["evaluators"]["tone"]["evaluated"] == len(many.evaluations(run_id=run_id)) > 300
    assert "lowest_scoring_examples" not in before
    gate = EvalGateOperator(
        task_id="gate", summary=found, rules={"tone": {"polite": ">= 0.5", "max_drop": 0.1}}
    )
    verdict = gate.execute(context())
    assert verdict["passed"] is True
    assert [rule["measure"] for rule in verdict["rules"]][-1] == "drop of polite"


def run_again(emulator, task_id, start):
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import RunInput

    with OnlineTasksHook() as hook:
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=start, data_end_time=NOW)
        )
        assert hook.get_task_run(run_id).is_over
    return task_id, run_id


def test_the_worst_examples_show_input_output_explanation_and_a_link(many):
    _, run_id = run_task(many, evaluators=[tone()])
    worst = read(run_id=run_id)["evaluators"]["tone"]["lowest_scoring_examples"]
    records = {one["span_id"]: one for one in many.evaluations(run_id=run_id)}
    assert len(worst) == 20
    for one in worst:
        assert one["input"].startswith("Question ")
        assert one["output"] == "You stupid idiot, shut up."
        assert one["explanation"] == records[one["span_id"]]["explanation"]
        address = urlsplit(one["url"])
        query = parse_qs(address.query)
        assert address.path.startswith("/organizations/")
        assert query["selectedSpanId"] == [one["span_id"]]
        assert query["selectedTraceId"] == [one["trace_id"]]


def test_examples_that_cannot_be_described_are_no_failure(many):
    _, run_id = run_task(many, evaluators=[tone()])
    many.add_fault(Fault("rest.list_spans", "forbidden", skip=3))
    found = read(run_id=run_id)
    assert found["complete"] is True
    assert "input" not in found["evaluators"]["tone"]["lowest_scoring_examples"][0]


def test_the_gate_names_the_worst_examples(many, capsys):
    _, run_id = run_task(many, evaluators=[tone()])
    gate = EvalGateOperator(task_id="gate", summary=read(run_id=run_id), rules={"tone": {"polite": "== 1"}})
    with pytest.raises(EvalGateFailed) as broken:
        gate.execute(context())
    assert len(broken.value.verdict["lowest_scoring_examples"]) == 5
    told = capsys.readouterr().out
    assert "tone: toxic\n    input: Question" in told
    assert broken.value.verdict["lowest_scoring_examples"][0]["url"] in told


@pytest.mark.parametrize("granularity", ["trace", "session"])
@pytest.mark.parametrize("named", [True, False])
def test_evaluations_of_traces_and_sessions_are_read(arize, granularity, named):
    """The shipped sample has traces and sessions of several spans."""
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type=granularity)])
    found = read(run_id=run_id, granularity=granularity, evaluators=["tone"] if named else None)
    records = arize.evaluations(run_id=run_id)
    assert len(records) > 5
    assert (found["complete"], found["expected"], found["read"]) == (True, len(records), len(records))
    assert found["evaluators"]["tone"]["evaluated"] == len(records)
    assert found["spans"] > len(records)


def test_each_child_run_has_results_of_its_own(arize):
    """A task with evaluators of two granularities runs as one child run for each."""
    both = [tone(data_granularity_type="trace"), evaluator("correctness")]
    _, parent = run_task(arize, evaluators=both)
    children = [run for run in arize.runs() if run["id"] != parent]
    assert len(children) == 2
    names = set()
    for run in children:
        records = [one for one in arize.evaluations() if run["id"] in one["metadata"].values()]
        [(name, granularity)] = {(one["name"], one["granularity"]) for one in records}
        found = read(run_id=run["id"], evaluators=[name], granularity=granularity)
        assert (found["complete"], found["expected"]) == (True, len(records))
        names.add(name)
    assert names == {"tone", "correctness"}
    whole = read(run_id=parent, complete_within=0, on_incomplete="warn")
    assert whole["complete"] is not True
