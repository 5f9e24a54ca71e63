"""How spans get their labels: the offline judge, a judge behind an endpoint, code evaluators."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.emulator.evaluators.code import run_check
from airflow_provider_online_tasks.emulator.evaluators.hub import TEMPLATES, Template
from airflow_provider_online_tasks.emulator.evaluators.labels import is_negative
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError, Question
from airflow_provider_online_tasks.emulator.evaluators.offline_judge import OfflineJudge
from airflow_provider_online_tasks.emulator.evaluators.openai_judge import OpenAIJudge
from airflow_provider_online_tasks.emulator.evaluators.texts import (
    fill,
    input_text,
    output_text,
    reference_text,
)
from airflow_provider_online_tasks.emulator.spans.sample import load_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONTEXT = "A parcel can be returned within 45 days. Water damage is not covered by the warranty."
QUESTION = "How long can I return a parcel?"


def span(answer: str | None = None, **attributes: Any) -> dict[str, Any]:
    values = {"input.value": QUESTION, "support.context": CONTEXT, **attributes}
    if answer is not None:
        values["output.value"] = answer
    return {"span_id": "s1", "kind": "AGENT", "status_code": "OK", "attributes": values}


def offline(
    judged: dict[str, Any],
    rails: Sequence[str] = ("incorrect", "correct"),
    choices: dict[str, float] | None = None,
    *,
    template: str = "Is it right?",
) -> Evaluation:
    return OfflineJudge().evaluate(Question(template, "", rails, choices, True, judged))


# --- templates ----------------------------------------------------------------------------------------------


def test_template_is_filled_with_the_values_that_exist() -> None:
    values = {"input": QUESTION, "attributes.output.value": "{input} {{input}}"}
    for template, expected in (
        ("{input} / {{ input }}", f"{QUESTION} / {QUESTION}"),
        ("{attributes.output.value}", "{input} {{input}}"),
        ("[{missing}]", "[{missing}]"),
        ('Answer as {"label": "x"} or {}, {not closed', 'Answer as {"label": "x"} or {}, {not closed'),
    ):
        assert fill(template, values) == expected


def test_texts_of_a_span_come_from_values_documents_or_messages() -> None:
    documents = {
        "retrieval.documents.0.document.content": "first",
        "retrieval.documents.0.document.score": 0.5,
        "retrieval.documents.1.document.content": "second",
    }
    assert reference_text({"attributes": documents}) == "first\nsecond"
    messages = {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Use these pages.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "Why?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Because.",
    }
    read = [text({"attributes": messages}) for text in (reference_text, input_text, output_text)]
    assert read == ["Use these pages.", "Why?", "Because."]
    assert (input_text(span("45")), output_text(span("45"))) == (QUESTION, "45")


# --- which rail is which ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rail",
    [
        *("incorrect", "hallucinated", "irrelevant", "bad", "not_relevant", "NotGrounded", "unhelpful", "no"),
        *(
            "Not correct",
            "fail",
            "false",
            "toxic",
            "unsafe",
            "unanswered",
            "dissatisfied",
            "off-topic",
            "un-safe",
        ),
    ],
)
def test_rail_speaks_against_the_span(rail: str) -> None:
    assert is_negative(rail) is True


@pytest.mark.parametrize(
    "rail",
    [
        *(
            "correct",
            "factual",
            "relevant",
            "good",
            "yes",
            "pass",
            "non-toxic",
            "nontoxic",
            "not_hallucinated",
        ),
        *("no issues", "fully grounded", "partially correct", "answered", "OK"),
    ],
)
def test_rail_speaks_for_the_span(rail: str) -> None:
    assert is_negative(rail) is False


@pytest.mark.parametrize("rail", ["", "1", "formal", "united", "red", "正しい"])
def test_wording_that_does_not_tell(rail: str) -> None:
    assert is_negative(rail) is None


# --- the offline judge --------------------------------------------------------------------------------------


def test_bad_answers_get_the_negative_label() -> None:
    explanations = set()
    for answer in (
        None,
        " \n",
        "I'm sorry, I can't help with that.",
        "Unfortunately I do not have that information.",
        "A parcel can be returned within 90 days.",
        "Water damage is covered by the warranty.",
        "Bake the sourdough bread in a hot iron pot.",
    ):
        result = offline(span(answer))
        assert result.label == "incorrect", answer
        explanations.add(result.explanation)
    assert len(explanations) == 5  # two are empty, two refuse


def test_good_answers_get_the_positive_label() -> None:
    for answer in (
        "You can return the parcel within 45 days.",
        "Water damage is not covered.",
        "1. Pack the parcel.\n2. Return it within 45 days.\nStep 3 is to wait.",
        "荷物は45日以内に返品できます。",
        "45",
        "Yes.",
    ):
        assert offline(span(answer)).label == "correct", answer


def test_a_failed_span_gets_the_negative_rail() -> None:
    assert offline({**span("You can return it within 45 days."), "status_code": "ERROR"}).label == "incorrect"


def test_an_answer_without_context_is_taken_as_it_is() -> None:
    assert offline({"attributes": {"output.value": "The moon has 12 sides."}}).label == "correct"


def test_a_retriever_is_judged_by_its_documents() -> None:
    rails = ("irrelevant", "relevant")
    found = {"retrieval.documents.0.document.content": CONTEXT, "input.value": QUESTION}
    search: dict[str, Any] = {"span_id": "s2", "kind": "RETRIEVER", "attributes": found}
    assert offline(search, rails).label == "relevant"
    search["attributes"] = {**found, "input.value": "Which boilers are supported?"}
    assert offline(search, rails).label == "irrelevant"
    search["attributes"] = {"input.value": QUESTION}
    assert offline(search, rails).label == "irrelevant"


def test_abuse_and_refusal_have_evaluators_of_their_own() -> None:
    wrong = span("A parcel can be returned within 90 days.")
    assert offline(wrong, ("toxic", "non-toxic")).label == "non-toxic"
    assert offline(span("Read the page, idiot."), ("toxic", "non-toxic")).label == "toxic"
    assert offline(wrong, ("refused", "answered")).label == "answered"
    assert offline(span("I cannot help you."), ("refused", "answered")).label == "refused"


def test_the_order_of_the_rails_does_not_matter() -> None:
    assert offline(span(""), ("correct", "incorrect")).label == "incorrect"
    assert offline(span("within 45 days"), ("correct", "incorrect")).label == "correct"


def test_scores_come_from_the_choices() -> None:
    choices = {"incorrect": 0, "correct": 1.0}
    assert offline(span(""), choices=choices)[:2] == ("incorrect", 0.0)
    assert offline(span("within 45 days"), choices=choices)[:2] == ("correct", 1.0)
    assert offline(span("within 45 days")).score is None


def test_scores_decide_where_the_wording_does_not() -> None:
    rails, choices = ("1", "2", "3"), {"1": 1.0, "2": 2.0, "3": 3.0}
    assert offline(span(""), rails, choices).label == "1"
    assert offline(span("within 45 days"), rails, choices).label == "3"


def test_otherwise_chance_decides_the_same_way_every_time() -> None:
    spans = [{**span("within 45 days"), "span_id": f"s{number}"} for number in range(60)]
    first = [offline(item, ("formal", "casual")).label for item in spans]
    assert first == [offline(item, ("formal", "casual")).label for item in spans]
    assert set(first) == {"formal", "casual"}


def test_the_judge_says_what_it_is() -> None:
    assert str(offline(span("")).explanation).startswith("Offline judge, deterministic, no LLM:")
    silent = OfflineJudge().evaluate(Question("", "", ["bad", "good"], None, False, span("")))
    assert silent == Evaluation("bad", None, None)


def test_an_evaluator_without_rails_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        offline(span("x"), ())


@given(
    answer=st.text(max_size=200),
    context=st.one_of(st.none(), st.integers(), st.text(max_size=200), st.lists(st.text())),
    rails=st.lists(st.text(max_size=12), min_size=1, max_size=4),
)
def test_any_span_gets_one_of_the_rails(answer: str, context: Any, rails: list[str]) -> None:
    judged = span(answer, **{"support.context": context})
    verdict = offline(judged, rails)
    assert verdict.label in rails
    assert verdict == offline(judged, rails)


def test_a_huge_answer_is_judged_quickly() -> None:
    started = time.monotonic()
    offline(span("a parcel, 45 days; " * 100_000, **{"support.context": "never a parcel, " * 100_000}))
    assert time.monotonic() - started < 60


def test_the_sample_gets_a_believable_share_of_each_label() -> None:
    hub = next(template for template in TEMPLATES if template.name == "correctness")
    agents = [item for item in load_spans(None, now=datetime.now(UTC)) if item["kind"] == "AGENT"]
    labels = [offline(item, list(hub.choices), hub.choices, template=hub.template).label for item in agents]
    assert 0.5 < labels.count("correct") / len(labels) < 0.8


# --- a judge behind an endpoint -----------------------------------------------------------------------------

KEY = "sk-not-for-logs"
Reply = tuple[int, dict[str, str], bytes]


class Endpoint:
    """A chat completions endpoint that answers what a test tells it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.reply: Callable[[], Reply] = lambda: completion("LABEL: correct")
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.asked.append(
                    {"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}
                )
                status, headers, answer = endpoint.reply()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the judge may have given up by now
                    self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


def completion(content: Any) -> Reply:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join(timeout=5)


def ask(judge: OpenAIJudge, *, explain: bool = True, choices: dict[str, float] | None = None) -> Evaluation:
    return judge.evaluate(Question("t", "Is it?", ("incorrect", "correct"), choices, explain, span("")))


def test_the_model_is_asked_for_one_of_the_rails(endpoint: Endpoint) -> None:
    endpoint.reply = lambda: completion("It says 90 days.\n\nLABEL: incorrect")
    verdict = ask(OpenAIJudge(endpoint.url, KEY, "small"), choices={"incorrect": 0.0, "correct": 1.0})
    assert verdict == Evaluation("incorrect", 0.0, "It says 90 days.")
    (request,) = endpoint.asked
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["body"]["model"] == "small"
    system, user = request["body"]["messages"]
    assert 'exactly one of: "incorrect", "correct"' in system["content"]
    assert user == {"role": "user", "content": "Is it?"}


def test_a_whole_url_and_no_key_will_do(endpoint: Endpoint) -> None:
    assert ask(OpenAIJudge(f"{endpoint.url}/chat/completions", None, "small")).label == "correct"
    assert endpoint.asked[0]["path"] == "/v1/chat/completions"
    assert "Authorization" not in endpoint.asked[0]["headers"]


def test_an_explanation_that_nobody_asked_for_is_dropped(endpoint: Endpoint) -> None:
    endpoint.reply = lambda: completion("Since it is.\nLABEL: correct")
    assert ask(OpenAIJudge(endpoint.url, KEY, "small"), explain=False) == Evaluation("correct", None, None)


@pytest.mark.parametrize(
    "said", ["correct", "LABEL: Correct", " **label: 'correct'.**\n", '"correct"', "`correct`"]
)
def test_the_label_may_be_dressed(endpoint: Endpoint, said: str) -> None:
    endpoint.reply = lambda: completion(said)
    assert ask(OpenAIJudge(endpoint.url, KEY, "small")).label == "correct"


def test_response_without_a_label_is_an_error(endpoint: Endpoint) -> None:
    replies: list[Reply] = [
        completion("maybe correct"),
        completion("LABEL: correct\nI think."),
        completion(""),
        completion(None),
        (200, {}, b"<html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b"[1]"),
        (200, {}, b"\xff"),
        (200, {}, b"x" * 1_000_001),
        (200, {"Content-Length": "99"}, b"{"),
        (401, {}, f"wrong key {KEY}".encode()),
        (429, {}, b"slow down"),
        (503, {}, b"<html>" * 500),
        (307, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
        (302, {"Location": f"{endpoint.url}/elsewhere"}, b""),
    ]
    judge = OpenAIJudge(endpoint.url, KEY, "small", timeout=60)
    for number, reply in enumerate(replies, 1):
        endpoint.reply = lambda reply=reply: reply
        with pytest.raises(EvaluationError) as caught:
            ask(judge)
        assert KEY not in str(caught.value)
        assert len(str(caught.value)) < 400
        # A redirect is not followed: it would send the key to another host.
        assert len(endpoint.asked) == number


def test_label_is_read_after_an_error(endpoint: Endpoint) -> None:
    judge = OpenAIJudge(endpoint.url, KEY, "small")
    endpoint.reply = lambda: (503, {}, b"busy")
    with pytest.raises(EvaluationError):
        ask(judge)
    endpoint.reply = lambda: completion("LABEL: correct")
    assert ask(judge).label == "correct"


def test_a_silent_endpoint_is_given_up(endpoint: Endpoint) -> None:
    release = threading.Event()

    def late() -> Reply:
        release.wait(60)
        return completion("LABEL: correct")

    endpoint.reply = late
    with pytest.raises(EvaluationError):
        ask(OpenAIJudge(endpoint.url, KEY, "small", timeout=0.2))
    release.set()


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(EvaluationError):
            ask(OpenAIJudge(url, KEY, "small"))


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://127.0.0.1/v1", "file:///etc/hosts", "http://"])
def test_only_http_endpoints_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        OpenAIJudge(url, KEY, "small")


def test_the_key_is_not_shown() -> None:
    assert (
        repr(OpenAIJudge("http://127.0.0.1/v1", KEY, "small"))
        == "OpenAIJudge(host='127.0.0.1', model='small')"
    )


# --- code evaluators ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "label"),
    [
        ("JSONParseable", None, "fail"),
        ("JSON_PARSEABLE", {"span_attribute": "attributes.metadata"}, "pass"),
        ("json_parseable", {"span_attribute": "metadata"}, "pass"),
        ("MATCHES_REGEX", {"pattern": r"\d+ days"}, "pass"),
        ("MatchesRegex", {"pattern": "^days"}, "fail"),
        ("contains_any_keyword", {"keywords": ["refund", "days"]}, "pass"),
        ("ContainsAnyKeyword", {"keywords": "refund, return"}, "fail"),
        ("CONTAINS_ALL_KEYWORDS", {"keywords": ["45", "days"]}, "pass"),
        ("contains_all_keywords", {"keywords": ["45", "weeks"]}, "fail"),
        ("EXACT_MATCH", {"expected": "within 45 days"}, "pass"),
        ("exact_match", {"expected": "45 days"}, "fail"),
    ],
)
def test_code_evaluator(name: str, parameters: dict[str, Any] | None, label: str) -> None:
    verdict = run_check(name, span("within 45 days", metadata='{"plan": 1}'), parameters)
    assert (verdict.label, verdict.score) == (label, float(label == "pass"))
    assert verdict.explanation


def test_check_without_valid_parameters_is_an_error() -> None:
    checks: list[tuple[str, dict[str, Any]]] = [
        ("import os", {}),
        ("matches_regex", {}),
        ("matches_regex", {"pattern": "("}),
        ("contains_any_keyword", {"keywords": []}),
        ("contains_all_keywords", {"keywords": [1]}),
        ("exact_match", {"expected": 1}),
    ]
    for name, parameters in checks:
        with pytest.raises(EvaluationError):
            run_check(name, span("x"), parameters)


def test_slow_pattern_is_stopped_and_not_tried_again() -> None:
    pattern = r"^(.+)(.+)(.+)(.+)(.+)(.+)\6\5\4\3\2\1$"
    text = span(
        "You can return the parcel within 45 days, and the warranty does not cover water damage. " * 2
    )
    for _ in range(20):
        began = time.monotonic()
        with pytest.raises(EvaluationError):
            run_check("matches_regex", text, {"pattern": pattern})
        last = time.monotonic() - began
    assert last < 0.4
    # Other patterns still work.
    assert run_check("matches_regex", text, {"pattern": "parcel"}).label == "pass"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_template_of_the_hub_judges_the_sample(template: Template) -> None:
    for item in load_spans(None, now=datetime.now(UTC)):
        verdict = offline(item, list(template.choices), template.choices, template=template.template)
        assert verdict.label in template.choices
