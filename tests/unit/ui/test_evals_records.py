"""What the Evals page reads back may be anything that a DAG pushed: it is bounded and checked."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.results.history import (
    MOST_EVALUATORS,
    MOST_LABELS,
    MOST_RULES,
    OTHER_LABELS,
    TEXT_CHARACTERS,
    read_results,
    read_verdict,
    results_record,
    verdict_record,
)

SUMMARY: dict[str, Any] = {
    "run_id": "VGFza1J1bjox",
    "data_start_time": "2026-01-01T00:00:00Z",
    "data_end_time": "2026-01-02T00:00:00Z",
    "complete": True,
    "expected": 100,
    "evaluators": {
        "correctness": {
            "evaluated": 100,
            "not_evaluated": 0,
            "labels": {"correct": {"count": 90, "share": 0.9}, "incorrect": {"count": 10, "share": 0.1}},
            "score_mean": 0.9,
            "lowest_scoring_examples": [{"span_id": "1", "input": "a customer's question"}],
        }
    },
}


def test_a_record_holds_numbers_and_no_text_of_a_span() -> None:
    record = results_record(SUMMARY, spans_url="https://app.arize.com/spans")

    assert "customer" not in json.dumps(record)
    read = read_results(json.dumps(record))
    assert read is not None
    assert read["spans_url"] == "https://app.arize.com/spans"
    shares = read["evaluators"]["correctness"]["shares"]
    assert {label: one["count"] for label, one in shares.items()} == {"correct": 90, "incorrect": 10}
    # The interval that a gate takes for 90 of 100 at 95 %: Clopper and Pearson's reaches further out here.
    assert shares["correct"]["low"] == pytest.approx(0.82378, abs=1e-4)
    assert shares["correct"]["high"] == pytest.approx(0.95099, abs=1e-4)


def test_a_verdict_keeps_each_rule_s_outcome() -> None:
    rule = {
        "evaluator": "correctness",
        "measure": "correct",
        "rule": ">= 0.95",
        "measured": 0.9,
        "outcome": "failed",
    }

    verdict = {
        "passed": False,
        "rules": [rule],
        "run_id": "VGFza1J1bjox",
        "data_start_time": SUMMARY["data_start_time"],
    }
    read = read_verdict(json.dumps(verdict_record(verdict)))

    assert read is not None
    assert read["passed"] is False
    assert (read["run_id"], read["start"]) == ("VGFza1J1bjox", "2026-01-01T00:00:00Z")
    assert [one["outcome"] for one in read["rules"]] == ["failed"]


@pytest.mark.parametrize(
    "value", [None, 1, "s3://bucket/xcom", "[]", [], "{", {"evaluators": 3}, {"rules": "none"}, "[" * 100_000]
)
def test_what_is_no_record_is_left_out(value: Any) -> None:
    assert read_results(value) is None
    assert read_verdict(value) is None


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "//evil.example", 5, "https://" + "x" * 3000]
)
def test_only_a_web_address_is_a_link(address: Any) -> None:
    read = read_results({"evaluators": {}, "spans_url": address})

    assert read is not None
    assert read["spans_url"] is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, True, "0.9", 10**400])
def test_what_is_no_number_is_no_score(number: Any) -> None:
    read = read_results(
        {
            "evaluators": {
                "one": {"evaluated": number, "score": {"mean": number}, "labels": {"a": {"count": number}}}
            }
        }
    )

    assert read is not None
    assert read["evaluators"]["one"] == {
        "evaluated": 0,
        "not_evaluated": None,
        "shares": {},
        "score": None,
        "evaluator_version": None,
    }


def test_there_is_a_limit_to_everything() -> None:
    labels = {f"label {number}": {"count": 1} for number in range(1_000)}
    figures = {f"{number}" * 300: {"labels": labels, "other_labels": 7} for number in range(1_000)}
    read = read_results(results_record({"evaluators": figures}))
    # What was not pushed by our operators is bounded too.
    foreign = read_results({"evaluators": {"one": {"labels": labels}}})
    assert foreign is not None
    assert len(foreign["evaluators"]["one"]["shares"]) == MOST_LABELS + 1

    assert read is not None
    assert len(read["evaluators"]) <= MOST_EVALUATORS
    for name, one in read["evaluators"].items():
        assert len(name) <= TEXT_CHARACTERS
        assert len(one["shares"]) == MOST_LABELS + 1
        assert one["shares"][OTHER_LABELS]["count"] == 1_000 + 7 - MOST_LABELS
    verdict = read_verdict({"rules": [{"note": "x" * 10_000}] * 1_000})
    assert verdict is not None
    assert len(verdict["rules"]) == MOST_RULES
    assert len(verdict["rules"][0]["note"]) == TEXT_CHARACTERS


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(
            st.sampled_from(["evaluators", "labels", "score", "mean", "rules", "a", "evaluated"]),
            part,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from([read_results, read_verdict]))
def test_anything_is_read_or_left_out(value: Any, read: Any) -> None:
    found = read(value)

    json.dumps(found, allow_nan=False).encode()
