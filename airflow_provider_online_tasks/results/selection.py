"""Select spans by the labels of an evaluator: all with certain labels, or a random sample.

A sample takes the spans with the smallest hashes of their IDs. So each try selects the same spans, a larger
sample contains every smaller one, and only the sample is kept in memory.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import EvalResultsIncomplete, InvalidInput
from airflow_provider_online_tasks.results.counts import OTHER_LABELS
from airflow_provider_online_tasks.results.reading import INPUT, OUTPUT
from airflow_provider_online_tasks.results.summary import Duplicates

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Evaluation, Span, Task, TaskRun

ALL = "all"
Shares = Mapping[str, float] | Literal["all"]
MAX_STRATA = 200


class SelectedSpan(NamedTuple):
    """A span to send, and the evaluation that selected it."""

    span: Span
    evaluation: Evaluation

    @property
    def id(self) -> str:
        """The ID of the span."""
        return self.span.span_id

    @property
    def start_time(self) -> datetime:
        """The start time of the span."""
        return parse_time(self.span.start_time, "start_time")

    def reread(self, span: Span) -> SelectedSpan:
        """Return the selection with the span and the evaluation as they were read again."""
        name, label = self.evaluation.name, self.evaluation.label
        same = (each for each in span.evaluations if (each.name, each.label) == (name, label))
        return SelectedSpan(span, next(same, self.evaluation))

    def example(self) -> dict[str, Any]:
        """Return the span as an example of a dataset, without the fields that have no value."""
        fields = {
            "span_id": self.id,
            "trace_id": self.span.trace_id,
            "input": self.span.attribute(INPUT),
            "output": self.span.attribute(OUTPUT),
            "evaluator": self.evaluation.name,
            "label": self.evaluation.label,
            "score": self.evaluation.score,
            "explanation": self.evaluation.explanation,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Stratum(NamedTuple):
    """How many spans have a label, and how many of them were selected."""

    spans: int
    selected: int


class Selection(NamedTuple):
    """The selected spans, how many more there are, how many have an evaluation, and the counts by label."""

    spans: list[SelectedSpan]
    left_out: int
    evaluated: int
    strata: dict[str, Stratum]


def select_spans(
    pages: Iterable[Sequence[Span]], *, evaluator: str, labels: Collection[str], max_spans: int
) -> Selection:
    """Select the first spans that an evaluator gave one of some labels."""
    selected: list[SelectedSpan] = []
    evaluated, matching, counts = 0, 0, Counter[str]()
    for each in _evaluated_spans(pages, evaluator):
        evaluated += 1
        label = each.evaluation.label
        if label is not None:
            counts[_stratum_of(label, counts)] += 1
        if label in labels:
            matching += 1
            if len(selected) < max_spans:
                selected.append(each)
    return Selection(selected, matching - len(selected), evaluated, _strata(counts, selected))


def sample_spans(pages: Iterable[Sequence[Span]], *, evaluator: str, size: int, shares: Shares) -> Selection:
    """Select a random sample of the spans that an evaluator gave a label.

    :param shares: the share of each label in the sample. A label with too few spans is selected completely,
        and the other labels fill the sample. ``all`` samples all labels together.
    """
    counts, groups = Counter[str](), defaultdict[str, _SmallestHashes](lambda: _SmallestHashes(size))
    for each in _evaluated_spans(pages, evaluator):
        label = each.evaluation.label
        if label is None:
            continue
        counts[_stratum_of(label, counts)] += 1
        if isinstance(shares, str):
            groups[ALL].add(each)
        elif label in shares:
            groups[label].add(each)
    quotas = {ALL: size} if isinstance(shares, str) else _quotas(size, shares, counts)
    selected = [each for name, group in groups.items() for each in group.smallest(quotas[name])]
    return Selection(selected, 0, counts.total(), _strata(counts, selected))


class _SmallestHashes:
    """The spans whose IDs have the smallest hashes, up to a number."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[int] = []
        self._spans: dict[int, SelectedSpan] = {}

    def add(self, span: SelectedSpan) -> None:
        mark = int.from_bytes(sha256(span.id.encode()).digest()[:8])
        if mark not in self._spans:
            self._spans[mark] = span
            heapq.heappush(self._heap, -mark)
            if len(self._heap) > self._size:
                del self._spans[-heapq.heappop(self._heap)]

    def smallest(self, count: int) -> list[SelectedSpan]:
        return [self._spans[mark] for mark in sorted(self._spans)[:count]]


def _quotas(size: int, shares: Mapping[str, float], available: Mapping[str, int]) -> Counter[str]:
    """Return how many spans of each label make a sample.

    The method of Sainte-Laguë gives one place at a time to a label that has more spans, so that a larger
    sample has at least as many of each label.
    """
    quotas = Counter[str]()
    for _ in range(size):
        remaining = [label for label in shares if quotas[label] < available[label]]
        if not remaining:
            break
        quotas[min(remaining, key=lambda label: (2 * quotas[label] + 1) / shares[label])] += 1
    return quotas


def _evaluated_spans(pages: Iterable[Sequence[Span]], evaluator: str) -> Iterator[SelectedSpan]:
    """Yield each span that has an evaluation by an evaluator, once."""
    duplicates = Duplicates()
    for span in itertools.chain.from_iterable(pages):
        evaluation = next((each for each in span.evaluations if each.name == evaluator), None)
        if evaluation is not None and not duplicates.is_duplicate(span):
            yield SelectedSpan(span, evaluation)


def _stratum_of(label: str, counts: Mapping[str, int]) -> str:
    return label if label in counts or len(counts) < MAX_STRATA else OTHER_LABELS


def _strata(counts: Counter[str], selected: Iterable[SelectedSpan]) -> dict[str, Stratum]:
    chosen = Counter(_stratum_of(str(each.evaluation.label), counts) for each in selected)
    return {label: Stratum(count, chosen[label]) for label, count in sorted(counts.items())}


def check_selection(
    selection: Selection,
    run: TaskRun | None,
    task: Task,
    *,
    evaluator: str,
    labels: Collection[str],
    shares: Shares | None,
) -> None:
    """Raise an exception if a name is probably misspelled, so that the wrong spans would be sent."""
    if not selection.evaluated and (run is None or run.counts.successes):
        names = [each.evaluator_name for each in task.evaluators if each.evaluator_name]
        what = "The window" if run is None else f"Run {run.id} evaluated {run.counts.successes} items. It"
        message = (
            f"{what} has no {'labels' if shares else 'evaluations'} by {evaluator!r} that could be read. The "
            f"task's evaluators are {', '.join(map(repr, names)) or 'unknown'}. Check evaluator and "
            f"granularity, and chain this task after EvalResultsOperator, which waits for evaluations."
        )
        # The column of an evaluator of the hub may have another name than the evaluator.
        is_unknown = names and evaluator not in names and not any(task.evaluator_ids)
        raise InvalidInput(message) if is_unknown else EvalResultsIncomplete(message)
    argument, wanted = ("labels", labels) if isinstance(shares, str | None) else ("shares", shares)
    unused = selection.strata.keys() - set(wanted)
    similar = {_folded(label): label for label in unused}
    for label in set(wanted) - selection.strata.keys():
        if other := similar.get(_folded(label)):
            raise InvalidInput(f"{argument}: no span has the label {label!r}. Did you mean {other!r}?")
        if argument == "shares" and unused and selection.spans:
            raise InvalidInput(
                f"shares: no span has the label {shown(label)}, and the label {shown(min(unused))} has no "
                f"share. Set a share for each label of the evaluator."
            )


def _folded(label: str) -> str:
    return label.strip().casefold()
