"""The table of docs/cost.md has the numbers of ``suggest_evaluations()``."""

from __future__ import annotations

import re

from airflow_provider_online_tasks import suggest_evaluations
from tests.support.pages import DOCS


def test_table_of_evaluations_has_the_suggested_numbers() -> None:
    text = (DOCS / "cost.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(>= [\d.]+)` \| ([\d.]+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for rule, share, numbers in rows:
        expected = {"q": {"good": float(share)}}
        suggested = [
            suggest_evaluations({"q": {"good": rule}}, confidence=confidence, expected=expected)
            for confidence in (0.9, 0.95, 0.99)
        ]
        assert [int(number.replace(",", "")) for number in numbers.split(" | ")] == suggested
