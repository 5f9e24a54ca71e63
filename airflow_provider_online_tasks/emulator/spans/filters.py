"""Compiles Arize's query filters to conditions of SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import Final, NamedTuple

from airflow_provider_online_tasks.emulator.errors import InvalidError
from airflow_provider_online_tasks.emulator.spans.values import is_computed

_FIELDS = ("name", "kind", "parent_id", "status_code", "status_message", "span_id", "trace_id")
_TEXT_COLUMNS: Final = {
    **{name: f"spans.{name}" for name in _FIELDS},
    "span_id": "spans.shown_id",
    "span_kind": "spans.kind",
    "context.span_id": "spans.shown_id",
    "context.trace_id": "spans.trace_id",
}
_TIME_COLUMNS: Final = {"start_time": "spans.start_time", "end_time": "spans.end_time"}
_COLUMNS: Final = [*_TEXT_COLUMNS, "latency_ms", *_TIME_COLUMNS]
# The table, the granularity and the fields of evaluations and annotations.
_NAMED_VALUES: Final = {
    "eval": ("evaluations", "span", ("label", "score", "explanation")),
    "trace_eval": ("evaluations", "trace", ("label", "score", "explanation")),
    "session_eval": ("evaluations", "session", ("label", "score", "explanation")),
    "annotation": ("annotations", "span", ("label", "score", "text")),
}
# The attributes in Arize's eval index: those of OpenInference, and exceptions.
_INDEXED: Final = re.compile(
    r"(openinference|input|output|llm|tool|retrieval|embedding|reranker|session|user|exception|agent|graph)\."
)
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
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "CONTAINS", "IS", "NULL", "BETWEEN"})
_BOOLEANS: Final = {"TRUE": 1, "FALSE": 0}
FOREVER: Final = 1e18  # a time later than every evaluation
_SYNONYMS: Final = {"==": "=", "!=": "<>"}
_MIRRORED: Final = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Value = str | int | float


class FilterError(ValueError):
    """A query filter that is not valid; the message says what is wrong and where."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class Token(NamedTuple):
    """A name, a value, a word (a keyword or an operator), or the end of a filter."""

    kind: str
    value: Value
    position: int
    quoted: bool = False  # a name in double quotes: on the right of a comparison, it is a text


def _error(text: str, what: str, position: int) -> FilterError:
    """Return an error that shows its position in the filter."""
    excerpt = text[position : position + 40]
    near = f", at {excerpt!r}" if excerpt.strip() else ", at its end"
    return FilterError(f"The filter is not valid at character {position + 1}{near}: {what}", position)


