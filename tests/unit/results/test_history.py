"""Tests for the records of the Evals page: what is pushed, and that anything is read safely."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.gate.intervals import effective_size, share_interval
from airflow_provider_online_tasks.results.history import (
    MAX_COMPARED,
    MAX_LABELS,
    MAX_RULES,
    OTHER_LABELS,
    results_record,
    verdict_record,
)
from airflow_provider_online_tasks.results.human_labels import agreement_with_people
from airflow_provider_online_tasks.ui.evals.records import (
    MAX_EVALUATORS,
    TEXT_CHARACTERS,
    read_results,
    read_verdict,
)
from tests.support.summaries import results, summary

WINDOW = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-02T00:00:00Z"}
SUMMARY: dict[str, Any] = {
    "run_id": "VGFza1J1bjox",
    **WINDOW,
    "complete": True,
    "expected": 100,
    "skipped": 3,
    "errors": 2,
    "evaluators": {
        "correctness": {
            "evaluated": 100,
            "not_evaluated": 7,
            "labels": {"correct": {"count": 90, "share": 0.9}, "incorrect": {"count": 10, "share": 0.1}},
            "score_mean": 0.9,
            "score_interval": [0.8, 0.95],
            "evaluator_version": "v1",
            "examples": [{"span_id": "1", "input": "a customer's question"}],
        },
        "tone": {"evaluated": 4, "labels": {"polite": {"count": 4, "share": 1.0}}, "score_mean": None},
    },
}


def read_back(record: dict[str, Any], read: Any = read_results) -> Any:
    found = read(json.dumps(record))
    assert found is not None
    return found


def test_results_record_has_no_texts_of_spans() -> None:
    assert "customer" not in json.dumps(results_record(SUMMARY))


def test_results_record_read_back_has_all_figures_of_two_evaluators() -> None:
    found = read_back(results_record(SUMMARY, spans_url="https://app.arize.com/spans"))
    evaluators = found.pop("evaluators")
    assert found == {
        "start": WINDOW["data_start_time"],
        "end": WINDOW["data_end_time"],
        "run_id": "VGFza1J1bjox",
        "complete": True,
        "expected": 100,
        "skipped": 3,
        "errors": 2,
        "spans_url": "https://app.arize.com/spans",
        "omitted": 0,
    }
    one, other = evaluators["correctness"], evaluators["tone"]
    assert (one["evaluated"], one["not_evaluated"], one["evaluator_version"]) == (100, 7, "v1")
    assert one["score"] == {"mean": 0.9, "low": 0.8, "high": 0.95}
    assert {label: entry["count"] for label, entry in one["shares"].items()} == {
        "correct": 90,
        "incorrect": 10,
    }
    assert (other["evaluated"], other["score"], other["shares"]["polite"]["share"]) == (4, None, 1.0)


def test_results_record_has_the_share_intervals_of_a_gate() -> None:
    share = read_back(results_record(SUMMARY))["evaluators"]["correctness"]["shares"]["correct"]
    assert (share["low"], share["high"]) == pytest.approx(share_interval(90, 100, 0.95), abs=1e-5)


def test_results_record_of_sessions_has_wider_share_intervals() -> None:
    figures = SUMMARY["evaluators"]["correctness"]
    clusters = {"count": 20, "size": 5.0, "labels": {"correct": 4.0}, "score": None}

    def interval(clusters: Any) -> tuple[float, float]:
        summary = {**SUMMARY, "evaluators": {"correctness": {**figures, "clusters": clusters}}}
        share = read_back(results_record(summary))["evaluators"]["correctness"]["shares"]["correct"]
        return share["low"], share["high"]

    size = effective_size(100, 4.0, 20, 0.95)
    assert interval(clusters) == pytest.approx(share_interval(0.9 * size, size, 0.95), abs=1e-5)
    assert interval({**clusters, "count": 1}) == (0, 1)
    assert interval(None) == pytest.approx(share_interval(90, 100, 0.95), abs=1e-5)


def with_human_labels(strata: dict[str, dict[str, int]], **more: Any) -> dict[str, Any]:
    """A summary of an evaluator, of which people labelled everything."""
    figures = results(labels={label: sum(row.values()) for label, row in strata.items()})
    figures["human_labels"] = {
        "annotation": "review",
        "labelled": figures["evaluated"],
        "strata": {
            label: {"evaluated": sum(row.values()), "labelled": sum(row.values()), "labels": row}
            for label, row in strata.items()
        },
        **more,
    }
    figures["human_labels"] |= agreement_with_people("e", figures)
    return summary(e=figures)


def test_record_of_human_labels_read_back_has_shares_agreement_and_table() -> None:
    strata = {"good": {"good": 80, "bad": 10}, "bad": {"bad": 9, "good": 1}}
    given = with_human_labels(strata, sample={"is_random": True}, sample_problem=None)

    found = read_back(results_record(given))["evaluators"]["e"]["human_labels"]

    share = given["evaluators"]["e"]["human_labels"]["labels"]["good"]["share"]
    assert (found["annotation"], found["labelled"], found["is_random"]) == ("review", 100, True)
    assert found["shares"]["good"] == pytest.approx(share, abs=1e-5)
    assert (found["shares"]["good"]["value"], found["agreement"]["value"]) == pytest.approx((0.81, 0.89))
    assert {row["label"]: dict(row["human_labels"]) for row in found["table"]} == strata


def test_record_of_human_labels_without_random_sample_says_why() -> None:
    found = read_back(results_record(with_human_labels({"good": {"good": 9}}, sample_problem="chosen")))
    of_people = found["evaluators"]["e"]["human_labels"]
    assert (of_people["is_random"], of_people["sample_problem"]) == (False, "chosen")


def test_record_of_human_labels_of_many_labels_is_bounded_and_omits_none() -> None:
    strata = {f"label {n}": {f"label {n + k}": 40 - n for k in range(3)} for n in range(40)}
    found = read_back(results_record(with_human_labels(strata)))["evaluators"]["e"]["human_labels"]

    assert len(found["table"]) == MAX_COMPARED + 1
    assert len({label for row in found["table"] for label, _ in row["human_labels"]}) == MAX_COMPARED + 1
    total = sum(count for row in found["table"] for _, count in row["human_labels"])
    assert total == sum(count for row in strata.values() for count in row.values())


def test_verdict_record_read_back_has_evidence_and_start_of_failure() -> None:
    rule = {"evaluator": "e", "measure": "good", "rule": ">= 0.9", "outcome": "failed", "evidence": 900.5}
    rule |= {"evidence_needed": 730, "evidence_since": "2026-03-01", "failing_since": "2026-03-12"}

    found = read_back(verdict_record({"rules": [rule], "false_alarms_per_year": 2}), read_verdict)

    assert found["false_alarms_per_year"] == 2
    [read] = found["rules"]
    assert (read["evidence"], read["evidence_needed"]) == (900.5, 730)
    assert (read["evidence_since"], read["failing_since"]) == ("2026-03-01T00:00:00Z", "2026-03-12T00:00:00Z")


def test_verdict_record_read_back_has_rules_and_approval() -> None:
    rule = {"evaluator": "correctness", "measure": "correct", "rule": ">= 0.95", "measured": 0.9, "low": 0.8}
    rules = [{**rule, "outcome": "failed"}, {**rule, "outcome": "inconclusive", "evaluations_needed": 900}]
    verdict = {"passed": False, "outcome": "failed", "run_id": "r", **WINDOW, "rules": rules}
    approval = {"approved": True, "responded_by": "Ann", "confidence": 0.95}

    found = read_back(verdict_record(verdict | approval), read_verdict)

    assert (found["run_id"], found["start"], found["end"]) == ("r", *WINDOW.values())
    assert (found["passed"], found["outcome"], found["confidence"]) == (False, "failed", 0.95)
    assert (found["approved"], found["responded_by"]) == (True, "Ann")
    assert [one["outcome"] for one in found["rules"]] == ["failed", "inconclusive"]
    assert [one["evaluations_needed"] for one in found["rules"]] == [None, 900]
    assert found["rules"][0]["low"] == 0.8


def test_verdict_record_without_approval_has_none() -> None:
    found = read_back(verdict_record({"rules": []}), read_verdict)
    assert (found["approved"], found["responded_by"]) == (None, None)


@pytest.mark.parametrize(
    "value", [None, 1, "s3://bucket/xcom", "[]", [], "{", {"evaluators": 3}, {"rules": "none"}, "[" * 100_000]
)
def test_value_that_is_not_a_record_is_ignored(value: Any) -> None:
    assert read_results(value) is None
    assert read_verdict(value) is None


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", 5, "https://" + "x" * 3000]
)
def test_url_that_is_not_a_web_address_is_ignored(url: Any) -> None:
    assert read_back({"evaluators": {}, "spans_url": url})["spans_url"] is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, True, "0.9", 10**400])
def test_number_that_is_not_finite_is_ignored(number: Any) -> None:
    entry = {"evaluated": number, "score": {"mean": number}, "labels": {"a": {"count": number}}}
    found = read_results({"evaluators": {"one": entry}})
    assert found is not None
    assert found["evaluators"]["one"] == {
        "evaluated": 0,
        "not_evaluated": None,
        "shares": {},
        "score": None,
        "evaluator_version": None,
        "version_id": None,
        "human_labels": None,
    }


def test_results_record_of_many_evaluators_and_labels_is_bounded() -> None:
    labels = {f"label {number}": {"count": 1} for number in range(1_000)}
    figures = {f"{number}" * 300: {"labels": labels, "other_labels": 7} for number in range(1_000)}
    evaluators = read_back(results_record({"evaluators": figures}))["evaluators"]
    assert len(evaluators) <= MAX_EVALUATORS
    for name, one in evaluators.items():
        assert len(name) <= TEXT_CHARACTERS
        assert len(one["shares"]) == MAX_LABELS + 1
        assert one["shares"][OTHER_LABELS]["count"] == 1_000 + 7 - MAX_LABELS


def test_record_pushed_by_others_is_bounded() -> None:
    labels = {f"label {number}": {"count": 1} for number in range(1_000)}
    found = read_back({"evaluators": {"one": {"labels": labels}}})
    assert len(found["evaluators"]["one"]["shares"]) == MAX_LABELS + 1
    verdict = read_back({"rules": [{"note": "x" * 10_000}] * 1_000}, read_verdict)
    assert len(verdict["rules"]) == MAX_RULES
    assert len(verdict["rules"][0]["note"]) == TEXT_CHARACTERS


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(
            st.sampled_from(["evaluators", "labels", "score", "rules", "a", "human_labels", "table"]),
            part,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from([read_results, read_verdict]))
def test_any_value_is_read_or_ignored(value: Any, read: Any) -> None:
    json.dumps(read(value), allow_nan=False).encode()
