"""Tests for the counters of labels and scores."""

from __future__ import annotations

import random
import statistics

import pytest

from airflow_provider_online_tasks.api.responses.spans import Evaluation
from airflow_provider_online_tasks.results.counts import MAX_LABELS, Counts


def counts(evaluations):
    counted = Counts()
    for label, score in evaluations:
        counted.add(Evaluation(name="e", label=label, score=score, explanation=None, metadata={}))
    return counted


def merged(*parts):
    total = Counts()
    for part in parts:
        total.merge(counts(part))
    return total.summary()


MANY = [(f"label {number}", None) for number in range(MAX_LABELS + 50)]


def test_counts_merge_with_other_labels_keeps_them():
    total = merged(MANY, [("label 0", None)] * 10)
    assert (total["labelled"], total["other_labels"]) == (MAX_LABELS + 60, 50)
    assert total["labels"]["label 0"] == {"count": 11, "share": 11 / (MAX_LABELS + 60)}


def test_counts_merge_twice_adds_up_other_labels():
    total = merged(MANY, MANY)
    assert (total["evaluated"], total["labelled"], total["other_labels"]) == (500, 500, 100)


def test_counts_merge_in_other_order_gives_same_summary():
    chance = random.Random(1)
    parts = [
        [(chance.choice(["ok", "bad", None]), chance.choice([0.25, 0.5, 1.0, None])) for _ in range(size)]
        for size in (1, 7, 0, 40)
    ]
    one, other = merged(*parts), merged(*reversed(parts))
    for name in ("evaluated", "labelled", "labels", "other_labels", "scored", "invalid_scores"):
        assert one[name] == other[name]
    scores = [score for part in parts for _, score in part if score is not None]
    for total in (one, other):
        assert total["score_mean"] == pytest.approx(statistics.fmean(scores))
        assert total["score_variance"] == pytest.approx(statistics.variance(scores))


def test_counts_merge_of_binary_scores_stays_binary_until_another_score_comes():
    assert merged([(None, 1.0)], [(None, 0.0)])["score_is_binary"] is True
    assert merged([(None, 1.0)], [(None, 0.5)])["score_is_binary"] is False
    assert merged([(None, 0.5)], [(None, 1.0)])["score_is_binary"] is False
