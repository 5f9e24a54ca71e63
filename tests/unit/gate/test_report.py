"""Tests for the report of a gate in plain text, Markdown and HTML."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from airflow_provider_online_tasks.gate import report
from airflow_provider_online_tasks.gate.checks import FAILED, INCONCLUSIVE, PASSED, RuleResult

RESULT = RuleResult(
    evaluator="e", measure="correct", rule=">= 0.95", outcome=INCONCLUSIVE, measured=1, margin=0.05
)


def cells(table):
    return [re.split(r"\s{2,}", line) for line in table.splitlines()[2:]]


def test_text_table_without_intervals_has_no_interval_column():
    table = report.text_table([RESULT])
    assert "interval" not in table
    assert cells(table) == [["e", "correct", ">= 0.95", "1", "+0.05", "inconclusive"]]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.8843, 1, "0.8843 to 1"), (0.25, None, "0.25 to ?"), (None, 0.75, "? to 0.75"), (0, 0, "0 to 0")],
)
def test_text_table_shows_an_interval_with_one_or_two_ends(low, high, text):
    [first, second] = cells(report.text_table([replace(RESULT, low=low, high=high), RESULT]))
    assert (first[4], second[4]) == (text, "-")


def test_text_table_shows_segments_notes_and_evaluations_needed():
    [row] = cells(report.text_table([replace(RESULT, segment="paid", note="few", evaluations_needed=1_234)]))
    assert row[1] == "correct [paid]"
    assert "few" in row[-1]
    assert "1,234" in row[-1]


@pytest.mark.parametrize("table", [report.text_table, report.markdown_table, report.html_table])
def test_table_with_odd_names_is_readable(table):
    odd = "a\u202eb\nc" + "x" * 300
    rows = [replace(RESULT, measure=""), replace(RESULT, evaluator=odd, measure=odd, segment=odd)]

    text = table(rows)

    assert "\u202e" not in text
    assert "empty" in text
    assert "x" * 80 not in text
    assert len(text.splitlines()) <= 4


def test_text_table_shows_the_effective_number_only_if_it_is_smaller():
    fewer = replace(RESULT, evaluations=300, effective_evaluations=68.9)
    [first, second] = cells(report.text_table([fewer, replace(fewer, effective_evaluations=300.0)]))
    assert "69" in first[-1]
    assert second[-1] == "inconclusive"


def test_text_table_marks_failed_rules_in_capitals():
    rows = cells(report.text_table([replace(RESULT, outcome=each) for each in (FAILED, PASSED)]))
    assert [row[-1] for row in rows] == ["FAILED", "passed"]


def test_text_table_of_unknown_measure_has_no_margin():
    [row] = cells(report.text_table([replace(RESULT, measured=None, margin=None)]))
    assert row[3:5] == ["unknown", "-"]


def test_tables_escape_names_from_others():
    nasty = replace(RESULT, evaluator="<b>e</b>|[x](y)\nnext")
    assert "<b>" not in report.html_table([nasty])
    assert "&lt;b&gt;" in report.html_table([nasty])
    assert r"\<b\>e\</b\>\|\[x\]\(y\) next" in report.markdown_table([nasty])
    assert len(report.markdown_table([nasty]).splitlines()) == 3


def test_examples_without_url_name_the_span():
    example = {"evaluator": "e", "span_id": "s", "label": None, "score": 0.1, "input": "a\nb", "url": None}
    assert report.examples_text([example]) == "e: 0.1\n    input: a b\n    span s"
    assert report.examples_markdown([example]) == r"- e: 0.1 / input: a b"
    assert report.examples_html([example]) == "<ul><li>e: 0.1 / input: a b</li></ul>"


def test_examples_with_url_link_to_it():
    url = "https://app.arize.com/spans?a=1&b=2"
    example = {"evaluator": "e", "span_id": "s", "label": "bad", "score": 0.1, "url": url}
    assert report.examples_text([example]).splitlines() == ["e: bad", f"    {url}"]
    assert f"]({url})" in report.examples_markdown([example])
    assert 'href="https://app.arize.com/spans?a=1&amp;b=2"' in report.examples_html([example])


def test_examples_that_are_empty_give_no_html():
    assert report.examples_html([]) == ""
