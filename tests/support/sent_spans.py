"""Request bodies of ``SendSpansOperator``: unit tests compare them, conformance tests read them back."""

from __future__ import annotations

from typing import Any


def queue_body(project_id: str, *, start: str, end: str, span_ids: list[str]) -> dict[str, Any]:
    """Return the body of the request that adds spans to an annotation queue."""
    source = {"record_type": "SPAN", "project_id": project_id, "start_time": start, "end_time": end}
    return {"record_sources": [{**source, "span_ids": span_ids}]}


EXAMPLES: list[dict[str, Any]] = [
    {
        "span_id": "aaaaaaaaaaaaaaa1",
        "trace_id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb1",
        "input": "When will my order arrive?",
        "output": "Never.",
        "evaluator": "tone",
        "label": "toxic",
        "score": 0.0,
        "explanation": "It is rude.",
    },
    # A span with few attributes.
    {"span_id": "aaaaaaaaaaaaaaa2", "evaluator": "tone", "label": "toxic"},
]


def dataset_body(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body of the request that adds examples to a dataset."""
    return {"examples": examples}
