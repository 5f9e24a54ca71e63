"""What a run evaluates: window, filters, sampling, maxSpans, and existing labels."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_online_tasks.emulator.evaluators.models import GRANULARITIES, Evaluator
from airflow_provider_online_tasks.emulator.spans.filters import checked_filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_online_tasks.emulator.spans.store import SpanStore
    from airflow_provider_online_tasks.emulator.storage import Storage
    from airflow_provider_online_tasks.emulator.tasks.models import Task


class Item(NamedTuple):
    """A span, trace or session to evaluate."""

    key: str
    span_id: str
    evaluators: list[int]


@dataclasses.dataclass
class Plan:
    """The work of a run: evaluators of one granularity, and what they evaluate.

    :param indexed_until: spans that started later are not in the index yet.
    :param queries: the IDs of the spans that each named query of the task matches.
    """

    granularity: str
    evaluators: list[Evaluator]
    items: list[Item]
    indexed_until: float
    queries: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    note: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        """Return a plan from the database."""
        evaluators = [Evaluator(**each) for each in record["evaluators"]]
        return cls(**{**record, "evaluators": evaluators, "items": [Item(*each) for each in record["items"]]})


def make_plans(
    spans: SpanStore,
    task: Task,
    evaluators: Sequence[Evaluator],
    window: tuple[float, float],
    *,
    max_spans: int,
    indexed_until: float,
    readable_until: float,
) -> list[Plan]:
    """Return the plan of a run, or one plan per evaluator if they have several granularities."""
    not_indexed: set[str] = set()

    def matching(*filters: str | None, start: float = window[0], end: float = window[1]) -> list[str]:
        combined = " AND ".join(f"({each})" for each in filters if each)
        compiled = checked_filter(combined)
        if compiled is not None and compiled.not_indexed:
            not_indexed.update(compiled.not_indexed)
            return []
        rows = spans.matching(
            project_id=task.model_id,
            start=start,
            end=min(end, indexed_until),
            compiled=compiled,
            readable_until=readable_until,
        )
        return [span_id for _, _, span_id in rows]

    levels = [each.granularity for each in evaluators]
    highest = max(levels, key=GRANULARITIES.index)
    matched = [matching(task.span_filter, *each.filters) for each in evaluators]
    of_task = matching(task.span_filter)
    keys = spans.unit_keys(highest, of_task)
    wanted = {keys[span_id] for span_ids in matched for span_id in span_ids if span_id in keys}
    ordered = dict.fromkeys(keys[span_id] for span_id in of_task if span_id in keys)
    sampled = [key for key in ordered if key in wanted and fraction(key) < task.sampling_rate]
    chosen = set(sampled[:max_spans])
    named = (task.query_filters or {"filters": []})["filters"]
    # A variable also reads the spans of a trace or session outside the window.
    queries = {each["id"]: matching(each["filter"], start=0.0, end=indexed_until) for each in named}
    note = None
    if not_indexed:
        names = ", ".join(f"attributes.{name}" for name in sorted(not_indexed))
        note = f"the eval index does not contain {names}: a filter on it matches nothing"

    def plan(granularity: str, indices: Sequence[int]) -> Plan:
        own_keys = spans.unit_keys(granularity, of_task)
        candidates = dict.fromkeys(
            own_keys[span_id] for span_id in of_task if span_id in own_keys and keys.get(span_id) in chosen
        )
        found = [
            {own_keys[span_id] for span_id in matched[index] if span_id in own_keys} for index in indices
        ]
        evaluated = {
            key: [position for position, matches in enumerate(found) if key in matches] for key in candidates
        }
        ordered = [key for key, positions in evaluated.items() if positions]
        roots = spans.root_spans(granularity, ordered, indexed_until)
        items = [Item(key, roots[key], evaluated[key]) for key in ordered]
        own = [evaluators[index] for index in indices]
        return Plan(granularity, own, items, indexed_until, queries, note)

    if len(set(levels)) == 1:
        return [plan(highest, range(len(evaluators)))]
    return [plan(each.granularity, [index]) for index, each in enumerate(evaluators)]


def without_labels(storage: Storage, plan: Plan) -> list[Item]:
    """Return the items that lack a label, with the evaluators whose label is missing."""
    names = [each.name for each in plan.evaluators]
    labelled = storage.labelled(plan.granularity, [item.span_id for item in plan.items], names)
    left = (
        item._replace(evaluators=[i for i in item.evaluators if (item.span_id, names[i]) not in labelled])
        for item in plan.items
    )
    return [item for item in left if item.evaluators]


def fraction(text: str) -> float:
    """Return a number in [0, 1) that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
