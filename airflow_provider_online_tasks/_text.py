"""Values and texts of others in messages: on one line, and cut to a length that can be read."""

from __future__ import annotations

VALUE_CHARACTERS = 80
TEXT_CHARACTERS = 300


def shown(value: object) -> str:
    """Return a value as it is written in Python."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a value without end
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def sentence(error: Exception) -> str:
    """Return what an exception says with a full stop, for another sentence to follow."""
    return f"{str(error).removesuffix('.')}."


def on_one_line(text: str) -> str:
    """Return a text without line breaks and control characters."""
    visible = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * TEXT_CHARACTERS])
    line = " ".join(visible.split())
    return line if len(line) <= TEXT_CHARACTERS else line[:TEXT_CHARACTERS] + "…"
