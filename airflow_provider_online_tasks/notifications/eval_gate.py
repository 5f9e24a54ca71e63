"""Sends the verdict of a gate through any notifier of Airflow: mail, chat, pager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_online_tasks._text import on_one_line, shown
from airflow_provider_online_tasks.exceptions import InvalidInput

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTEXT_KEY = "eval_gate"


class EvalGateNotifier(BaseNotifier):
    """Renders the verdict of an ``EvalGateOperator``, and has another notifier send it.

    Use it as a callback of the gate: ``on_failure_callback``, ``on_skipped_callback`` or
    ``on_success_callback``. The templates of the notifier inside can use ``eval_gate``: its ``title`` (one
    line), ``text`` (a table), ``markdown``, ``html`` and ``verdict`` (the gate's XCom). What spans and judges
    say is escaped in ``markdown`` and ``html``.

    :param channel: the notifier that sends, such as
        ``SmtpNotifier(to="…", subject="{{ eval_gate.title }}", html_content="{{ eval_gate.html }}")``.
    :raises InvalidInput: it is no notifier.
    """

    def __init__(self, channel: BaseNotifier) -> None:
        super().__init__()
        if isinstance(channel, type) or not callable(channel):
            raise InvalidInput(
                f"channel must be a notifier, such as SmtpNotifier(to='…'), not {shown(channel)}."
            )
        self.channel = channel

    def notify(self, context: Context) -> None:
        """Send the verdict."""
        values: Any = context
        self.channel({**values, CONTEXT_KEY: render(_verdict_of(values), values)})


def _verdict_of(context: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the gate's verdict: that of its exception, or its XCom."""
    found = getattr(context.get("exception"), "verdict", None)
    task = context.get("ti")
    if not found and task is not None:
        found = task.xcom_pull(task_ids=task.task_id, map_indexes=task.map_index)
    return found if isinstance(found, Mapping) and isinstance(found.get("rules"), list) else None


def render(verdict: Mapping[str, Any] | None, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict in the words of each kind of channel."""
    from airflow_provider_online_tasks.gate import report as table

    task = context.get("ti")
    name = f"{task.dag_id}.{task.task_id}" if task is not None else "The gate"
    if verdict is None:
        title = on_one_line(f"{name} gave no verdict: {context.get('exception') or 'it did not judge'}")
        return {
            "title": title,
            "text": title,
            "markdown": table.escaped_markdown(title),
            "html": table.escaped_html(title),
            "verdict": None,
        }
    findings = [_finding(rule) for rule in verdict["rules"]]
    examples = verdict.get("lowest_scoring_examples") or []
    open_rules = [one for one in findings if not one.passed]
    state = str(verdict.get("outcome"))
    if verdict.get("approved") is True:
        state += f", approved by {verdict.get('responded_by')}"
    title = on_one_line(f"{name}: {state}, {len(findings) - len(open_rules)} of {len(findings)} rules passed")
    window = on_one_line(f"Spans from {verdict.get('data_start_time')} to {verdict.get('data_end_time')}")
    return {
        "title": title,
        "text": "\n".join(
            filter(None, (title, window, table.text_table(findings), table.examples_text(examples)))
        ),
        "markdown": "\n\n".join(
            filter(
                None,
                (
                    f"**{table.escaped_markdown(title)}**",
                    table.escaped_markdown(window),
                    table.markdown_table(findings),
                    table.examples_markdown(examples),
                ),
            )
        ),
        "html": f"<h3>{table.escaped_html(title)}</h3><p>{table.escaped_html(window)}</p>"
        + table.html_table(findings)
        + table.examples_html(examples),
        "verdict": dict(verdict),
    }


def _finding(rule: Mapping[str, Any]) -> Any:
    from airflow_provider_online_tasks.gate.verdict import Finding

    known = {one.name for one in fields(Finding)}
    return Finding(**{name: value for name, value in rule.items() if name in known})
