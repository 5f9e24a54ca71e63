"""The rule results of a gate as a table in plain text, Markdown and HTML."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from airflow_provider_online_tasks._text import on_one_line, shown_name
from airflow_provider_online_tasks.gate.checks import FAILED, RuleResult

HEAD = ("evaluator", "measure", "rule", "measured", "interval", "margin", "outcome")
LABELS_SHOWN = 10
_Lines = Sequence[tuple[str, ...]]
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()<>#+-!|~"})


def escaped_markdown(text: str) -> str:
    """Escape text for Markdown."""
    return text.translate(_MARKDOWN)


def rows(results: Iterable[RuleResult]) -> list[tuple[str, ...]]:
    """Return a row of text per rule result, with the columns of :data:`HEAD`."""
    table: list[tuple[str, ...]] = []
    for result in results:
        interval = "-"
        if (result.low, result.high) != (None, None):
            interval = " to ".join("?" if end is None else f"{end:.4g}" for end in (result.low, result.high))
        needed = result.evaluations_needed
        remarks = [result.note, _size_text(result)]
        remarks.append("" if needed is None else f"about {needed:,} evaluations needed")
        remark = "; ".join(filter(None, remarks))
        outcome = result.outcome.upper() if result.outcome == FAILED else result.outcome
        table.append(
            (
                shown_name(result.evaluator),
                shown_name(result.measure) + (f" [{shown_name(result.segment)}]" if result.segment else ""),
                result.rule,
                result.measured_text,
                interval,
                "-" if result.margin is None else f"{result.margin:+.4g}",
                f"{outcome} ({remark})" if remark else outcome,
            )
        )
    return table


def _size_text(result: RuleResult) -> str:
    """Return how many independent evaluations give as much information, if these are fewer."""
    total, effective = result.evaluations, result.effective_evaluations
    if total is None or not effective or effective >= total:
        return ""
    return f"{total:,} evaluations in clusters give as much information as {effective:,.0f} independent ones"


def text_table(results: Sequence[RuleResult]) -> str:
    """Return the results as a plain text table; the interval column only if there are intervals."""
    lines = [HEAD, *rows(results)]
    if all(line[4] == "-" for line in lines[1:]):
        lines = [(*line[:4], *line[5:]) for line in lines]
    return _text(lines)


def markdown_table(results: Sequence[RuleResult]) -> str:
    """Return the results as a Markdown table, escaped."""
    return _markdown([HEAD, *rows(results)])


def html_table(results: Iterable[RuleResult]) -> str:
    """Return the results as an HTML table, escaped."""
    return _html([HEAD, *rows(results)])


def people_text(people: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what people said, by the label of the evaluator, as plain text tables."""
    return "\n".join(f"{title}\n{_text(lines)}" for title, lines in _people_tables(people))


def people_markdown(people: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same as Markdown, escaped."""
    parts = [f"{escaped_markdown(title)}\n\n{_markdown(lines)}" for title, lines in _people_tables(people)]
    return "\n\n".join(parts)


def people_html(people: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same as HTML, escaped."""
    return "".join(f"<p>{escape(title)}</p>{_html(lines)}" for title, lines in _people_tables(people))


def _people_tables(people: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, _Lines]]:
    """Yield a title and a table for each evaluator: its labels as rows, those of people as columns.

    Each has up to 10 labels.
    """
    for evaluator, found in people.items():
        strata = dict(itertools.islice(found["strata"].items(), LABELS_SHOWN))
        given = dict.fromkeys([*strata, *(label for each in strata.values() for label in each["labels"])])
        shown = list(given)[:LABELS_SHOWN]
        title = (
            f"{shown_name(evaluator)}: {found['labelled']:,} human labels ({shown_name(found['annotation'])})"
        )
        if agreement := found["agreement"]:
            title += f", agreement {agreement['low']:.1%} to {agreement['high']:.1%}"
        lines = [
            ("label of the evaluator", "evaluations", *(f"people: {shown_name(each)}" for each in shown))
        ]
        for label, stratum in strata.items():
            counts = (f"{stratum['labels'].get(name, 0):,}" for name in shown)
            lines.append((shown_name(label), f"{stratum['evaluated']:,}", *counts))
        yield title, lines


def _text(lines: _Lines) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _markdown(lines: _Lines) -> str:
    head, *body = ([escaped_markdown(cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def _html(lines: _Lines) -> str:
    head, *body = lines
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    table = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in body)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{table}</tbody></table>"


def examples_text(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as plain text; the URL is not shortened."""
    lines: list[str] = []
    for example in examples:
        head, *details = _example_parts(example)
        location = example.get("url") or f"span {on_one_line(str(example.get('span_id')))}"
        lines += [head, *(f"    {detail}" for detail in (*details, location))]
    return "\n".join(lines)


def examples_markdown(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as a Markdown list, escaped."""
    lines = []
    for example in examples:
        link = f" ([in Arize]({example['url']}))" if example.get("url") else ""
        lines.append(f"- {' / '.join(map(escaped_markdown, _example_parts(example)))}{link}")
    return "\n".join(lines)


def examples_html(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return examples as an HTML list, escaped."""
    items = []
    for example in examples:
        url = example.get("url")
        link = f' (<a href="{escape(str(url))}">in Arize</a>)' if url else ""
        items.append(f"<li>{escape(' / '.join(_example_parts(example)))}{link}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _example_parts(example: Mapping[str, Any]) -> list[str]:
    """Return the label or score, the input, the output and the explanation, one line each."""
    label = example.get("label")
    parts = [f"{example['evaluator']}: {example.get('score') if label is None else label}"]
    if example.get("human_label"):
        parts.append(f"people: {example['human_label']}")
    parts += [f"{name}: {example[name]}" for name in ("input", "output", "explanation") if example.get(name)]
    return [on_one_line(part) for part in parts]
