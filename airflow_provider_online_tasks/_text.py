"""Values and texts in messages: one line, bounded length."""

from __future__ import annotations

VALUE_CHARACTERS = 80
TEXT_CHARACTERS = 300


def shown(value: object) -> str:
    """Return a value as Python code, cut to 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, or a recursive value
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def sentence(error: Exception) -> str:
    """Return the message of an exception with a period, so that another sentence can follow."""
    return f"{str(error).removesuffix('.')}."


def on_one_line(text: str) -> str:
    """Return a text on one line, without control characters, cut to 300 characters."""
    visible = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * TEXT_CHARACTERS])
    line = " ".join(visible.split())
    return line if len(line) <= TEXT_CHARACTERS else line[:TEXT_CHARACTERS] + "…"


def shown_name(name: str) -> str:
    """Return the name of a label or an evaluator on one line, cut to 80 characters; never empty."""
    line = on_one_line(name) or "(empty)"
    return line if len(line) <= VALUE_CHARACTERS else line[: VALUE_CHARACTERS - 1] + "…"
