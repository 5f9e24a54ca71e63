"""The triggerer looks up where Arize shows the runs of a task, once for all waits, which ask for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.runs.polling.task_links import TaskLinks
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor
from airflow_provider_online_tasks.triggers.events import OVER, RunEvent, read_event
from airflow_provider_online_tasks.ui import links
from airflow_provider_online_tasks.ui.links import Links, Place
from tests.support import quick_time
from tests.support.waits import CONN_ID, create_task, event_of, eventually, trigger, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_UPS = ("rest.get_task", "rest.get_project", "rest.get_space")
SECONDS = (30.0, 60.0)


def looked_up(arize: Emulator) -> dict[str, int]:
    """How often each of the look-ups for links was sent."""
    sent = Counter(request["operation"] for request in arize.requests("rest.*"))
    return {name: sent[name] for name in LOOK_UPS if sent[name]}


def links_by_hook(event: RunEvent) -> Links:
    """What the hook makes of the same run."""
    from airflow_provider_online_tasks.inputs import DataWindow

    run = event.run
    assert run is not None
    assert run.task_id is not None
    window = DataWindow.read(run.data_start_time, run.data_end_time)
    with OnlineTasksHook(CONN_ID) as hook:
        return hook.links(run.task_id, window)


def test_thirty_waits_of_two_tasks_are_two_look_ups_within_one_project(arize: Emulator) -> None:
    tasks = [create_task(arize, name) for name in ("first", "second")]
    runs = [(run, task) for task in tasks for run in arize.create_runs(task, 15, SECONDS)]

    # A sensor does not know the task of its run.
    events = wait_for(
        *(trigger(run, task if number % 2 else None) for number, (run, task) in enumerate(runs))
    )

    assert looked_up(arize) == {"rest.get_task": 2, "rest.get_project": 1, "rest.get_space": 1}
    found = [read_event(event.to_json()).links for event in events]
    assert found == [links_by_hook(event) for event in events]
    assert {one.task for one in found if one} == {"first", "second"}


def test_a_task_that_is_waited_for_later_is_looked_up_too(arize: Emulator) -> None:
    (first, _), (later, _) = tasks = [(create_task(arize, name), name) for name in ("first", "later")]
    [run] = arize.create_runs(first, 1, SECONDS)
    [next_run] = arize.create_runs(later, 1, (90.0, 120.0))

    async def wait() -> list[RunEvent]:
        waiting = asyncio.create_task(event_of(trigger(run, first)))
        await eventually(lambda: looked_up(arize).get("rest.get_space") == 1)
        return list(await asyncio.gather(waiting, event_of(trigger(next_run, later))))

    events = quick_time.run(wait())

    assert [event.links and event.links.task for event in events] == [name for _, name in tasks]


def test_what_the_connection_names_is_not_asked_for(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, space_id="U3BhY2U6MTpxUndY", organization_id="T3JnOjE6cVJ3WA==")
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, SECONDS)

    [event] = wait_for(trigger(run, task))

    assert looked_up(arize) == {"rest.get_task": 1}
    assert event.links == links_by_hook(event)


@pytest.mark.parametrize("operation", LOOK_UPS)
def test_a_look_up_that_fails_is_not_repeated_and_harms_no_wait(arize: Emulator, operation: str) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 5, SECONDS)
    arize.add_fault(Fault(operation, "forbidden", times=None))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert [(event.outcome, event.links) for event in events] == [(OVER, None)] * 5
    assert looked_up(arize)[operation] == 1


def test_a_look_up_that_fails_does_not_keep_those_behind_it_waiting(arize: Emulator) -> None:
    tasks = [create_task(arize, name) for name in ("first", "second")]
    runs = [(run, task) for task in tasks for run in arize.create_runs(task, 2, SECONDS)]
    arize.add_fault(Fault("rest.get_task", "forbidden"))

    events = wait_for(*(trigger(run, task) for run, task in runs))

    assert looked_up(arize)["rest.get_task"] == 2
    assert sorted(event.links is not None for event in events) == [False, False, True, True]


@pytest.mark.parametrize("left_out", ["data_start_time", "data_end_time"])
def test_a_run_without_a_whole_window_has_no_links(left_out: str) -> None:
    nothing: Any = None
    known = TaskLinks(nothing, nothing, nothing)
    place = Place(ui_url="https://app.arize.com", organization_id="O", space_id="S", project_id="P")
    known._known["T"] = Links.within(place, evaluator_ids=()), place.spans_url
    start = datetime(2026, 1, 1, tzinfo=UTC)
    run = TaskRun(
        id="R",
        status=RunStatus.COMPLETED,
        status_text="COMPLETED",
        task_id="T",
        data_start_time=start,
        data_end_time=start + timedelta(days=1),
    )
    assert known.of(run) is not None
    assert known.of(replace(run, **{left_out: None})) is None


def test_links_that_cannot_be_made_harm_no_wait(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def bounds(_: Any) -> dict[str, int]:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    task = create_task(arize)
    [run] = arize.create_runs(task, 1, SECONDS)
    # Of the addresses that a run needs, the one that is made when it ends.
    monkeypatch.setattr(links, "_bounds", bounds)

    [event] = wait_for(trigger(run, task))

    assert (event.outcome, event.links) == (OVER, None)


def test_nothing_is_looked_up_before_arize_has_answered(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, SECONDS)
    arize.add_fault(Fault("rest.get_task_run", "status_before", status=503, times=3))

    [event] = wait_for(trigger(run, task))

    asked = [request["operation"] for request in arize.requests("rest.*")]
    assert asked[:4] == ["rest.get_task_run"] * 4
    assert event.links is not None


def test_a_sensor_whose_event_has_the_links_asks_for_nothing(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, SECONDS)
    [event] = wait_for(trigger(run, task))
    arize.clear_requests()
    sensor = OnlineTaskRunSensor(task_id="wait", run_id=run, conn_id=CONN_ID)
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None, try_number=1)}

    assert sensor.execute_complete(context, event.to_json())["status"] == "COMPLETED"

    assert arize.requests() == []
    assert sensor.links == event.links
    assert sensor.links.spans


def ended(given: Any) -> dict[str, Any]:
    run = TaskRun(id="r", status=RunStatus.COMPLETED, status_text="COMPLETED", num_successes=1)
    return RunEvent(outcome=OVER, run_id="r", run=run, payload={}, links=given).to_json()


def test_an_address_is_whole_or_not_there() -> None:
    long = Links(spans="https://arize.example/" + "a" * 5_000)
    assert "links" not in ended(long)
    assert read_event(ended(long)).links is None
    short = Links(spans="https://arize.example/a", task="t")
    assert read_event(ended(short)).links == short


@pytest.mark.parametrize("given", [None, "text", {"spans": 5}, {"strange": "text"}, ["spans"]])
def test_links_that_are_none_are_left_out(given: Any) -> None:
    assert read_event({**ended(None), "links": given}).links is None
