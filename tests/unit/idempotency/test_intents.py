"""What is stored between tries, and what Airflow says about a try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks.idempotency.intents import CurrentTry, Intent, IntentStore
from tests.support.task_instance import TaskInstance

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ThingIntent(Intent):
    """An intent with a name and some IDs."""

    name: str
    ids: tuple[str, ...] = ()


def store(task: TaskInstance, key: str = "thing") -> IntentStore[ThingIntent]:
    return IntentStore(task.next_try(), key, ThingIntent)


def test_intent_written_in_one_try_is_read_in_next(task: TaskInstance) -> None:
    intent = ThingIntent(name="a", ids=("1", "2")).sent(server_now=NOW, worker_now=NOW)
    assert store(task).write(intent) == intent
    assert store(task).read() == intent


def test_stored_intent_is_json(task: TaskInstance) -> None:
    store(task).write(ThingIntent(name="a", ids=("1",)))
    assert task.store is not None
    assert task.store.values["thing"]["ids"] == ["1"]


@pytest.mark.parametrize("value", [None, "text", [1], {}, {"name": 1}, {"name": "a", "sent_at": 5}])
def test_stored_value_of_another_shape_reads_as_none(task: TaskInstance, value: Any) -> None:
    assert task.store is not None
    task.store.values["thing"] = value
    assert store(task).read() is None


def test_deleted_intent_reads_as_none(task: TaskInstance) -> None:
    intents = store(task)
    intents.write(ThingIntent(name="a"))
    intents.delete()
    intents.delete()
    assert intents.read() is None


def test_finish_marks_stored_intent_with_max_tries(task: TaskInstance) -> None:
    store(task).write(ThingIntent(name="a", id="1"))
    intents = store(task)
    intents.finish()
    assert intents.read() == ThingIntent(name="a", id="1", succeeded_at=task.max_tries)


def test_finish_without_intent_writes_nothing(task: TaskInstance) -> None:
    intents = store(task)
    intents.finish()
    assert intents.read() is None


def test_clear_after_finish_raises_max_tries_and_retry_does_not(task: TaskInstance) -> None:
    intents = store(task)
    intents.write(ThingIntent(name="a"))
    intents.finish()
    finished = intents.read()
    assert finished is not None
    assert store(task).current_try.max_tries == finished.succeeded_at
    task.clear()
    assert store(task).current_try.max_tries != finished.succeeded_at


def test_without_state_store_nothing_is_kept() -> None:
    task = TaskInstance(is_kept=False)
    intents = store(task)
    assert intents.may_be_lost
    intents.write(ThingIntent(name="a"))
    intents.finish()
    intents.delete()
    assert intents.read() is None


@pytest.mark.parametrize(
    ("server", "worker", "age"),
    [
        (10, 10, 10),
        (10, 3_600, 10),
        (3_600, 10, 10),
        (-3_600, 10, 0),
        (10, -3_600, 0),
        (-3_600, -3_600, 0),
        (3_600, 3_600, 3_600),
    ],
)
def test_age_is_shorter_of_two_clocks_and_never_negative(server: int, worker: int, age: int) -> None:
    intent = ThingIntent(name="a").sent(server_now=NOW, worker_now=NOW)
    server_now, worker_now = NOW + timedelta(seconds=server), NOW + timedelta(seconds=worker)
    assert intent.age(server_now=server_now, worker_now=worker_now) == age


def test_age_of_intent_that_was_not_sent_is_infinite() -> None:
    assert ThingIntent(name="a").age(server_now=NOW, worker_now=NOW) == float("inf")


@pytest.mark.parametrize(
    ("number", "max_tries", "retries", "follows_clear"),
    [
        (1, 2, 2, False),  # the first try
        (2, 2, 2, False),  # its retry
        (2, 3, 2, True),  # cleared after the first try: 1 + 2
        (3, 3, 2, False),  # the retry of a cleared task
        (4, 5, 2, True),  # cleared after the third try
        (2, 1, 0, True),  # cleared, without retries
        (1, 0, 0, False),
    ],
)
def test_try_after_clear_is_recognized(
    number: int, max_tries: int, retries: int, follows_clear: bool
) -> None:
    ti = SimpleNamespace(try_number=number, max_tries=max_tries, task=SimpleNamespace(retries=retries))
    current = CurrentTry.of({"ti": ti})  # type: ignore[typeddict-item]
    assert (current.number, current.max_tries, current.follows_clear) == (number, max_tries, follows_clear)
    assert current.dag_run_due is None
    assert current.dag_run_start is None


def test_try_knows_its_dag_run() -> None:
    ti = SimpleNamespace(try_number=1)
    dag_run = SimpleNamespace(run_after=NOW, start_date=NOW + timedelta(hours=1))
    current = CurrentTry.of({"ti": ti, "dag_run": dag_run})  # type: ignore[typeddict-item]
    assert current.dag_run_due == NOW
    assert current.dag_run_start == NOW + timedelta(hours=1)
