"""Tests for the counters of labels and scores."""

from __future__ import annotations

import random
import statistics

import pytest

from airflow_provider_online_tasks.api.responses import Evaluation, Span
from airflow_provider_online_tasks.results.counts import (
    MAX_LABELS,
    Counts,
    Examples,
    Quantiles,
    choose_examples,
)


def evaluation(label, score, explanation=None):
    return Evaluation(name="e", label=label, score=score, explanation=explanation, metadata={})


def counts(pairs):
    counted = Counts()
    for label, score in pairs:
        counted.add(evaluation(label, score))
    return counted


def merged(*parts):
    total = Counts()
    for part in parts:
        total.merge(counts(part))
    return total.summary()


MANY = [(f"label {number}", None) for number in range(MAX_LABELS + 50)]


# -- counts


def test_smallest_and_largest_of_all_scores_are_kept():
    scores = [0.5] * 20_000
    scores[7], scores[15_000] = -1, 7
    found = counts((None, score) for score in scores).summary()
    assert (found["score_min"], found["score_max"]) == (-1, 7)
    parts = merged([(None, 0.5)], [], [(None, 2), (None, 1)])
    assert (parts["score_min"], parts["score_max"]) == (0.5, 2)
    nothing = counts([("ok", None)]).summary()
    assert (nothing["score_min"], nothing["score_max"]) == (None, None)


def test_label_share_is_among_evaluations_with_a_label():
    found = counts([("ok", None)] * 6 + [(None, None)] * 2 + [("bad", None)] * 2).summary()
    assert (found["evaluated"], found["labelled"]) == (10, 8)
    assert found["labels"] == {"ok": {"count": 6, "share": 0.75}, "bad": {"count": 2, "share": 0.25}}


def test_labels_beyond_the_limit_are_counted_as_others():
    found = counts([*MANY, ("label 0", None), ("label 249", None)]).summary()
    assert (len(found["labels"]), found["other_labels"], found["labelled"]) == (200, 51, 252)
    assert found["labels"]["label 0"]["count"] == 2


def test_single_score_has_a_mean_and_no_variance():
    found = counts([(None, 0.5)]).summary()
    assert (found["scored"], found["score_mean"], found["score_variance"]) == (1, 0.5, None)


def test_scores_too_large_to_add_up_have_no_mean():
    found = counts([(None, 1.7e308 * (-1) ** place) for place in range(10)]).summary()
    assert (found["scored"], found["score_mean"], found["score_variance"]) == (10, None, None)


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


def test_counts_merge_adds_up_invalid_scores():
    invalid = Counts()
    invalid.add(Evaluation(name="e", label="ok", score=None, not_number=True))
    total = Counts()
    total.merge(invalid)
    total.merge(invalid)
    assert total.summary()["invalid_scores"] == 2


def test_merge_of_binary_scores_stays_binary_until_other_score():
    assert merged([(None, 1.0)], [(None, 0.0)])["score_is_binary"] is True
    assert merged([(None, 1.0)], [(None, 0.5)])["score_is_binary"] is False
    assert merged([(None, 0.5)], [(None, 1.0)])["score_is_binary"] is False


# -- quantiles


def quantiles(scores):
    found = Quantiles()
    for score in scores:
        found.add(score)
    return found.summary()


def test_quantiles_of_ten_thousand_scores_are_exact():
    found = quantiles(float(number) for number in range(10_000))
    assert found["score_percentiles"] == [float(round(each / 100 * 9_999)) for each in range(101)]


def test_quantiles_of_more_scores_are_those_of_a_fair_sample():
    # Later scores are lower, so that the first ten thousand are not typical.
    scores = [(place * 7919 % 1000) / (1000 if place < 10_000 else 2000) for place in range(25_000)]
    assert quantiles(scores)["score_quantiles"]["p50"] == pytest.approx(statistics.median(scores), abs=0.02)
    rising = quantiles(place / 40_000 for place in range(40_000))
    assert rising["score_quantiles"]["p50"] == pytest.approx(0.5, abs=0.03)


def test_quantiles_of_same_scores_are_equal_each_time():
    scores = [place * 7919 % 1000 for place in range(15_000)]
    assert quantiles(scores) == quantiles(scores)


def test_quantiles_without_scores_are_unknown():
    assert quantiles([]) == {"score_quantiles": None, "score_percentiles": None}


# -- examples


def chosen(pairs, direction="maximize", inputs=None):
    examples = Examples(direction)
    for number, (label, score) in enumerate(pairs):
        examples.add(Span(span_id=str(number)), evaluation(label, score), None)
    groups = examples.groups()
    candidates = {example["span_id"]: example for group in groups for example in group}
    assert len(candidates) <= 100
    for span_id, example in candidates.items():
        example["input"] = (inputs or str)(int(span_id))
    return [int(example["span_id"]) for example in choose_examples(groups)]


@pytest.mark.parametrize("step", [1, -1])
def test_examples_with_scores_are_the_lowest_and_the_highest(step):
    pairs = [(None, number / 100) for number in range(101)][::step]
    scores = [pairs[number][1] for number in chosen(pairs)]
    assert scores[:10] == [0, 0.01, 0.02, 0.03, 0.04, 1, 0.99, 0.98, 0.97, 0.96]


def test_examples_of_direction_minimize_begin_with_the_highest_score():
    pairs = [(None, number / 100) for number in range(101)]
    assert chosen(pairs, "minimize")[:5] == [100, 99, 98, 97, 96]


def test_examples_with_equal_scores_are_the_first():
    assert chosen([(None, 0.5)] * 99) == [0, 1, 2, 3, 4]


def test_examples_include_each_label():
    # All scores are equal, as of rails whose scores are not known.
    pairs = [("odd" if number % 25 == 0 else "ok", 1.0) for number in range(100)]
    assert {pairs[number][0] for number in chosen(pairs)} == {"odd", "ok"}
    assert {0, 25, 50, 75} <= set(chosen(pairs))
    assert set(chosen([(label, None) for label, _ in pairs])) == {0, 25, 50, 75, 1, 2, 3, 4, 5}


def test_examples_of_many_labels_from_most_frequent_and_rarest():
    pairs = [(f"label {number}", None) for number in range(190) for _ in range(number + 1)]
    labels = {pairs[number][0] for number in chosen(pairs)}
    assert labels == {f"label {number}" for number in (*range(5), *range(185, 190))}


def test_examples_with_distinct_inputs_come_first():
    pairs = [("bad", 0.0)] * 20 + [("ok", 1.0)] * 80
    # Three questions, which are repeated, and then different ones.
    numbers = chosen(pairs, inputs=lambda number: str(number % 3 if number < 15 else number))
    assert [number for number in numbers if number < 20] == [0, 1, 2, 15, 16]
    assert chosen([("bad", None)] * 4, inputs=lambda number: "same") == [0, 1, 2, 3]
