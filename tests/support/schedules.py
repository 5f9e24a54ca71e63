"""Random schedules of events during an operator execution, and the invariants that they keep.

A schedule is a list of tries: faults of the server, a kill at any point, clocks that differ, requests that
the server acts on late, windows that change, clears. :class:`World` plays it against the emulator and checks,
by the emulator's own records, what the operator promises.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hypothesis import strategies as st

from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowSkipException
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from tests.support.tries import END, START, Execution, Killed, Time

if TYPE_CHECKING:
    import requests

RUN, LIST = "graphql.runOnlineTask", "rest.list_task_runs"
GET, CANCEL = "rest.get_task_run", "rest.cancel_task_run"

# What the server may do wrong. It does not lie: no 404 for what is there.
WRONG = ("drop_before", "status_before", "rate_limited", "garbage", "truncated", "unauthorized", "forbidden")
FAULTS: dict[str, tuple[str, ...]] = {
    RUN: (
        *WRONG,
        "drop_after",
        "status_after",
        "not_object",
        "missing_field",
        "null_field",
        "partial",
        "graphql_error",
        "task_error",
        "unknown_type",
        "not_found",
    ),
    LIST: WRONG,
    GET: WRONG,
    CANCEL: (*WRONG, "drop_after", "status_after"),
}
# Faults after which a server may still act on the request.
SILENT = {"drop_before", "status_before"}
# How runs end: seconds from their creation, and the status.
GOOD, BAD = ("COMPLETED",), ("FAILED", "CANCELLED")


@dataclass(frozen=True)
class Try:
    """A try, and what follows it.

    :param faults: operation, kind, how many requests pass before, how many it spoils.
    :param killed_at: at which step of all (requests, store, XCom, sleeps) the process is killed.
    :param late: after how many seconds the server acts on a request that it did not answer; None: never.
    :param waits: whether the task waits for its run.
    :param cleared_at: at which sleep of the wait a person clears the task.
    :param cancelled_after: how many seconds later the cancellation that comes with it arrives.
    :param window: which window the DAG asks for.
    :param worker_clock: by how much this worker's clock is wrong.
    :param server_clock: by how much the server's clock is wrong.
    :param clears: whether the task is cleared after it, instead of tried again.
    :param pause: seconds until the next try.
    """

    faults: tuple[tuple[str, str, int, int], ...] = ()
    killed_at: int | None = None
    late: float | None = None
    waits: bool = False
    cleared_at: int | None = None
    cancelled_after: float = 0.0
    window: int = 0
    worker_clock: float = 0.0
    server_clock: float = 0.0
    clears: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Tries one after the other, and how the runs that they start end.

    :param tries: the tries.
    :param endings: per run the seconds until it ends, and its status.
    :param others: how many runs the task has besides, over other windows.
    :param order: the order in which the server lists runs.
    """

    tries: tuple[Try, ...]
    endings: tuple[tuple[float, str], ...] = ()
    others: int = 0
    order: str = "newest"


