"""The offline judge of template evaluators: deterministic rules, offline, without a language model.

A span gets a negative label if it failed, if its output is empty or refuses to answer, and if the output
contradicts its context or shares no words with it. The wording of the labels tells which are negative.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError
from airflow_provider_online_tasks.emulator.spans.values import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIGNATURE: Final = "Offline judge, deterministic, no LLM:"

_REFERENCE_NAMES: Final = frozenset({"reference", "context", "documents"})
_READ: Final = 10_000  # only the beginning of longer texts is read: a span must not take seconds
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

_NEGATORS: Final = frozenset({"not", "no", "non", "un", "never", "isn", "doesn", "without", "cannot"})
# The beginnings of negative and of positive words in labels.
_BAD: Final = re.compile(
    r"""abus|bad|bias|broken|confus|error|fabricat|fail|false|frustrat|hallucinat|harm|hate|inaccura|incoherent
    |incomplet|inconsisten|incorrect|invalid|irrelevan|issue|mislead|negativ|off$|offens|poor|problem|profan
    |refus|reject|terribl|toxic|violat|weak|wrong""",
    re.VERBOSE,
)
_GOOD: Final = re.compile(
    r"""accept|accura|agree|answered|clean|clear|coheren|complet|concise|consisten|correct|excellen|fact|faithful
    |good|great|ground|help|ok|pass|perfect|polite|positiv|relevan|resolv|right|safe|satisf|succe|support|true
    |useful|valid|yes""",
    re.VERBOSE,
)
_ABUSE_STEMS: Final = ("abus", "bias", "harm", "hate", "offens", "profan", "toxic", "unsafe", "violat")
_REFUSAL_STEMS: Final = ("refus", "reject")


def judge(
    template: str, rails: Sequence[str], choices: Mapping[str, float] | None, span: Mapping[str, Any]
) -> Evaluation:
    """Return the evaluation of a span; the same span and template always get the same label."""
    if not rails:
        raise EvaluationError("The evaluator has no rails; it needs at least two labels")
    problem = _problem(span, [word for rail in rails if is_negative(rail) for word in _words(rail)])
    seed = "\n".join([template, *rails, str(span.get("span_id"))])
    label = _choose(rails, choices or {}, negative=problem is not None, seed=seed)
    score = (choices or {}).get(label)
    explanation = f"{SIGNATURE} {problem or 'no rule found a problem with the span'}."
    return Evaluation(label, None if score is None else float(score), explanation)


def is_negative(rail: str) -> bool | None:
    """Return whether a label is negative; None if its wording does not tell."""
    negated = False
    tone: bool | None = None
    for word in _words(rail):
        if word in _NEGATORS:
            negated = not negated
        elif tone is None:
            tone = _is_negative_word(word)
    if tone is None:
        return True if negated else None
    return tone is not negated


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def _is_negative_word(word: str) -> bool | None:
    if _BAD.match(word):
        return True
    if _GOOD.match(word):
        return False
    if word.startswith("non") and len(word) > len("non"):
        rest = _is_negative_word(word.removeprefix("non"))
        return None if rest is None else not rest
    if word.startswith("un") and len(word) > len("under") and not word.startswith(("under", "uni", "until")):
        return True
    return True if word.startswith(("dis", "mis")) and _GOOD.match(word, 3) else None


def _choose(rails: Sequence[str], choices: Mapping[str, float], *, negative: bool, seed: str) -> str:
    """Return a negative or a positive label: by its wording, else by its score, else by the seed."""
    tones = {rail: is_negative(rail) for rail in rails}
    candidates = [rail for rail in rails if tones[rail] is negative]
    candidates = candidates or [rail for rail in rails if tones[rail] is None] or list(rails)
    scores = {rail: choices[rail] for rail in candidates if choices.get(rail) is not None}
    if len(scores) == len(candidates) and len(set(scores.values())) > 1:
        extreme = min(scores.values()) if negative else max(scores.values())
        candidates = [rail for rail in candidates if scores[rail] == extreme]
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return candidates[int.from_bytes(digest[:8], "big") % len(candidates)]


def _problem(span: Mapping[str, Any], negative_words: Sequence[str]) -> str | None:
    """Return what is wrong with a span."""
    answer, question = _normal(output_text(span)), _normal(input_text(span))
    if any(word.startswith(_ABUSE_STEMS) for word in negative_words):
        return "the output is abusive" if _ABUSE.search(answer) else None
    refuses = "the output refuses to answer" if _REFUSAL.search(answer) else None
    if any(word.startswith(_REFUSAL_STEMS) for word in negative_words):
        return refuses
    if span.get("status_code") == "ERROR":
        return "the span ended with the status ERROR"
    if span.get("kind") == "RETRIEVER":
        documents = _normal(_documents(span))
        if not documents.strip():
            return "nothing was retrieved"
        unrelated = not _content_words(question) & _content_words(documents)
        compared = _is_latin(question) and _is_latin(documents)
        return "the documents share no words with the question" if compared and unrelated else None
    if not answer.strip():
        return "the output is empty"
    context = _normal(reference_text(span))
    return refuses or (_contradiction(question, answer, context) if context.strip() else None)


def _contradiction(question: str, answer: str, context: str) -> str | None:
    numbers = set(_NUMBER.findall(f"{question}\n{context}"))
    for number in _NUMBER.findall(_LIST_NUMBER.sub(" ", answer)):
        if numbers and number not in numbers:
            return f"the output contains {number}, but its context does not"
    clauses = [(_content_words(clause), bool(_NEGATION.search(clause))) for clause in _CLAUSE.split(context)]
    for clause in _CLAUSE.split(answer):
        said, negated = _content_words(clause), bool(_NEGATION.search(clause))
        for known, known_negated in clauses:
            smaller = min(said, known, key=len)
            same = len(smaller) >= _SAME_CLAUSE_WORDS and smaller <= (said & known)
            if same and negated is not known_negated:
                return f"the output contradicts its context: {clause.strip()!r}"
    said, known = _content_words(answer), _content_words(context)
    little = len(said) >= _FEW_WORDS and len(said & known) / len(said) < _LITTLE_OVERLAP
    if little and _is_latin(answer) and _is_latin(context):
        return "the output shares almost no words with its context"
    return None


def _content_words(text: str) -> set[str]:
    """Return the words of a text without common ones; a plural is the same word."""
    return {
        word.removesuffix("s") if len(word) > _FEW_WORDS else word
        for word in re.findall(r"[^\W_]+", text.lower())
        if not _COMMON.fullmatch(word)
    }


def _is_latin(text: str) -> bool:
    """Return whether a text is in Latin script; words of other scripts are not compared."""
    letters = [letter for letter in text[:500] if letter.isalpha()]
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) * 2 > len(letters)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:_READ])


def input_text(span: Mapping[str, Any]) -> str:
    """Return the input of a span."""
    return text_of(span, "input.value") or _messages(span, "llm.input_messages.", "user")


def output_text(span: Mapping[str, Any]) -> str:
    """Return the output of a span."""
    return text_of(span, "output.value") or _messages(span, "llm.output_messages.", "assistant")


def reference_text(span: Mapping[str, Any]) -> str:
    """Return the texts that a span's output should agree with: retrieved documents and context."""
    context = [key for key in span["attributes"] if key.rpartition(".")[2] in _REFERENCE_NAMES]
    texts = [_documents(span), *(text_of(span, key) for key in context)]
    # applications put retrieved texts into the system message
    return "\n".join(filter(None, texts)) or _messages(span, "llm.input_messages.", "system")


def text_of(span: Mapping[str, Any], key: str) -> str:
    """Return an attribute of a span as text, empty if it is missing."""
    return as_text(span["attributes"].get(key)) or ""


def _documents(span: Mapping[str, Any]) -> str:
    return "\n".join(
        text_of(span, key)
        for key in span["attributes"]
        if key.startswith("retrieval.documents.") and key.endswith(".document.content")
    )


def _messages(span: Mapping[str, Any], prefix: str, role: str) -> str:
    return "\n".join(
        text_of(span, key.removesuffix("role") + "content")
        for key, value in span["attributes"].items()
        if key.startswith(prefix) and key.endswith(".message.role") and value == role
    )
