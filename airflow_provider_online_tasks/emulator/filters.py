"""Arize's query filters as conditions that SQLite understands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_LONGEST: Final = 10_000
_MOST_WORDS: Final = 800
_DEEPEST: Final = 6  # SQLite's own parser holds 100 open symbols, and a level takes a dozen

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
# all other words are names, so no further SQL can be spelt
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN"})
# Arize's infix CONTAINS is no SQL: it travels through the parser as the one operator of its kind that is
_CONTAINS: Final = "CONTAINS"
_CONTAINS_SQL: Final = "GLOB"
_BOOLEANS: Final = {"TRUE": 1, "FALSE": 0}

_TEXT_COLUMNS: Final = {
    "name": "spans.name",
    "kind": "spans.kind",
    "span_kind": "spans.kind",
    "parent_id": "spans.parent_id",
    "status_code": "spans.status_code",
    "status_message": "spans.status_message",
    "span_id": "spans.span_id",
    "trace_id": "spans.trace_id",
    "context.span_id": "spans.span_id",
    "context.trace_id": "spans.trace_id",
}
_NUMBER_COLUMNS: Final = {"latency_ms": "spans.latency_ms"}
_TIME_COLUMNS: Final = {"start_time": "spans.start_time", "end_time": "spans.end_time"}
_COLUMNS: Final = {**_TEXT_COLUMNS, **_NUMBER_COLUMNS, **_TIME_COLUMNS}
_EVALUATION_FIELDS: Final = frozenset({"label", "score", "explanation"})
_NOT_HELD: Final = {"annotation": "annotations", "event": "span events"}

_COMPARISONS: Final[dict[type[Any], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_MIRRORED: Final = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Value = str | int | float
Node = Any  # the base class of sqlglot's nodes changed its name between releases


class FilterError(ValueError):
    """A query filter that is not understood; the message says what and where."""


class CompiledFilter(NamedTuple):
    """A condition on the table ``spans``, and the values of its named parameters."""

    sql: str
    parameters: dict[str, object]


def compile_filter(query_filter: str) -> CompiledFilter:
    """
    Return a query filter as a SQLite condition.

    Understood are columns of a span (``name``, ``span_kind``, ``latency_ms``, …), attributes by their
    dotted names with or without ``attributes.``, ``eval.<name>.label|score|explanation``; ``=``, ``!=``,
    ``<``, ``<=``, ``>``, ``>=``, ``IN``, ``LIKE``, ``CONTAINS``, ``BETWEEN``, ``IS NULL`` (also written
    ``= null``) and their negations; ``AND``, ``OR``, ``NOT`` and parentheses. Names may be in double quotes,
    texts are in single ones.

    :param query_filter: the filter as written.
    :raises FilterError: for anything else.
    """
    source = _Source(query_filter)
    compiler = _Compiler(source)
    try:
        tree = sqlglot.parse_one(source.sql)
        sql = compiler.condition(tree)
    except RecursionError:
        raise FilterError("The filter is nested too deeply") from None
    except SqlglotError as error:
        raise source.error_at_parser(error) from None
    return CompiledFilter(sql, compiler.parameters)


class _Name(NamedTuple):
    path: str
    position: int


class _Literal(NamedTuple):
    value: Value
    position: int


class _Source:
    """
    A filter cut into tokens, and the SQL that stands for it.

    Names and values are replaced by numbers in that SQL: the parser sees the structure alone, and what a
    user wrote reaches the database as bound parameters only.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[_Name] = []
        self.literals: list[_Literal] = []
        self._starts: list[tuple[int, int]] = []
        self.sql = ""
        self._check_size()
        self._read()

    def error(self, what: str, position: int) -> FilterError:
        """Return an error that shows where in the filter it is."""
        excerpt = self.text[position : position + 40]
        near = f", at {excerpt!r}" if excerpt.strip() else ", at its end"
        return FilterError(f"The filter is not understood at character {position + 1}{near}: {what}")

    def error_at_parser(self, error: SqlglotError) -> FilterError:
        """Return the parser's error in terms of the filter."""
        details = getattr(error, "errors", None) or [{}]
        column = details[0].get("col") or len(self.sql)
        position = next((old for new, old in reversed(self._starts) if new < column), 0)
        return self.error("expected conditions such as name = 'x', joined by AND or OR", position)

    def _check_size(self) -> None:
        if not self.text.strip():
            raise FilterError("The filter is empty: leave it out, or give null, to match every span")
        if len(self.text) > _LONGEST:
            raise FilterError(
                f"The filter has {len(self.text)} characters; at most {_LONGEST} are understood"
            )
        if "\0" in self.text:
            raise self.error("a null character", self.text.index("\0"))
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise self.error("not a Unicode character", error.start) from None

    def _read(self) -> None:
        position = depth = negations = 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                what = (
                    "a text without its closing quote"
                    if self.text[position] in "'\""
                    else "unknown character"
                )
                raise self.error(what, position)
            if match.lastgroup != "space":
                word = self._token(match.lastgroup, match.group(), position)
                depth += {"(": 1, ")": -1}.get(word, 0)
                negations = negations + 1 if word == "NOT" else 0
                if max(depth, negations) > _DEEPEST or len(self._starts) >= _MOST_WORDS:
                    raise self.error("the filter is too long or too deeply nested", position)
                self._starts.append((len(self.sql), position))
                self.sql += f"{word} "
            position = match.end()

    def _token(self, kind: str | None, token: str, position: int) -> str:
        if kind == "operator":
            return token
        if kind == "text":
            return self._literal(token[1:-1].replace("''", "'"), position)
        if kind == "number":
            return self._literal(_number(token), position)
        word = token.upper()
        if word in _KEYWORDS:
            return word
        if word == _CONTAINS:
            if self.text[position + len(token) :].lstrip().startswith("("):
                raise self.error("CONTAINS is written between a name and a text: name CONTAINS 'x'", position)
            return _CONTAINS_SQL
        if word in _BOOLEANS:
            return self._literal(_BOOLEANS[word], position)
        self.names.append(_Name(token.replace('"', ""), position))
        return f'"{len(self.names) - 1}"'

    def _literal(self, value: Value, position: int) -> str:
        self.literals.append(_Literal(value, position))
        return f"'{len(self.literals) - 1}'"


