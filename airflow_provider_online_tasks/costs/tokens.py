"""How many tokens a text has, for any model: a range, because tokenizers differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from airflow_provider_online_tasks.costs.ranges import Range

# The pieces that tokenizers don't cross: a word, a number, a run of signs.
_PIECES = re.compile(r"(?P<ascii>[A-Za-z]+)|(?P<digits>[0-9]+)|(?P<letters>[^\W\d_]+)|(?P<signs>[^\w\s]+|_+)")
_LINES = re.compile(r"\n+")
_LONGEST_WORD = 20
"""Characters; what is longer is an ID or encoded data, which has more tokens."""
WRAPPER = Range(5, 200)
"""What Arize adds to each prompt: instructions, and the labels as a tool or as text."""
REPLY = Range(1, 20)
"""What surrounds the label in the model's response."""
EXPLANATION = Range(10, 400)
REASONING = 4_000
"""The most tokens of hidden reasoning, which are billed as output."""
REASONING_MODELS = re.compile(r"(?i)(.*/)?(o\d|gpt-5|deepseek-r|magistral|qwq)|.*(thinking|reasoner)")


def tokens_of(text: str) -> Range:
    """Return the range of a text's tokens.

    An English word has 1 token, or one per 3 characters; other scripts have up to 2 tokens per character
    with older models.
    """
    low = high = 0.0
    for match in _PIECES.finditer(text):
        length = match.end() - match.start()
        match match.lastgroup:
            case "ascii":
                low += max(1.0, length / 12)
                high += math.ceil(length / 3) if length <= _LONGEST_WORD else length / 1.5
            case "digits":
                low += math.ceil(length / 3)
                high += length
            case "letters":
                low += max(1.0, length / 5)
                high += 2 * length
            case _:
                low += max(1.0, length / 8)
                high += length if match.group().isascii() else 3 * length
    return Range(low, high + len(_LINES.findall(text)))


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
