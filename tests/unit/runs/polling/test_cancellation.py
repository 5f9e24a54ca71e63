"""A user who ends waiting tasks cancels their runs, one or a thousand. Nothing else cancels them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import InvalidConnection, OnlineTasksError
from airflow_provider_online_tasks.runs.cancellation import MOST_IN_FLIGHT, NotInTime
from airflow_provider_online_tasks.runs.polling.shared_pollers import cancel_run, poll_run
from airflow_provider_online_tasks.triggers import runs as trigger_module
from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger
from tests.support import quick_time
from tests.support.waits import CONN_ID, Sessions, create_task, delay_responses, eventually, trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.emulator import Emulator

CANCEL = "rest.cancel_task_run"
job_runner = pytest.importorskip("airflow.jobs.triggerer_job_runner")
pytestmark = pytest.mark.since_airflow("3.3", "kill hook for triggers")


@pytest.fixture
def task_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what triggers write into the logs of their tasks."""
    monkeypatch.setattr(OnlineTaskRunTrigger, "log", logging.getLogger("task"))
    caplog.set_level(logging.INFO, logger="task")
    return caplog


class Airflow:
    """Airflow's states of the tasks, by task and map index."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.default: Any = "failed"
        self.asked: list[dict[str, Any]] = []
        self.failures = 0

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> Any:
        self.asked.append({"dag_id": dag_id, "task_ids": task_ids, "run_ids": run_ids})
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server is away")
        of_task = {f"{task}_{index}": self.default for task in task_ids for index in range(1000)}
        return {run: {task_ids[0]: self.default, **of_task, **self.states} for run in run_ids}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    airflow = Airflow()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(airflow.get_task_states))
    return airflow


def of_task(waiting: OnlineTaskRunTrigger, map_index: int = -1) -> OnlineTaskRunTrigger:
    """Return a trigger as the triggerer has it, with its task instance."""
    from airflow.sdk.api.datamodels._generated import TaskInstance

    waiting.task_instance = TaskInstance(
        id=uuid.uuid4(),
        dag_id="judge",
        task_id="wait",
        run_id="today",
        map_index=map_index,
        try_number=1,
        dag_version_id=uuid.uuid4(),
    )
    return waiting


def a_run(arize: Emulator, seconds: float = 3600.0) -> tuple[str, str]:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (seconds, seconds))
    return run, task


def statuses(arize: Emulator) -> set[str]:
    return {run["status"] for run in arize.runs()}


def kill(waiting: OnlineTaskRunTrigger) -> None:
    quick_time.run(waiting.on_kill())


# -- Which tasks were ended. --


@pytest.mark.promise("ended-by-user", "kill-deferred", "kill-state-ended")
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("failed", "failed"),
        ("success", "success"),
        ("skipped", "skipped"),
        (None, "cleared"),
        ("scheduled", "scheduled"),
        ("running", "running"),
    ],
)
def test_task_ended_or_cleared_cancels_its_run(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture, state: str | None, said: str
) -> None:
    airflow.default = state
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert statuses(arize) == {"CANCELLED"}
    assert f"state: {said}" in task_log.text


@pytest.mark.promise("kill-state-ended")
def test_dag_run_deleted_cancels_its_run(
    arize: Emulator, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow, "get_task_states", lambda **_: {})
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: {}))
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert statuses(arize) == {"CANCELLED"}


@pytest.mark.promise("kill-state-taken-over")
def test_task_deferred_in_another_triggerer_keeps_its_run(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture
) -> None:
    airflow.default = "deferred"
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert "CANCELLED" not in statuses(arize)
    assert arize.requests(CANCEL) == []


def test_task_mapped_uses_the_state_of_its_instance(arize: Emulator, airflow: Airflow) -> None:
    airflow.states = {"wait": "failed", "wait_1": "deferred", "wait_2": "failed"}
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (3600.0, 3600.0))

    async def kill_both() -> None:
        await asyncio.gather(
            *(of_task(trigger(run, task), map_index=index).on_kill() for index, run in enumerate(runs, 1))
        )

    quick_time.run(kill_both())

    assert {run["id"] for run in arize.runs() if run["status"] == "CANCELLED"} == {runs[1]}
    assert len(airflow.asked) == 1


@pytest.mark.promise("kill-state-one-process")
def test_dag_test_next_to_a_triggerer_keeps_its_run(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time import supervisor, task_runner

    airflow.default = "queued"
    run, task = a_run(arize)
    assert not trigger(run, task).serialize()[1]["in_process"]
    comms = supervisor.InProcessSupervisorComms(supervisor=None)
    with monkeypatch.context() as in_the_task:
        in_the_task.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
        _, kwargs = trigger(run, task).serialize()
    in_the_triggerer = OnlineTaskRunTrigger(**kwargs)
    assert in_the_triggerer.serialize()[1] == kwargs

    kill(of_task(in_the_triggerer))

    assert "CANCELLED" not in statuses(arize)
    assert arize.requests(CANCEL) == []


@pytest.mark.promise("kill-state-unknown")
def test_task_state_unknown_keeps_its_run_and_logs_it(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture
) -> None:
    airflow.failures = 1000
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert arize.requests(CANCEL) == []
    assert f"Run {run} was not cancelled" in task_log.text
    assert len(airflow.asked) > 5


def test_task_state_unknown_at_first_is_read_again(arize: Emulator, airflow: Airflow) -> None:
    airflow.failures = 2
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert statuses(arize) == {"CANCELLED"}


# -- Whether the runs are cancelled. --


# Number of turns of the event loop before the clock jumps to the next second.
STEPS = 50


def end_tasks(arize: Emulator, count: int, **arguments: Any) -> None:
    """Let a triggerer wait for runs, and end all their tasks at once, as its supervisor does."""
    task = create_task(arize)
    runs = arize.create_runs(task, count, (3600.0, 3600.0))

    async def triggerer() -> None:
        runner = job_runner.TriggerRunner()
        running = []
        for number, run in enumerate(runs):
            runner.triggers[number] = {"task": None, "is_watcher": False, "name": run, "events": 0}
            waiting = of_task(trigger(run, task, poll_interval=10.0, **arguments), map_index=number)
            running.append(asyncio.create_task(runner.run_trigger(number, waiting)))
        await eventually(lambda: len(arize.requests("rest.list_task_runs" if count > 1 else "rest.*")) > 0)
        while not all(task.done() for task in running):
            for each in running:
                each.cancel(job_runner._USER_ACTION_CANCEL_MSG)
            for _ in range(STEPS):
                await asyncio.sleep(0)
            await asyncio.sleep(1)
        # On Python 3.11, Airflow stops waiting after it has cancelled twice. The cancellations continue.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([each for each in others if "_kill" in repr(each.get_coro())] or running)

    quick_time.run(triggerer())


@pytest.mark.promise("kill-many")
@pytest.mark.parametrize("count", [1, 30, 60])
def test_tasks_ended_at_once_cancel_all_their_runs(
    arize: Emulator, airflow: Airflow, connect: Callable[..., str], count: int
) -> None:
    arize.configure(mutations_per_minute=300, queries_per_minute=100)
    connect(arize, requests_per_minute=60)

    end_tasks(arize, count)

    assert statuses(arize) == {"CANCELLED"}
    assert len(arize.requests(CANCEL)) == count
    assert len(airflow.asked) == 1


@pytest.mark.promise("kill-many")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(CANCEL, "status_before", status=503, times=3),
        Fault(CANCEL, "rate_limited", retry_after=5, times=3),
        Fault(CANCEL, "drop_after", times=3),
        Fault(CANCEL, "delay_after", seconds=0.3, times=None),
    ],
    ids=lambda fault: fault.kind,
)
def test_cancellations_with_faults_or_delays_are_repeated(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture, fault: Fault
) -> None:
    arize.add_fault(fault)

    end_tasks(arize, 20)

    assert statuses(arize) == {"CANCELLED"}


@pytest.mark.promise("kill-many")
def test_thousand_ended_tasks_cancel_up_to_limit_and_log_others(
    arize: Emulator, airflow: Airflow, connect: Callable[..., str], task_log: pytest.LogCaptureFixture
) -> None:
    arize.configure(mutations_per_minute=300, queries_per_minute=100)
    connect(arize, requests_per_minute=60)

    end_tasks(arize, 1000)

    cancelled = sum(run["status"] == "CANCELLED" for run in arize.runs())
    said = task_log.text.count("was not cancelled")
    assert cancelled >= 250
    assert cancelled + said == 1000
    # Creating the task was a mutation too.
    assert sum(request["status"] == 429 for request in arize.requests(CANCEL)) <= 10
    assert len(airflow.asked) <= 10


@pytest.mark.promise("kill-many")
def test_cancellations_share_a_session_and_go_before_polls(
    arize: Emulator, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = create_task(arize), create_task(arize, "another")
    runs = arize.create_runs(task, 10, (3600.0, 3600.0))
    [waited_for] = arize.create_runs(other, 1, (3600.0, 3600.0))
    arize.add_fault(Fault(CANCEL, "rate_limited", retry_after=10, times=1))

    async def triggerer() -> None:
        wait = asyncio.create_task(anext(trigger(waited_for, other, poll_interval=1.0).run()))
        await eventually(lambda: len(arize.requests("rest.get_task_run")) > 2)
        arize.clear_requests()
        sessions.append(Sessions(monkeypatch))
        await asyncio.gather(
            *(of_task(trigger(run, task), number).on_kill() for number, run in enumerate(runs))
        )
        assert (sessions[0].opened, sessions[0].closed) == (1, 1)
        wait.cancel()

    sessions: list[Sessions] = []
    quick_time.run(triggerer())

    asked = [request["operation"] for request in arize.requests("rest.*")]
    last = len(asked) - asked[::-1].index(CANCEL)
    # One poll may have been in flight when the first cancellation was due.
    assert sum(name != CANCEL for name in asked[:last]) <= 1
    assert statuses(arize) == {"CANCELLED", "RUNNING"} or statuses(arize) == {"CANCELLED", "PENDING"}


def test_cancellation_rate_limited_pauses_all_of_them(
    arize: Emulator, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    arize.add_fault(Fault(CANCEL, "rate_limited", retry_after=10, times=MOST_IN_FLIGHT))
    sent: list[float] = []
    ask = AsyncClient._request

    async def noted(self: AsyncClient, call: RestCall[Any], host: str) -> Any:
        if call.name == "cancel task run":
            sent.append(asyncio.get_running_loop().time())
        return await ask(self, call, host)

    monkeypatch.setattr(AsyncClient, "_request", noted)

    end_tasks(arize, 24)

    # Before the pause ends, only those that were in flight at the first 429.
    assert sum(at < sent[0] + 9 for at in sent) == MOST_IN_FLIGHT
    assert statuses(arize) == {"CANCELLED"}
    assert len(sent) == 24 + MOST_IN_FLIGHT


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["while the session opens", "while Arize responds"])
def test_last_caller_gives_up_leaves_no_connection_open(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    run, _ = a_run(arize)
    delay_responses(monkeypatch, 3600.0, to="cancel task run")

    async def give_up() -> None:
        with pytest.raises(NotInTime):
            await cancel_run(CONN_ID, run, until=asyncio.get_running_loop().time() + seconds)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        quick_time.run(give_up())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert len(arize.requests(CANCEL)) == (1 if seconds else 0)


def test_session_that_cannot_be_opened_fails_the_cancellation_only(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (3600.0, 3600.0))

    async def cannot_open(settings: Settings) -> AsyncClient:
        raise InvalidConnection("no certificate")

    async def cancel_twice() -> Any:
        until = asyncio.get_running_loop().time() + 20
        with monkeypatch.context() as first:
            first.setattr(AsyncClient, "open", cannot_open)
            with pytest.raises(InvalidConnection):
                await cancel_run(CONN_ID, run, until=until)
        return await cancel_run(CONN_ID, run, until=until)

    assert quick_time.run(cancel_twice()).status_text == "CANCELLED"


@pytest.mark.parametrize(
    "kind", ["forbidden", "not_found", "garbage", "rate_limited", "timeout", "task cancelled"]
)
def test_polls_cancellation_failed_resume(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    connect(arize, requests_per_minute=60)
    task, other = create_task(arize), create_task(arize, "another")
    [run] = arize.create_runs(task, 1, (3600.0, 3600.0))
    [waited_for] = arize.create_runs(other, 1, (3600.0, 3600.0))
    if kind in ("timeout", "task cancelled"):
        delay_responses(monkeypatch, 3600.0, to="cancel task run")
    else:
        arize.add_fault(Fault(CANCEL, kind, times=None))

    async def poll_during_failure() -> None:
        loop = asyncio.get_running_loop()
        async with poll_run(CONN_ID, waited_for, online_task_id=other, poll_interval=5.0) as wait:
            await wait.next()
            cancelling = asyncio.create_task(cancel_run(CONN_ID, run, until=loop.time() + 10))
            await asyncio.sleep(5)
            if kind == "task cancelled":
                cancelling.cancel()
            await asyncio.wait([cancelling])
            assert cancelling.cancelled() or isinstance(cancelling.exception(), OnlineTasksError)
            async with asyncio.timeout(16):
                for _ in range(3):
                    await wait.next()

    quick_time.run(poll_during_failure())


def test_cancel_run_first_caller_times_out_second_succeeds(arize: Emulator) -> None:
    task = create_task(arize)
    first, second = arize.create_runs(task, 2, (3600.0, 3600.0))

    async def cancel_both() -> Any:
        loop = asyncio.get_running_loop()
        # The first caller gives up while the session that both share is being opened.
        return await asyncio.gather(
            cancel_run(CONN_ID, first, until=loop.time()),
            cancel_run(CONN_ID, second, until=loop.time() + 20),
            return_exceptions=True,
        )

    given_up, cancelled = quick_time.run(cancel_both())

    assert isinstance(given_up, NotInTime)
    assert (cancelled.id, cancelled.status_text) == (second, "CANCELLED")


def test_cancel_run_session_closed_before_opens_another(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 3, (3600.0, 3600.0))

    async def cancel_one_by_one() -> list[str]:
        until = asyncio.get_running_loop().time() + 20
        return [(await cancel_run(CONN_ID, run, until=until)).status_text for run in runs]

    assert quick_time.run(cancel_one_by_one()) == ["CANCELLED"] * 3


def test_cancellation_rate_limited_for_too_long_is_logged(
    arize: Emulator, airflow: Airflow, task_log: pytest.LogCaptureFixture
) -> None:
    arize.add_fault(Fault(CANCEL, "rate_limited", retry_after=60, times=None))
    run, task = a_run(arize)

    kill(of_task(trigger(run, task)))

    assert any(run in line and "RateLimited" in line for line in task_log.messages)


def test_task_ended_without_kill_hook_cancels_its_run(arize: Emulator, airflow: Airflow) -> None:
    run, task = a_run(arize)

    async def triggerer() -> None:
        waiting = of_task(trigger(run, task))
        running = asyncio.create_task(anext(waiting.run()))
        await eventually(lambda: len(arize.requests("rest.get_task_run")) > 0)
        running.cancel(job_runner._USER_ACTION_CANCEL_MSG)
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await eventually(lambda: statuses(arize) == {"CANCELLED"})

    quick_time.run(triggerer())


def test_triggerer_shuts_down_cancels_nothing(arize: Emulator, airflow: Airflow) -> None:
    run, task = a_run(arize)

    async def triggerer() -> None:
        running = asyncio.create_task(anext(of_task(trigger(run, task)).run()))
        await eventually(lambda: len(arize.requests("rest.get_task_run")) > 0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await asyncio.sleep(60)

    quick_time.run(triggerer())

    assert arize.requests(CANCEL) == []
    assert airflow.asked == []


def test_time_limit_is_below_airflows_limit() -> None:
    assert trigger_module.CANCEL_SECONDS < job_runner._ON_CANCEL_TIMEOUT - 5


@pytest.mark.promise("kill-many")
def test_cancellation_without_response_is_given_up_in_time(
    arize: Emulator,
    airflow: Airflow,
    task_log: pytest.LogCaptureFixture,
    connect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(arize, timeout=300)
    delay_responses(monkeypatch, 40.0, to="cancel task run")
    run, task = a_run(arize)

    async def look() -> float:
        began = asyncio.get_running_loop().time()
        await of_task(trigger(run, task)).on_kill()
        return asyncio.get_running_loop().time() - began

    assert 24 <= quick_time.run(look()) < 25
    assert len(arize.requests(CANCEL)) == 1
    assert f"Run {run} was not cancelled" in task_log.text
    assert CONN_ID not in task_log.text
