"""What happens afterwards, and with two of a thing: later runs, recovered limits, a reset and its reuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault, RunFate
from tests.support.emulator_api import AGENTS, Api, template_evaluator

from .test_rest import evaluation_task

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def evaluations_by_span(emulator: Emulator) -> dict[tuple[str, str], dict[str, Any]]:
    found = emulator.evaluations()
    by_span = {(each["span_id"], each["name"]): each for each in found}
    assert len(by_span) == len(found)
    return by_span


def test_second_run_with_override_replaces_first_evaluations(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    first = api.run(task_id, maxSpans=20)
    assert api.counts(first) == (20, 0, 0)
    second = api.run(task_id, maxSpans=5, overrideEvaluations=True)
    assert api.counts(second) == (5, 0, 0)
    run_ids = [each["run_id"] for each in evaluations_by_span(emulator).values()]
    assert (run_ids.count(first), run_ids.count(second)) == (15, 5)
    assert api.counts(first) == (20, 0, 0)  # its own counts stay


def test_two_tasks_with_one_evaluator_name_share_the_label(api: Api, emulator: Emulator) -> None:
    one, two = api.create(name="one"), api.create(name="two")
    assert api.counts(api.run(one, maxSpans=10)) == (10, 0, 0)
    assert api.counts(api.run(two, maxSpans=15)) == (5, 0, 10)
    tasks = [each["task_id"] for each in evaluations_by_span(emulator).values()]
    assert (tasks.count(one), tasks.count(two)) == (10, 5)


def test_second_evaluator_evaluates_spans_labelled_by_first(api: Api, emulator: Emulator) -> None:
    api.read(api.run(api.create(name="one"), maxSpans=10))
    evaluators = [template_evaluator(), template_evaluator("tone")]
    both = api.create(name="both", templateEvaluators=evaluators)
    assert api.counts(api.run(both, maxSpans=10)) == (10, 0, 0)
    names = [name for _, name in evaluations_by_span(emulator)]
    assert (names.count("answer quality"), names.count("tone")) == (10, 10)


def test_run_after_a_failed_run_evaluates_the_rest(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.next_run(RunFate("fail", share=0.5))
    failed = api.read(api.run(task_id, maxSpans=20))
    assert (failed["status"], failed["num_successes"]) == ("FAILED", 10)
    again = api.read(api.run(task_id, maxSpans=20))
    assert (again["status"], again["num_successes"], again["num_skipped"]) == ("COMPLETED", 10, 10)
    assert api.read(failed["id"]) == failed


def test_run_after_a_cancelled_run_evaluates_everything(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    emulator.configure(run_seconds=600)
    run_id = api.run(task_id, maxSpans=20)
    api.rest("POST", f"task-runs/{run_id}/cancel")
    emulator.advance(700)
    assert api.read(run_id)["status"] == "CANCELLED"
    assert emulator.evaluations() == []
    again = api.run(task_id, maxSpans=20)
    emulator.advance(700)
    assert api.counts(again) == (20, 0, 0)


def test_two_live_runs_proceed_and_finish_separately(api: Api, emulator: Emulator) -> None:
    emulator.stop_clock()
    task_id = api.create()
    emulator.next_run(RunFate(seconds=100))
    slow = api.run(task_id, maxSpans=20)
    emulator.next_run(RunFate(seconds=10))
    quick = api.run(task_id, maxSpans=20)
    emulator.advance(11)
    assert [api.read(each)["status"] for each in (slow, quick)] == ["RUNNING", "COMPLETED"]
    emulator.advance(100)
    assert api.read(slow)["status"] == "COMPLETED"


@pytest.mark.online_tasks_emulator(queries_per_minute=2, mutations_per_minute=1)
def test_rate_limits_recover_after_a_minute_each(api: Api, emulator: Emulator) -> None:
    emulator.stop_clock()
    statuses = []
    for _ in range(3):
        statuses.append([api.rest("GET", "tasks").status_code for _ in range(3)])
        emulator.advance(61)
    assert statuses == [[200, 200, 429]] * 3
    # A rejected request does not extend the wait.
    api.rest("GET", "tasks")
    emulator.advance(40)
    api.rest("GET", "tasks")
    assert api.rest("GET", "tasks").status_code == 429
    emulator.advance(21)
    assert api.rest("GET", "tasks").status_code == 200
    body = {"project_id": emulator.project_id}
    assert api.rest("POST", "tasks", json={}).status_code == 400
    assert api.rest("POST", "tasks", json={}).status_code == 429
    assert api.rest("POST", "spans", json=body).status_code in (200, 429)


def test_fault_is_used_up_and_a_second_one_follows(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(Fault("rest.list_tasks", "forbidden"))
    emulator.add_fault(Fault("rest.*", "not_found", times=2))
    statuses = [api.rest("GET", "tasks").status_code for _ in range(4)]
    assert statuses == [403, 404, 404, 200]


def test_reset_leaves_nothing_behind_and_the_emulator_is_reused(api: Api, emulator: Emulator) -> None:
    for round_ in range(2):
        emulator.stop_clock()
        emulator.next_run(RunFate("hang"))
        emulator.add_fault(Fault("rest.get_task", "forbidden"))
        task_id = api.create(runContinuously=True)
        hanging = api.run(task_id, maxSpans=10)
        assert api.read(hanging)["status"] in ("PENDING", "RUNNING")
        done = api.run(task_id, maxSpans=10, overrideEvaluations=True)
        assert api.counts(done) == (10, 0, 0), round_
        emulator.next_run(RunFate("fail"))
        emulator.configure(queries_per_minute=1000)
        emulator.reset()
        assert emulator.tasks() == emulator.runs() == emulator.evaluations() == emulator.requests() == []
        assert api.rest("GET", f"tasks/{task_id}").status_code == 404
        assert api.rest("GET", f"task-runs/{done}").status_code == 404
        # The name is free, and neither fault nor fate is left.
        again = api.create()
        assert again != task_id
        assert api.read(api.run(again, maxSpans=10))["status"] == "COMPLETED"
        assert api.rest("GET", f"tasks/{again}").status_code == 200
        emulator.reset()


def test_two_versions_of_two_evaluators_stay_apart(api: Api, emulator: Emulator) -> None:
    attached = [
        {"evaluator_id": emulator.evaluator_ids[name], "column_mappings": mappings}
        for name, mappings in (
            ("relevance", {"input": "attributes.input.value", "reference": "attributes.output.value"}),
            ("correctness", {"input": "attributes.input.value", "output": "attributes.no.such"}),
        )
    ]
    body = evaluation_task(emulator, query_filter=AGENTS, evaluators=attached)
    task_id = api.rest("POST", "tasks", json=body).json()["id"]
    run = api.read(api.run(task_id, maxSpans=10))
    assert (run["num_successes"], run["num_skipped"]) == (10, 0)
    assert {name for _, name in evaluations_by_span(emulator)} == {"relevance"}


OTHERS = {"updated_at", "annotator"}


def test_annotation_of_a_second_name_or_span_changes_no_other(api: Api, emulator: Emulator) -> None:
    query = {"project_id": emulator.project_id, "filter": AGENTS}
    first, second = (
        each["context"]["span_id"] for each in api.rest("POST", "spans", json=query).json()["spans"][:2]
    )

    def annotate(span_id: str, **value: Any) -> None:
        record = {"record_id": span_id, "values": [value]}
        body = {"project_id": emulator.project_id, "annotations": [record]}
        assert api.rest("POST", "spans/annotate", json=body).status_code == 202

    annotate(first, name="a", label="x", score=1)
    annotate(first, name="b", label="y")
    annotate(second, name="a", text="z")
    annotate(first, name="a", label="w")
    shown = {
        each["context"]["span_id"]: [
            {name: value for name, value in annotation.items() if name not in OTHERS}
            for annotation in each["annotations"]
        ]
        for each in api.rest("POST", "spans", json=query).json()["spans"]
    }
    assert shown[first] == [{"name": "a", "label": "w", "score": 1}, {"name": "b", "label": "y"}]
    assert shown[second] == [{"name": "a", "text": "z"}]


def test_clock_set_back_stamps_earlier_but_runs_still_finish(api: Api, emulator: Emulator) -> None:
    emulator.configure(run_seconds=60)
    emulator.stop_clock()
    first = api.read(api.run(api.create(), maxSpans=5))
    emulator.set_clock_offset(-3600)
    emulator.advance(61)
    second = api.read(api.run(api.create(name="two"), maxSpans=5, overrideEvaluations=True))
    assert second["created_at"] < first["created_at"]
    assert api.read(first["id"])["status"] == "COMPLETED"
    emulator.advance(61)
    assert api.read(second["id"])["status"] == "COMPLETED"
