"""The examples of a gate: spans that violate the rules that did not pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.gate.checks import (
    CALIBRATED_SHARE,
    DROP_OF,
    SENSITIVITY,
    SPECIFICITY,
    RuleResult,
)
from airflow_provider_online_tasks.gate.summary import OTHER_SEGMENTS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.rules import EvaluatorRules, Threshold

EXAMPLES, HUMAN_LABELS = "examples", "human_labels"
EXAMPLES_SHOWN = 5
HUMAN_LABEL_MEASURES = (CALIBRATED_SHARE, SPECIFICITY, SENSITIVITY)


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
        evaluator = by_evaluator.get(result.evaluator)
        if result.passed or evaluator is None:
            continue
        figures = summary["evaluators"].get(result.evaluator) or {}
        found = _examples_of(result, evaluator, figures, labels.get(result.evaluator))
        for example in distinct_first(found)[:EXAMPLES_SHOWN]:
            key = (result.evaluator, example["span_id"])
            selected.setdefault(key, {"evaluator": result.evaluator, **example})
    return list(selected.values())


def _examples_of(
    result: RuleResult,
    rules: EvaluatorRules,
    figures: Mapping[str, Any],
    labels: Sequence[str] | None,
) -> Iterable[dict[str, Any]]:
    """Return the examples that violate a rule; for rules on human labels, the disagreements that do."""
    for threshold in rules.calibrated.thresholds if rules.calibrated else ():
        if result.measure in {kind + threshold.measure for kind in HUMAN_LABEL_MEASURES}:
            disagreements = (figures.get(HUMAN_LABELS) or {}).get("disagreements") or ()
            bad = "label" if threshold.is_lower_bound else "human_label"
            return [each for each in disagreements if each[bad] == threshold.measure]
    own = _threshold_of(result, rules)
    if own is None:
        return []
    examples = figures.get(EXAMPLES) or ()
    if result.segment is not None:
        named = figures["segments"].keys()
        is_rest = result.segment == OTHER_SEGMENTS
        examples = [
            example
            for example in examples
            if example.get("segment") == result.segment or (is_rest and example.get("segment") not in named)
        ]
    return _violating(own, result, examples, labels)


def human_labels_of(rules: Iterable[EvaluatorRules], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the human labels of evaluators that have rules on them, without the disagreements."""
    found = {}
    for each in rules:
        human_labels = (summary["evaluators"].get(each.evaluator) or {}).get(HUMAN_LABELS)
        if each.calibrated is not None and human_labels is not None:
            found[each.evaluator] = {
                key: value for key, value in human_labels.items() if key != "disagreements"
            }
    return found


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


def _threshold_of(result: RuleResult, rules: EvaluatorRules) -> Threshold | None:
    """Return the rule on a label or score that a result is about; None for other rules."""
    part = rules if result.segment is None else rules.each_segment
    measure = result.measure.removeprefix(DROP_OF)
    thresholds = part.thresholds if part else ()
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
