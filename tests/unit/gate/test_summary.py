"""Tests for reading the summary of results that a gate gets."""

from __future__ import annotations

import math

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.summary import (
    EvaluatorSummary,
    list_summaries,
    read_evaluators,
)
from tests.support.summaries import results


def read(**more):
    return EvaluatorSummary.read("e", results(labels={"correct": 400}) | more)


@pytest.mark.parametrize("summary", [None, "", "None", {}, {"evaluators": None}, [1]])
def test_summary_of_another_kind_is_rejected(summary):
    with pytest.raises(InvalidInput):
        read_evaluators(summary, "summary")


@pytest.mark.parametrize(
    "figures",
    [
        {"evaluated": math.nan},
        {"evaluated": -1},
        {"evaluated": True},
        {"evaluated": "400"},
        {"evaluated": None},
        {"not_evaluated": -1},
        {"labels": None},
        {"labels": {"correct": {"count": 0.5}}},
        {"labels": {"correct": {"count": 401}}},
        {"labels": {"correct": 400}},
        {"other_labels": 1},
        {"invalid_scores": 401},
        {"scored": 401, "score_mean": 0.9, "score_variance": 0.1},
        {"scored": 400, "score_mean": -0.1, "score_variance": 0.1, "score_is_binary": True},
        {"scored": 400, "score_mean": 1.1, "score_variance": 0.1, "score_is_binary": True},
        {"scored": 10, "score_mean": 0.5, "score_variance": -1},
        {"scored": 10, "score_mean": 0.5, "score_variance": None},
        {"segments": [1]},
        {"segments": {"free": {"evaluated": 1}}},
        {"score_percentiles": [1.0]},
        {"score_percentiles": 3},
        {"score_percentiles": [float(101 - place) for place in range(101)]},
    ],
)
def test_figures_that_contradict_each_other_are_rejected(figures):
    with pytest.raises(InvalidInput):
        read(**figures)


@pytest.mark.parametrize("mean", [math.nan, math.inf, True, "0.9", None])
def test_mean_that_is_not_a_number_is_unknown(mean):
    assert read(scored=400, score_mean=mean).scores.count == 0


@pytest.mark.parametrize("versions", [None, "v1", [1], {"v": 1}])
def test_evaluator_versions_of_another_kind_are_ignored(versions):
    assert read(evaluator_versions=versions).evaluator_versions == frozenset()


def test_coverage_is_unknown_without_number_of_items():
    figures = results(labels={"correct": 90})
    del figures["not_evaluated"]
    assert EvaluatorSummary.read("e", figures).coverage is None
    assert EvaluatorSummary.read("e", figures | {"not_evaluated": 30}).coverage == 0.75
    assert EvaluatorSummary.read("e", results(evaluated=0)).coverage is None


def test_unknown_labels_include_other_labels_and_misspellings():
    summary = read(labels={"correct": {"count": 300}, "Correct": {"count": 40}}, other_labels=60)
    assert summary.unknown_labels(["correct", "incorrect"]) == 100
    assert summary.unknown_labels(None) == 60


def one_window():
    return EvaluatorSummary.read(
        "e", results(labels={"ok": 6, "bad": 4}, mean=0.5, evaluated=10, other_labels=0, invalid_scores=0)
    )


def another_window():
    versions = [{"evaluator_version_id": "v2"}]
    more = {"other_labels": 3, "invalid_scores": 2, "evaluated": 30, "evaluator_versions": versions}
    return EvaluatorSummary.read("e", results(labels={"ok": 20}, mean=0.9, scored=20) | more)


@pytest.mark.parametrize("windows", [(one_window, another_window), (another_window, one_window)])
def test_merge_in_either_order_adds_everything_up(windows):
    merged = EvaluatorSummary.merge([window() for window in windows])
    assert merged.label_counts == {"ok": 26, "bad": 4}
    assert (merged.evaluated, merged.labelled, merged.other_labels) == (40, 33, 3)
    assert (merged.invalid_scores, merged.scored) == (2, 30)
    assert merged.score_mean == pytest.approx((10 * 0.5 + 20 * 0.9) / 30)
    assert merged.evaluator_versions == {frozenset({("evaluator_version_id", "v2")})}


def test_merge_of_window_without_scores_keeps_the_scores_of_the_other():
    merged = EvaluatorSummary.merge([EvaluatorSummary.read("e", results(labels={"ok": 5})), one_window()])
    assert (merged.scored, merged.score_mean) == (10, 0.5)


@pytest.mark.parametrize(
    ("baseline", "count"), [(None, 0), ({}, 1), ([], 0), ([{}, None, {}], 2), (({}, None), 1)]
)
def test_baseline_as_one_summary_or_a_list_is_a_list(baseline, count):
    assert len(list_summaries(baseline)) == count


def test_merge_of_zeros_and_ones_binary_until_other_score():
    binary = EvaluatorSummary.read("e", results(mean=0.5, scored=10, variance=0.25, binary=True))
    assert EvaluatorSummary.merge([binary, binary]).scores.is_binary
    assert not EvaluatorSummary.merge([binary, one_window()]).scores.is_binary
