"""The tokens of a query filter: its names, its values, and the structure that joins them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LONGEST: Final = 10_000
_MOST_WORDS: Final = 800
_DEEPEST: Final = 6  # SQLite's parser allows 100 open symbols, and a level takes a dozen

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<path>(?:[^\W\d]\w*|"[^"\\\x00-\x1f]+")(?:\.(?:\w[\w-]*|"[^"\\\x00-\x1f]+"))*)
    | (?P<operator><=|>=|<>|!=|==|[=<>(),])
    """,
    re.VERBOSE,
)
# all other words are names, so a filter can contain no other SQL
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN"})
# Arize's infix CONTAINS is not SQL: the parser sees it as GLOB
_CONTAINS: Final = "CONTAINS"
_CONTAINS_SQL: Final = "GLOB"
_BOOLEANS: Final = {"TRUE": 1, "FALSE": 0}

Value = str | int | float


class FilterError(ValueError):
    """A query filter that is not valid; the message says what is wrong and where."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class Name(NamedTuple):
    """The name of a column, an attribute or a field of an evaluation, and its position."""

    path: str
    position: int
    quoted: bool  # in double quotes: on the right of a comparison, it is a text


class FilterSource:
    """
    The tokens of a filter, and SQL for the parser.

    In this SQL, numbers replace names and values: the parser sees only the structure, and a user's text
    reaches the database only as a bound parameter.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[Name] = []
        self.literals: list[Value] = []
        self.sql = ""
        self._check_size()
        self._read()

    def error(self, what: str, position: int | None = None) -> FilterError:
        """Return an error that shows its position in the filter."""
        if position is None:
            return FilterError(f"The filter is not valid: {what}")
        excerpt = self.text[position : position + 40]
        near = f", at {excerpt!r}" if excerpt.strip() else ", at its end"
        return FilterError(f"The filter is not valid at character {position + 1}{near}: {what}", position)

    def _check_size(self) -> None:
        if not self.text.strip():
            raise FilterError("The filter is empty; omit it, or send null, to match every span")
        if len(self.text) > _LONGEST:
            raise FilterError(f"The filter has {len(self.text)} characters; at most {_LONGEST} are allowed")
        if "\0" in self.text:
            raise self.error("a null character", self.text.index("\0"))
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise self.error("not a Unicode character", error.start) from None

    def _read(self) -> None:
        position = depth = negations = words = 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                what = (
                    "a text without a closing quote" if self.text[position] in "'\"" else "unknown character"
                )
                raise self.error(what, position)
            if match.lastgroup != "space":
                word = self._token(match.lastgroup, match.group(), position)
                depth += {"(": 1, ")": -1}.get(word, 0)
                negations = negations + 1 if word == "NOT" else 0
                if max(depth, negations) > _DEEPEST or words >= _MOST_WORDS:
                    raise self.error("the filter is too long or too deeply nested", position)
                words += 1
                self.sql += f"{word} "
            position = match.end()

    def _token(self, kind: str | None, token: str, position: int) -> str:
        if kind == "operator":
            return token
        if kind == "text":
            return self._literal(token[1:-1].replace("''", "'"))
        if kind == "number":
            return self._literal(_number(token))
        word = token.upper()
        if word in _KEYWORDS:
            return word
        if word == _CONTAINS:
            if self.text[position + len(token) :].lstrip().startswith("("):
                raise self.error("CONTAINS is written between a name and a text: name CONTAINS 'x'", position)
            return _CONTAINS_SQL
        if word in _BOOLEANS:
            return self._literal(_BOOLEANS[word])
        bare = token.replace('"', "")
        self.names.append(Name(bare, position, quoted=token == f'"{bare}"'))
        return f'"{len(self.names) - 1}"'

    def _literal(self, value: Value) -> str:
        self.literals.append(value)
        return f"'{len(self.literals) - 1}'"


def _number(token: str) -> int | float:
    try:
        number = int(token)
    except ValueError:
        return float(token)
    # SQLite's integers have 64 bits
    return number if -(2**63) <= number < 2**63 else float(number)


def as_number(value: Value) -> int | float | None:
    """Return a value, or the number that a text contains; None for other texts."""
    if not isinstance(value, str):
        return value
    match = _TOKEN.fullmatch(value.strip())
    return _number(value.strip()) if match is not None and match.lastgroup == "number" else None
