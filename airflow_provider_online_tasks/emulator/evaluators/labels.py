"""Which labels (rails) are negative and which are positive, by their wording."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NEGATORS: Final = frozenset({"not", "no", "non", "un", "never", "isn", "doesn", "without", "cannot"})
# the beginnings of negative and of positive words
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
_NOT_NEGATED: Final = ("under", "uni", "until")
ABUSE_STEMS: Final = ("abus", "bias", "harm", "hate", "offens", "profan", "toxic", "unsafe", "violat")
REFUSAL_STEMS: Final = ("refus", "reject")


def is_negative(rail: str) -> bool | None:
    """Return whether a label is negative; None if its wording does not tell."""
    negated = False
    tone: bool | None = None
    for word in words(rail):
        if word in _NEGATORS:
            negated = not negated
        elif tone is None:
            tone = _is_negative_word(word)
    if tone is None:
        return True if negated else None
    return tone is not negated


def words(text: str) -> list[str]:
    """Return the words of a label in lower case; camelCase is split."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def names_any(rail: str, stems: Sequence[str]) -> bool:
    """Return whether a word of a label starts with one of the stems."""
    return any(word.startswith(tuple(stems)) for word in words(rail))


def choose(rails: Sequence[str], choices: Mapping[str, float] | None, *, negative: bool, seed: str) -> str:
    """
    Return a negative or a positive label.

    Labels whose wording tells come first, then the others, by their scores in ``choices`` if these differ.
    The seed decides between equal labels.
    """
    tones = {rail: is_negative(rail) for rail in rails}
    candidates = (
        [rail for rail in rails if tones[rail] is negative]
        or [rail for rail in rails if tones[rail] is None]
        or list(rails)
    )
    scores = {rail: choices[rail] for rail in candidates if choices and choices.get(rail) is not None}
    if len(scores) == len(candidates) and len(set(scores.values())) > 1:
        extreme = min(scores.values()) if negative else max(scores.values())
        candidates = [rail for rail in candidates if scores[rail] == extreme]
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return candidates[int.from_bytes(digest[:8], "big") % len(candidates)]


def _is_negative_word(word: str) -> bool | None:
    if _BAD.match(word):
        return True
    if _GOOD.match(word):
        return False
    if word.startswith("non") and len(word) > len("non"):
        rest = _is_negative_word(word.removeprefix("non"))
        return None if rest is None else not rest
    if word.startswith("un") and len(word) > len("under") and not word.startswith(_NOT_NEGATED):
        return True
    return True if word.startswith(("dis", "mis")) and _GOOD.match(word, 3) else None
