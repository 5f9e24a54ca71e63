"""A gate's verdict, as a notifier of Airflow's own kind sends it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_online_tasks.exceptions import EvalGateFailed, InvalidInput
from airflow_provider_online_tasks.notifications.eval_gate import EvalGateNotifier
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.summaries import results, summary


class Channel(BaseNotifier):
    """Renders templates as those of mail and chat do, and keeps what it would send."""

    template_fields = ("subject", "body")

    def __init__(self, subject, body):
        super().__init__()
        self.subject, self.body, self.sent = subject, body, []

    def notify(self, context):
        self.sent.append((self.subject, self.body))


NASTY = "<script>alert(1)</script> | [x](y)\nnext line"


def verdict_of(**figures):
    found = summary(e=results(labels={"ok": 1, "bad": 9}, **figures)) | {
        "data_start_time": "2026-01-01T00:00:00Z",
        "data_end_time": "2026-01-02T00:00:00Z",
    }
    pushed = {}
    task = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    gate = EvalGateOperator(task_id="gate", summary=found, rules={"e": {"ok": ">= 0.5"}})
    with pytest.raises(EvalGateFailed) as breach:
        gate.execute({"ti": task})
    return breach.value, pushed["return_value"]


def sent_by(format_, *, exception=None, xcom=None):
    channel = Channel("{{ eval_gate.title }}", f"{{{{ eval_gate.{format_} }}}}")
    pulled = []

    def pull(**arguments):
        pulled.append(arguments)
        return xcom

    task = SimpleNamespace(dag_id="release", task_id="gate", map_index=-1, xcom_pull=pull)
    EvalGateNotifier(channel)({"ti": task, "exception": exception, "dag": None})
    [(subject, body)] = channel.sent
    return subject, body, pulled


def test_the_verdict_of_the_failure_is_sent():
    error, _ = verdict_of()
    subject, body, pulled = sent_by("text", exception=error)
    assert subject == "release.gate: failed, 2 of 3 rules passed"
    assert "Spans from 2026-01-01T00:00:00Z" in body
    assert "FAILED" in body
    assert pulled == []


def test_the_verdict_of_a_success_or_a_skip_comes_from_xcom():
    _, verdict = verdict_of()
    subject, _, pulled = sent_by("text", xcom=verdict)
    assert subject == "release.gate: failed, 2 of 3 rules passed"
    assert pulled == [{"task_ids": "gate", "map_indexes": -1}]


@pytest.mark.parametrize(("format_", "is_escaped"), [("html", "&lt;script&gt;"), ("markdown", r"\<script\>")])
def test_what_spans_and_judges_say_is_escaped(format_, is_escaped):
    worst = {"span_id": "s", "trace_id": "t", "label": "bad", "score": None, "input": NASTY, "url": None}
    error, _ = verdict_of(lowest_scoring_examples=[worst])
    _, body, _ = sent_by(format_, exception=error)
    assert "<script>" not in body
    assert is_escaped in body
    assert "next line" in body


@pytest.mark.parametrize("url", ["https://app.arize.com/spans?id=s", None])
@pytest.mark.parametrize(
    ("format_", "link"), [("html", '<a href="{}">in Arize</a>'), ("markdown", "([in Arize]({}))")]
)
def test_an_example_links_to_its_span_where_its_address_is_known(format_, link, url):
    worst = {"span_id": "s", "trace_id": "t", "label": "bad", "score": None, "input": "hello", "url": url}
    error, _ = verdict_of(lowest_scoring_examples=[worst])
    _, body, _ = sent_by(format_, exception=error)
    assert "hello" in body
    assert (link.format(url) in body) is (url is not None)
    assert ("in Arize" in body) is (url is not None)


def test_a_gate_that_did_not_judge_is_sent_too():
    subject, body, _ = sent_by("html", exception=ValueError("no <summary>"))
    assert subject == "release.gate gave no verdict: no <summary>"
    assert "&lt;summary&gt;" in body


@pytest.mark.parametrize("channel", [Channel, "mail", None])
def test_a_channel_that_is_no_notifier_is_refused(channel):
    with pytest.raises(InvalidInput, match="channel must be a notifier"):
        EvalGateNotifier(channel)
