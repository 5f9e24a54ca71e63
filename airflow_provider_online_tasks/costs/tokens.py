"""How many tokens a text has, for any model: a range, because tokenizers differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from airflow_provider_online_tasks.costs.ranges import Range

# The pieces that tokenizers don't cross: a word in any script, a number, a run of signs.
_PIECES = re.compile(r"(?P<word>[A-Za-z\u0080-\U0010ffff]+)|(?P<digits>[0-9]+)|(?P<signs>[!-/:-@\[-`{-~]+)")
_USUAL_WORD = re.compile(r"[A-Z]?[a-z]{0,19}|[A-Z]{2,4}")
_DENSE = re.compile(r"[\u3040-\u9fff\uac00-\ud7af]")
"""Chinese, Japanese and Korean: scripts with few characters per word."""
_NEW_LINES = re.compile(r"\n+")
_LONG = 10
_LOW = 0.85
"""Some tokenizers merge pieces."""
WRAPPER = Range(5, 200)
"""What Arize adds to each prompt: instructions, and the labels as a tool or as text."""
REPLY = Range(1, 20)
"""What surrounds the label in the model's response."""
EXPLANATION = Range(10, 400)
REASONING = 4_000
"""The most tokens of hidden reasoning, which are billed as output."""
REASONING_MODELS = re.compile(
    r"(?i)(.*[./])?(o\d|gpt-5|gpt-oss|gemini-(2\.5|3)|grok-(3-mini|4)|qwen3|qwq|magistral|deepseek[-.]?r\d|r1)"
    r"|.*(thinking|reasoner)"
)


def tokens_of(text: str) -> Range:
    """Return the range of a text's tokens.

    The constants are from the tokenizers of four model families, on prose, code, JSON and twelve languages.
    """
    low = high = 0.0
    for match in _PIECES.finditer(text):
        piece = match.group()
        length = len(piece)
        match match.lastgroup:
            case "word" if _USUAL_WORD.fullmatch(piece):
                low += 1
                high += max(1.0, length / (4 if length <= _LONG else 3))
            case "word" if piece.isascii():  # a name in code, or encoded data
                low += max(1.0, length / 8)
                high += math.ceil(length / 1.3)
            case "word":
                dense = len(_DENSE.findall(piece))
                others = length - dense
                low += max(1.0, dense / 2.5 + others / 8)
                high += 1 + 0.65 * len(piece.encode("utf-8", "replace"))
            case "digits":
                low += math.ceil(length / 3)
                high += length
            case _:
                low += max(1.0, length / 8)
                high += max(1.0, 0.7 * length)
    return Range(_LOW * low, high + len(_NEW_LINES.findall(text)))


def input_tokens_around(labels: Sequence[str]) -> Range:
    """Return the tokens that Arize adds to a prompt."""
    return Range(WRAPPER.low, WRAPPER.high + 2 * sum(tokens_of(label).high for label in labels))


def output_tokens(
    labels: Iterable[str], *, explains: bool, model: str | None, max_tokens: float | None
) -> Range:
    """Return the tokens of a response: a label, its explanation, and what a reasoning model thinks.

    :param max_tokens: the most that the evaluator allows; None for no limit.
    """
    sizes = [tokens_of(label) for label in labels] or [Range(1, 20)]
    low = REPLY.low + min(size.low for size in sizes) - 1
    high = REPLY.high + max(size.high for size in sizes)
    if explains:
        low, high = low + EXPLANATION.low, high + EXPLANATION.high
    if model is not None and REASONING_MODELS.match(model):
        high += REASONING
    if max_tokens is not None:
        low, high = min(low, max_tokens), min(high, max_tokens)
    return Range(low, high)
