"""The trigger reports each finished run of a task once, including runs that others started."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.runs import finished_runs
from airflow_provider_online_tasks.runs.finished_runs import Memory
from airflow_provider_online_tasks.triggers import task_runs
from airflow_provider_online_tasks.triggers.task_runs import FinishedRunsTrigger
from tests.support import quick_time
from tests.support.quick_time import Clocks
from tests.support.watches import AssetStore, SharedAssetStore, Watch, pass_time, trigger, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

LIST, GET = "rest.list_task_runs", "rest.get_task_run"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, arize: Emulator) -> None:
    """Virtual time for the trigger and the emulator; Airflow stores state at once."""
    monkeypatch.setattr(task_runs, "STORED_AFTER_SECONDS", 0.05)
    clocks = Clocks()
    clocks.add(arize)
    monkeypatch.setattr(AsyncClient, "_request", clocks.ask())
    fields = json.loads(arize.connection_json)
    fields["extra"] = {"requests_per_minute": 6000}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(fields))


@pytest.fixture
def finish(arize: Emulator, online_task_id: str) -> Callable[..., list[str]]:
    """``finish(3)``: create finished runs and return their IDs."""

    def runs(count: int = 1, **fate: Any) -> list[str]:
        return arize.create_runs(online_task_id, count, seconds=(0, 0), fate=RunFate(**fate))

    return runs


@pytest.fixture
def start(arize: Emulator, online_task_id: str) -> Callable[[], str]:
    """``start()``: create a run that continues until the test finishes it."""

    def run() -> str:
        [run_id] = arize.create_runs(online_task_id, 1, fate=RunFate("hang", pending_seconds=0))
        return run_id

    return run


async def is_watching(arize: Emulator, store: AssetStore) -> None:
    """Wait until the trigger has read the existing runs."""
    await until(lambda: store.values)
    # The server's clock is read in whole seconds.
    await pass_time(arize, 1.1)


def test_new_finished_runs_are_reported_once(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]], start: Callable[[], str]
) -> None:
    before, going = finish(3), start()

    async def watch() -> None:
        await pass_time(arize, 1.1)
        store = AssetStore()
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            later = finish(2)
            assert sorted(await watched.until(2)) == sorted(later)
            arize.set_run(going, status="COMPLETED")
            await watched.until(3)
            await pass_time(arize, 0.5)
            assert watched.runs[2:] == [going]
            assert not set(before) & set(watched.runs)
            return watched.reported[-1]

    said = quick_time.run(watch())
    assert (said["run_id"], said["status"], said["online_task_id"]) == (going, "COMPLETED", online_task_id)
    assert {"num_successes", "num_errors", "data_start_time", "data_end_time"} <= set(said)
    assert arize.api_key not in json.dumps(said)


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_restart_reports_runs_finished_meanwhile_once(
    arize: Emulator,
    online_task_id: str,
    finish: Callable[..., list[str]],
    start: Callable[[], str],
    order: str,
) -> None:
    arize.configure(runs_order=order)
    store = AssetStore()
    going = [start() for _ in range(5)]

    async def watch() -> None:
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            first = finish(3)
            assert sorted(await watched.until(3)) == sorted(first)
            # Airflow had the time to write the events down.
            await until(lambda: all(run_id in store.values[watched.trigger._key] for run_id in first))

        missed = finish(150)
        arize.set_run(going[0], status="CANCELLED")

        async with Watch(trigger(online_task_id, store)) as watched:
            assert sorted(await watched.until(151)) == sorted([*missed, going[0]])
            assert watched.events == 2, "a DAG run is not to be given some of them only"
            arize.set_run(going[1], status="FAILED")
            assert (await watched.until(152))[-1] == going[1]
            await pass_time(arize, 0.5)
            assert len(watched.runs) == 152

    quick_time.run(watch())


@pytest.mark.parametrize("pause", [0, 60], ids=["at the same time", "one after the other"])
@pytest.mark.parametrize("order", ["oldest", "shuffled"])
def test_page_of_old_runs_hides_no_new_run(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]], order: str, pause: float
) -> None:
    """Reading may only stop at an old run if the list is sorted with the newest first."""
    arize.configure(runs_order=order)
    for _ in range(2):
        finish(60)
        arize.advance(pause)

    async def watch() -> None:
        await pass_time(arize, 1.1)
        store = AssetStore()
        async with Watch(trigger(online_task_id, store, poll_interval=10.0)) as watched:
            await is_watching(arize, store)
            await pass_time(arize, finished_runs.LATENESS.total_seconds() + 60)
            later = finish(2)
            assert sorted(await watched.until(2)) == sorted(later)

    quick_time.run(watch())


def test_event_lost_by_a_crash_is_reported_again(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
) -> None:
    """The triggerer crashes before it has sent an event."""

    async def watch() -> None:
        await pass_time(arize, 1.1)
        store = AssetStore()
        events = trigger(online_task_id, store).run()
        first = asyncio.create_task(anext(events))
        await is_watching(arize, store)
        [run_id] = finish()
        assert [run["run_id"] for run in (await first).payload["runs"]] == [run_id]
        await events.aclose()

        async with Watch(trigger(online_task_id, store)) as watched:
            assert await watched.until(1) == [run_id]

    quick_time.run(watch())


def test_restart_without_store_reports_only_new_runs(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
) -> None:
    """Before Airflow 3.3."""

    async def watch() -> None:
        for _ in range(2):
            finish()
            await pass_time(arize, 1.1)
            arize.clear_requests()
            async with Watch(trigger(online_task_id)) as watched:
                await until(lambda: len(arize.requests(LIST)) >= 4)
                await pass_time(arize, 1.1)
                [later] = finish()
                assert await watched.until(1) == [later]

    quick_time.run(watch())


def test_statuses_argument_selects_reported_runs(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
) -> None:
    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store, statuses=["failed", "CANCELLED"])) as watched:
            await is_watching(arize, store)
            finish(outcome="complete")
            [failed], [cancelled] = finish(outcome="fail"), finish(outcome="cancel")
            assert sorted(await watched.until(2)) == sorted([failed, cancelled])
            assert {one["status"] for one in watched.reported} == {"FAILED", "CANCELLED"}

    quick_time.run(watch())


@pytest.mark.promise("watch")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(LIST, "rate_limited", times=2),
        Fault(LIST, "status_before", status=503, times=3),
        Fault(LIST, "drop_before", times=3),
        Fault(LIST, "garbage", times=2),
        Fault(LIST, "not_object", times=2),
        Fault(LIST, "unauthorized", times=2),
        Fault(LIST, "forbidden", times=2),
        Fault(LIST, "not_found", times=2),
    ],
    ids=lambda fault: fault.kind,
)
def test_errors_lose_no_run(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]], fault: Fault
) -> None:
    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            arize.add_fault(fault)
            [run_id] = finish()
            assert await watched.until(1) == [run_id]

    quick_time.run(watch())


def test_missing_connection_is_looked_up_again(
    arize: Emulator,
    online_task_id: str,
    finish: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store, conn_id="made_later")) as watched:
            await pass_time(arize, 0.5)
            monkeypatch.setenv("AIRFLOW_CONN_MADE_LATER", arize.connection_json)
            await is_watching(arize, store)
            [run_id] = finish()
            assert await watched.until(1) == [run_id]

    quick_time.run(watch())


def test_deleted_run_hides_no_other_run(
    arize: Emulator, online_task_id: str, start: Callable[[], str]
) -> None:
    now = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    over = {"id": "good", "status": "COMPLETED", "run_finished_at": now, "created_at": now}
    page = {"task_runs": [over], "pagination": {"has_more": False}}

    async def watch() -> None:
        store, gone = AssetStore(), start()
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            assert gone in str(store.values)
            arize.add_fault(Fault(GET, "not_found", times=None))
            arize.add_fault(Fault(LIST, "garbage", body=json.dumps(page), times=None))
            assert await watched.until(1) == ["good"]

    quick_time.run(watch())


def test_unreadable_run_hides_no_other_run(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
) -> None:
    now = datetime.now(UTC) + timedelta(seconds=5)
    over = {"status": "COMPLETED", "run_finished_at": now.isoformat(), "created_at": now.isoformat()}
    page = {
        "task_runs": [{**over, "id": "bad", "num_successes": "many"}, {**over, "id": "good"}],
        "pagination": {"has_more": False},
    }

    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            arize.add_fault(Fault(LIST, "garbage", body=json.dumps(page)))
            assert await watched.until(1) == ["good"]

    quick_time.run(watch())


def test_one_request_per_interval(
    arize: Emulator, online_task_id: str, finish: Callable[..., list[str]], start: Callable[[], str]
) -> None:
    start()
    finish(99)

    async def watch() -> None:
        async with Watch(trigger(online_task_id, poll_interval=0.5)):
            await until(lambda: len(arize.requests()) >= 3)
            arize.clear_requests()
            await pass_time(arize, 3)

    quick_time.run(watch())
    seen = [request["operation"] for request in arize.requests("rest.*")]
    assert set(seen) == {LIST}
    assert 4 <= len(seen) <= 7


def test_long_runs_beyond_the_first_page_are_listed_in_pages(
    arize: Emulator,
    online_task_id: str,
    finish: Callable[..., list[str]],
    start: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if the runs had been started long ago.
    monkeypatch.setattr(finished_runs, "LATENESS", timedelta(0))
    going = [start() for _ in range(20)]

    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store)) as watched:
            await is_watching(arize, store)
            finish(75)
            await pass_time(arize, 1)
            finish(75)
            await watched.until(150)
            await pass_time(arize, 2)
            arize.clear_requests()
            arize.set_run(going[7], status="COMPLETED")
            assert (await watched.until(151))[-1] == going[7]
            assert len(arize.requests(GET)) == 1

    quick_time.run(watch())


class TestTheStore:
    @pytest.mark.parametrize(("trouble", "times"), [("failures", 3), ("lost_answers", 1)])
    def test_unreadable_store_does_not_restart_the_watch(
        self,
        arize: Emulator,
        online_task_id: str,
        finish: Callable[..., list[str]],
        trouble: str,
        times: int,
    ) -> None:
        store = AssetStore()

        async def watch() -> None:
            async with Watch(trigger(online_task_id, store)):
                await is_watching(arize, store)
            [missed] = finish()
            setattr(store, trouble, times)
            async with Watch(trigger(online_task_id, store)) as watched:
                assert await watched.until(1) == [missed]

        quick_time.run(watch())

    @pytest.mark.parametrize("trouble", ["failures", "lost_answers"])
    def test_unwritable_store_does_not_stop_the_watch(
        self, arize: Emulator, online_task_id: str, finish: Callable[..., list[str]], trouble: str
    ) -> None:
        store = AssetStore()

        async def watch() -> None:
            async with Watch(trigger(online_task_id, store)) as watched:
                await is_watching(arize, store)
                setattr(store, trouble, 1)
                first = finish()
                await watched.until(1)
                await until(lambda: not getattr(store, trouble))
                second = finish()
                assert await watched.until(2) == [*first, *second]
                await until(lambda: second[0] in str(store.values))

        quick_time.run(watch())

    def test_assets_with_one_watcher_each_store_the_state(
        self, arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
    ) -> None:
        one, other = AssetStore(), AssetStore()

        async def watch() -> None:
            async with Watch(trigger(online_task_id, SharedAssetStore(one=one))):
                await is_watching(arize, one)
            [missed] = finish()
            # A second DAG has come to watch the same.
            async with Watch(trigger(online_task_id, SharedAssetStore(one=one, other=other))) as watched:
                assert await watched.until(1) == [missed]
                await until(lambda: missed in str(other.values))
            assert one.values == other.values

        quick_time.run(watch())

    def test_stored_state_survives_the_database(self) -> None:
        now = datetime(2026, 5, 1, 12, 30, 15, 250_000, tzinfo=UTC)
        memory = Memory(since=now, reported={"run": now + timedelta(seconds=1)}, unfinished=("other",))
        assert Memory.from_json(json.loads(json.dumps(memory.model_dump(mode="json")))) == memory

    @pytest.mark.parametrize(
        "value", [None, 1, "x", [], {}, {"since": "x", "reported": {}, "unfinished": []}]
    )
    def test_invalid_stored_state_is_ignored(self, value: Any) -> None:
        assert Memory.from_json(value) is None

    def test_old_reports_are_removed(self) -> None:
        now = datetime.now(UTC)
        memory = Memory(since=now, reported={"new": now})
        assert set(memory.with_reported({"old": now - timedelta(seconds=1)}).reported) == {"new"}


class TestOnePollForSeveralWatchers:
    """Uses Airflow's manager of shared streams (3.3 and later)."""

    @pytest.fixture
    def streams(self) -> Any:
        return pytest.importorskip(
            "airflow.triggers.shared_stream", reason="Airflow before 3.3"
        ).SharedStreamManager

    @staticmethod
    def watch(manager: Any, number: int, made: FinishedRunsTrigger) -> Watch:
        """Run a trigger with a shared key as the triggerer does."""
        stream = manager.subscribe(trigger_id=number, trigger=made, key=made.shared_stream_key())
        return Watch(made, lambda: made.filter_shared_stream(stream))

    def test_watchers_share_a_poll_and_filter_separately(
        self, streams: Any, arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
    ) -> None:
        async def watch() -> None:
            manager, stores = streams(), [AssetStore(), AssetStore(), AssetStore()]
            good = trigger(online_task_id, stores[0], statuses="COMPLETED", poll_interval=0.5)
            bad = trigger(online_task_id, stores[1], statuses=["FAILED"], poll_interval=0.5)
            every = trigger(online_task_id, stores[2], poll_interval=0.5)
            async with (
                self.watch(manager, 1, good) as of_good,
                self.watch(manager, 2, bad) as of_bad,
                self.watch(manager, 3, every) as of_every,
            ):
                for store in stores:
                    await is_watching(arize, store)
                arize.clear_requests()
                completed, failed = finish(2), finish(1, outcome="fail")
                await of_every.until(3)
                await of_good.until(2)
                await of_bad.until(1)
                await pass_time(arize, 2)
                assert sorted(of_good.runs) == sorted(completed)
                assert of_bad.runs == failed
                assert sorted(of_every.runs) == sorted([*completed, *failed])
                assert len(arize.requests("rest.*")) <= 9
            await manager.stop_all()

        quick_time.run(watch())

    def test_restart_resumes_each_watcher_at_its_position(
        self, streams: Any, arize: Emulator, online_task_id: str, finish: Callable[..., list[str]]
    ) -> None:
        early, late = AssetStore(), AssetStore()

        async def watch() -> None:
            manager = streams()
            async with self.watch(manager, 1, trigger(online_task_id, early)) as one:
                await is_watching(arize, early)
                first = finish(2)
                await one.until(2)
                # Another begins while the first has been watching: with what finishes from then on.
                async with self.watch(manager, 2, trigger(online_task_id, late, statuses="COMPLETED")) as two:
                    await is_watching(arize, late)
                    both = finish(2)
                    assert sorted(await one.until(4)) == sorted([*first, *both])
                    assert sorted(await two.until(2)) == sorted(both)
                    await until(lambda: all(run_id in str(late.values) for run_id in both))
                missed_by_late = finish(2)
                await one.until(6)
                await until(lambda: all(run_id in str(early.values) for run_id in missed_by_late))
            await manager.stop_all()

            missed_by_both = finish(2)

            manager = streams()
            async with (
                self.watch(manager, 1, trigger(online_task_id, early)) as one,
                self.watch(manager, 2, trigger(online_task_id, late, statuses="COMPLETED")) as two,
            ):
                assert sorted(await one.until(2)) == sorted(missed_by_both)
                assert sorted(await two.until(4)) == sorted([*missed_by_late, *missed_by_both])
                now = finish(1)
                assert (await one.until(3))[2:] == now
                assert (await two.until(5))[4:] == now
                await pass_time(arize, 0.5)
                assert (len(one.runs), len(two.runs)) == (3, 5)
            await manager.stop_all()

        quick_time.run(watch())


