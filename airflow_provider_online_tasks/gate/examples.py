"""The examples of a gate: spans that violate the rules that did not pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.gate.checks import DROP_OF, RuleResult

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.rules import EvaluatorRules, Threshold

EXAMPLES = "examples"
EXAMPLES_SHOWN = 5


def select_examples(
    rules: Iterable[EvaluatorRules],
    results: Iterable[RuleResult],
    summary: Mapping[str, Any],
    labels: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """Return examples of a summary that violate rules that did not pass, at most five for each rule."""
    by_evaluator = {each.evaluator: each for each in rules}
    selected: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        threshold = _threshold_of(result, by_evaluator.get(result.evaluator))
        if result.passed or threshold is None:
            continue
        figures = summary["evaluators"].get(result.evaluator) or {}
        examples = [
            example
            for example in figures.get(EXAMPLES) or ()
            if result.segment is None or example.get("segment") == result.segment
        ]
        violating = _violating(threshold, result, examples, labels.get(result.evaluator))
        for example in distinct_first(violating)[:EXAMPLES_SHOWN]:
            key = (result.evaluator, example["span_id"])
            selected.setdefault(key, {"evaluator": result.evaluator, **example})
    return list(selected.values())


def distinct_first(examples: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return examples in their order, those whose input came before at the end."""
    seen: set[str] = set()
    distinct: list[dict[str, Any]] = []
    repeated: list[dict[str, Any]] = []
    for example in examples:
        question = example.get("input")
        (repeated if question in seen else distinct).append(example)
        if question is not None:
            seen.add(question)
    return distinct + repeated


def _threshold_of(result: RuleResult, rules: EvaluatorRules | None) -> Threshold | None:
    """Return the rule on a label or score that a result is about; None for other rules."""
    if rules is not None and result.segment is not None:
        rules = rules.each_segment
    measure = result.measure.removeprefix(DROP_OF)
    thresholds = rules.thresholds if rules else ()
    return next((threshold for threshold in thresholds if threshold.measure == measure), None)


def _violating(
    threshold: Threshold,
    result: RuleResult,
    examples: Iterable[dict[str, Any]],
    labels: Sequence[str] | None,
) -> list[dict[str, Any]]:
    """Return the examples that violate a rule, the clearest first."""
    is_too_low = threshold.is_lower_bound or (
        threshold.comparison == "==" and (result.measured or 0) < threshold.bound
    )
    if not threshold.is_label:
        scored = [example for example in examples if example.get("score") is not None]
        return sorted(scored, key=lambda example: example["score"], reverse=not is_too_low)
    if is_too_low:
        return [example for example in examples if example.get("label") != threshold.measure]
    # Unknown labels count against an upper bound.
    known = set(labels or ()) - {threshold.measure}
    return [
        example
        for example in examples
        if example.get("label") == threshold.measure or (labels and example.get("label") not in known)
    ]
