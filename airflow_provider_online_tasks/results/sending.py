"""Never a span twice where people look at it.

A span is recognised by its ID, so what an annotation queue or a dataset holds is listed before anything is
added.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import reviews
from airflow_provider_online_tasks.exceptions import CallError
from airflow_provider_online_tasks.inputs import DataWindow

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client

ATTEMPTS = 3
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class ChosenSpan:
    """A span that is sent on, and what was said of it."""

    span_id: str
    trace_id: str | None
    start_time: datetime
    label: str | None
    score: float | None
    explanation: str | None
    input: Any
    output: Any

    def example(self, evaluator: str) -> dict[str, Any]:
        """Return it as an example of a dataset; what is not there is left out."""
        fields = {
            "span_id": self.span_id,
            "trace_id": self.trace_id,
            "input": self.input,
            "output": self.output,
            "evaluator": evaluator,
            "label": self.label,
            "score": self.score,
            "explanation": self.explanation,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Place(Protocol):
    """Where spans are sent: an annotation queue or a dataset."""

    def held(self, cursor: str | None) -> calls.RestCall[calls.Page[str | None]]:
        """Return the call that lists the spans it holds."""

    def add(self, project_id: str, chosen: Sequence[ChosenSpan]) -> Iterator[calls.RestCall[None]]:
        """Yield the calls that add spans, each no larger than Arize takes."""


class Queue:
    """An annotation queue."""

    def __init__(self, queue_id: str) -> None:
        self._id = queue_id

    def held(self, cursor: str | None) -> calls.RestCall[calls.Page[str | None]]:
        """Return the call that lists its records."""
        return reviews.list_queue_spans(self._id, cursor=cursor)

    def add(self, project_id: str, chosen: Sequence[ChosenSpan]) -> Iterator[calls.RestCall[None]]:
        """Yield the calls that add spans, a week of them at the most in each."""
        for part in _stretches(chosen, timedelta(days=reviews.QUEUE_DAYS)):
            for first in range(0, len(part), reviews.QUEUE_RECORDS):
                group = part[first : first + reviews.QUEUE_RECORDS]
                times = [one.start_time for one in group]
                yield reviews.add_queue_spans(
                    self._id,
                    project_id=project_id,
                    window=DataWindow(start=min(times), end=max(times) + _MILLISECOND),
                    span_ids=[one.span_id for one in group],
                )


class Dataset:
    """A dataset, whose examples say by which evaluator they were chosen."""

    def __init__(self, dataset_id: str, evaluator: str) -> None:
        self._id = dataset_id
        self._evaluator = evaluator

    def held(self, cursor: str | None) -> calls.RestCall[calls.Page[str | None]]:
        """Return the call that lists its examples."""
        return reviews.list_dataset_spans(self._id, cursor=cursor)

    def add(self, _: str, chosen: Sequence[ChosenSpan]) -> Iterator[calls.RestCall[None]]:
        """Yield the calls that add spans as examples."""
        for first in range(0, len(chosen), reviews.DATASET_EXAMPLES):
            group = chosen[first : first + reviews.DATASET_EXAMPLES]
            yield reviews.add_dataset_examples(self._id, [one.example(self._evaluator) for one in group])


def send(
    client: Client, place: Place, project_id: str, chosen: Mapping[str, ChosenSpan], *, log: Any
) -> list[str]:
    """Send the spans that a place does not hold, and return their IDs; a lost answer is looked up.

    :param chosen: the spans by their IDs.
    :raises CallError: the subclass that fits what happened.
    """
    missing = _missing(client, place, chosen)
    to_send = list(missing)
    for attempt in itertools.count(1):
        try:
            for call in place.add(project_id, [chosen[span_id] for span_id in missing]):
                client.send(call)
        except CallError as error:
            if not error.may_have_executed or attempt == ATTEMPTS:
                raise
            log.warning("%s Whether the spans arrived is looked up.", error)
            missing = _missing(client, place, to_send)
        else:
            break
    return to_send


def _missing(client: Client, place: Place, span_ids: Iterable[str]) -> list[str]:
    """Return which of these spans a place does not hold."""
    there = {span_id for page in calls.pages(client.send, place.held) for span_id in page.items}
    return [span_id for span_id in span_ids if span_id not in there]


def _stretches(chosen: Sequence[ChosenSpan], longest: timedelta) -> Iterator[list[ChosenSpan]]:
    """Yield the spans in groups, each of which covers no more than this time."""
    part: list[ChosenSpan] = []
    for one in sorted(chosen, key=lambda each: each.start_time):
        if part and one.start_time - part[0].start_time >= longest:
            yield part
            part = []
        part.append(one)
    if part:
        yield part
