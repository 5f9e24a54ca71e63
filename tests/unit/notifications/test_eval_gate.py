"""Tests for EvalGateNotifier: the verdict reaches the templates of the inner notifier."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_online_tasks.exceptions import EvalGateFailed, InvalidInput
from airflow_provider_online_tasks.notifications.eval_gate import EvalGateNotifier
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.recurring_gates import DailyGate
from tests.support.summaries import results, summary

NASTY = "<script>alert(1)</script> | [x](y)\nnext line"
TITLE = "release.gate: failed, 2 of 3 rules passed"
START, END = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


class Channel(BaseNotifier):
    """Renders templates as notifiers for email and chat do, and keeps what it would send."""

    template_fields = ("subject", "body")

    def __init__(self, subject: str, body: str) -> None:
        super().__init__()
        self.subject, self.body = subject, body
        self.sent: list[tuple[str, str]] = []

    def notify(self, context: Any) -> None:
        self.sent.append((self.subject, self.body))


def failed_gate(**figures: Any) -> EvalGateFailed:
    found = summary(e=results(labels={"ok": 1, "bad": 9}, **figures))
    found |= {"data_start_time": START, "data_end_time": END}
    gate = EvalGateOperator(task_id="gate", summary=found, rules={"e": {"ok": ">= 0.5"}})
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    with pytest.raises(EvalGateFailed) as failed:
        gate.execute(context)
    return failed.value


def notify(channel: Channel, exception: Exception | None = None, xcom: Any = None) -> list[Any]:
    """Call the notifier; return the arguments of each XCom pull."""
    pulled = []

    def pull(**arguments: Any) -> Any:
        pulled.append(arguments)
        return xcom

    task = SimpleNamespace(dag_id="release", task_id="gate", map_index=3, xcom_pull=pull)
    EvalGateNotifier(channel)({"ti": task, "exception": exception, "dag": None})  # type: ignore[typeddict-item]
    return pulled


def sent(form: str, exception: Exception | None = None, xcom: Any = None) -> tuple[str, str]:
    channel = Channel("{{ eval_gate.title }}", f"{{{{ eval_gate.{form} }}}}")
    notify(channel, exception, xcom)
    [message] = channel.sent
    return message


def test_verdict_of_a_failure_comes_from_the_exception() -> None:
    channel = Channel("{{ eval_gate.title }}", "{{ eval_gate.text }}")

    assert notify(channel, failed_gate()) == []

    [(subject, body)] = channel.sent
    assert subject == TITLE
    assert START in body
    assert "FAILED" in body


def test_verdict_of_success_or_skip_read_from_xcom_of_map_index() -> None:
    channel = Channel("{{ eval_gate.title }}", "")

    pulled = notify(channel, xcom=failed_gate().verdict)

    assert channel.sent == [(TITLE, "")]
    assert pulled == [{"task_ids": "gate", "map_indexes": 3}]


def test_verdict_that_was_approved_names_the_person() -> None:
    verdict = {**failed_gate().verdict, "approved": True, "responded_by": "Ann"}
    subject, _ = sent("text", xcom=verdict)
    assert "approved by Ann" in subject


def test_verdict_that_was_not_approved_names_no_approval() -> None:
    verdict = {**failed_gate().verdict, "approved": False, "responded_by": "Bob"}
    assert sent("text", xcom=verdict)[0] == TITLE


@pytest.mark.parametrize(("form", "escaped"), [("html", "&lt;script&gt;"), ("markdown", r"\<script\>")])
def test_texts_of_spans_are_escaped(form: str, escaped: str) -> None:
    example = {"span_id": "s", "trace_id": "t", "label": "bad", "score": None, "input": NASTY, "url": None}
    _, body = sent(form, failed_gate(examples=[example]))
    assert "<script>" not in body
    assert escaped in body
    assert "next line" in body


@pytest.mark.parametrize("url", ["https://app.arize.com/spans?id=s", None])
@pytest.mark.parametrize(("form", "link"), [("html", '<a href="{}">'), ("markdown", "]({})")])
def test_example_links_to_its_span_if_the_url_is_known(form: str, link: str, url: str | None) -> None:
    example = {"span_id": "s", "trace_id": "t", "label": "bad", "score": None, "input": "hello", "url": url}
    _, body = sent(form, failed_gate(examples=[example]))
    assert "hello" in body
    assert (link.format(url) in body) is (url is not None)


@pytest.mark.parametrize("xcom", [None, "text", {}, {"rules": None}])
def test_gate_without_verdict_is_sent_with_its_exception(xcom: Any) -> None:
    subject, body = sent("html", ValueError("no <summary>"), xcom)
    assert "no <summary>" in subject
    assert "&lt;summary&gt;" in body


@pytest.mark.parametrize("channel", [Channel, "mail", None])
def test_channel_that_is_not_a_notifier_is_rejected(channel: Any) -> None:
    with pytest.raises(InvalidInput):
        EvalGateNotifier(channel)


def titles_sent(verdict: dict[str, Any], remind_every: int) -> list[str]:
    """Return the titles of the messages that are sent for a verdict."""
    task = SimpleNamespace(dag_id="release", task_id="gate", map_index=-1, xcom_pull=lambda **_: verdict)
    channel = Channel("{{ eval_gate.title }}", "")
    EvalGateNotifier(channel, remind_every=remind_every)({"ti": task, "dag": None})  # type: ignore[typeddict-item]
    return [subject.split(",")[0].removeprefix("release.gate: ") for subject, _ in channel.sent]


def test_incident_is_sent_once_with_reminders_and_recovery() -> None:
    gate = DailyGate()
    shares = [955] * 3 + [700] * 7 + [955] * 3
    verdicts = [gate.check(day, correct, 1_000) for day, correct in enumerate(shares)]
    sent = {day: titles for day, verdict in enumerate(verdicts) if (titles := titles_sent(verdict, 3))}
    # The first, third and sixth failing window, and the second good one.
    assert sent == {3: ["failed"], 5: ["failed"], 8: ["failed"], 11: ["recovered"]}


def test_incident_is_sent_once_if_bound_changes() -> None:
    gate = DailyGate(rules={"e": {"correct": ">= 0.9"}})
    sent = {}
    for day in range(40):
        if day in (25, 35):
            gate.arguments["rules"] = {"e": {"correct": ">= 0.95" if day == 25 else ">= 0.9"}}
        if titles := titles_sent(gate.check(day, 930, 1_000), 7):
            sent[day] = titles
    # The first and seventh window that is checked with the higher bound, and the first with the lower one.
    assert sent == {25: ["failed"], 31: ["failed"], 35: ["recovered"]}


def test_incident_is_sent_if_earlier_windows_were_checked_in_reverse_order() -> None:
    gate = DailyGate()
    assert {gate.check(day, 920, 1_000)["outcome"] for day in reversed(range(15))} == {"passed"}
    verdicts = [gate.check(day, 920, 1_000) for day in (15, 16)]
    assert [titles_sent(verdict, 7) for verdict in verdicts] == [["failed"], []]


def test_end_of_incident_by_new_evaluator_version_is_sent() -> None:
    gate = DailyGate()
    gate.check(0, 700, 1_000, version_id="v1")
    gate.check(1, 700, 1_000, version_id="v1")
    assert titles_sent(gate.check(2, 955, 1_000, version_id="v2"), 7) == ["recovered"]
    assert titles_sent(gate.check(3, 700, 1_000, version_id="v2"), 7) == ["failed"]
    assert titles_sent(gate.check(4, 700, 1_000, version_id="v3"), 7) == ["failed"]


def test_other_failures_are_always_sent() -> None:
    verdict = DailyGate().check(0, 955, 1_000, complete=False)
    channel = Channel("{{ eval_gate.title }}", "")
    task = SimpleNamespace(dag_id="release", task_id="gate", map_index=-1, xcom_pull=lambda **_: verdict)
    EvalGateNotifier(channel, remind_every=3)({"ti": task, "dag": None})  # type: ignore[typeddict-item]
    assert len(channel.sent) == 1


@pytest.mark.parametrize("gate_passes", [True, False])
def test_inconclusive_rule_that_lets_the_gate_pass_is_no_news(gate_passes: bool) -> None:
    rules = {"e": {"correct": ">= 0.95", "max_drop": 0.02}}
    setting = "pass" if gate_passes else "fail"
    verdict = DailyGate(rules=rules, on_inconclusive=setting).check(0, 955, 1_000)
    assert (verdict["outcome"], verdict["passed"]) == ("inconclusive", gate_passes)
    channel = Channel("{{ eval_gate.title }}", "")
    task = SimpleNamespace(dag_id="release", task_id="gate", map_index=-1, xcom_pull=lambda **_: verdict)
    EvalGateNotifier(channel, remind_every=3)({"ti": task, "dag": None})  # type: ignore[typeddict-item]
    assert len(channel.sent) == (0 if gate_passes else 1)


@pytest.mark.parametrize("number", [0, -1, 1.5, "two"])
def test_wrong_reminder_is_rejected(number: Any) -> None:
    with pytest.raises(InvalidInput, match="remind_every"):
        EvalGateNotifier(Channel("", ""), remind_every=number)
