"""Query filters as Arize documents them, on a handful of spans in a real SQLite table."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_online_tasks.emulator.spans.filters import FilterError, compile_filter

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = """
CREATE TABLE spans (span_id TEXT, trace_id TEXT, parent_id TEXT, name TEXT, kind TEXT, status_code TEXT,
    status_message TEXT, start_time REAL, end_time REAL, latency_ms REAL, project_id TEXT, attributes TEXT,
    events TEXT, shown_id TEXT GENERATED ALWAYS AS (span_id));
CREATE TABLE annotations (span_id, granularity TEXT, name, label, score REAL, text TEXT);
CREATE TABLE evaluations (span_id, granularity TEXT, name, label, score REAL, explanation, metadata TEXT,
    task_id, run_id, created_at REAL);
"""
NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z

SPANS: dict[str, dict[str, Any]] = {
    "agent": {
        "kind": "AGENT",
        "latency_ms": 2500.0,
        "start_time": NOON,
        "attributes": {
            "openinference.span.kind": "AGENT",
            "input.value": "How long is the warranty?",
            "output.value": "It's 36 months.",
            "metadata": '{"plan": "hearth"}',
            "cached": False,
        },
    },
    "model": {
        "kind": "LLM",
        "parent_id": "agent",
        "latency_ms": 1800.0,
        "start_time": NOON + 60,
        "attributes": {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.total": 120,
            "llm.temperature-used": 0.5,
            "cached": True,
            "tag.tags": ["a", "b"],
            "odd key": "spaced",
            "session.id": None,
        },
    },
    "search": {
        "kind": "RETRIEVER",
        "parent_id": "agent",
        "latency_ms": 80.0,
        "start_time": NOON + 120,
        "attributes": {
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.content": "保証は36か月です",
            "retrieval.documents.0.document.score": 0.9,
            "llm.token_count.total": "130",
        },
    },
    "tool": {
        "kind": "TOOL",
        "parent_id": "agent",
        "status_code": "ERROR",
        "status_message": "no answer",
        "latency_ms": 30_000.0,
        "start_time": NOON + 180,
        "attributes": {"openinference.span.kind": "TOOL", "input.value": '{"order": '},
        "events": [{"name": "exception", "attributes": {"exception.type": "TimeoutError"}}],
    },
}
EVALUATIONS = [
    ("agent", "correctness", "incorrect", 0.0, "the first look", 1.0),
    ("agent", "correctness", "correct", 1.0, "a second look", 2.0),
    ("model", "correctness", "incorrect", 0.0, "contradicts", 1.0),
    ("model", "test evaluator", "bad", None, None, 1.0),
]


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(TABLES)
        for span_id, span in SPANS.items():
            connection.execute(
                "INSERT INTO spans VALUES (?, 't1', ?, ?, ?, ?, ?, ?, ?, ?, 'p', ?, ?)",
                (
                    span_id,
                    span.get("parent_id"),
                    f"the {span_id}",
                    span["kind"],
                    span.get("status_code", "OK"),
                    span.get("status_message", ""),
                    span["start_time"],
                    span["start_time"] + span["latency_ms"] / 1000,
                    span["latency_ms"],
                    json.dumps(span["attributes"]),
                    json.dumps(span.get("events", [])),
                ),
            )
        connection.executemany(
            "INSERT INTO evaluations VALUES (?, 'span', ?, ?, ?, ?, '{}', 'task', 'run', ?)", EVALUATIONS
        )
        connection.executemany(
            "INSERT INTO evaluations VALUES ('agent', ?, 'tone', ?, NULL, NULL, '{}', 'task', 'run', 1.0)",
            [("trace", "calm"), ("session", "upset")],
        )
        connection.executemany(
            "INSERT INTO annotations VALUES (?, 'span', ?, ?, ?, ?)",
            [("model", "note", "Correct", 1.0, None), ("agent", "reviewed by", None, None, "done")],
        )
        yield connection
    connection.close()


def test_unknown_attribute_is_rejected() -> None:
    known = {"llm.model_name"}
    assert compile_filter("attributes.llm.model_name = 'x'", known).attributes == known
    with pytest.raises(FilterError) as caught:
        compile_filter("kind = 'LLM' AND user.tier = 'gold'", known)
    assert caught.value.position == 17


def test_attributes_outside_the_eval_index_are_listed() -> None:
    condition = compile_filter("attributes.metadata = 'x' OR llm.model_name = 'y' OR attributes.own.x = 1")
    assert condition.not_indexed == ["metadata", "own.x"]


def matching(database: sqlite3.Connection, query_filter: str) -> str:
    condition = compile_filter(query_filter)
    rows = database.execute(
        f"SELECT span_id FROM spans WHERE {condition.sql} ORDER BY start_time", condition.parameters
    )
    return " ".join(span_id for (span_id,) in rows)


@pytest.mark.parametrize(
    ("query_filter", "expected"),
    [
        # the forms that Arize documents
        ("attributes.openinference.span.kind = 'AGENT'", "agent"),
        ("attributes.openinference.span.kind = 'LLM'", "model"),
        ("\"attributes.openinference.span.kind\" = 'LLM'", "model"),
        ("status_code = 'ERROR'", "tool"),
        ("latency_ms > 1789", "agent model tool"),
        ("eval.correctness.label = 'correct'", "agent"),
        ("status_code = 'ERROR' OR eval.correctness.label = 'correct'", "agent tool"),
        ("attributes.openinference.span.kind IN ('LLM', 'AGENT')", "agent model"),
        ("attributes.input.value LIKE '%warranty%'", "agent"),
        ("attributes.input.value CONTAINS 'warranty'", "agent"),
        ("\"attributes.input.value\" contains 'warranty'", "agent"),
        ('"attributes.input.value" = null', "model search"),
        ('"attributes.input.value" is null', "model search"),
        # columns
        ("name = 'the model'", "model"),
        ("span_kind = 'TOOL' OR kind = 'LLM'", "model tool"),
        ("parent_id IS NULL", "agent"),
        ("parent_id IS NOT NULL AND latency_ms <= 80", "search"),
        ("parent_id != null", "model search tool"),
        ("NOT parent_id IS NULL", "model search tool"),
        ("span_id = 'tool' AND context.trace_id = 't1' AND trace_id = 't1'", "tool"),
        ("context.span_id NOT IN ('tool', 'model')", "agent search"),
        ("status_message <> ''", "tool"),
        ("start_time >= '2026-01-01T12:02:00Z'", "search tool"),
        ("start_time < '2026-01-01T13:01:00+01:00'", "agent"),
        ("end_time = '2026-01-01 12:00:02.500'", "agent"),
        ("latency_ms BETWEEN 80 AND '1800'", "model search"),
        ("latency_ms NOT BETWEEN 80 AND 2500", "tool"),
        ("1789 < latency_ms", "agent model tool"),
        ("-1.5e3 < latency_ms", "agent model search tool"),
        ("'LLM' = kind", "model"),
        ("kind == 'LLM'", "model"),
        # attributes: without their prefix, of any type, with parts that are no SQL names
        ("openinference.span.kind != 'LLM'", "agent search tool"),
        ("attributes.metadata contains 'hearth'", "agent"),
        ("attributes.llm.token_count.total = 120", "model"),
        ("attributes.llm.token_count.total > 100", "model"),
        ("attributes.llm.token_count.total = '120'", "model"),
        ("attributes.llm.token_count.total >= '130'", "search"),
        ("attributes.llm.token_count.total != 'many'", "model search"),
        ("attributes.llm.token_count.total < 'many'", "search"),
        ("attributes.llm.token_count.total IN (120, '130')", "model search"),
        ("attributes.llm.temperature-used = 0.5", "model"),
        ("attributes.retrieval.documents.0.document.score > 0.5", "search"),
        ("attributes.retrieval.documents.0.document.content contains '保証'", "search"),
        ("attributes.cached = true", "model"),
        ("attributes.cached = FALSE", "agent"),
        ("attributes.tag.tags contains '\"b\"'", "model"),
        ("attributes.\"odd key\" = 'spaced'", "model"),
        ("attributes.session.id IS NULL", "agent model search tool"),
        ("attributes.never.heard = 'x'", ""),
        ("attributes.never.heard != 'x'", ""),
        ("attributes.output.value = 'It''s 36 months.'", "agent"),
        ("attributes.input.value NOT LIKE '%warranty%'", "tool"),
        ("NOT attributes.input.value LIKE '%warranty%'", "tool"),
        ("NOT NOT (NOT (attributes.input.value NOT LIKE '%warranty%'))", "agent"),
        ("attributes.input.value not contains 'warranty'", "tool"),
        # evaluations: the newest of a name counts
        ("eval.correctness.label = 'incorrect'", "model"),
        ("eval.correctness.label != 'correct'", "model"),
        ("eval.correctness.score > 0.5", "agent"),
        ("eval.correctness.score = '0'", "model"),
        ("eval.correctness.explanation CONTAINS 'second'", "agent"),
        ("eval.correctness.label IS NULL", "search tool"),
        ("eval.\"test evaluator\".label = 'bad'", "model"),
        ("\"eval.test evaluator.label\" = 'bad'", "model"),
        ("eval.\"test evaluator\".score IS NULL AND kind = 'LLM'", "model"),
        # texts in double quotes, on the right
        ('name = "the agent"', "agent"),
        ('kind IN ("TOOL", "LLM")', "model tool"),
        ('"name" != "the agent" AND name LIKE "the s%"', "search"),
        ('status_message CONTAINS "no answer"', "tool"),
        ('latency_ms > "20000"', "tool"),
        # annotations, events, and evaluations of traces and sessions
        ("annotation.note.label = 'Correct'", "model"),
        ("annotation.note.score > 0.5", "model"),
        ('annotation."reviewed by".text CONTAINS "done"', "agent"),
        ("event.attributes CONTAINS 'TimeoutError'", "tool"),
        ("event.name CONTAINS 'exception'", "tool"),
        ("trace_eval.tone.label = 'calm'", "agent"),
        ("session_eval.tone.label = 'upset'", "agent"),
        ("eval.tone.label IS NOT NULL", ""),
        # precedence
        ("kind = 'TOOL' OR kind = 'LLM' AND latency_ms > 5000", "tool"),
        ("(kind = 'TOOL' OR kind = 'LLM') AND latency_ms > 5000", "tool"),
        ("NOT (kind = 'TOOL' OR kind = 'LLM')", "agent search"),
        ("NOT kind = 'TOOL' AND NOT kind = 'LLM'", "agent search"),
        ("kind = 'TOOL'\n  or\tkind='LLM'", "model tool"),
    ],
)
def test_filter_selects(database: sqlite3.Connection, query_filter: str, expected: str) -> None:
    assert matching(database, query_filter) == expected


# Filters with the index of a wrong token or name; None if a valid token is in the wrong place.
INVALID: list[tuple[str, int | None]] = [
    ("", None),
    (" \n", None),
    ("naem = 'x'", 0),
    ("custom = 'x'", None),
    ("name = the", None),
    ("name = 'the agent", 7),
    ('"name = 1', 0),
    ("name =", None),
    ("name", None),
    ("'x'", None),
    ("null", None),
    ("NOT kind", None),
    ("name = 'a' name = 'b'", None),
    ("(name = 'a'", None),
    ("name = 'a')", None),
    ("name = 'a' -- and more", 11),
    ("name = 'a'; DROP TABLE spans", 10),
    ("name = (SELECT 1)", None),
    ("EXISTS (SELECT 1)", None),
    ("length(name) = 3", None),
    ("name IN ()", None),
    ("name IN (kind)", None),
    ("name IN 'x'", None),
    ("name IS 'x'", None),
    ("name BETWEEN 'a' AND", None),
    ("name LIKE 'a' ESCAPE 'b'", None),
    ("name GLOB 'a'", None),
    ("contains(name, 'x')", 0),
    ("name < null", None),
    ("kind = name", None),
    ("1 = 1", None),
    ("latency_ms > 'slow'", None),
    ("start_time > 'yesterday'", None),
    ("start_time > 5", None),
    ("eval.correctness = 'x'", None),
    ("eval.correctness.rank = 'x'", None),
    ("annotation.note.colour = 'x'", None),
    ("annotation.note = 'x'", None),
    ("event.time > 5", None),
    ("trace_eval.correctness = 'x'", None),
    ("attributes.a[0] = 1", 12),
    ("attributes. = 1", 10),
    ("attributes.a + 1 = 1", 13),
    ("name = 'x' AND " * 300 + "name = 'x'", None),
    ("(" * 500 + "name = 'x'" + ")" * 500, None),
    ("NOT " * 500 + "name = 'x'", None),
    ("name = '" + "x" * 20_000 + "'", None),
    ("name = '\0'", 8),
    ("name = '\ud800'", 8),
]


def test_invalid_filter_is_rejected_with_its_position() -> None:
    for query_filter, position in INVALID:
        with pytest.raises(FilterError) as caught:
            compile_filter(query_filter)
        assert caught.value.position == position or position is None, query_filter


def test_longest_allowed_filters_run(database: sqlite3.Connection) -> None:
    assert matching(database, " OR ".join(["kind = 'LLM'"] * 200)) == "model"
    assert matching(database, " AND ".join(["NOT attributes.cached = false"] * 150)) == "model"
    assert matching(database, f"kind IN ({', '.join(['1'] * 300)}, 'LLM')") == "model"
    assert matching(database, "(" * 6 + "kind = 'LLM'" + ")" * 6) == "model"
    assert matching(database, "NOT " * 5 + "kind = 'LLM'") == "agent search tool"
    nested = "attributes.openinference.span.kind IN ('LLM', 'TOOL')"
    for kind in ["AGENT", "x", "AGENT", "x", "AGENT"]:
        nested = f"NOT (kind = '{kind}' OR {nested} AND latency_ms > 0)"
    assert matching(database, nested) == "search"
    assert matching(database, f"attributes.llm.token_count.total < {'9' * 60}") == "model"


SQL_WORDS = re.compile(
    r"""\s+|:f\d+|:readable_until|[()=<>,]|
    ORDER\ BY|AND|OR|NOT|LIKE|IS|NULL|CASE|WHEN|THEN|ELSE|END|SELECT|FROM|WHERE|DESC|LIMIT|CAST|AS|TEXT|[01]|
    typeof|instr|json_extract|'null'|'text'|'span'|'trace'|'session'|(spans|evaluations|annotations)(\.\w+)?""",
    re.VERBOSE,
)


def holds_only_our_words(sql: str) -> bool:
    return SQL_WORDS.sub("", sql) == ""


words = st.sampled_from(
    [
        *(
            "name",
            "kind",
            "latency_ms",
            "start_time",
            "attributes.llm.token_count.total",
            "eval.correctness.label",
        ),
        *(
            "'LLM'",
            "'120'",
            "120",
            "-1.5",
            "''",
            "'it''s'",
            "null",
            "true",
            '"',
            "'",
            "--",
            "/*",
            ";",
            "\x00",
        ),
        *(
            "=",
            "!=",
            "<>",
            "<",
            ">",
            "<=",
            ">=",
            "==",
            "(",
            ")",
            ",",
            "+",
            "||",
            ".",
            "*",
            "%",
            "@",
            ":f0",
            "?",
        ),
        *(
            "AND",
            "OR",
            "NOT",
            "IN",
            "LIKE",
            "IS",
            "BETWEEN",
            "CONTAINS",
            "GLOB",
            "SELECT",
            "UNION",
            "CASE",
            "END",
        ),
        *(
            "FROM",
            "spans",
            "sqlite_master",
            "EXISTS",
            "CAST",
            "AS",
            "COLLATE",
            "DROP",
            "TABLE",
            "load_extension",
        ),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(words, max_size=14).map(" ".join)))
@example("0<eval.0.label")
def test_any_text_is_compiled_or_rejected(database: sqlite3.Connection, query_filter: str) -> None:
    try:
        condition = compile_filter(query_filter)
    except FilterError:
        return
    assert holds_only_our_words(condition.sql)
    rows = database.execute(f"SELECT count(*) FROM spans WHERE {condition.sql}", condition.parameters)
    assert 0 <= rows.fetchone()[0] <= len(SPANS)


characters = st.characters(exclude_categories=["Cs"], min_codepoint=1)
key_characters = st.characters(exclude_categories=["Cs"], exclude_characters='"\\', min_codepoint=32)


@given(value=st.text(characters, max_size=40), key=st.text(key_characters, min_size=1))
def test_values_and_names_reach_sql_only_as_parameters(value: str, key: str) -> None:
    query_filter = f"""attributes."{key}" = '{value.replace("'", "''")}'"""
    condition = compile_filter(query_filter)
    assert holds_only_our_words(condition.sql)
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(TABLES)
        connection.execute(
            "INSERT INTO spans (attributes) VALUES (?)", (json.dumps({key: value}, ensure_ascii=False),)
        )
        rows = connection.execute(f"SELECT count(*) FROM spans WHERE {condition.sql}", condition.parameters)
        assert rows.fetchone() == (1,)
    connection.close()


