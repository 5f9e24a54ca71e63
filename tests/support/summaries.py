"""Summaries as EvalResultsOperator returns them, for rules to be held against."""

from __future__ import annotations


def summary(**evaluators):
    """A whole summary of a run."""
    return {
        "run_id": "run 2",
        "spans": 100,
        "complete": True,
        "expected": 1,
        "read": 1,
        "evaluators": evaluators,
    }


def results(
    evaluated=None,
    labels=None,
    mean=None,
    variance=0.04,
    percentiles=None,
    scored=None,
    binary=False,
    **more,
):
    """One evaluator's part; by default, as many evaluations as labels, or as scores."""
    total = sum((labels or {}).values())
    if evaluated is None:
        evaluated = total or scored or 100
    return {
        "evaluated": evaluated,
        "not_evaluated": 0,
        "empty": 0,
        "labelled": total,
        "labels": {name: {"count": n, "share": n / total} for name, n in (labels or {}).items()},
        "other_labels": 0,
        "scored": scored if scored is not None else 0 if mean is None else evaluated,
        "score_mean": mean,
        "score_variance": None if mean is None else variance,
        "score_is_binary": binary,
        "score_quantiles": None,
        "score_percentiles": percentiles,
        "invalid_scores": 0,
        "evaluator_versions": [],
        "segments": None,
        "lowest_scoring_examples": [],
        **more,
    }
