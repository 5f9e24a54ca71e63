"""What a run evaluates: window, filters, sampling, the cap, and the labels that are there already."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_online_tasks.emulator.judges.evaluator import GRANULARITIES, Evaluator
from airflow_provider_online_tasks.emulator.runs.tasks import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_online_tasks.emulator.runs.tasks import Task
    from airflow_provider_online_tasks.emulator.store import Store


class Item(NamedTuple):
    """One span, trace or session to evaluate.

    :param key: its identifier.
    :param span_id: the span that stands for it.
    :param evaluators: the positions of the evaluators that are about it.
    """

    key: str
    span_id: str
    evaluators: list[int]


@dataclasses.dataclass
class Plan:
    """What a run does: evaluators of one granularity, and what they evaluate.

    :param indexed_until: spans that started later are on no trace and no session yet.
    :param queries: the spans that each named query of the task matches.
    :param note: why it is about less than one could think, for whoever looks at the run.
    """

    granularity: str
    evaluators: list[Evaluator]
    items: list[Item]
    indexed_until: float
    queries: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    note: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the plan as it is stored."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Plan:
        """Return a stored plan."""
        return cls(
            record["granularity"],
            [Evaluator(**each) for each in record["evaluators"]],
            [Item(*each) for each in record["items"]],
            record["indexed_until"],
            record["queries"],
            record["note"],
        )


def plans(
    store: Store,
    task: Task,
    evaluators: Sequence[Evaluator],
    *,
    start: float,
    end: float,
    max_spans: int,
    indexed_until: float,
    readable_until: float,
    lenient: bool,
) -> list[Plan]:
    """Return what a run of a task is about, newest first: one plan, or one for each evaluator.

    Sampling and ``max_spans`` count at the highest granularity; evaluators of several granularities are
    planned one by one, within what that selects.

    :param indexed_until: spans that started later are not seen.
    :param readable_until: filters do not see evaluations that were made later.
    """

    missing: set[str] = set()

    def matching(*filters: str | None, since: float = start, until: float = end) -> list[str]:
        given = " AND ".join(f"({each})" for each in filters if each)
        condition = compiled(given or None)
        if condition is not None and condition.not_indexed and not lenient:
            missing.update(condition.not_indexed)
            return []
        rows = store.matching_spans(
            project_id=task.model_id,
            start=since,
            end=min(until, indexed_until),
            compiled=condition,
            readable_until=readable_until,
        )
        return [span_id for _, _, span_id in rows]

    levels = [each.granularity for each in evaluators]
    highest = max(levels, key=GRANULARITIES.index)
    matched = [matching(task.span_filter, *each.filters) for each in evaluators]
    of_any = matching(task.span_filter)
    units = store.units(highest, of_any)
    wanted = {units[span_id] for span_ids in matched for span_id in span_ids if span_id in units}
    sampled = [
        key
        for key in dict.fromkeys(units[span_id] for span_id in of_any if span_id in units)
        if key in wanted and fraction(key) < task.sampling_rate
    ]
    chosen = set(sampled[:max_spans])
    named = (task.query_filters or {"filters": []})["filters"]
    # A variable reads all of a trace or session, also what lies outside the window.
    queries = {each["id"]: matching(each["filter"], since=0.0, until=indexed_until) for each in named}

    def plan(granularity: str, indices: Sequence[int]) -> Plan:
        own = store.units(granularity, of_any)
        about: dict[str, list[int]] = {}
        keys = dict.fromkeys(
            own[span_id] for span_id in of_any if span_id in own and units.get(span_id) in chosen
        )
        for position, index in enumerate(indices):
            found = {own[span_id] for span_id in matched[index] if span_id in own}
            for key in keys:
                if key in found:
                    about.setdefault(key, []).append(position)
        ordered = [key for key in keys if key in about]
        anchors = store.anchors(granularity, ordered, indexed_until)
        items = [Item(key, anchors[key], about[key]) for key in ordered]
        own_evaluators = [evaluators[index] for index in indices]
        planned = Plan(granularity, own_evaluators, items, indexed_until, queries)
        if missing:
            names = ", ".join(f"attributes.{name}" for name in sorted(missing))
            planned.note = f"the eval index does not hold {names}: a filter on it matches nothing"
        return planned

    if len(set(levels)) == 1:
        return [plan(highest, range(len(evaluators)))]
    return [plan(each.granularity, [index]) for index, each in enumerate(evaluators)]


def without_labels(store: Store, plan: Plan) -> list[Item]:
    """Return the items that lack a label, each with the evaluators whose label it lacks."""
    names = [each.name for each in plan.evaluators]
    labelled = store.labelled(plan.granularity, [item.span_id for item in plan.items], names)
    left = (
        item._replace(evaluators=[i for i in item.evaluators if (item.span_id, names[i]) not in labelled])
        for item in plan.items
    )
    return [item for item in left if item.evaluators]


def fraction(text: str) -> float:
    """Return a number in [0, 1) that a text always gets."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
