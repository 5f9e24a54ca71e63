"""Tests for the comparison of the evaluations read with the run's own count."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.results.reading import check_completeness
from airflow_provider_online_tasks.results.summary import Results
from tests.support.evaluated_runs import spans

NO_FILTERS: dict[str, int] = {}


def counted(listed, **arguments):
    results = Results(**{"run_id": "r", "online_task_id": "t", **arguments})
    for span in listed:
        results.add(span)
    return results


def completeness(results, expected, evaluators=1, missing=NO_FILTERS, status=RunStatus.COMPLETED, **fields):
    run = None
    if expected is not None:
        run = TaskRun(id="r", status=status, status_text=status.value, num_successes=expected, **fields)
    return check_completeness(results, run, evaluators=evaluators, missing=missing)


def complete(*arguments, **more):
    return completeness(*arguments, **more).complete


def two_evaluators(total, of_second):
    """Return spans that are all evaluated by e, and some by f."""
    for place, span in enumerate(spans(total)):
        [first] = span.evaluations
        second = (dataclasses.replace(first, name="f"),) if place < of_second else ()
        yield dataclasses.replace(span, evaluations=(first, *second))


def test_results_with_expected_count_are_complete():
    state = completeness(counted(spans(10)), 10)
    assert (state.complete, state.expected, state.read, state.incomplete_reason) == (True, 10, 10, None)


@pytest.mark.parametrize(("expected", "expected_state"), [(9, None), (10, True), (11, False)])
def test_results_of_one_evaluator_against_count(expected, expected_state):
    assert complete(counted(spans(10)), expected) is expected_state


def test_results_without_a_run_are_unknown():
    state = completeness(counted(spans(10), run_id=None), None)
    assert (state.complete, state.expected, state.read) == (None, None, 10)
    assert state.incomplete_reason


def test_results_of_the_evaluator_with_the_fewest_evaluations_count():
    results = counted(two_evaluators(10, 9))
    state = completeness(results, 10, evaluators=2)
    assert (state.complete, state.read) == (False, 9)
    assert complete(results, 9, evaluators=2, num_errors=1) is True
    assert complete(results, 9, evaluators=3) is False  # nothing of the third evaluator yet


@pytest.mark.parametrize(("expected", "expected_state"), [(9, None), (10, None), (11, False)])
def test_unknown_filters_explain_only_missing_evaluations_of_read_items(expected, expected_state):
    results = counted(two_evaluators(10, 5))
    assert complete(results, expected, evaluators=2, missing=None) is expected_state
    assert complete(results, expected, evaluators=2) is False


@pytest.mark.parametrize(
    ("expected", "missing", "expected_state"),
    [(10, 0, True), (10, 1, False), (11, 0, False), (9, 0, None)],
)
def test_evaluator_with_filter_all_matching_evaluated_is_complete(expected, missing, expected_state):
    results = counted(two_evaluators(10, 5), filtered=["f"])
    assert len(results.uncovered("f")) == 5
    state = completeness(results, expected, evaluators=2, missing={"f": missing})
    assert state.complete is expected_state


def test_items_that_have_an_evaluation_from_before_are_covered():
    """The run evaluated all spans with f, and e had evaluated half of them before."""
    before = {"run_id": "r0", "task_id": "t"}

    def listed():
        for place, span in enumerate(two_evaluators(10, 10)):
            first, second = span.evaluations
            first = dataclasses.replace(first, metadata=before if place < 5 else first.metadata)
            yield dataclasses.replace(span, evaluations=(first, second))

    assert complete(counted(listed(), evaluators=["e", "f"]), 10, evaluators=2) is True
    assert complete(counted(listed(), evaluators=["e", "f"], scope="run"), 10, evaluators=2) is False


LABELLED = {"status": RunStatus.CANCELLED, "failure_reason": "already labelled: override_evaluations"}


def test_results_of_run_with_nothing_to_add_complete_if_labels_exist():
    labels = counted(spans(10, metadata={"run_id": "r0", "task_id": "t"}), evaluators=["e"])
    assert complete(labels, 0, **LABELLED) is True
    assert complete(counted([], evaluators=["e"]), 0, **LABELLED) is False
    assert (
        complete(counted(spans(10, metadata={"run_id": "r0"}), evaluators=["e", "f"]), 0, **LABELLED) is False
    )
    of_run = counted(spans(10, metadata={"run_id": "r0"}), evaluators=["e"], scope="run")
    assert complete(of_run, 0, **LABELLED) is None


def test_results_of_another_run_are_incomplete():
    results = counted(spans(10, metadata={"run_id": "other", "task_id": "t"}), evaluators=["e"])
    state = completeness(results, 10)
    assert (state.complete, state.read) == (False, 0)


@pytest.mark.parametrize(("expected", "expected_state"), [(0, None), (10, None), (11, False)])
def test_results_without_run_ids_may_be_of_an_earlier_run(expected, expected_state):
    assert complete(counted(spans(10, metadata={}), evaluators=["e"]), expected) is expected_state


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.UNKNOWN])
def test_results_of_a_run_that_did_not_complete_are_unknown(status):
    assert complete(counted(spans(10)), 10, status=status) is None
    assert complete(counted(spans(10)), 11, status=status) is False


def test_results_of_a_task_with_unknown_evaluators_are_unknown():
    assert complete(counted(spans(10)), 10, evaluators=0) is None


def test_results_with_more_items_than_the_run_counts_are_unknown():
    """A run over traces counts 4, and 10 spans have evaluations."""
    results = counted(spans(10), evaluators=["e"])
    assert complete(results, 4) is None
    assert complete(results, 4, num_errors=5) is None
    assert complete(results, 9, num_errors=1) is True  # another evaluator failed on one item


def test_results_with_empty_evaluations_are_incomplete():
    listed = spans(10, score=lambda place: None, label=lambda place: "ok" if place else None)
    assert complete(counted(listed), 10) is False


def test_results_with_duplicate_spans_do_not_count_them():
    assert complete(counted([*spans(10), *spans(10)]), 20) is False
    assert complete(counted([*spans(10), *spans(10)]), 10) is True


def test_results_out_of_order_are_unknown():
    assert complete(counted([*spans(1_500), *spans(1_500)]), 3_000) is None


def test_results_with_ambiguous_evaluations_are_unknown():
    def twice(span, **change):
        [first] = span.evaluations
        return dataclasses.replace(span, evaluations=(first, dataclasses.replace(first, **change)))

    assert complete(counted(map(twice, spans(10))), 10) is True
    assert complete(counted(twice(span, label="bad") for span in spans(10)), 10) is None


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_results_of_traces_or_sessions_count_these(granularity):
    listed = []
    for span in spans(12):
        number = int(span.span_id) // 3
        attributes = {"session": {"id": f"session {number}"}}
        listed.append(dataclasses.replace(span, trace_id=f"trace {number}", attributes=attributes))
    results = counted(listed, granularity=granularity)
    assert (complete(results, 4), complete(results, 5)) == (True, False)
