"""How many evaluations the rules of a gate need, before anything is evaluated."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from airflow_provider_online_tasks._text import shown, shown_name
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.intervals import MAX_NEEDED, beta_cdf, fewest
from airflow_provider_online_tasks.gate.rules import MAX_CONFIDENCE, MIN_CONFIDENCE, Threshold, read_rules
from airflow_provider_online_tasks.inputs.arguments import finite


def suggest_evaluations(
    rules: Mapping[str, Mapping[str, Any]],
    *,
    confidence: float,
    expected: Mapping[str, Mapping[str, float]],
    power: float = 0.9,
) -> int:
    """Return how many evaluations are enough to decide all rules of a gate, within a few percent.

    ``suggest_evaluations({"correctness": {"correct": ">= 0.9"}}, confidence=0.95,
    expected={"correctness": {"correct": 0.95}})``

    Spans of the same trace or session resemble each other, so a gate with such clusters needs more.

    :param rules: the rules of the gate, on shares of labels and ``min_evaluated`` only.
    :param confidence: the gate's ``confidence``, 0.5 to 0.999999.
    :param expected: the share of each label that you expect, such as that of the last window.
    :param power: the probability that a rule is decided, if the share is the expected one; above 0.5 and
        below 1. Default 0.9.
    :raises InvalidInput: an argument is wrong, or a rule can't be decided with 10 million evaluations.
    """
    _check_number("confidence", confidence, MIN_CONFIDENCE, MAX_CONFIDENCE)
    _check_number("power", power, 0.5, 0.999999)
    sizes = [1]
    for of_evaluator in read_rules(rules):
        thresholds = of_evaluator.thresholds
        is_known = all(each.is_label and each.comparison != "==" for each in thresholds)
        if not is_known or of_evaluator.max_drop is not None or len(of_evaluator.parts) > 1:
            raise InvalidInput(
                f"rules[{shown(of_evaluator.evaluator)}] may only have rules such as "
                f"{{'correct': '>= 0.95'}} and min_evaluated. Leave out the others."
            )
        sizes.append(of_evaluator.min_evaluated)
        sizes += [
            _evaluations(each, _read_expected(expected, each), confidence, power) for each in thresholds
        ]
    return max(sizes)


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    number = finite(value)
    if number is None or not low <= number <= high:
        raise InvalidInput(f"{name} must be a number from {low} to {high}, not {shown(value)}.")


def _read_expected(expected: Any, threshold: Threshold) -> float:
    of_evaluator = expected.get(threshold.evaluator) if isinstance(expected, Mapping) else None
    value = of_evaluator.get(threshold.measure) if isinstance(of_evaluator, Mapping) else None
    share = finite(value)
    if share is None or not 0 <= share <= 1:
        raise InvalidInput(
            f"expected must have the share of label {shown_name(threshold.measure)} of evaluator "
            f"{shown_name(threshold.evaluator)}, a number from 0 to 1, not {shown(value)}."
        )
    return share


def _evaluations(threshold: Threshold, share: float, confidence: float, power: float) -> int:
    """Return the number with which a rule is decided with a probability, if the share is this one."""
    bound = threshold.bound
    if 0 < bound < 1 and share != bound:
        size = fewest(lambda size: _probability_of_decision(bound, share, size, confidence) >= power)
        if size is not None:
            return size
    raise InvalidInput(
        f"The rule {shown_name(threshold.measure)} {threshold.text} can't be decided if the share is "
        f"{share:g}, with any number of evaluations up to {MAX_NEEDED:,}. Change the bound."
    )


def _probability_of_decision(bound: float, share: float, size: int, confidence: float) -> float:
    """Return the probability that an interval excludes the bound, from the binomial distribution."""
    tail = (1 - confidence) / 2
    counts = range(size + 1)
    # An interval is above the bound if so many successes are improbable at the bound, and below it likewise.
    first_above = bisect_left(counts, True, key=lambda count: _at_least(count, size, bound) < tail)
    first_not_below = bisect_left(
        counts, True, key=lambda count: 1 - _at_least(count + 1, size, bound) >= tail
    )
    return 1 - _at_least(first_not_below, size, share) + _at_least(first_above, size, share)


def _at_least(count: int, size: int, share: float) -> float:
    """Return the probability of at least this many successes."""
    if count <= 0:
        return 1.0
    return beta_cdf(count, size - count + 1, share) if count <= size else 0.0