class TestTheTriggerItself:
    def test_serialized_trigger_contains_no_secret(self, arize: Emulator) -> None:
        made = FinishedRunsTrigger(online_task_id="task", statuses=["completed"], poll_interval=30)
        path, kwargs = made.serialize()
        assert path == "airflow_provider_online_tasks.triggers.task_runs.FinishedRunsTrigger"
        assert kwargs == {
            "online_task_id": "task",
            "conn_id": "arize_online_tasks_default",
            "statuses": ["COMPLETED"],
            "poll_interval": 30.0,
        }
        assert FinishedRunsTrigger(**kwargs).serialize() == made.serialize()
        assert FinishedRunsTrigger.hash(path, kwargs) == FinishedRunsTrigger.hash(path, dict(kwargs))

    def test_trigger_works_as_asset_watcher(self) -> None:
        from airflow.sdk import Asset, AssetWatcher

        watcher = AssetWatcher(name="runs", trigger=FinishedRunsTrigger(online_task_id="task"))
        assert Asset("judged", watchers=[watcher]).watchers == [watcher]

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("online_task_id", ""),
            ("online_task_id", "{{params.task}}"),
            ("statuses", []),
            ("statuses", ["RUNNING"]),
            ("statuses", 3),
            ("poll_interval", 0),
            ("poll_interval", True),
            ("poll_interval", float("nan")),
            ("conn_id", ""),
            ("conn_id", "{{ params.conn }}"),
        ],
    )
    def test_invalid_argument_is_rejected_at_parse(self, argument: str, value: Any) -> None:
        with pytest.raises(InvalidInput, match=f"^{argument} "):
            FinishedRunsTrigger(**{"online_task_id": "task", argument: value})
