"""Which spans a run evaluates: window, filters, sampling, labels that are there already."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.emulator.runs.tasks import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_online_tasks.emulator.runs.tasks import Task
    from airflow_provider_online_tasks.emulator.store import Store


def matching_items(store: Store, task: Task, start: float, end: float) -> list[tuple[str, list[int]]]:
    """Return the sampled spans of a window, newest first, each with the evaluators that are about it."""

    def select(query_filter: str | None, *, roots_only: bool = False) -> list[str]:
        rows = store.matching_spans(
            project_id=task.model_id,
            start=start,
            end=end,
            compiled=compiled(query_filter),
            roots_only=roots_only,
        )
        return [span_id for _, _, span_id in rows]

    of_evaluator = [
        set(
            select(
                " AND ".join(f"({each})" for each in (task.span_filter, evaluator.query_filter) if each),
                # A trace or a session is represented by its root span.
                roots_only=evaluator.granularity != "span",
            )
        )
        for evaluator in task.evaluators
    ]
    items = []
    for span_id in select(task.span_filter):
        indices = [index for index, span_ids in enumerate(of_evaluator) if span_id in span_ids]
        if indices and fraction(span_id) < task.sampling_rate:
            items.append((span_id, indices))
    return items


def unlabelled_items(
    store: Store, task: Task, items: Sequence[tuple[str, list[int]]]
) -> list[tuple[str, list[int]]]:
    """Return the spans that lack a label, each with the evaluators whose label it lacks."""
    names = [each.name for each in task.evaluators]
    labelled = store.labelled([span_id for span_id, _ in items], names)
    left = (
        (span_id, [index for index in indices if (span_id, names[index]) not in labelled])
        for span_id, indices in items
    )
    return [(span_id, indices) for span_id, indices in left if indices]


def fraction(text: str) -> float:
    """Return a number in [0, 1) that a text always gets."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