class _Operand(NamedTuple):
    """The left side of a comparison: how SQL reads it, and how values are turned into its type."""

    sql: str
    convert: Callable[[_Literal], Value] | None


class _Compiler:
    def __init__(self, source: _Source) -> None:
        self.parameters: dict[str, object] = {}
        self._source = source
        self._last_position = 0

    def condition(self, node: Node) -> str:
        """Return the SQL of a condition."""
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.Not():
                inner = node.this.unnest()
                # two negations cancel out
                return self.condition(inner.this) if isinstance(inner, exp.Not) else self._not(inner)
            case exp.And() | exp.Or():
                word = " AND " if isinstance(node, exp.And) else " OR "
                return f"({word.join(self.condition(term) for term in _terms(node))})"
            case exp.In():
                return self._in(node)
            case exp.Between():
                return self._between(node)
            case exp.Is():
                return self._is(node)
            case exp.Like() | exp.Glob():
                return self._text_search(node)
        if type(node) in _COMPARISONS:
            return self._comparison(node)
        raise self._unexpected(node, "a condition such as name = 'x'")

    def _not(self, node: Node) -> str:
        return f"(NOT {self.condition(node)})"

    def _text_search(self, node: Node) -> str:
        text = f"CAST({self._operand(node.this).sql} AS TEXT)"
        sought = self._bind(str(self._value(node.expression).value))
        found = f"{text} LIKE {sought}" if isinstance(node, exp.Like) else f"instr({text}, {sought}) > 0"
        # releases of sqlglot differ in whether NOT LIKE is a LIKE that is negated or a NOT around it
        return f"(NOT {found})" if node.args.get("negate") else f"({found})"

    def _comparison(self, node: Node) -> str:
        operator = _COMPARISONS[type(node)]
        left, right = node.this, node.args["expression"]
        if not isinstance(left, exp.Column):
            left, right, operator = right, left, _MIRRORED[operator]
        operand = self._operand(left)
        if isinstance(right, exp.Null):
            if operator not in {"=", "<>"}:
                raise self._source.error("null has no order: use = null or != null", self._last_position)
            return f"({operand.sql} IS {'NOT ' if operator == '<>' else ''}NULL)"
        return self._compare(operand, operator, self._value(right))

    def _in(self, node: exp.In) -> str:
        values = node.args.get("expressions") or []
        if not values or node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise self._unexpected(node.this, "IN with a list of values, such as IN ('a', 'b')")
        operand = self._operand(node.this)
        return "(" + " OR ".join(self._compare(operand, "=", self._value(value)) for value in values) + ")"

    def _between(self, node: exp.Between) -> str:
        operand = self._operand(node.this)
        low = self._compare(operand, ">=", self._value(node.args["low"]))
        high = self._compare(operand, "<=", self._value(node.args["high"]))
        return f"({low} AND {high})"

    def _is(self, node: exp.Is) -> str:
        value = node.expression
        negated = isinstance(value, exp.Not)
        if not isinstance(value.this if negated else value, exp.Null):
            raise self._unexpected(node.this, "IS NULL or IS NOT NULL")
        return f"({self._operand(node.this).sql} IS {'NOT ' if negated else ''}NULL)"

    def _compare(self, operand: _Operand, operator: str, literal: _Literal) -> str:
        if operand.convert is not None:
            return f"({operand.sql} {operator} {self._bind(operand.convert(literal))})"
        # an attribute has the type of its value; SQLite would place every number before every text
        number = _as_number(literal.value)
        as_number = "NULL" if number is None else f"{operand.sql} {operator} {self._bind(number)}"
        as_text = f"{operand.sql} {operator} {self._bind(str(literal.value))}"
        if number is None and operator == "<>":
            as_number = "1"
        if not isinstance(literal.value, str) and operator not in {"=", "<>"}:
            as_text = "NULL"
        by_type = f"WHEN 'null' THEN NULL WHEN 'text' THEN {as_text} ELSE {as_number}"
        return f"(CASE typeof({operand.sql}) {by_type} END)"

    def _operand(self, node: Node) -> _Operand:
        name = self._name(node)
        path = name.path
        if path in _TEXT_COLUMNS:
            return _Operand(_TEXT_COLUMNS[path], lambda literal: str(literal.value))
        if path in _NUMBER_COLUMNS:
            return _Operand(_NUMBER_COLUMNS[path], self._to_number)
        if path in _TIME_COLUMNS:
            return _Operand(_TIME_COLUMNS[path], self._to_time)
        first, _, rest = path.partition(".")
        if first == "eval":
            return self._evaluation(rest, name)
        if first in _NOT_HELD and rest:
            raise self._source.error(f"the emulator holds no {_NOT_HELD[first]}", name.position)
        if not rest:
            raise self._unknown_column(name)
        key = rest if first == "attributes" else path
        return _Operand(f"json_extract(spans.attributes, {self._bind(_json_path(key))})", None)

    def _evaluation(self, rest: str, name: _Name) -> _Operand:
        evaluator, _, field = rest.rpartition(".")
        if not evaluator or field not in _EVALUATION_FIELDS:
            fields = "eval.<name>.label, eval.<name>.score or eval.<name>.explanation"
            raise self._source.error(f"expected {fields}", name.position)
        name_and_order = f"evaluations.name = {self._bind(evaluator)} ORDER BY evaluations.created_at DESC"
        sql = (
            f"(SELECT evaluations.{field} FROM evaluations "  # noqa: S608 - the field is one of three
            f"WHERE evaluations.span_id = spans.span_id AND {name_and_order} LIMIT 1)"
        )
        return _Operand(sql, self._to_number if field == "score" else lambda literal: str(literal.value))

    def _name(self, node: Node) -> _Name:
        if (
            not isinstance(node, exp.Column)
            or not isinstance(node.this, exp.Identifier)
            or not node.this.quoted
            or len(node.parts) > 1
        ):
            raise self._unexpected(node, "the name of a column or an attribute")
        name = self._source.names[int(node.name)]
        self._last_position = name.position
        return name

    def _value(self, node: Node) -> _Literal:
        if not isinstance(node, exp.Literal):
            raise self._unexpected(node, "a value: a number, or a text in single quotes")
        literal = self._source.literals[int(node.name)]
        self._last_position = literal.position
        return literal

    def _to_number(self, literal: _Literal) -> Value:
        number = _as_number(literal.value)
        if number is None:
            raise self._source.error("expected a number", literal.position)
        return number

    def _to_time(self, literal: _Literal) -> Value:
        try:
            moment = datetime.fromisoformat(str(literal.value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise self._source.error(
                "expected a time such as '2026-01-31T08:00:00Z'", literal.position
            ) from None

    def _bind(self, value: Value) -> str:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def _unknown_column(self, name: _Name) -> FilterError:
        near = difflib.get_close_matches(name.path, [*_COLUMNS], n=1)
        hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(_COLUMNS)}."
        return self._source.error(
            f"there is no column {name.path}; {hint} An attribute is written attributes.{name.path}",
            name.position,
        )

    def _unexpected(self, node: Node, expected: str) -> FilterError:
        for part in node.walk():
            if isinstance(part, exp.Identifier) and part.quoted:
                return self._source.error(f"expected {expected}", self._source.names[int(part.name)].position)
            if isinstance(part, exp.Literal):
                return self._source.error(
                    f"expected {expected}", self._source.literals[int(part.name)].position
                )
        return self._source.error(f"expected {expected}", self._last_position)


def _terms(node: Node) -> list[Node]:
    """Return the terms of a chain of ANDs or of ORs: written flat, a long one does not nest."""
    terms: list[Node] = []
    while True:
        terms.append(node.expression)
        left = node.this
        if type(left) is not type(node):
            return [left, *reversed(terms)]
        node = left


def _json_path(key: str) -> str:
    return f'$."{key}"'


def _number(token: str) -> int | float:
    try:
        number = int(token)
    except ValueError:
        return float(token)
    # SQLite's integers have 64 bits
    return number if -(2**63) <= number < 2**63 else float(number)


def _as_number(value: Value) -> int | float | None:
    if not isinstance(value, str):
        return value
    match = _TOKEN.fullmatch(value.strip())
    return _number(value.strip()) if match is not None and match.lastgroup == "number" else None
