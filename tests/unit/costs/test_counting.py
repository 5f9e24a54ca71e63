"""Tests for the count of spans that are too many to read: requests, and what the range contains."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.costs.estimates import RunEstimate, estimate_run
from airflow_provider_online_tasks.exceptions import ResponseTooLarge
from airflow_provider_online_tasks.inputs.runs import RunInput

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import RestCall

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 28
TASK = {"id": "T", "name": "t", "project_id": "P", "sampling_rate": 1, "evaluators": [{"evaluator_id": "E"}]}
TEMPLATE = {
    "name": "quality",
    "template": "Is {attributes.output.value} correct?",
    "classification_choices": {"yes": 1, "no": 0},
    "include_explanations": False,
    "llm_config": {"model_name": "gpt-4o"},
}
EVALUATOR = {"id": "E", "name": "q", "type": "TEMPLATE", "version": {"id": "V", "template_config": TEMPLATE}}


class Server:
    """A project with spans at given seconds after the start, in order, and labels of some of them."""

    def __init__(self, times: list[float], labelled: float = 0.0, text: str = "fine") -> None:
        self.times = times
        self.labelled = labelled
        self.text = text
        self.requests: list[RestCall[Any]] = []

    def send(self, call: RestCall[Any]) -> Any:
        self.requests.append(call)
        assert call.method == "GET" or call.path == "/v2/spans"
        if call.path == "/v2/spans":
            return call.read(self.spans(call.body, call.query))
        return call.read(TASK if "/tasks/" in call.path else EVALUATOR)

    def spans(self, body: Any, query: Any) -> dict[str, Any]:
        if "IN (" in body.get("filter", ""):
            return {"spans": self.read(range(body["filter"].count("'") // 2), **{"output.value": self.text})}
        low, high = (datetime.fromisoformat(body[name]) - START for name in ("start_time", "end_time"))
        first = bisect_left(self.times, low.total_seconds())
        last = int(query.get("cursor", bisect_right(self.times, high.total_seconds())))
        since = max(first, last - int(query["limit"]))
        more = {"has_more": since > first, "next_cursor": str(since)}
        return {"spans": self.read(range(last - 1, since - 1, -1)), "pagination": more}

    def read(self, numbers: range, **attributes: Any) -> list[dict[str, Any]]:
        label = [{"name": "quality", "label": "yes"}]
        return [
            {
                "context": {"span_id": f"s{number}", "trace_id": f"t{number}"},
                "start_time": (START + timedelta(seconds=self.times[number])).isoformat(),
                "evaluations": label if number < self.labelled * len(self.times) else [],
                "attributes": attributes,
            }
            for number in numbers
        ]

    def estimate(self, **fields: Any) -> RunEstimate:
        window = {"data_start_time": START, "data_end_time": START + timedelta(days=DAYS)}
        run = RunInput.read({"online_task_id": "T", **window, **fields})
        return estimate_run(self, run)  # type: ignore[arg-type]


@cache
def times(count: int, amplitude: float) -> list[float]:
    """Return start times with more traffic by day than by night."""

    def warped(share: float) -> float:
        days = share * DAYS
        return (days + amplitude / (2 * math.pi) * math.sin(2 * math.pi * days)) * 86_400

    return sorted(warped((number + 0.5) / count) for number in range(count))


@pytest.mark.parametrize("amplitude", [0.0, 0.5, 0.9])
def test_estimate_of_a_million_spans_sends_at_most_21_requests(amplitude: float) -> None:
    server = Server(times(1_000_000, amplitude))
    estimate = server.estimate(max_spans=10_000_000)
    assert len(server.requests) <= 21
    assert not estimate.is_exact
    assert estimate.matching_spans is not None
    assert estimate.matching_spans.low <= 1_000_000 <= estimate.matching_spans.high
    assert estimate.evaluations.low <= 1_000_000 <= estimate.evaluations.high


def test_default_max_spans_limits_evaluations_of_a_million_spans() -> None:
    estimate = Server(times(1_000_000, 0.5)).estimate()
    assert estimate.evaluations.high == 10_000
    assert estimate.evaluations.low > 9_500


@pytest.mark.slow
def test_extrapolated_counts_contain_the_number_in_9_of_10_cases() -> None:
    draw = random.Random(20260110)
    contained = 0
    for _ in range(40):
        count = int(10 ** draw.uniform(4.0, 5.0))
        pool = times(200_000, draw.choice([0.0, 0.4, 0.8]))
        server = Server(sorted(draw.choices(pool, k=count)))
        matching = server.estimate().matching_spans
        assert matching is not None
        contained += matching.low <= count <= matching.high
    assert contained >= 36


@pytest.mark.parametrize("labelled", [0.0, 0.4, 1.0])
def test_labelled_spans_of_large_window_are_extrapolated(labelled: float) -> None:
    estimate = Server(times(100_000, 0.3), labelled).estimate(max_spans=1_000_000)
    assert estimate.labelled_spans is not None
    assert estimate.labelled_spans.low <= labelled * 100_000 <= estimate.labelled_spans.high
    assert estimate.evaluations.low <= (1 - labelled) * 100_000 <= estimate.evaluations.high


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 8_000])
def test_small_windows_are_counted_exactly(count: int) -> None:
    server = Server(times(count, 0.0))
    estimate = server.estimate()
    assert (estimate.is_exact, estimate.matching_spans) == (True, (count, count))
    assert len(server.requests) <= 21


def test_spans_of_one_moment_are_estimated_without_an_error() -> None:
    server = Server([86_400.0 * 5] * 30_000)
    estimate = server.estimate()
    assert len(server.requests) <= 21
    assert not estimate.is_exact
    assert estimate.matching_spans is not None
    assert 2_500 < estimate.matching_spans.low <= 30_000 <= estimate.matching_spans.high


def test_spans_without_a_start_time_are_counted() -> None:
    server = Server(times(700, 0.0))
    read = server.read
    server.read = lambda numbers, **texts: [  # type: ignore[method-assign]
        {**span, "start_time": None} for span in read(numbers, **texts)
    ]
    assert server.estimate().matching_spans == (700, 700)


def test_empty_page_of_more_is_read_as_no_spans() -> None:
    server = Server(times(20_000, 0.0))
    read = server.spans
    ends: list[str] = []

    def spans(body: Any, query: Any) -> dict[str, Any]:
        ends.append(body["end_time"])
        page = read(body, query)
        return page if body["end_time"] == ends[0] else {**page, "spans": []}

    server.spans = spans  # type: ignore[method-assign]

    assert server.estimate().matching_spans.high < 20_000


@pytest.mark.parametrize("fails", [1, 5])
def test_texts_that_are_too_large_are_read_in_part_or_unknown(fails: int) -> None:
    server = Server(times(400, 0.0), text="word " * 50_000)
    failed = 0
    send = server.send

    def send_or_fail(call: RestCall[Any]) -> Any:
        nonlocal failed
        if "IN (" in str(call.body) and failed < fails:
            failed += 1
            raise ResponseTooLarge("more than 3 MiB")
        return send(call)

    server.send = send_or_fail  # type: ignore[method-assign]
    estimate = server.estimate()
    assert estimate.matching_spans == (400, 400)
    assert (estimate.input_tokens is None) == (fails == 5)


def bursts(days: int, times_of_bursts: list[float], spans: int, draw: random.Random) -> list[float]:
    """Return the start times of 1,000 spans at random times, and of bursts that take an hour each."""
    first = (DAYS - days) * 86_400
    times = [first + draw.uniform(0, days * 86_400) for _ in range(1_000)]
    times += [first + (hour + draw.random()) * 3_600 for hour in times_of_bursts for _ in range(spans)]
    return sorted(times)


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("days", "times_of_bursts", "spans"),
    [(1, [23], 20_000), (1, [11], 20_000), (7, [24 * day + 2 for day in range(7)], 5_000)],
    ids=["before the end", "at noon", "every night"],
)
def test_high_end_covers_bursts(days: int, times_of_bursts: list[float], spans: int) -> None:
    estimates = []
    for seed in range(8):
        times = bursts(days, times_of_bursts, spans, random.Random(seed))
        start = START + timedelta(days=DAYS - days, seconds=seed)
        matching = Server(times).estimate(data_start_time=start).matching_spans
        estimates.append((matching, sum(time >= (start - START).total_seconds() for time in times)))

    assert [matching for matching, count in estimates if not matching.low <= count <= matching.high] == []
    if len(times_of_bursts) == 1:
        assert max(matching.high / count for matching, count in estimates) < 2
