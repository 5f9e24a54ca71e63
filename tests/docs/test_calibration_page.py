"""The table of docs/calibration.md: how probable it is that a gate passes with a number of human labels."""

from __future__ import annotations

import random
import re

import pytest

from airflow_provider_online_tasks.gate.calibration import Calibration, Stratum
from tests.support.pages import DOCS

SPANS, SENSITIVITY, SPECIFICITY, REPETITIONS = 2_000, 0.98, 0.8, 100


def table() -> list[tuple[int, float, float]]:
    """Return the human labels, the true share and the probability of each cell."""
    text = (DOCS / "calibration.md").read_text(encoding="utf-8")
    [head] = re.findall(r"^\| Human labels \|(.*)\|$", text, re.MULTILINE)
    shares = [int(share) / 100 for share in re.findall(r"(\d+) %", head)]
    cells = []
    for labels, row in re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE):
        values = [0 if "never" in cell else int(re.findall(r"\d+", cell)[0]) for cell in row.split("|")]
        cells += [(int(labels), share, value / 100) for share, value in zip(shares, values, strict=True)]
    return cells


def passes(labels: int, share: float, chance: random.Random) -> bool:
    """Draw the spans of a window and a sample; return whether the gate passes ">= 0.95"."""
    good = sum(chance.random() < share for _ in range(SPANS))
    found = sum(chance.random() < SENSITIVITY for _ in range(good))
    missed = sum(chance.random() >= SPECIFICITY for _ in range(SPANS - good))
    accepted = [True] * found + [False] * missed
    rejected = [True] * (good - found) + [False] * (SPANS - good - missed)
    of_rejected = min(labels // 4, len(rejected))
    strata = []
    for label, spans, count in (
        ("correct", accepted, labels - of_rejected),
        ("incorrect", rejected, of_rejected),
    ):
        correct = sum(chance.sample(spans, count))
        people = {"correct": correct, "incorrect": count - correct}
        strata.append(Stratum(label=label, evaluated=len(spans), human_labels=people))
    return Calibration(strata, 0.95).share("correct").low >= 0.95


def test_table_has_every_cell() -> None:
    assert len(table()) == 9


@pytest.mark.parametrize(("labels", "share", "probability"), table())
def test_probability_to_pass_is_as_the_table_says(labels: int, share: float, probability: float) -> None:
    chance = random.Random(labels)
    passed = sum(passes(labels, share, chance) for _ in range(REPETITIONS))
    assert passed / REPETITIONS == pytest.approx(probability, abs=0.15 if probability else 0)
