"""How spans get their labels: the offline judge, an LLM judge behind an endpoint, code evaluators."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.emulator.evaluators.code import run_check
from airflow_provider_online_tasks.emulator.evaluators.hub import TEMPLATES
from airflow_provider_online_tasks.emulator.evaluators.judge import (
    input_text,
    is_negative,
    judge,
    output_text,
    reference_text,
)
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError
from airflow_provider_online_tasks.emulator.spans.sample import load_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    return judge(template, rails, choices, judged)


# --- templates ----------------------------------------------------------------------------------------------


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
def test_negative_label_is_recognized(rail: str) -> None:
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
def test_positive_label_is_recognized(rail: str) -> None:
    assert is_negative(rail) is False


@pytest.mark.parametrize("rail", ["", "1", "formal", "united", "red", "正しい"])
def test_neutral_label_is_neither_negative_nor_positive(rail: str) -> None:
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
    assert len(explanations) == 5  # two are empty, two decline to answer


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


def test_failed_span_gets_the_negative_label() -> None:
    assert offline({**span("You can return it within 45 days."), "status_code": "ERROR"}).label == "incorrect"


def test_output_without_context_gets_the_positive_label() -> None:
    assert offline({"attributes": {"output.value": "The moon has 12 sides."}}).label == "correct"


def test_retriever_is_evaluated_by_its_documents() -> None:
    rails = ("irrelevant", "relevant")
    found = {"retrieval.documents.0.document.content": CONTEXT, "input.value": QUESTION}
    search: dict[str, Any] = {"span_id": "s2", "kind": "RETRIEVER", "attributes": found}
    assert offline(search, rails).label == "relevant"
    search["attributes"] = {**found, "input.value": "Which boilers are supported?"}
    assert offline(search, rails).label == "irrelevant"
    search["attributes"] = {"input.value": QUESTION}
    assert offline(search, rails).label == "irrelevant"


def test_abuse_and_declined_answer_labels_use_separate_rules() -> None:
    wrong = span("A parcel can be returned within 90 days.")
    assert offline(wrong, ("toxic", "non-toxic")).label == "non-toxic"
    assert offline(span("Read the page, idiot."), ("toxic", "non-toxic")).label == "toxic"
    assert offline(wrong, ("refused", "answered")).label == "answered"
    assert offline(span("I cannot help you."), ("refused", "answered")).label == "refused"


def test_order_of_labels_does_not_matter() -> None:
    assert offline(span(""), ("correct", "incorrect")).label == "incorrect"
    assert offline(span("within 45 days"), ("correct", "incorrect")).label == "correct"


def test_scores_come_from_the_choices() -> None:
    choices = {"incorrect": 0, "correct": 1.0}
    assert offline(span(""), choices=choices)[:2] == ("incorrect", 0.0)
    assert offline(span("within 45 days"), choices=choices)[:2] == ("correct", 1.0)
    assert offline(span("within 45 days")).score is None


def test_scores_decide_between_neutral_labels() -> None:
    rails, choices = ("1", "2", "3"), {"1": 1.0, "2": 2.0, "3": 3.0}
    assert offline(span(""), rails, choices).label == "1"
    assert offline(span("within 45 days"), rails, choices).label == "3"


def test_neutral_labels_are_chosen_deterministically() -> None:
    spans = [{**span("within 45 days"), "span_id": f"s{number}"} for number in range(60)]
    first = [offline(item, ("formal", "casual")).label for item in spans]
    assert first == [offline(item, ("formal", "casual")).label for item in spans]
    assert set(first) == {"formal", "casual"}


def test_explanation_names_the_offline_judge() -> None:
    assert str(offline(span("")).explanation).startswith("Offline judge, deterministic, no LLM:")


def test_evaluator_without_labels_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        offline(span("x"), ())


@given(
    answer=st.text(max_size=200),
    context=st.one_of(st.none(), st.integers(), st.text(max_size=200), st.lists(st.text())),
    rails=st.lists(st.text(max_size=12), min_size=1, max_size=4),
)
def test_any_span_gets_one_of_the_labels(answer: str, context: Any, rails: list[str]) -> None:
    judged = span(answer, **{"support.context": context})
    verdict = offline(judged, rails)
    assert verdict.label in rails
    assert verdict == offline(judged, rails)


def test_huge_output_is_evaluated_quickly() -> None:
    started = time.monotonic()
    offline(span("a parcel, 45 days; " * 100_000, **{"support.context": "never a parcel, " * 100_000}))
    assert time.monotonic() - started < 60


def test_sample_gets_a_plausible_share_of_each_label() -> None:
    hub = next(template for template in TEMPLATES if template["column_name"] == "correctness")
    choices = hub["classification_choices"]
    agents = [item for item in load_spans(None, now=datetime.now(UTC)) if item["kind"] == "AGENT"]
    labels = [offline(item, list(choices), choices, template=hub["template"]).label for item in agents]
    assert 0.5 < labels.count("correct") / len(labels) < 0.8


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
def test_managed_check_returns_label(name: str, parameters: dict[str, Any] | None, label: str) -> None:
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


def test_slow_pattern_is_stopped_and_not_repeated() -> None:
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


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["column_name"])
def test_every_hub_template_evaluates_the_sample(template: dict[str, Any]) -> None:
    choices = template["classification_choices"]
    for item in load_spans(None, now=datetime.now(UTC)):
        verdict = offline(
            item,
            list(choices),
            choices,
            template=template["template"],
        )
        assert verdict.label in choices
