"""Tests for counting the evaluations of a window's spans."""

from __future__ import annotations

import dataclasses
import random
import statistics
import tracemalloc

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.gate.intervals import Mean, mean_interval, share_interval
from airflow_provider_online_tasks.results.summary import MAX_VERSIONS, Results
from tests.support.evaluated_runs import NOW, spans


def counted(listed, **arguments):
    results = Results(**{"run_id": "r", "online_task_id": "t", **arguments})
    for span in listed:
        results.add(span)
    return results


def figures(results, name="e"):
    return results.summary()["evaluators"][name]


def with_evaluations(span, *changes):
    """Return the span with an evaluation for each dict of changes of its first one."""
    [first] = span.evaluations
    return dataclasses.replace(
        span, evaluations=tuple(dataclasses.replace(first, **change) for change in changes)
    )


# -- which evaluations count


def test_evaluations_without_metadata_count_for_named_evaluators_only():
    named = counted(spans(10, metadata={}), evaluators=["e"])
    assert named.summary()["scope"] == "window"
    assert figures(named)["evaluated"] == 10
    assert counted(spans(10, metadata={})).summary()["evaluators"] == {}


@pytest.mark.parametrize(
    "metadata",
    [{"run_id": "other", "task_id": "t"}, {"task_id": "t"}]
    + [{key: "other"} for key in ("run", "task_run", "RUN_ID", "runId", "taskRunID", "eval.run-id")],
)
def test_evaluations_of_another_run_do_not_count_in_the_scope_run(metadata):
    results = Results(run_id="r", online_task_id="t", evaluators=["e"], scope="run")
    assert [results.add(span) for span in spans(10, metadata=metadata)] == [[]] * 10
    assert figures(results)["evaluated"] == 0


@pytest.mark.parametrize(
    "metadata",
    [{"is_truncated": True}, {"prune": "x"}, {"runtime": "3"}, {"dry_run": True}, {"run_id": None}],
)
def test_metadata_that_names_no_run_counts_in_the_scope_run(metadata):
    results = Results(run_id="r", online_task_id="t", evaluators=["e"], scope="run")
    assert [len(results.add(span)) for span in spans(10, metadata=metadata)] == [1] * 10
    assert figures(results)["evaluated"] == 10


def test_evaluations_of_two_runs_on_same_spans_count_for_requested_run():
    both = ({}, {"label": "bad", "metadata": {"run_id": "r2", "task_id": "t"}})
    for order in (both, both[::-1]):
        listed = [with_evaluations(span, *order) for span in spans(10)]
        first, second = (figures(counted(listed, run_id=run_id)) for run_id in ("r", "r2"))
        assert (list(first["labels"]), first["evaluated"]) == (["ok"], 10)
        assert (list(second["labels"]), second["evaluated"]) == (["bad"], 10)


def test_evaluations_of_other_runs_in_window_counted_separately():
    others = ({"run_id": "r0", "task_id": "t"}, {"run_id": "r9", "task_id": "other"}, {})
    listed = [
        span if place < 4 else with_evaluations(span, {"metadata": others[place % 3]})
        for place, span in enumerate(spans(10))
    ]
    found = figures(counted(listed, evaluators=["e"]))
    assert (found["evaluated"], found["from_run"], found["from_before"]) == (10, 4, 6)
    assert counted(listed, evaluators=["e"], scope="run").summary()["scope"] == "run"


def test_versions_from_before_are_those_of_other_runs():
    before = {"metadata": {"run_id": "r0", "evaluator_version_id": "v1"}}
    listed = [
        with_evaluations(span, before if place else version("v2")) for place, span in enumerate(spans(3))
    ]
    found = figures(counted(listed, evaluators=["e"]))
    assert found["versions_from_before"] == [{"evaluator_version_id": "v1"}]
    assert [one["evaluator_version_id"] for one in found["evaluator_versions"]] == ["v1", "v2"]


def test_evaluations_of_another_task_do_not_count():
    other = {"name": "f", "metadata": {"run_id": "r9", "task_id": "t9"}}
    results = counted([with_evaluations(span, {}, other) for span in spans(10)], run_id=None)
    assert list(results.summary()["evaluators"]) == ["e"]


