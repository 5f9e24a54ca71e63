"""Count the spans of a window with few requests, and draw a random sample of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api.calls import Page, RestCall, pages
from airflow_provider_online_tasks.costs.ranges import Range
from airflow_provider_online_tasks.inputs.windows import DataWindow

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.api.responses import Span

NEIGHBORS = 100
"""The number of spans from which a density is measured."""


class Requests:
    """Sends a limited number of requests; ``left`` is how many remain."""

    def __init__(self, client: Client, most: int) -> None:
        self.client = client
        self.left = most

    def send(self, call: RestCall[Any]) -> Any:
        """Send a call."""
        self.left -= 1
        return self.client.send(call)


@dataclass(frozen=True)
class Neighbors:
    """The spans on one side of a gap, and the seconds that they cover."""

    spans: Sequence[Span] = ()
    seconds: float = 1.0


@dataclass(frozen=True)
class Gap:
    """A part of the window that isn't read."""

    start: datetime
    end: datetime
    older: Neighbors
    newer: Neighbors

    def count(self, number_of: Callable[[Sequence[Span]], float]) -> Range:
        """Return a number of the gap: between those by the densities on its two sides."""
        older, newer = (number_of(side.spans) * self.weight(side) for side in (self.older, self.newer))
        return Range(min(older, newer), max(older, newer))

    def weight(self, side: Neighbors) -> float:
        """Return how many spans of the gap each of its neighbors stands for."""
        return _length(self) / side.seconds


@dataclass(frozen=True)
class Counted:
    """The spans of a window.

    :param newest: the newest spans, without a gap.
    :param pages: the spans that were read at other times.
    :param gaps: the parts of the window that weren't read.
    """

    newest: Sequence[Span]
    pages: Sequence[Sequence[Span]] = ()
    gaps: Sequence[Gap] = ()

    @property
    def is_exact(self) -> bool:
        """Whether all spans were read."""
        return not self.gaps

    @property
    def read(self) -> list[Sequence[Span]]:
        """The spans that were read, in parts without a gap."""
        return [self.newest, *self.pages]

    def count(self, number_of: Callable[[Sequence[Span]], float]) -> Range:
        """Return a number of the window: exact for the spans that were read, extrapolated for the others."""
        read = sum(map(number_of, self.read))
        gaps = [gap.count(number_of) for gap in self.gaps]
        low, high = sum(gap.low for gap in gaps), sum(gap.high for gap in gaps)
        error = math.hypot(*(gap.high - gap.low for gap in gaps))
        return Range(read + max(0.0, low - error), read + high + error)

    def sample(
        self, size: int, wanted: Callable[[Span], bool], newest: float, draw: random.Random
    ) -> list[Span]:
        """Return random spans of those that are wanted; if that suffices, of the newest ones.

        :param newest: how many of the newest spans are evaluated at most.
        """
        read, gaps = list(chain.from_iterable(self.read)), self.gaps
        if newest <= len(self.newest):
            read, gaps = list(self.newest[: math.ceil(newest)]), ()
        spans = {span.span_id: span for span in read}
        weights = dict.fromkeys(spans, 1.0)
        for gap in gaps:
            for side in (gap.older, gap.newer):
                for span in side.spans:
                    weights[span.span_id] += gap.weight(side) / 2
        # The largest of these keys are a sample without replacement in proportion to the weights.
        pool = [(draw.random() ** (1 / weights[key]), span) for key, span in spans.items() if wanted(span)]
        return [span for _, span in sorted(pool, key=lambda each: each[0], reverse=True)[:size]]


def count_spans(
    requests: Requests,
    list_page: Callable[..., RestCall[Page[Span]]],
    window: DataWindow,
    *,
    draw: random.Random,
) -> Counted:
    """Count the spans of a window with the requests that are left.

    If they don't suffice to read all, read the newest spans, then pages at random times of the gaps that are
    longest or may have most spans.

    :param list_page: returns the call for a page of a ``window`` at a ``cursor``, newest spans first.
    """
    read: list[Span] = []
    most = requests.left
    reached = window.end
    for number, page in enumerate(_pages(requests, list_page, window), 1):
        # Arize lists a span that starts when the window ends. It belongs to the next window.
        read += _before(page, window.end)
        if page.next_cursor is None:
            return Counted(read)
        reached = max(window.start, min((_start(span, reached) for span in page.items), default=reached))
        share = (window.end - reached) / (window.end - window.start)
        is_far = share * requests.left < number * (1 - share)
        if requests.left <= 1 or (is_far and number >= most / 3):
            break
    if reached <= window.start:
        return Counted(read)
    pages: list[Sequence[Span]] = []
    gaps = [Gap(window.start, reached, Neighbors(), _oldest(read, reached))]
    while requests.left > 0:
        # By turns: the one finds the end of a burst, the other one finds a burst between quiet times.
        gap = max(gaps, key=_most_spans if requests.left % 2 else _length)
        gaps.remove(gap)
        middle = gap.start + (gap.end - gap.start) * draw.uniform(0.3, 0.7)
        page = requests.send(list_page(window=DataWindow(start=gap.start, end=middle), cursor=None))
        spans = _before(page, middle)
        since = _start(spans[-1], gap.start) if spans and page.next_cursor is not None else gap.start
        pages.append(spans)
        gaps.append(Gap(middle, gap.end, _newest(spans, middle, since), gap.newer))
        if since > gap.start:
            gaps.append(Gap(gap.start, since, gap.older, _oldest(spans, since)))
    return Counted(read, pages, gaps)


def _most_spans(gap: Gap) -> float:
    return gap.count(len).high


def _length(gap: Gap) -> float:
    return (gap.end - gap.start).total_seconds()


def _pages(
    requests: Requests, list_page: Callable[..., RestCall[Page[Span]]], window: DataWindow
) -> Iterator[Page[Span]]:
    return pages(requests.send, lambda cursor: list_page(window=window, cursor=cursor))


def _before(page: Page[Span], end: datetime) -> list[Span]:
    """Return the spans of a page that start before a time, newest first."""
    spans = [span for span in page.items if span.started_at is None or span.started_at < end]
    return sorted(spans, key=lambda span: _start(span, end), reverse=True)


def _newest(spans: Sequence[Span], end: datetime, since: datetime) -> Neighbors:
    """Return the newest of the spans between two times."""
    found = spans[:NEIGHBORS]
    return _neighbors(found, since if len(found) == len(spans) else _start(found[-1], since), end)


def _oldest(spans: Sequence[Span], since: datetime) -> Neighbors:
    found = spans[-NEIGHBORS:]
    return _neighbors(found, since, _start(found[0], since) if found else since)


def _neighbors(spans: Sequence[Span], start: datetime, end: datetime) -> Neighbors:
    return Neighbors(spans, max(1.0, (end - start).total_seconds()))


def _start(span: Span, unknown: datetime) -> datetime:
    return span.started_at or unknown