def _tokens(text: str) -> list[Token]:
    """Return the tokens of a filter."""
    if not text.strip():
        raise FilterError("The filter is empty; omit it, or send null, to match every span")
    if len(text) > _LONGEST:
        raise FilterError(f"The filter has {len(text)} characters; at most {_LONGEST} are allowed")
    if "\0" in text:
        raise _error(text, "a null character", text.index("\0"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _error(text, "not a Unicode character", error.start) from None
    tokens: list[Token] = []
    position = depth = negations = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            what = "a text without a closing quote" if text[position] in "'\"" else "unknown character"
            raise _error(text, what, position)
        if match.lastgroup != "space":
            token = _token(match.lastgroup, match.group(), position)
            depth += {"(": 1, ")": -1}.get(match.group(), 0)
            negations = negations + 1 if token.value == "NOT" else 0
            if max(depth, negations) > _DEEPEST or len(tokens) >= _MOST_WORDS:
                raise _error(text, "the filter is too long or too deeply nested", position)
            tokens.append(token)
        position = match.end()
    return [*tokens, Token("end", "", position)]


def _token(kind: str | None, token: str, position: int) -> Token:
    word = token.upper()
    if kind == "operator" or word in _KEYWORDS:
        return Token("word", _SYNONYMS.get(token, word), position)
    if kind == "text":
        return Token("value", token[1:-1].replace("''", "'"), position)
    if kind == "number":
        return Token("value", _number(token), position)
    if word in _BOOLEANS:
        return Token("value", _BOOLEANS[word], position)
    bare = token.replace('"', "")
    return Token("name", bare, position, quoted=token == f'"{bare}"')


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


class CompiledFilter(NamedTuple):
    """A condition on the table ``spans``, and the values of its named parameters."""

    sql: str
    parameters: dict[str, object]
    attributes: frozenset[str] = frozenset()

    @property
    def not_indexed(self) -> list[str]:
        """The attributes that are not in Arize's eval index: a task's filter with them matches nothing."""
        return sorted(name for name in self.attributes if not _INDEXED.match(name))


def compile_filter(query_filter: str, known: Container[str] | None = None) -> CompiledFilter:
    """Return a query filter as a SQLite condition.

    :param known: the attributes that exist, without their prefix; None accepts any name.
    """
    compiler = _Compiler(query_filter, known)
    sql = compiler.condition()
    compiler.expect("")
    return CompiledFilter(sql, compiler.parameters, frozenset(compiler.attributes))


def checked_filter(query_filter: str | None, known: Container[str] | None = None) -> CompiledFilter | None:
    """Compile the filter of a request, or reject the request; None for a filter that is missing or blank."""
    if query_filter is None or not query_filter.strip():
        return None
    try:
        return compile_filter(query_filter, known)
    except FilterError as error:
        raise InvalidError(f"Invalid query filter: {error}") from error


class _Operand(NamedTuple):
    """The left side of a comparison: its SQL, and the conversion of values to its type."""

    sql: str
    convert: Callable[[Value], Value] | None


class _Compiler:
    """Reads the tokens of a filter, and writes SQL in which a user's text is only in bound parameters."""

    def __init__(self, text: str, known: Container[str] | None) -> None:
        self.attributes: set[str] = set()
        self.parameters: dict[str, object] = {}
        self._text = text
        self._known = known
        self._tokens = _tokens(text)[::-1]

    def condition(self) -> str:
        """Return the SQL of the next conditions, up to a closing parenthesis or the end."""
        return self._joined("OR", lambda: self._joined("AND", self._term))

    def expect(self, word: str) -> None:
        """Read a keyword or an operator, or the end of the filter."""
        if not self._take(word):
            raise self._error(f"expected {word or 'AND, OR or the end of the filter'}")

    def _take(self, *words: str) -> str | None:
        """Read and return the next token if it is one of these words."""
        token = self._tokens[-1]
        if token.kind in {"name", "value"} or token.value not in words:
            return None
        self._tokens.pop()
        return str(token.value) or "end"

    def _error(self, what: str, token: Token | None = None) -> FilterError:
        return _error(self._text, what, (token or self._tokens[-1]).position)

    def _joined(self, word: str, term: Callable[[], str]) -> str:
        terms = [term()]
        while self._take(word):
            terms.append(term())
        return terms[0] if len(terms) == 1 else f"({f' {word} '.join(terms)})"

    def _term(self) -> str:
        negated = False
        while self._take("NOT"):
            negated = not negated
        if self._take("("):
            sql = self.condition()
            self.expect(")")
        else:
            sql = self._predicate()
        return f"(NOT {sql})" if negated else sql

    def _predicate(self) -> str:
        token = self._tokens.pop()
        if token.kind == "value":
            operator = _MIRRORED[self._operator()]
            return self._compare(self._operand(self._tokens.pop()), operator, token.value)
        if token.value == "CONTAINS":
            what = "CONTAINS is written between a name and a text: name CONTAINS 'x'"
            raise self._error(what, token)
        operand = self._operand(token)
        if self._take("IS"):
            negated = "NOT " if self._take("NOT") else ""
            self.expect("NULL")
            return f"({operand.sql} IS {negated}NULL)"
        if self._take("NOT"):
            sql = self._search(operand)
            if sql is None:
                raise self._error("expected IN, BETWEEN, LIKE or CONTAINS")
            return f"(NOT {sql})"
        return self._search(operand) or self._comparison(operand)

    def _search(self, operand: _Operand) -> str | None:
        match self._take("IN", "BETWEEN", "LIKE", "CONTAINS"):
            case "IN":
                self.expect("(")
                values = [self._value()]
                while self._take(","):
                    values.append(self._value())
                self.expect(")")
                return "(" + " OR ".join(self._compare(operand, "=", value) for value in values) + ")"
            case "BETWEEN":
                low = self._compare(operand, ">=", self._value())
                self.expect("AND")
                return f"({low} AND {self._compare(operand, '<=', self._value())})"
            case "LIKE":
                return f"(CAST({operand.sql} AS TEXT) LIKE {self._bind(str(self._value()))})"
            case "CONTAINS":
                return f"(instr(CAST({operand.sql} AS TEXT), {self._bind(str(self._value()))}) > 0)"
        return None

    def _comparison(self, operand: _Operand) -> str:
        operator = self._operator()
        if not self._take("NULL"):
            return self._compare(operand, operator, self._value())
        if operator not in {"=", "<>"}:
            raise self._error("null has no order; use = null or != null")
        return f"({operand.sql} IS {'NOT ' if operator == '<>' else ''}NULL)"

    def _operator(self) -> str:
        operator = self._take(*_MIRRORED)
        if operator is None:
            raise self._error("expected a condition such as name = 'x'")
        return operator

    def _value(self) -> Value:
        token = self._tokens.pop()
        if token.kind == "value" or (token.kind == "name" and token.quoted):
            return token.value
        raise self._error("expected a value: a number, or a text in quotes", token)

    def _compare(self, operand: _Operand, operator: str, value: Value) -> str:
        if operand.convert is not None:
            return f"({operand.sql} {operator} {self._bind(operand.convert(value))})"
        # an attribute has the type of its value; SQLite would order every number before every text
        number = as_number(value)
        if_number = "NULL" if number is None else f"{operand.sql} {operator} {self._bind(number)}"
        if_text = f"{operand.sql} {operator} {self._bind(str(value))}"
        if number is None and operator == "<>":
            if_number = "1"
        if not isinstance(value, str) and operator not in {"=", "<>"}:
            if_text = "NULL"
        by_type = f"WHEN 'null' THEN NULL WHEN 'text' THEN {if_text} ELSE {if_number}"
        return f"(CASE typeof({operand.sql}) {by_type} END)"

    def _operand(self, name: Token) -> _Operand:
        if name.kind != "name":
            raise self._error("expected the name of a column or an attribute", name)
        path = str(name.value)
        if path in _TEXT_COLUMNS:
            return _Operand(_TEXT_COLUMNS[path], str)
        if path == "latency_ms":
            return _Operand("spans.latency_ms", self._to_number)
        if path in _TIME_COLUMNS:
            return _Operand(_TIME_COLUMNS[path], self._to_time)
        first, _, rest = path.partition(".")
        if first in _NAMED_VALUES and (rest or first != "annotation"):
            return self._named_value(first, rest, name)
        if first == "event" and rest:
            if rest not in {"name", "attributes"}:
                raise self._error("expected event.name or event.attributes", name)
            return _Operand("spans.events", str)
        if not rest:
            what = f"the columns are {', '.join(_COLUMNS)}. An attribute is written attributes.{path}"
            raise self._error(what, name)
        return self._attribute(rest if first == "attributes" else path, name)

    def _attribute(self, key: str, name: Token) -> _Operand:
        if self._known is not None and key not in self._known:
            raise self._error(f"unknown attribute attributes.{key}", name)
        self.attributes.add(key)
        path = f'$."{key}"'
        stored = f"json_extract(spans.attributes, {self._bind(path)})"
        if is_computed(key):
            stored = f"COALESCE({stored}, computed_column(spans.attributes, {self._bind(key)}))"
        return _Operand(stored, None)

    def _named_value(self, first: str, rest: str, name: Token) -> _Operand:
        table, granularity, fields = _NAMED_VALUES[first]
        value_name, _, field = rest.rpartition(".")
        if not value_name or field not in fields:
            expected = " or ".join(f"{first}.<name>.{each}" for each in fields)
            raise self._error(f"expected {expected}", name)
        condition = f"{table}.granularity = '{granularity}' AND {table}.name = {self._bind(value_name)}"
        if table == "evaluations":
            self.parameters["readable_until"] = FOREVER
            condition += (
                " AND evaluations.created_at <= :readable_until ORDER BY evaluations.created_at DESC LIMIT 1"
            )
        sql = f"(SELECT {table}.{field} FROM {table} WHERE {table}.span_id = spans.span_id AND {condition})"  # noqa: S608  these names are ours
        return _Operand(sql, self._to_number if field == "score" else str)

    def _to_number(self, value: Value) -> Value:
        number = as_number(value)
        if number is None:
            raise self._error(f"expected a number, not {value!r}")
        return number

    def _to_time(self, value: Value) -> Value:
        try:
            moment = datetime.fromisoformat(str(value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise self._error(f"expected a time such as '2026-01-31T08:00:00Z', not {value!r}") from None

    def _bind(self, value: Value) -> str:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"