def test_evaluations_of_two_evaluators_are_counted_apart():
    changes = ({}, {"name": "f", "label": "bad", "score": 0.0})
    listed = [with_evaluations(span, *changes[: 1 + number % 2]) for number, span in enumerate(spans(10))]
    results = counted(listed)
    assert (figures(results, "e")["evaluated"], figures(results, "f")["evaluated"]) == (10, 5)
    assert figures(results, "f")["not_evaluated"] == 5
    assert list(figures(results, "e")["labels"]) == ["ok"]


def test_evaluation_without_label_and_score_is_empty():
    results = counted(spans(10, score=lambda place: None, label=lambda place: "ok" if place else None))
    found = figures(results)
    assert (found["evaluated"], found["empty"], results.items_of_run) == (9, 1, 9)


def test_evaluation_listed_twice_by_a_span_counts_once():
    results = counted([with_evaluations(span, {}, {}) for span in spans(10)])
    assert (figures(results)["evaluated"], figures(results)["labels"]["ok"]["count"]) == (10, 10)
    assert results.is_unambiguous


def test_different_evaluations_of_one_span_are_ambiguous():
    listed = list(spans(10))
    listed[3] = with_evaluations(listed[3], {}, {"label": "bad"})
    listed[5] = with_evaluations(listed[5], {}, {})
    assert not counted(listed).is_unambiguous
    assert counted(listed[:3]).is_unambiguous


# -- duplicates and order


def test_span_listed_twice_counts_once():
    results = counted([*spans(10), *spans(10)])
    assert (results.spans, results.duplicates.count, figures(results)["evaluated"]) == (10, 10, 10)


def test_span_listed_again_much_later_at_the_same_instant_counts_once():
    listed = [dataclasses.replace(span, start_time=wire_time(NOW)) for span in spans(3_000)]
    results = counted([*listed, *listed[:500]])
    assert (results.spans, results.duplicates.count, results.duplicates.is_ordered) == (3_000, 500, True)


def test_spans_out_of_order_are_noticed_also_if_order_returns():
    listed = list(spans(1_500))
    results = counted([*listed, *listed])
    assert not results.duplicates.is_ordered
    for span in spans(3):
        results.add(dataclasses.replace(span, span_id=f"more {span.span_id}"))
    assert not results.duplicates.is_ordered


@pytest.mark.parametrize("start", ["when it was", None])
def test_span_without_readable_start_time_has_no_order(start):
    first, second = spans(2)
    assert not counted([first, dataclasses.replace(second, start_time=start)]).duplicates.is_ordered


def test_spans_with_times_in_two_forms_are_in_order():
    times = ["2026-01-01T00:00:03Z", "2026-01-01T00:00:02.500000Z", "2026-01-01T00:00:01+00:00"]
    listed = [dataclasses.replace(span, start_time=at) for span, at in zip(spans(3), times, strict=True)]
    assert counted(listed).duplicates.is_ordered
    assert not counted(listed[::-1]).duplicates.is_ordered


# -- traces and sessions


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_evaluation_of_a_trace_or_session_counts_once(granularity):
    listed = []
    for span in spans(12):
        number = int(span.span_id) // 3
        attributes = {"session": {"id": f"session {number}"}}
        listed.append(dataclasses.replace(span, trace_id=f"trace {number}", attributes=attributes))
    results = counted(listed, granularity=granularity)
    assert (figures(results)["evaluated"], figures(results)["not_evaluated"]) == (4, 0)
    assert (results.items, results.items_of_run, results.spans) == (4, 4, 12)


def test_trace_evaluated_by_two_evaluators_counts_for_both():
    one, other = spans(2)
    listed = [one, with_evaluations(other, {}, {"name": "f"})]
    results = counted([dataclasses.replace(span, trace_id="one") for span in listed], granularity="trace")
    assert [figures(results, name)["evaluated"] for name in ("e", "f")] == [1, 1]


# -- segments


def test_segment_that_is_large_but_late_is_shown():
    def user(place):
        return f"user {place}" if place < 1_000 else "the largest"

    listed = [
        dataclasses.replace(span, attributes={"user": user(place)}) for place, span in enumerate(spans(3_000))
    ]
    results = counted(listed, group_by="attributes.user", max_segments=1)
    segments = figures(results)["segments"]
    assert {name: segment["evaluated"] for name, segment in segments.items()} == {
        "the largest": 2_000,
        "(other)": 1_000,
    }


