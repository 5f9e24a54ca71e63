"""Tests for how many evaluations rules need: the gate decides with them in the promised share of cases."""

from __future__ import annotations

import random
from statistics import NormalDist
from typing import Any

import pytest

from airflow_provider_online_tasks import suggest_evaluations
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import INCONCLUSIVE, decide
from airflow_provider_online_tasks.gate.intervals import share_interval


def suggest(rule: str, share: float, **fields: Any) -> int:
    arguments: dict[str, Any] = {"confidence": 0.95, "expected": {"q": {"good": share}}, **fields}
    return suggest_evaluations({"q": {"good": rule}}, **arguments)


@pytest.mark.parametrize(
    ("comparison", "bound", "share"),
    [(">=", 0.9, 0.95), (">", 0.5, 0.6), ("<=", 0.05, 0.02), ("<", 0.2, 0.1), (">=", 0.9, 0.8)],
)
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_rule_is_decided_in_the_share_of_cases_that_power_says(
    comparison: str, bound: float, share: float, power: float
) -> None:
    size = suggest(f"{comparison} {bound}", share, power=power)
    draw, decided, cases = random.Random(7), 0, 1_000
    for _ in range(cases):
        count = sum(draw.random() < share for _ in range(size))
        decided += decide(comparison, share_interval(count, size, 0.95), bound) != INCONCLUSIVE
    assert power - 0.04 <= decided / cases <= power + 0.08


def test_closer_share_more_confidence_and_more_power_need_more_evaluations() -> None:
    base = suggest(">= 0.9", 0.95)
    assert suggest(">= 0.9", 0.93) > base
    assert suggest(">= 0.9", 0.95, confidence=0.99) > base
    assert suggest(">= 0.9", 0.95, power=0.99) > base


@pytest.mark.parametrize(("bound", "share"), [(0.95, 0.951), (0.9, 0.9005), (0.01, 0.0102)])
def test_share_close_to_its_bound_needs_as_many_as_the_normal_distribution_says(
    bound: float, share: float
) -> None:
    z, z_power = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.9)
    errors = z * (bound * (1 - bound)) ** 0.5 + z_power * (share * (1 - share)) ** 0.5
    assert suggest(f">= {bound}", share) == pytest.approx((errors / (share - bound)) ** 2, rel=0.02)


def test_rule_that_needs_most_decides() -> None:
    rules = {"q": {"good": ">= 0.9"}, "tone": {"rude": "<= 0.05", "min_evaluated": 20}}
    expected = {"q": {"good": 0.99}, "tone": {"rude": 0.04}}
    both = suggest_evaluations(rules, confidence=0.95, expected=expected)
    alone = suggest_evaluations({"tone": rules["tone"]}, confidence=0.95, expected=expected)
    assert both == alone > suggest(">= 0.9", 0.99)


def test_min_evaluated_is_the_least() -> None:
    rules = {"q": {"good": ">= 0.5", "min_evaluated": 700}}
    assert suggest_evaluations(rules, confidence=0.9, expected={"q": {"good": 0.99}}) == 700


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ({"q": {"good": ">= 0.9"}}, {"expected": {}}),
        ({"q": {"good": ">= 0.9"}}, {"expected": {"q": {"good": 95}}}),
        ({"q": {"good": ">= 0.9"}}, {"expected": {"q": {"good": 0.9}}}),
        ({"q": {"good": ">= 1"}}, {"expected": {"q": {"good": 1}}}),
        ({"q": {"good": ">= 0.9"}}, {"confidence": 95}),
        ({"q": {"good": ">= 0.9"}}, {"power": 1}),
        ({"q": {"score_mean": ">= 0.9"}}, {}),
        ({"q": {"good": ">= 0.9", "max_drop": 0.1}}, {}),
        ({"q": {"good": "== 0.9"}}, {}),
        ({"q": {"good": "about 0.9"}}, {}),
        ({}, {}),
    ],
)
def test_wrong_argument_is_rejected(rules: Any, fields: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"confidence": 0.95, "expected": {"q": {"good": 0.95}}, **fields}
    with pytest.raises(InvalidInput):
        suggest_evaluations(rules, **arguments)
