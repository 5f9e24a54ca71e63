"""Spans and their evaluations.

Fields: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import RestCall, paged
from airflow_provider_online_tasks.api.responses.spans import ATTRIBUTES, Evaluation, Span

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import DataWindow

__all__ = ["EVAL_PREFIXES", "Evaluation", "Span", "list_spans"]

SPANS_PAGE = 500
# The column prefix of evaluations by granularity.
EVAL_PREFIXES = {"span": "eval", "trace": "trace_eval", "session": "session_eval"}
_SHORTEST_TEXT = 1


def list_spans(
    project_id: str,
    window: DataWindow,
    *,
    query_filter: str | None = None,
    evaluators: Sequence[str] = (),
    granularity: str = "span",
    attributes: Sequence[str] = (),
    text_length: int | None = _SHORTEST_TEXT,
    cursor: str | None = None,
    limit: int = SPANS_PAGE,
) -> RestCall[Page[Span]]:
    """POST /v2/spans: the spans of a window, newest first, with as few fields as the API allows.

    :param evaluators: column names of the evaluators to read; empty for all.
    :param granularity: what those evaluators evaluate: ``span``, ``trace`` or ``session``.
    :param attributes: dotted paths of attributes to read; needs ``evaluators``.
    :param text_length: maximum number of characters of each text; None for the complete text.
    """
    body: dict[str, Any] = {
        "project_id": project_id,
        "start_time": wire_time(window.start),
        "end_time": wire_time(window.end),
    }
    if text_length is not None:
        body["truncate_string_length"] = text_length
    if query_filter:
        body["filter"] = query_filter
    if evaluators:
        body["included_columns"] = [
            f"{EVAL_PREFIXES[granularity]}.{name}.{part}"
            for name in evaluators
            for part in ("label", "score", "explanation", "metadata")
        ]
        body["included_columns"] += [ATTRIBUTES + path.removeprefix(ATTRIBUTES) for path in attributes]
    return RestCall(
        name="list spans",
        method="POST",
        path="/v2/spans",
        query=paged(limit, cursor),
        body=body,
        read=read_page("spans", Span.from_wire),
    )
