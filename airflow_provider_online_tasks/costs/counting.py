"""Count the spans of a window with few requests, and draw a random sample of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.calls import Page, RestCall, pages
from airflow_provider_online_tasks.costs.ranges import Range
from airflow_provider_online_tasks.inputs.windows import DataWindow

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.api.responses import Span

LEAST_ERROR = 0.1
"""The smallest error of an extrapolated count on each side, as a share of it."""
_ERRORS = 3.0
"""The number of standard errors on each side."""


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
class Stratum:
    """Spans that were read, newest first, each of which stands for ``weight`` spans of the window."""

    spans: tuple[Span, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Counted:
    """The spans of a window.

    :param strata: the spans that were read; the newest ones without a gap first, then those of random times.
    """

    strata: tuple[Stratum, ...]

    @property
    def is_exact(self) -> bool:
        """Whether all spans were read."""
        return len(self.strata) == 1

    def count(self, number_of: Callable[[Sequence[Span]], float]) -> Range:
        """Return a number of the window: exact for the newest spans, and extrapolated for the others.

        The error is estimated from the differences of neighbors, as for systematic samples.
        """
        exact, *read = (number_of(stratum.spans) for stratum in self.strata)
        parts = [stratum.weight * number for stratum, number in zip(self.strata[1:], read, strict=True)]
        steps = [(after - before) ** 2 for before, after in pairwise(parts)]
        variance = len(parts) * sum(steps) / (2 * len(steps)) if steps else sum(parts) ** 2
        error = max(LEAST_ERROR * sum(parts), _ERRORS * math.sqrt(variance))
        return Range(exact + max(sum(read), sum(parts) - error), exact + sum(parts) + error)

    def sample(
        self, size: int, wanted: Callable[[Span], bool], newest: float, draw: random.Random
    ) -> list[Span]:
        """Return random spans of those that are wanted; if that suffices, of the newest ones.

        :param newest: how many of the newest spans are evaluated at most.
        """
        read, *sampled = self.strata
        if newest <= len(read.spans):
            read, sampled = replace(read, spans=read.spans[: math.ceil(newest)]), []
        pool = [
            (span, stratum.weight) for stratum in (read, *sampled) for span in stratum.spans if wanted(span)
        ]
        # The largest of these keys are a sample without replacement in proportion to the weights.
        keyed = sorted(pool, key=lambda each: draw.random() ** (1 / each[1]), reverse=True)
        return [span for span, _ in keyed[:size]]


def count_spans(
    requests: Requests,
    list_page: Callable[..., RestCall[Page[Span]]],
    window: DataWindow,
    *,
    draw: random.Random,
) -> Counted:
    """Count the spans of a window with the requests that are left.

    If they don't suffice to read all, read the newest spans and a page at random times of the rest.

    :param list_page: returns the call for a page of a ``window`` at a ``cursor``.
    """
    read: list[Span] = []
    most = requests.left
    reached = window.end
    complete = False
    for number, page in enumerate(_pages(requests, list_page, window), 1):
        # Arize lists a span that starts when the window ends. It belongs to the next window.
        read += [span for span in page.items if _start(span, window.start) < window.end]
        complete = page.next_cursor is None
        if complete:
            break
        reached = max(window.start, min((_start(span, reached) for span in page.items), default=reached))
        share = (window.end - reached) / (window.end - window.start)
        is_far = share * requests.left < number * (1 - share)
        if requests.left <= 1 or (is_far and number >= most / 2):
            break
    if complete or reached <= window.start:
        return Counted((Stratum(tuple(read)),))
    return _with_rest(requests, list_page, DataWindow(start=window.start, end=reached), read, draw)


def _pages(
    requests: Requests, list_page: Callable[..., RestCall[Page[Span]]], window: DataWindow
) -> Iterator[Page[Span]]:
    return pages(requests.send, lambda cursor: list_page(window=window, cursor=cursor))


def _with_rest(
    requests: Requests,
    list_page: Callable[..., RestCall[Page[Span]]],
    rest: DataWindow,
    read: Iterable[Span],
    draw: random.Random,
) -> Counted:
    """Add the part of the window that isn't read: a page at a random time of each of its parts."""
    parts = max(1, requests.left)
    length = (rest.end - rest.start) / parts
    strata = []
    for part in range(parts):
        until = rest.start + length * (part + draw.uniform(0.05, 1.0))
        page = requests.send(list_page(window=DataWindow(start=rest.start, end=until), cursor=None))
        spans = page.items
        since = rest.start
        if page.next_cursor is not None:
            since = min((_start(span, until) for span in spans), default=rest.start)
        strata.append(Stratum(spans, length / max(until - since, timedelta(seconds=1))))
    return Counted((Stratum(tuple(read)), *strata))


def _start(span: Span, unknown: datetime) -> datetime:
    return unknown if span.start_time is None else parse_time(span.start_time)