def test_segments_of_two_evaluators_are_counted_apart():
    listed = [
        dataclasses.replace(
            with_evaluations(span, *({}, {"name": "f"})[: 1 + place % 2]),
            attributes={"tier": f"t{place % 2}"},
        )
        for place, span in enumerate(spans(10))
    ]
    results = counted(listed, group_by="tier")
    sizes = [
        {name: one["evaluated"] for name, one in figures(results, evaluator)["segments"].items()}
        for evaluator in ("e", "f")
    ]
    assert sizes == [{"t0": 5, "t1": 5}, {"t1": 5}]


def test_segment_of_span_without_the_attribute_is_none():
    assert list(figures(counted(spans(3), group_by="no.such"))["segments"]) == ["(none)"]


# -- scores and versions


@pytest.mark.parametrize("scores", [[0, 1, 1, 1, 1, 1], [0.1, 0.4, 0.5, 0.9]])
def test_score_interval_has_95_percent_confidence(scores):
    results = counted(spans(len(scores), score=lambda place: scores[place]))
    mean = Mean()
    for score in scores:
        mean.add(score)
    expected = share_interval(5, 6, 0.95) if len(scores) == 6 else mean_interval(mean, 0.95)
    assert figures(results)["score_interval"] == pytest.approx(list(expected))


@pytest.mark.parametrize("is_binary", [True, False])
def test_score_interval_of_sessions_is_wider(is_binary):
    listed = [
        dataclasses.replace(
            span,
            evaluations=tuple(
                each if is_binary else dataclasses.replace(each, score=each.score / 2)
                for each in span.evaluations
            ),
        )
        for span in of_sessions(30)
    ]
    low, high = figures(counted(listed, cluster_by="session.id"))["score_interval"]
    alone = figures(counted(listed))["score_interval"]
    assert high - low > 2.5 * (alone[1] - alone[0])
    one_session = list(of_sessions(1))
    assert figures(counted(one_session, cluster_by="session.id"))["score_interval"] is None


def test_score_interval_of_one_score_is_unknown():
    assert figures(counted(spans(1)))["score_interval"] is None
    assert figures(counted(spans(2)))["score_interval"] is not None


def test_score_mean_and_variance_are_those_of_all_scores():
    scores = [place * 7919 % 1000 / 1000 for place in range(500)]
    found = figures(counted(spans(500, score=lambda place: scores[place])))
    assert found["score_mean"] == pytest.approx(statistics.fmean(scores), rel=1e-12)
    assert found["score_variance"] == pytest.approx(statistics.variance(scores), rel=1e-9)


def version(name):
    return {"metadata": {"run_id": "r", "task_id": "t", "evaluator_version_id": name}}


def test_evaluator_versions_are_listed_with_the_most_frequent_first():
    names = ["v1", "v1", "v2", "v2", "v2"]
    listed = [with_evaluations(span, version(name)) for span, name in zip(spans(5), names, strict=True)]
    found = figures(counted(listed))
    assert [one["evaluator_version_id"] for one in found["evaluator_versions"]] == ["v2", "v1"]
    assert found["evaluator_version"].index("v1") < found["evaluator_version"].index("v2")


def test_evaluator_versions_over_limit_left_out():
    names = [f"v{place if place < 25 else 19}" for place in range(28)]
    listed = [with_evaluations(span, version(name)) for span, name in zip(spans(28), names, strict=True)]
    found = [one["evaluator_version_id"] for one in figures(counted(listed))["evaluator_versions"]]
    assert found == ["v19", *(f"v{place}" for place in range(19))]
    assert len(found) == MAX_VERSIONS


@pytest.mark.slow
def test_memory_does_not_depend_on_the_number_of_spans():
    def peak(count):
        tracemalloc.start()
        counted(spans(count, score=lambda place: place * 1.1, label=lambda place: f"label {place}")).summary()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(24_000) < 1.3 * peak(12_000)


# -- earlier evaluations without a run ID next to those of the run

EARLIER = {"label": "old", "metadata": {}}


