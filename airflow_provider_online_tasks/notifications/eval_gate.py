"""Send the verdict of a gate with any Airflow notifier: email, chat, pager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_online_tasks._text import on_one_line, shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import suggests_names, whole_number

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTEXT_KEY = "eval_gate"
QUESTION = "eval_question"
"""The context's key with the question that a task asks before its run."""


class EvalGateNotifier(BaseNotifier):
    """Render the verdict of an ``EvalGateOperator``, and send it with another notifier.

    Use it as a callback of the gate (``on_failure_callback``, ``on_skipped_callback`` or
    ``on_success_callback``), or in its ``notifiers``. The templates of the inner notifier can use
    ``eval_gate``: its ``title`` (one line), ``text`` (a table), ``markdown``, ``html`` and ``verdict`` (the
    gate's XCom). Texts of spans and evaluators are escaped in ``markdown`` and ``html``.

    :param channel: the notifier that sends, such as
        ``SmtpNotifier(to="…", subject="{{ eval_gate.title }}", html_content="{{ eval_gate.html }}")``.
    :param remind_every: for a gate with ``false_alarms_per_year``: of the windows of an incident, send only
        the first one, every n-th one and the one that ends it. Set it for ``on_failure_callback`` and
        ``on_success_callback``. Default: send every verdict.
    :raises InvalidInput: ``channel`` is not a notifier, or ``remind_every`` is not a positive integer.
    """

    @suggests_names
    def __init__(self, channel: BaseNotifier, *, remind_every: int | None = None) -> None:
        super().__init__()
        if isinstance(channel, type) or not callable(channel):
            raise InvalidInput(
                f"channel must be a notifier, such as SmtpNotifier(to='…'), not {shown(channel)}."
            )
        self.channel = channel
        self.remind_every = None if remind_every is None else whole_number(remind_every, "remind_every")

    def notify(self, context: Context) -> None:
        """Send the verdict."""
        values: Any = context
        rendered = render(values)
        if self.remind_every is None or _is_news(rendered["verdict"], self.remind_every):
            self.channel({**values, CONTEXT_KEY: rendered})


def _is_news(verdict: Mapping[str, Any] | None, remind_every: int) -> bool:
    """Return whether a verdict begins or ends an incident, or is one of those that remind of it."""
    from airflow_provider_online_tasks.gate.checks import INCONCLUSIVE

    if verdict is None:
        return True
    for rule in verdict["rules"]:
        windows = rule.get("failing_windows")
        may_be_inconclusive = rule.get("outcome") == INCONCLUSIVE and rule.get("on_inconclusive") == "pass"
        if rule.get("recovered") or not (rule.get("passed") or windows or may_be_inconclusive):
            return True
        if windows and (windows == 1 or windows % remind_every == 0):
            return True
    return False


def render(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the templates of the inner notifier can use."""
    from airflow_provider_online_tasks.gate import report
    from airflow_provider_online_tasks.gate.checks import PASSED, RuleResult
    from airflow_provider_online_tasks.gate.examples import EXAMPLES, HUMAN_LABELS

    task = context.get("ti")
    verdict = getattr(context.get("exception"), "verdict", None)
    if not verdict and task is not None:
        verdict = task.xcom_pull(task_ids=task.task_id, map_indexes=task.map_index)
    name = f"{task.dag_id}.{task.task_id}" if task is not None else "The gate"
    if not isinstance(verdict, Mapping) or not isinstance(verdict.get("rules"), list):
        problem = f"{name} has no verdict: {context.get('exception') or 'it did not run'}"
        title = on_one_line(str(context.get(QUESTION) or problem))
        texts = {"text": title, "markdown": report.escaped_markdown(title), "html": escape(title)}
        return {"title": title, "verdict": None, **texts}
    known = {field.name for field in fields(RuleResult)}
    results = [
        RuleResult(**{key: value for key, value in rule.items() if key in known}) for rule in verdict["rules"]
    ]
    examples, people = verdict.get(EXAMPLES) or [], verdict.get(HUMAN_LABELS) or {}
    outcome = str(verdict.get("outcome"))
    if outcome == PASSED and any(result.recovered for result in results):
        outcome = "recovered"
    if verdict.get("approved") is True:
        outcome += f", approved by {verdict.get('responded_by')}"
    passed = sum(result.passed for result in results)
    title = on_one_line(f"{name}: {outcome}, {passed} of {len(results)} rules passed")
    window = on_one_line(f"Spans from {verdict.get('data_start_time')} to {verdict.get('data_end_time')}")
    text = [
        title,
        window,
        report.text_table(results),
        report.people_text(people),
        report.examples_text(examples),
    ]
    markdown = [
        f"**{report.escaped_markdown(title)}**",
        report.escaped_markdown(window),
        report.markdown_table(results),
        report.people_markdown(people),
        report.examples_markdown(examples),
    ]
    html = [
        f"<h3>{escape(title)}</h3><p>{escape(window)}</p>",
        report.html_table(results),
        report.people_html(people),
        report.examples_html(examples),
    ]
    return {
        "title": title,
        "text": "\n".join(filter(None, text)),
        "markdown": "\n\n".join(filter(None, markdown)),
        "html": "".join(html),
        "verdict": dict(verdict),
    }
