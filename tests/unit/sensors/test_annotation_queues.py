"""Tests of AnnotationQueueSensor and its trigger: the records of a queue that people complete."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_provider_online_tasks.annotations.completion import Completion
from airflow_provider_online_tasks.api.responses import QueueRecord
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import AnnotationQueueUnreachable, InvalidInput
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.sensors.annotation_queues import AnnotationQueueSensor
from airflow_provider_online_tasks.triggers.annotation_queues import AnnotationQueueTrigger
from tests.support import quick_time
from tests.support.emulator_api import AGENTS
from tests.support.evaluated_runs import run_task
from tests.support.key_rotation import NEW_KEY, rotate
from tests.support.review_places import Places
from tests.support.task_instance import TaskInstance
from tests.support.waits import CONN_ID

from .test_runs import Clock, Store, clock, context

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

__all__ = ["clock"]
LIST = "rest.list_annotation_queue_records"


class Review:
    """A queue with a sample of evaluated spans, which people complete."""

    def __init__(self, arize: Emulator) -> None:
        self.arize = arize
        self.id, self.annotation = Places(arize).labelled_queue("correct", "incorrect")
        self.span_ids: list[str] = []

    def add(self, count: int) -> list[str]:
        """Add a sample to the queue, and return the IDs of its spans."""
        [run] = self.arize.runs()
        sent = SendSpansOperator(
            task_id="send",
            run_id=run["id"],
            evaluator="correctness",
            sample=count,
            annotation_queue_id=self.id,
        ).execute(TaskInstance().next_try())
        self.arize.clear_requests()
        self.span_ids = sent["selected_span_ids"]
        return self.span_ids

    def complete(self, share: float = 1.0) -> None:
        """Complete a share of the records."""
        chosen = {"annotation": self.annotation, "positive": "correct", "share": share}
        self.arize.label_records(self.id, evaluator="correctness", **chosen)

    @property
    def polls(self) -> list[dict[str, Any]]:
        """The requests for the records."""
        return self.arize.requests(LIST)


@pytest.fixture
def review(arize: Emulator) -> Review:
    """A queue with 20 records of an evaluated window."""
    arize.configure(run_seconds=0)
    run_task(arize, query_filter=AGENTS)
    review = Review(arize)
    review.add(20)
    return review


def sensor(queue_id: str, **arguments: Any) -> AnnotationQueueSensor:
    given = {"conn_id": CONN_ID, "deferrable": False, **arguments}
    return AnnotationQueueSensor(task_id="wait", annotation_queue_id=queue_id, **given)


def is_done(queue_id: str, **arguments: Any) -> bool:
    return sensor(queue_id, **arguments).poke(context()).is_done


# What is awaited


def test_completed_queue_returns_counts(review: Review) -> None:
    review.complete()

    result = sensor(review.id, at_least=20, completed=0.95).execute(context())

    assert result == {"annotation_queue_id": review.id, "records": 20, "completed": 20}
    assert len(review.polls) == 1


@pytest.mark.parametrize(
    ("share", "needed", "done"), [(0.9, 0.95, False), (0.95, 0.95, True), (0.95, 1.0, False)]
)
def test_share_of_completed_records_decides(review: Review, share: float, needed: float, done: bool) -> None:
    review.complete(share)
    assert is_done(review.id, completed=needed) is done


def test_too_few_records_wait_continues(review: Review) -> None:
    review.complete()
    assert not is_done(review.id, at_least=21)
    assert is_done(review.id, at_least=20)


def test_empty_queue_is_not_completed(arize: Emulator) -> None:
    queue_id, _ = Places(arize).labelled_queue("correct", "incorrect")
    assert not is_done(queue_id)


@pytest.mark.parametrize("deferrable", [True, False])
def test_records_of_other_spans_do_not_count(review: Review, deferrable: bool) -> None:
    # Last week's records are completed; this week's have just been added.
    earlier = review.span_ids
    review.complete()
    latest = [span_id for span_id in review.add(25) if span_id not in earlier]
    assert is_done(review.id, completed=0.8)
    if deferrable:
        with pytest.raises(TaskDeferred):
            sensor(review.id, span_ids=latest, completed=0.8, deferrable=True).execute(context())
    else:
        assert not is_done(review.id, span_ids=latest, completed=0.8)
    assert is_done(review.id, span_ids=earlier, at_least=20)


def record(span_id: str = "s", *statuses: str, annotations: Any = ()) -> QueueRecord:
    users = [{"user": {"id": "u"}, "completion_status": status} for status in statuses]
    return QueueRecord.from_wire({"span_id": span_id, "assigned_users": users, "annotations": annotations})


@pytest.mark.parametrize(
    ("queue_record", "is_completed"),
    [
        (record("s", "COMPLETED"), True),
        (record("s", "completed"), True),
        (record("s", "PENDING"), False),
        (record("s", "IN_PROGRESS"), False),
        (record("s", "COMPLETED", "PENDING"), False),
        (record("s", "COMPLETED", "COMPLETED"), True),
        (record("s", "PENDING", annotations=[{"name": "review"}]), False),
        (record("s"), False),
        (record("s", annotations=[{"name": "review"}]), True),
    ],
)
def test_record_is_completed_when_all_its_users_completed_it(
    queue_record: QueueRecord, is_completed: bool
) -> None:
    assert queue_record.is_completed is is_completed


def test_share_that_is_exactly_reached_is_enough() -> None:
    for count in range(1, 101):
        completion = Completion()
        completion.add([record("s", "COMPLETED")] * count + [record("s", "PENDING")] * (100 - count))
        assert completion.is_reached(at_least=1, completed=float(f"0.{count:02}") if count < 100 else 1.0)


def test_share_is_that_of_the_spans_not_of_the_records_found() -> None:
    completion = Completion([str(number) for number in range(200)])
    completion.add([record(str(number), "COMPLETED") for number in range(3)])
    assert not completion.is_reached(at_least=1, completed=0.5)
    completion.add([record(str(number), "COMPLETED") for number in range(3, 100)])
    assert completion.is_reached(at_least=1, completed=0.5)


def test_fewer_spans_than_at_least_are_enough() -> None:
    completion = Completion(list("abcdef"))
    completion.add([record(span_id, "COMPLETED") for span_id in "abcde"])
    assert not completion.is_reached(at_least=10, completed=1.0)
    completion.add([record("f", "COMPLETED")])
    assert completion.is_reached(at_least=10, completed=1.0)


@pytest.mark.parametrize("statuses", [("COMPLETED", "PENDING"), ("PENDING", "COMPLETED")])
def test_span_is_completed_if_one_of_its_records_is(statuses: tuple[str, str]) -> None:
    completion = Completion(["a"])
    for status in statuses:
        completion.add([record("a", status)])
    assert (completion.records, completion.completed, completion.has_all) == (1, 1, True)


# Waiting in a worker


def test_poke_waits_with_one_request_per_poll(
    review: Review, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, slept = clock.sleep, []

    def label(seconds: float) -> None:
        slept.append(seconds)
        sleep(seconds)
        if len(slept) == 3:
            review.complete()

    monkeypatch.setattr(clock, "sleep", label)

    assert sensor(review.id, poke_interval=60).execute(context())["completed"] == 20

    assert slept == [60.0] * 3
    assert len(review.polls) == 4


def test_rate_limit_pauses_the_wait(review: Review, clock: Clock) -> None:
    review.complete()
    review.arize.add_fault(Fault(LIST, "rate_limited", retry_after=40))

    sensor(review.id, poke_interval=5).execute(context())

    assert 40 <= clock.passed < 45


@pytest.mark.promise("queue-sensor")
def test_rejections_for_5_minutes_raise_unreachable(review: Review, clock: Clock) -> None:
    review.arize.add_fault(Fault(LIST, "not_found", times=None))

    with pytest.raises(AnnotationQueueUnreachable) as caught:
        sensor(review.id, poke_interval=10).execute(context())

    assert not isinstance(caught.value, AirflowFailException)
    assert 300 <= clock.passed < 320


def test_reschedule_keeps_rejections_between_polls(review: Review, clock: Clock) -> None:
    store = Store()
    review.arize.add_fault(Fault(LIST, "forbidden", times=None))

    def poll() -> bool:
        return sensor(review.id, mode="reschedule").poke(context(task_state_store=store)).is_done

    for _ in range(5):
        assert not poll()
        clock.sleep(60)
    with pytest.raises(AnnotationQueueUnreachable):
        poll()


def test_large_queue_is_read_page_by_page(review: Review) -> None:
    review.complete()
    review.arize.add_fault(Fault(LIST, "garbage", body=json.dumps({"records": ["x" * 4_000_000]})))
    assert is_done(review.id, at_least=20)


@pytest.mark.parametrize("body", [{"records": [3]}, {"records": [{"assigned_users": 5}]}, {"records": None}])
def test_malformed_response_wait_continues(review: Review, body: Any) -> None:
    review.complete()
    review.arize.add_fault(Fault(LIST, "garbage", body=json.dumps(body)))
    waiting = sensor(review.id)
    assert not waiting.poke(context()).is_done
    assert waiting.poke(context()).is_done


# Waiting in the triggerer


def deferred(waiting: AnnotationQueueSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(context())
    return caught.value


def event_of(trigger: AnnotationQueueTrigger, *, while_waiting: Any = None) -> tuple[Any, float]:
    """Run a trigger as a triggerer does; return its only event, and the seconds that it took."""
    path, kwargs = trigger.serialize()
    assert path.endswith(".AnnotationQueueTrigger")
    stored = AnnotationQueueTrigger(**json.loads(json.dumps(kwargs)))

    async def events() -> tuple[list[Any], float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if while_waiting is not None:
            loop.call_later(1_000.0, while_waiting)
        found = [event.payload async for event in stored.run()]
        return found, loop.time() - began

    [event], seconds = quick_time.run(events())
    return event, seconds


def test_completed_queue_does_not_defer(review: Review) -> None:
    review.complete()
    assert sensor(review.id, deferrable=True).execute(context())["completed"] == 20
    assert len(review.polls) == 1


def test_deferred_wait_ends_when_people_completed_the_records(review: Review) -> None:
    waiting = sensor(review.id, deferrable=True, at_least=20, completed=0.95, span_ids=review.span_ids)
    deferral = deferred(waiting)

    event, seconds = event_of(deferral.trigger, while_waiting=review.complete)

    assert 1_000 <= seconds <= 1_300
    assert len(review.polls) == 1 + 4
    assert waiting.execute_complete(context(), event)["completed"] == 20


def test_deferred_wait_of_many_records_reads_smaller_pages(review: Review) -> None:
    trigger = deferred(sensor(review.id, deferrable=True)).trigger
    review.complete()
    review.arize.add_fault(Fault(LIST, "garbage", body=json.dumps({"records": ["x" * 4_000_000]})))
    event, seconds = event_of(trigger)
    assert event["error_message"] is None
    assert seconds < 400


def test_deferred_wait_that_is_rejected_fails_with_the_reason(review: Review) -> None:
    waiting = sensor(review.id, deferrable=True, poke_interval=60)
    trigger = deferred(waiting).trigger
    review.arize.add_fault(Fault(LIST, "not_found", times=None))

    event, seconds = event_of(trigger)

    assert 300 < seconds < 500
    with pytest.raises(AnnotationQueueUnreachable):
        waiting.execute_complete(context(), event)


@pytest.mark.promise("queue-sensor")
@pytest.mark.parametrize("kind", ["rate_limited", "drop_before", "not_found"])
def test_deferred_wait_continues_after_a_failed_poll(review: Review, kind: str) -> None:
    trigger = deferred(sensor(review.id, deferrable=True)).trigger
    review.complete()
    review.arize.add_fault(Fault(LIST, kind))
    assert event_of(trigger)[0]["error_message"] is None


def test_deferred_wait_uses_a_rotated_key(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = deferred(sensor(review.id, deferrable=True)).trigger
    review.complete()
    rotate(review.arize, monkeypatch)
    fields = {**json.loads(review.arize.connection_json), "password": NEW_KEY}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
    assert event_of(trigger)[0]["error_message"] is None


@pytest.mark.promise("queue-sensor")
def test_event_without_completed_records_defers_again_until_the_same_deadline(
    review: Review, clock: Clock
) -> None:
    waiting = sensor(review.id, deferrable=True, timeout=1_000)
    first = deferred(waiting)
    clock.passed += 500
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute_complete(context(), {"error_message": None}, first.trigger.deadline)
    assert caught.value.trigger.deadline == first.trigger.deadline


@pytest.mark.parametrize(
    ("limits", "error"),
    [({"timeout": 1_000}, AirflowSensorTimeout), ({"execution_timeout": 600}, AirflowTaskTimeout)],
)
def test_deferred_wait_ends_at_its_timeout(
    review: Review, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], error: type[BaseException]
) -> None:
    from datetime import timedelta

    if "execution_timeout" in limits:
        limits = {"execution_timeout": timedelta(seconds=limits["execution_timeout"])}
    waiting = sensor(review.id, deferrable=True, **limits)
    trigger = deferred(waiting).trigger
    event, seconds = event_of(trigger)
    assert 590 <= seconds <= 1_000
    now = _clock.epoch() + seconds + 1
    monkeypatch.setattr(_clock, "epoch", lambda: now)
    with pytest.raises(error):
        waiting.execute_complete(context(), event, trigger.deadline)


def test_event_keeps_the_deadline_for_a_task_that_forgot_it(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = sensor(review.id, deferrable=True, timeout=1_000)
    event, seconds = event_of(deferred(waiting).trigger)
    now = _clock.epoch() + seconds + 1
    monkeypatch.setattr(_clock, "epoch", lambda: now)
    with pytest.raises(AirflowSensorTimeout):
        waiting.execute_complete(context(), event)


def test_event_is_not_sent_in_the_first_seconds(review: Review) -> None:
    _, seconds = event_of(deferred(sensor(review.id, deferrable=True, timeout=1)).trigger)
    assert seconds >= 5


def test_trigger_has_no_secret(review: Review) -> None:
    _, kwargs = deferred(sensor(review.id, deferrable=True)).trigger.serialize()
    assert review.arize.api_key not in json.dumps(kwargs)


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"annotation_queue_id": ""},
        {"annotation_queue_id": "my queue"},
        {"at_least": 0},
        {"at_least": 1.5},
        {"completed": 0},
        {"completed": 1.1},
        {"completed": 95},
        {"completed": True},
        {"completed": "all"},
        {"span_ids": []},
        {"span_ids": "abc"},
        {"span_ids": [3]},
        {"poke_interval": 0},
    ],
)
def test_wrong_literal_is_rejected_when_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        sensor(**{"queue_id": arguments.pop("annotation_queue_id", "Q"), **arguments})


def test_span_ids_rendered_to_nothing_are_rejected_before_any_request(arize: Emulator) -> None:
    waiting = sensor("Q", span_ids="{{ params.span_ids }}")
    waiting.span_ids = []
    with pytest.raises(InvalidInput):
        waiting.poke(context())
    assert arize.requests() == []