def nesting(query_filter: str) -> int:
    return max(
        query_filter[:end].count("(") - query_filter[:end].count(")") for end in range(len(query_filter))
    )


def conditions() -> st.SearchStrategy[tuple[str, frozenset[str]]]:
    """Draw filters together with the spans that they have to select, found without SQL."""
    everything = frozenset(SPANS)
    kinds = st.sampled_from(["AGENT", "LLM", "TOOL", "NONE"]).map(
        lambda kind: (f"kind = '{kind}'", frozenset(s for s in SPANS if SPANS[s]["kind"] == kind))
    )
    times = st.sampled_from([50, 80, 1800, 2500, 99_999]).map(
        lambda limit: (
            f"latency_ms >= {limit}",
            frozenset(s for s in SPANS if SPANS[s]["latency_ms"] >= limit),
        )
    )

    def extend(
        inner: st.SearchStrategy[tuple[str, frozenset[str]]],
    ) -> st.SearchStrategy[tuple[str, frozenset[str]]]:
        return st.one_of(
            inner.map(lambda one: (f"NOT ({one[0]})", everything - one[1])),
            st.tuples(inner, inner).map(
                lambda two: (f"({two[0][0]}) AND ({two[1][0]})", two[0][1] & two[1][1])
            ),
            st.tuples(inner, inner).map(
                lambda two: (f"({two[0][0]}) OR ({two[1][0]})", two[0][1] | two[1][1])
            ),
        )

    return st.recursive(st.one_of(kinds, times), extend, max_leaves=8).filter(
        lambda one: nesting(one[0]) <= 6
    )


@given(conditions())
def test_logical_operators_match_a_reference_evaluation(
    database: sqlite3.Connection, condition: tuple[str, frozenset[str]]
) -> None:
    query_filter, expected = condition
    assert set(matching(database, query_filter).split()) == expected
