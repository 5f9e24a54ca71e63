"""Compiles Arize's query filters to conditions of SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

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
_COMPARISONS: Final[dict[type[Any], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
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
FOREVER: Final = 1e18  # a time later than every evaluation
_MIRRORED: Final = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Value = str | int | float
Node = Any  # releases of sqlglot differ in the name of the base class


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

    Names of columns, attributes, evaluations and annotations may be in double quotes; texts are in single
    quotes, or in double quotes on the right of a comparison.

    :param known: the attributes that exist, without their prefix; None accepts any name.
    """
    source = FilterSource(query_filter)
    compiler = _Compiler(source, known)
    try:
        tree = sqlglot.parse_one(source.sql)
        sql = compiler.condition(tree)
    except SqlglotError:
        raise source.error("expected conditions such as name = 'x', joined by AND or OR") from None
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
    def __init__(self, source: FilterSource, known: Container[str] | None) -> None:
        self.attributes: set[str] = set()
        self._known = known
        self.parameters: dict[str, object] = {}
        self._source = source

    def condition(self, node: Node) -> str:
        """Return the SQL of a condition."""
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.Not():
                inner = node.this.unnest()
                # two negations cancel each other
                if isinstance(inner, exp.Not):
                    return self.condition(inner.this)
                return f"(NOT {self.condition(inner)})"
            case exp.And() | exp.Or():
                word = " AND " if isinstance(node, exp.And) else " OR "
                return f"({word.join(self.condition(term) for term in node.flatten(unnest=False))})"
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
        raise self._source.error("expected a condition such as name = 'x'")

    def _text_search(self, node: Node) -> str:
        text = f"CAST({self._operand(node.this).sql} AS TEXT)"
        sought = self._bind(str(self._value(node.expression)))
        found = f"{text} LIKE {sought}" if isinstance(node, exp.Like) else f"instr({text}, {sought}) > 0"
        # releases of sqlglot differ: NOT LIKE is a negated LIKE, or a NOT around a LIKE
        return f"(NOT {found})" if node.args.get("negate") else f"({found})"

    def _comparison(self, node: Node) -> str:
        operator = _COMPARISONS[type(node)]
        left, right = node.this, node.args["expression"]
        if not isinstance(left, exp.Column):
            left, right, operator = right, left, _MIRRORED[operator]
        operand = self._operand(left)
        if isinstance(right, exp.Null):
            if operator not in {"=", "<>"}:
                raise self._source.error("null has no order; use = null or != null")
            return f"({operand.sql} IS {'NOT ' if operator == '<>' else ''}NULL)"
        return self._compare(operand, operator, self._value(right))

    def _in(self, node: exp.In) -> str:
        values = node.args.get("expressions") or []
        if not values or node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise self._source.error("expected IN with a list of values, such as IN ('a', 'b')")
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
            raise self._source.error("expected IS NULL or IS NOT NULL")
        return f"({self._operand(node.this).sql} IS {'NOT ' if negated else ''}NULL)"

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

    def _operand(self, node: Node) -> _Operand:
        name = self._name(node)
        path = name.path
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
                raise self._source.error("expected event.name or event.attributes", name.position)
            return _Operand("spans.events", str)
        if not rest:
            raise self._unknown_column(name)
        return self._attribute(rest if first == "attributes" else path, name)

    def _attribute(self, key: str, name: Name) -> _Operand:
        if self._known is not None and key not in self._known:
            raise self._source.error(f"unknown attribute attributes.{key}", name.position)
        self.attributes.add(key)
        path = f'$."{key}"'
        stored = f"json_extract(spans.attributes, {self._bind(path)})"
        if is_computed(key):
            stored = f"COALESCE({stored}, computed_column(spans.attributes, {self._bind(key)}))"
        return _Operand(stored, None)

    def _named_value(self, first: str, rest: str, name: Name) -> _Operand:
        table, granularity, fields = _NAMED_VALUES[first]
        value_name, _, field = rest.rpartition(".")
        if not value_name or field not in fields:
            expected = " or ".join(f"{first}.<name>.{each}" for each in fields)
            raise self._source.error(f"expected {expected}", name.position)
        condition = f"{table}.granularity = '{granularity}' AND {table}.name = {self._bind(value_name)}"
        if table == "evaluations":
            self.parameters["readable_until"] = FOREVER
            condition += (
                " AND evaluations.created_at <= :readable_until ORDER BY evaluations.created_at DESC LIMIT 1"
            )
        sql = f"(SELECT {table}.{field} FROM {table} WHERE {table}.span_id = spans.span_id AND {condition})"  # noqa: S608  these names are ours
        return _Operand(sql, self._to_number if field == "score" else str)

    def _name(self, node: Node) -> Name:
        if (
            not isinstance(node, exp.Column)
            or not isinstance(node.this, exp.Identifier)
            or not node.this.quoted
            or len(node.parts) > 1
        ):
            raise self._source.error("expected the name of a column or an attribute")
        return self._source.names[int(node.name)]

    def _value(self, node: Node) -> Value:
        if isinstance(node, exp.Column) and (name := self._name(node)).quoted:
            return name.path
        if not isinstance(node, exp.Literal):
            raise self._source.error("expected a value: a number, or a text in quotes")
        return self._source.literals[int(node.name)]

    def _to_number(self, value: Value) -> Value:
        number = as_number(value)
        if number is None:
            raise self._source.error(f"expected a number, not {value!r}")
        return number

    def _to_time(self, value: Value) -> Value:
        try:
            moment = datetime.fromisoformat(str(value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise self._source.error(
                f"expected a time such as '2026-01-31T08:00:00Z', not {value!r}"
            ) from None

    def _bind(self, value: Value) -> str:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def _unknown_column(self, name: Name) -> FilterError:
        what = f"the columns are {', '.join(_COLUMNS)}. An attribute is written attributes.{name.path}"
        return self._source.error(what, name.position)