_faults = st.sampled_from([(operation, kind) for operation, kinds in FAULTS.items() for kind in kinds])
_fault = st.builds(
    lambda fault, skip, times: (*fault, skip, times),
    _faults,
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([1, 1, 2, 3, 5, 30]),
)
# Step 6 of a first try is the request, 7 its answer, 8 and 9 the storing of the run's ID.
_killed_at = st.sampled_from([*[None] * 8, *range(1, 16), 6, 6, 7, 7, 8, 9, 20, 30, 40])
_clock = st.sampled_from([0.0, 0.0, -90_000.0, -3_700.0, -61.0, 61.0, 3_700.0, 90_000.0])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of one to five tries. Of the two clocks, one at a time is changed between tries."""
    others = draw(st.sampled_from([0, 0, 0, 120]))
    # With more runs than a page shows, a run is told from older ones by the server's clock alone.
    moving = draw(st.sampled_from(["nothing", "worker"] if others else ["nothing", "worker", "server"]))
    fixed = draw(_clock)
    tries = []
    for _ in range(draw(st.sampled_from([2, 3, 4, 1, 5]))):
        waits = draw(st.booleans())
        tries.append(
            Try(
                faults=tuple(draw(st.lists(_fault, max_size=3))),
                killed_at=draw(_killed_at),
                late=draw(st.sampled_from([None, None, 0.0, 5.0, 25.0, 50.0])),
                waits=waits,
                cleared_at=draw(st.none() | st.integers(0, 4)) if waits else None,
                cancelled_after=draw(st.sampled_from([0.0, 0.0, 5.0, 60.0])),
                window=draw(st.sampled_from([0, 0, 0, 1])),
                worker_clock=draw(_clock) if moving == "worker" else 0.0,
                server_clock=draw(_clock) if moving == "server" else fixed,
                clears=draw(st.booleans()),
                pause=draw(st.sampled_from([0.0, 0.0, 10.0, 300.0])),
            )
        )
    endings = st.tuples(
        st.sampled_from([0.0, 1.0, 30.0, 100.0, 1000.0]), st.sampled_from([*GOOD, *GOOD, *BAD])
    )
    return Schedule(
        tries=tuple(tries),
        endings=tuple(draw(st.lists(endings, max_size=6))),
        others=others,
        order=draw(st.sampled_from(["newest", "oldest", "shuffled"])),
    )


class World:
    """Plays a schedule.

    :param emulator: the server.
    :param time: the clocks.
    :param online_task_id: a task without runs.
    :param schedule: what happens.
    """

    def __init__(self, emulator: Emulator, time: Time, online_task_id: str, schedule: Schedule) -> None:
        self.emulator = emulator
        self.time = time
        self.schedule = schedule
        self.execution = Execution(online_task_id, reached=self.reached)
        self.now = Try()
        self.step = 0
        self.sleeps = 0
        self.to_come: list[tuple[float, Callable[[], object]]] = []
        self.ending: set[str] = set()
        self.seen: list[dict[str, Any]] = []
        self.others: set[str] = set()
        self.life_began = 0  # how many runs there were when the task was last entitled to a new one
        self.has_succeeded = False
        self.returned: set[str] = set()
        self.stale: set[str] = set()  # runs that no later try may return

    # -- what the operator does, seen from outside --

    def reached(self, name: str) -> None:
        """Count a step, and kill the process if it is the one."""
        self.step += 1
        if self.step == self.now.killed_at:
            raise Killed

    def send(self, original: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
        """Wrap what sends every request: each is two steps, its sending and its answer."""

        def send(adapter: Any, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            is_run = "runOnlineTask" in str(getattr(request.body, "getvalue", bytes)())
            try:
                self.reached("before the request")
            except Killed:
                if is_run:
                    self._act_late()
                raise
            try:
                response = original(adapter, request, **options)
            finally:
                if is_run and self.emulator.requests(RUN)[-1]["fault"] in SILENT:
                    self._act_late()
            self.reached("after the answer")
            return response

        return send

    def _act_late(self) -> None:
        if self.now.late is not None:
            start, end = window(self.now)
            body = {"data_start_time": start, "data_end_time": end}
            self._later(self.now.late, lambda: self._post(f"/tasks/{self._task}/trigger", body))

    @property
    def _task(self) -> str:
        return quote(self.execution.online_task_id, safe="")

    def _post(self, path: str, body: dict[str, Any] | None = None) -> int:
        parts = urlsplit(self.emulator.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.emulator.api_key}", "Content-Type": "application/json"}
        connection.request("POST", f"/v2{path}", json.dumps(body) if body is not None else None, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def _later(self, seconds: float, then: Callable[[], object]) -> None:
        self.to_come.append((self.time.passed + seconds, then))

    def _cancel(self, run_id: str) -> None:
        # The person's cancellation is no request of the operator: no fault of the schedule meets it.
        run = next(run for run in self.runs() if run["id"] == run_id)
        if not run["over"]:
            self.emulator.set_run(run_id, status="CANCELLED")

    # -- what happens while time passes --

    def tick(self) -> None:
        """Do what is due, and check."""
        due = sorted((each for each in self.to_come if each[0] <= self.time.passed), key=lambda each: each[0])
        self.to_come = [each for each in self.to_come if each not in due]
        for _, then in due:
            then()
        self.seen = self.runs()
        live = [run["id"] for run in self.seen if not run["over"]]
        for run_id in live:
            if run_id not in self.ending:
                seconds, status = self._ending(len(self.ending))
                self.ending.add(run_id)
                self._later(seconds, lambda run_id=run_id, status=status: self._end(run_id, status))
        assert len(live) <= 1, f"live at the same time: {live}"

    def _ending(self, number: int) -> tuple[float, str]:
        endings = self.schedule.endings
        return endings[number] if number < len(endings) else (150.0, "COMPLETED")

    def _end(self, run_id: str, status: str) -> None:
        run = next(run for run in self.runs() if run["id"] == run_id)
        if not run["over"]:
            counts = {"num_successes": 3} if status in GOOD else {}
            self.emulator.set_run(run_id, status=status, **counts)

    def slept(self) -> None:
        """Let time pass while the operator sleeps; a user may clear the task."""
        self.tick()
        self.reached("slept")
        run_id = self.execution.pushed.get("run_id")
        if run_id is None or self.now.cleared_at is None:
            return
        self.sleeps += 1
        if self.sleeps > self.now.cleared_at:
            self._later(self.now.cancelled_after, lambda: self._cancel(run_id))
            self.now = Try(**{**vars(self.now), "clears": True})
            raise Killed

    # -- the play --

    def play(self) -> None:
        """Play all tries, then as many undisturbed ones as it takes to succeed."""
        self.emulator.configure(runs_order=self.schedule.order)
        task_id = self.execution.online_task_id
        if self.schedule.others:
            self.others = set(self.emulator.create_runs(task_id, self.schedule.others, (9e6, 9e6)))
        self.emulator.next_run(RunFate("hang", pending_seconds=0, times=None))
        self.time.on_sleep = self.slept
        for each in self.schedule.tries:
            self.play_try(each)
        last = self.schedule.tries[-1]
        for _ in range(8):
            quiet = Try(
                window=last.window, worker_clock=last.worker_clock, server_clock=last.server_clock, pause=60
            )
            if (run_id := self.play_try(quiet)) is not None:
                break
        else:
            raise AssertionError("it does not succeed, though nothing disturbs it")
        self.time.advance(100)
        self.tick()
        assert {run["id"] for run in self.runs() if not run["over"]} <= {run_id}

    def play_try(self, now: Try) -> str | None:
        """Play a try and what follows it; return the run's ID if it succeeded."""
        if now.window != self.now.window:
            self.life_began = len(self.seen)
        self.now, self.step, self.sleeps = now, 0, 0
        self.time.worker_offset, self.time.server_offset = now.worker_clock, now.server_clock
        self.time.show()
        for operation, kind, skip, times in now.faults:
            self.emulator.add_fault(Fault(operation, kind, skip=skip, times=times))
        self.stale |= {run["id"] for run in self.seen if run["status"] in BAD}
        start, end = window(now)
        succeeded, is_final, run_id = False, False, None
        try:
            run_id = self.execution.next_try(
                data_start_time=start,
                data_end_time=end,
                wait_for_completion=now.waits,
                deferrable=False,
                timeout=400,
            )
            succeeded = True
            self.check_result(run_id)
            self.returned.add(run_id)
        except Killed:
            pass
        except AirflowSkipException:
            succeeded = True
        except AirflowFailException:
            is_final = True
        except OnlineTasksError:
            pass
        finally:
            if now.faults:
                self.emulator.clear_faults()
        self.tick()
        self.check_paid()
        if now.pause:
            self.time.advance(now.pause)
            self.tick()
        # A process killed after it noted its success has succeeded too, although Airflow does not know it.
        record = self.execution.store.record if self.execution.store else None
        self.has_succeeded |= succeeded or bool(record and record["succeeded_at"] is not None)
        if self.now.clears or is_final:
            self.execution.clear()
            if self.has_succeeded:
                self.life_began, self.has_succeeded = len(self.seen), False
            if succeeded:
                self.stale |= self.returned
        return run_id

    # -- what must hold --

    def runs(self) -> list[dict[str, Any]]:
        """The runs that the operator, or a late server for it, has started: as the emulator recorded them."""
        found = self.emulator.runs(self.execution.online_task_id)
        return [run for run in found if run["id"] not in self.others]

    def check_paid(self) -> None:
        """Fail if a second run starts next to one that is live or has succeeded."""
        start, end = window(self.now)
        useful = [
            run["id"]
            for run in self.seen[self.life_began :]
            if run["status"] not in BAD and (wire(run["data_start"]), wire(run["data_end"])) == (start, end)
        ]
        assert len(useful) <= 1, f"paid for twice: {useful}"

    def check_result(self, run_id: str) -> None:
        """The run that is returned is there, over the window that was asked for, and over if waited for."""
        (run,) = (run for run in self.runs() if run["id"] == run_id)
        assert (wire(run["data_start"]), wire(run["data_end"])) == window(self.now)
        assert self.execution.pushed["return_value"] == run_id
        assert run_id not in self.stale
        if self.now.waits:
            assert run["status"] in GOOD
        live = [each["id"] for each in self.runs() if not each["over"]]
        assert live in ([], [run_id])


def window(of: Try) -> tuple[str, str]:
    """The window that a try asks for."""
    return wire_time(START), wire_time(END - timedelta(hours=of.window))


def wire(epoch: float) -> str:
    from datetime import UTC, datetime

    return wire_time(datetime.fromtimestamp(epoch, UTC))