@pytest.mark.parametrize("changes", [(EARLIER, {}), ({}, EARLIER)])
def test_evaluation_of_run_next_to_earlier_one_counts(changes):
    results = counted([with_evaluations(span, *changes) for span in spans(10)], evaluators=["e"])
    assert (list(figures(results)["labels"]), figures(results)["evaluated"]) == (["ok"], 10)
    assert results.is_unambiguous


@pytest.mark.parametrize("changes", [(EARLIER, {}), ({}, EARLIER)])
def test_trace_with_an_earlier_evaluation_counts_once(changes):
    listed = [
        dataclasses.replace(with_evaluations(span, change), trace_id="one")
        for span, change in zip(spans(2), changes, strict=True)
    ]
    results = counted(listed, evaluators=["e"], granularity="trace")
    assert (figures(results)["evaluated"], figures(results)["from_run"], results.items_of_run) == (1, 1, 1)
    of_run = counted(listed, evaluators=["e"], granularity="trace", scope="run")
    assert list(figures(of_run)["labels"]) == ["ok"]


# -- clusters


def of_sessions(sessions, *, size=10, trace=None, attribute="session.id", good=lambda session: session % 3):
    """Spans of sessions; all spans of a session have the same label."""
    labels = [good(place // size) for place in range(sessions * size)]
    listed = spans(
        sessions * size,
        score=lambda place: float(bool(labels[place])),
        label=lambda place: str(bool(labels[place])),
    )
    for place, span in enumerate(listed):
        attributes = {attribute: f"session {place // size}"} if attribute else {}
        yield dataclasses.replace(
            span, trace_id=trace(place) if trace else f"trace {place}", attributes=attributes
        )


def test_sessions_with_equal_labels_have_the_design_effect_of_their_size():
    found = figures(counted(of_sessions(30), cluster_by="session.id"))["clusters"]
    assert found["count"] == 30
    assert found["size"] == 10
    # The variance of 30 means of 10 equal values, with G / (G - 1).
    assert found["labels"] == pytest.approx({"True": 10 * 30 / 29, "False": 10 * 30 / 29})
    assert found["score"] == pytest.approx(10 * 30 / 29)


def test_spans_without_a_session_are_clusters_by_trace():
    listed = list(of_sessions(30, attribute=None, trace=lambda place: f"trace {place // 10}"))
    assert figures(counted(listed, cluster_by="session.id"))["clusters"]["count"] == 30
    assert figures(counted(listed, cluster_by="user.id"))["clusters"]["count"] == 30


def test_spans_in_their_own_traces_are_no_clusters():
    assert figures(counted(of_sessions(30, attribute=None), cluster_by="session.id"))["clusters"] is None


def test_clusters_without_cluster_by_are_not_counted():
    assert figures(counted(of_sessions(30)))["clusters"] is None


def test_clusters_by_another_attribute_are_counted():
    listed = of_sessions(30, attribute="user.id")
    assert figures(counted(listed, cluster_by="user.id"))["clusters"]["count"] == 30


def test_clusters_of_independent_labels_have_almost_no_effect():
    chance = random.Random(3)
    labels = [chance.random() < 0.9 for _ in range(3_000)]
    listed = of_sessions(300, good=lambda session: None)
    listed = (
        with_evaluations(span, {"label": str(label), "score": None})
        for span, label in zip(listed, labels, strict=True)
    )
    found = figures(counted(listed, cluster_by="session.id"))["clusters"]
    assert 1 <= found["labels"]["True"] < 1.2
    assert found["score"] is None


@pytest.mark.slow
def test_clusters_beyond_ten_thousand_share_a_number_and_bound_the_memory():
    results = counted(of_sessions(12_000, size=2), cluster_by="session.id")
    found = figures(results)["clusters"]
    assert found["count"] == 10_000
    assert found["labels"]["True"] == pytest.approx(2, abs=0.1)
    tracemalloc.start()
    for span in of_sessions(30_000, size=2, good=lambda session: session % 3):
        results.add(dataclasses.replace(span, span_id=f"more {span.span_id}"))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 8_000_000


def test_clusters_of_the_same_spans_are_equal_each_time():
    listed = list(of_sessions(10_500, size=2))
    first, second = (figures(counted(listed, cluster_by="session.id"))["clusters"] for _ in range(2))
    assert first == second
