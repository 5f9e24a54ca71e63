"""A gate's findings for people: a table for the log, one for Markdown, and one for HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.gate.verdict import FAILED, INCONCLUSIVE, PASSED, Finding

HEAD = ("evaluator", "measure", "rule", "measured", "interval", "margin", "outcome")
WORDS = {PASSED: "passed", FAILED: "FAILED", INCONCLUSIVE: "inconclusive"}
_SHOWN_EXAMPLES = 5
# Signs that Markdown would take for more than text.
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()<>#+-!|~"})


def rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """Return the findings as rows of text."""
    return [
        (
            on_one_line(one.evaluator),
            on_one_line(one.measure if one.segment is None else f"{one.measure} [{one.segment}]"),
            one.rule,
            one.measured_text,
            _interval(one),
            "-" if one.margin is None else f"{one.margin:+.4g}",
            WORDS[one.outcome] + _remark(one),
        )
        for one in findings
    ]


def _interval(finding: Finding) -> str:
    if finding.low is None and finding.high is None:
        return "-"
    low, high = ("?" if end is None else f"{end:.4g}" for end in (finding.low, finding.high))
    return f"{low} to {high}"


def _remark(finding: Finding) -> str:
    parts = [finding.note] if finding.note else []
    if finding.evaluations_needed is not None:
        parts.append(f"about {finding.evaluations_needed:,} evaluations needed")
    return f" ({'; '.join(parts)})" if parts else ""


def text_table(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for the log."""
    body = rows(findings)
    # A column that says nothing takes no room.
    shown = [place for place, name in enumerate(HEAD) if name != "interval" or _has_intervals(findings)]
    lines = [[row[place] for place in shown] for row in (HEAD, *body)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(shown))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _has_intervals(findings: Iterable[Finding]) -> bool:
    return any(one.low is not None or one.high is not None for one in findings)


def markdown_table(findings: Sequence[Finding]) -> str:
    """Return the findings as a Markdown table; what others wrote is escaped."""
    lines = [_markdown_row(HEAD), _markdown_row("---" for _ in HEAD)]
    lines += [_markdown_row(escaped_markdown(cell) for cell in row) for row in rows(findings)]
    return "\n".join(lines)


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def html_table(findings: Sequence[Finding]) -> str:
    """Return the findings as an HTML table; what others wrote is escaped."""
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows(findings)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def escaped_markdown(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return text.translate(_MARKDOWN)


def escaped_html(text: str) -> str:
    """Return text that HTML shows as it is."""
    return escape(text)


def worst_examples(summary: Mapping[str, Any], evaluators: Iterable[str]) -> list[dict[str, Any]]:
    """Return the worst examples of these evaluators that a summary holds, the same number of each."""
    found = []
    for name in evaluators:
        figures = summary["evaluators"].get(name) or {}
        found += [
            {"evaluator": name, **one}
            for one in (figures.get("lowest_scoring_examples") or [])[:_SHOWN_EXAMPLES]
        ]
    return found


def examples_text(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as lines for the log; an address stays whole."""
    lines = []
    for one in examples:
        head, *more = _example_parts(one)
        lines += [head, *(f"    {part}" for part in more)]
        lines.append(f"    {one.get('url') or 'span ' + on_one_line(str(one.get('span_id')))}")
    return "\n".join(lines)


def _example_parts(example: Mapping[str, Any]) -> list[str]:
    """Return the label or score, the input, the output and the explanation, a line each."""
    said = example.get("label") if example.get("label") is not None else example.get("score")
    parts = [f"{example['evaluator']}: {said}"]
    parts += [f"{name}: {example[name]}" for name in ("input", "output", "explanation") if example.get(name)]
    return [on_one_line(part) for part in parts]


def examples_markdown(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as a Markdown list; what others wrote is escaped."""
    lines = []
    for one in examples:
        text = " / ".join(escaped_markdown(part) for part in _example_parts(one))
        url = one.get("url")
        lines.append(f"- {text}" + (f" ([in Arize]({url}))" if url else ""))
    return "\n".join(lines)


def examples_html(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as an HTML list; what others wrote is escaped."""
    items = []
    for one in examples:
        text, url = escape(" / ".join(_example_parts(one))), one.get("url")
        items.append(
            f"<li>{text}" + (f' (<a href="{escape(str(url))}">in Arize</a>)' if url else "") + "</li>"
        )
    return f"<ul>{''.join(items)}</ul>" if items else ""
