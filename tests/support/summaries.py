"""Build summaries of results like those of EvalResultsOperator."""

from __future__ import annotations

from typing import Any


def summary(**evaluators: Any) -> dict[str, Any]:
    """Return a summary of a run whose results are complete."""
    return {
        "run_id": "run 2",
        "spans": 100,
        "complete": True,
        "expected": 1,
        "read": 1,
        "evaluators": evaluators,
    }


def results(
    evaluated: int | None = None,
    labels: dict[str, int] | None = None,
    mean: float | None = None,
    variance: float | None = 0.04,
    percentiles: list[float] | None = None,
    scored: int | None = None,
    binary: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return the part of one evaluator; by default, as many evaluations as labels or scores."""
    total = sum((labels or {}).values())
    if evaluated is None:
        evaluated = total or scored or 100
    if scored is None:
        scored = 0 if mean is None else evaluated
    return {
        "evaluated": evaluated,
        "not_evaluated": 0,
        "empty": 0,
        "labelled": total,
        "labels": {name: {"count": n, "share": n / total} for name, n in (labels or {}).items()},
        "other_labels": 0,
        "scored": scored,
        "score_mean": mean,
        "score_variance": None if mean is None else variance,
        "score_is_binary": binary,
        "score_quantiles": None,
        "score_percentiles": percentiles,
        "invalid_scores": 0,
        "evaluator_versions": [],
        "segments": None,
        "examples": [],
        **more,
    }
