"""The default judge: deterministic rules, offline, without a language model."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.evaluators.labels import (
    ABUSE_STEMS,
    REFUSAL_STEMS,
    choose,
    is_negative,
    names_any,
)
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError, Question
from airflow_provider_online_tasks.emulator.evaluators.texts import (
    documents_text,
    input_text,
    output_text,
    reference_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIGNATURE: Final = "Offline judge, deterministic, no LLM:"

# only the beginning of longer texts is read: a span must not take seconds
_READ: Final = 10_000
_REFUSAL: Final = re.compile(
    r"\b(?:can(?:no|')t|cannot|can not|unable to|won't|not able to) (?:help|assist|answer|provide|comply)"
    r"|\b(?:do not|don't|does not) (?:have|know)\b.{0,30}\b(?:information|answer|enough)"
    r"|\bi don't know\b",
    re.IGNORECASE,
)
_ABUSE: Final = re.compile(r"\b(?:idiot|moron|stupid|shut up|dumb|loser)s?\b", re.IGNORECASE)
_LIST_NUMBER: Final = re.compile(r"\bstep \d+\b|^ *\d+[.)] ", re.IGNORECASE | re.MULTILINE)
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_CLAUSE: Final = re.compile(r"(?<!\d)[.,;:!?]+|[.,;:!?]+(?!\d)|\n+")
_NEGATION: Final = re.compile(r"\b(?:no|not|never|cannot|none|without)\b|n't\b", re.IGNORECASE)
_COMMON: Final = re.compile(
    r"""a|about|after|all|also|an|and|any|are|as|at|be|been|but|by|can|do|does|for|from|had|has|have|how|i|if|in
    |into|is|it|its|just|may|more|my|no|not|of|on|only|or|our|out|so|such|than|that|the|their|them|then|there
    |these|they|this|to|up|was|we|were|what|when|where|which|who|why|will|with|you|your""",
    re.VERBOSE,
)
_SAME_CLAUSE_WORDS: Final = 3
_FEW_WORDS: Final = 4
_LITTLE_OVERLAP: Final = 0.15


class OfflineJudge:
    """
    Labels a span by simple rules; the same span always gets the same label.

    A span gets a negative label if it failed, if its output is empty or refuses to answer, and if the output
    contradicts its context or shares no words with it.
    """

    def evaluate(self, question: Question) -> Evaluation:
        """Return one of the labels."""
        rails, span = question.rails, question.span
        if not rails:
            raise EvaluationError("The evaluator has no rails; it needs at least two labels")
        problem = _problem(span, [rail for rail in rails if is_negative(rail)])
        seed = "\n".join([question.template, *rails, str(span.get("span_id"))])
        label = choose(rails, question.choices, negative=problem is not None, seed=seed)
        return question.evaluation(
            label, f"{SIGNATURE} {problem or 'no rule found a problem with the span'}."
        )


def _problem(span: Mapping[str, Any], negative_rails: Sequence[str]) -> str | None:
    answer = _normal(output_text(span))
    if any(names_any(rail, ABUSE_STEMS) for rail in negative_rails):
        return "the output is abusive" if _ABUSE.search(answer) else None
    if any(names_any(rail, REFUSAL_STEMS) for rail in negative_rails):
        return "the output refuses to answer" if _REFUSAL.search(answer) else None
    if span.get("status_code") == "ERROR":
        return "the span ended with the status ERROR"
    question = _normal(input_text(span))
    if span.get("kind") == "RETRIEVER":
        return _retrieval_problem(question, _normal(documents_text(span)))
    return _answer_problem(question, answer, _normal(reference_text(span)))


def _retrieval_problem(question: str, documents: str) -> str | None:
    if not documents.strip():
        return "nothing was retrieved"
    if _comparable(question, documents) and not _content_words(question) & _content_words(documents):
        return "the documents share no words with the question"
    return None


def _answer_problem(question: str, answer: str, context: str) -> str | None:
    if not answer.strip():
        return "the output is empty"
    if _REFUSAL.search(answer):
        return "the output refuses to answer"
    if not context.strip():
        return None
    if number := _unsupported_number(answer, f"{question}\n{context}"):
        return f"the output contains {number}, but its context does not"
    if clause := _reversed_clause(answer, context):
        return f"the output contradicts its context: {clause!r}"
    if _comparable(answer, context) and _overlap(answer, context) < _LITTLE_OVERLAP:
        return "the output shares almost no words with its context"
    return None


def _unsupported_number(answer: str, context: str) -> str | None:
    known = set(_NUMBER.findall(context))
    if not known:
        return None
    said = _NUMBER.findall(_LIST_NUMBER.sub(" ", answer))
    return next((number for number in said if number not in known), None)


def _reversed_clause(answer: str, context: str) -> str | None:
    """Return a clause of the output that negates a clause of the context."""
    stated = [(_content_words(clause), bool(_NEGATION.search(clause))) for clause in _CLAUSE.split(context)]
    for clause in _CLAUSE.split(answer):
        said, negated = _content_words(clause), bool(_NEGATION.search(clause))
        for known, known_negated in stated:
            smaller = min(said, known, key=len)
            if (
                negated is not known_negated
                and len(smaller) >= _SAME_CLAUSE_WORDS
                and smaller <= (said & known)
            ):
                return clause.strip()
    return None


def _overlap(answer: str, context: str) -> float:
    said = _content_words(answer)
    return len(said & _content_words(context)) / len(said) if len(said) >= _FEW_WORDS else 1.0


def _content_words(text: str) -> set[str]:
    found = re.findall(r"[^\W_]+", text.lower())
    # a plural is the same word
    return {
        word.removesuffix("s") if len(word) > _FEW_WORDS else word
        for word in found
        if not _COMMON.fullmatch(word)
    }


def _comparable(one: str, other: str) -> bool:
    """Return whether both texts are in Latin script; words of different scripts cannot be compared."""
    return _is_latin(one) and _is_latin(other)


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text[:500] if letter.isalpha()]
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) * 2 > len(letters)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:_READ])
