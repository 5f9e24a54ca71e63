"""Find the runs of a task that have finished since the last poll: each one once, whoever started it.

Arize doesn't document the order of a task's list of runs. A poll reads pages until the list ends, or until
the pages are newest first so far and go back beyond what was reported. Runs that were unfinished at the last
poll and are not on these pages are read separately.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import skim_task_runs
from airflow_provider_online_tasks.api.http import Response
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import CallError, NotFound, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.backoff import backoff

Exchange = Callable[[calls.RestCall[Any]], Awaitable[tuple[Any, Response]]]
ListRuns = Callable[[str | None], calls.RestCall[calls.Page[TaskRun]]]
log = logging.getLogger(__name__)

# Arize may show a run as finished some time after the end time that it reports.
LATENESS = timedelta(minutes=10)
# Keeps the memory far below the 64 KiB that Airflow stores.
MOST_UNFINISHED = 500
MOST_PAGES = 100
LONGEST_PAUSE = 900.0


class _Anything:
    def __contains__(self, _: object) -> bool:
        return True


ANYTHING = _Anything()


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What has been reported, as of a poll.

    :param since: runs that finished before this time, on Arize's clock, are not reported any more.
    :param reported: IDs of the reported runs that finished since then, with their end times.
    :param unfinished: IDs of the runs that were not finished.
    """

    since: datetime
    reported: Mapping[str, datetime] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the memory as JSON values."""
        return {
            "since": wire_time(self.since),
            "reported": {run_id: wire_time(at) for run_id, at in self.reported.items()},
            "unfinished": list(self.unfinished),
        }

    @classmethod
    def from_json(cls, value: Any) -> Memory | None:
        """Read the result of :meth:`to_json`; None if the value is something else."""
        try:
            return cls(
                since=parse_time(value["since"], "since"),
                reported={run_id: parse_time(at, "reported") for run_id, at in value["reported"].items()},
                unfinished=tuple(value["unfinished"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def with_reported(self, reported: Mapping[str, datetime]) -> Memory:
        """Return the memory with more reported runs, without those that finished before `since`."""
        both = {**reported, **self.reported}
        return replace(self, reported={run_id: at for run_id, at in both.items() if at >= self.since})


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a poll.

    :param finished: finished runs that were not reported before, the earliest end first.
    :param memory: what to remember once they are reported.
    """

    finished: tuple[TaskRun, ...]
    memory: Memory

    def without(self, reported: Mapping[str, datetime]) -> Found:
        """Return the result for a watcher that has reported some of the runs already."""
        return Found(
            finished=tuple(run for run in self.finished if run.id not in reported),
            memory=self.memory.with_reported(reported),
        )


async def poll_finished_runs(
    conn_id: str, online_task_id: str, *, poll_interval: float, memory: Memory | None = None
) -> AsyncGenerator[Found, None]:
    """Poll forever, every ``poll_interval`` seconds. After an error, poll later and find what was missed.

    :param memory: of the last poll; None to start with the runs that finish from now on.
    """
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        try:
            async with _open_session(conn_id) as exchange:
                while True:
                    started_at = loop.time()
                    found = await find_finished_runs(online_task_id, memory, exchange)
                    if failures:
                        log.info("Finished runs of task %s can be read again.", online_task_id)
                    memory, failures = found.memory, 0
                    yield found
                    await asyncio.sleep(started_at + poll_interval - loop.time())
        except Exception as error:  # noqa: BLE001  if a watcher ended, no one would notice
            failures += 1
            pause = _pause(error, failures, poll_interval)
            log.warning(
                "Finished runs of task %s could not be read. The next attempt is in %.0f s: %s",
                online_task_id,
                pause,
                error if isinstance(error, CallError) else f"{type(error).__name__}: {error}",
            )
        await asyncio.sleep(pause)


def _pause(error: Exception, failures: int, poll_interval: float) -> float:
    if isinstance(error, RateLimited | Unavailable):
        return max(poll_interval, min(error.retry_after or 0.0, LONGEST_PAUSE))
    return backoff(failures + 1, first=poll_interval, longest=max(poll_interval, LONGEST_PAUSE))


@contextlib.asynccontextmanager
async def _open_session(conn_id: str) -> AsyncIterator[Exchange]:
    """Open a session with the connection's current settings, within the watchers' share of the budget."""
    from airflow_provider_online_tasks.runs.polling.session import Session
    from airflow_provider_online_tasks.runs.polling.shared_pollers import settings_of_watcher

    loop = asyncio.get_running_loop()
    settings, share = await settings_of_watcher(conn_id)
    session = await Session.open(settings)

    async def exchange(call: calls.RestCall[Any]) -> tuple[Any, Response]:
        await share.wait()
        sent_at = loop.time()
        try:
            return await session.exchange(call)
        except RateLimited:
            share.rate_limited(loop.time(), sent_at=sent_at)
            raise

    try:
        yield exchange
    finally:
        await session.close()


async def find_finished_runs(online_task_id: str, memory: Memory | None, exchange: Exchange) -> Found:
    """Poll once.

    :param memory: of the last poll; None for the first one, which reports nothing.
    :param exchange: sends a call and returns the value of the response, and the response.
    :raises CallError: a request failed, so nothing was found out.
    """

    def has_all_news(runs: list[TaskRun]) -> bool:
        return memory is None or go_back_beyond(runs, memory.since)

    def list_recent(cursor: str | None) -> calls.RestCall[calls.Page[TaskRun]]:
        # Leaves out runs that can't be read, which must not hide the others.
        return skim_task_runs(online_task_id, ANYTHING, cursor=cursor)

    runs, server_time = await _read_list(list_recent, exchange, stop=has_all_news)
    if memory is None:
        unfinished = {run_id for run_id, run in runs.items() if not run.is_over}
        unfinished |= await _read_unfinished(online_task_id, exchange)
        return Found(finished=(), memory=Memory(since=server_time, unfinished=_bounded(unfinished)))
    still_unfinished: set[str] = set()
    if unlisted := [run_id for run_id in memory.unfinished if run_id not in runs]:
        still_unfinished = await _read_unfinished(online_task_id, exchange) & set(unlisted)
        for run_id in unlisted:
            if run_id not in still_unfinished:
                with contextlib.suppress(NotFound):
                    run, _ = await exchange(calls.get_task_run(run_id))
                    runs[run.id] = run
    ends = {run.id: _end(run) or server_time for run in runs.values() if _is_news(run, memory)}
    still_unfinished |= {run_id for run_id, run in runs.items() if not run.is_over}
    after = Memory(
        since=max(memory.since, server_time - LATENESS),
        reported=memory.reported,
        unfinished=_bounded(still_unfinished),
    )
    return Found(
        finished=tuple(runs[run_id] for run_id in sorted(ends, key=lambda run_id: ends[run_id])),
        memory=after.with_reported(ends),
    )


def go_back_beyond(runs: list[TaskRun], since: datetime) -> bool:
    """Return whether runs are newest first and the last one was created before a time."""
    created = [run.created_at for run in runs if run.created_at is not None]
    if len(created) < len(runs) or not created:
        return False
    # Runs with equal timestamps have no defined order, so they don't show that the list is newest first.
    is_newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
    return is_newest_first and created[-1] < since


def _is_news(run: TaskRun, memory: Memory) -> bool:
    if not run.is_over or run.id in memory.reported:
        return False
    end = _end(run)
    return run.id in memory.unfinished or (end is not None and end >= memory.since)


def _end(run: TaskRun) -> datetime | None:
    return run.run_finished_at or run.created_at


def _bounded(run_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(run_ids)[:MOST_UNFINISHED]


async def _read_unfinished(online_task_id: str, exchange: Exchange) -> set[str]:
    """Return the IDs of the task's unfinished runs."""
    run_ids: set[str] = set()
    for status in (RunStatus.PENDING, RunStatus.RUNNING):

        def list_runs(cursor: str | None, status: RunStatus = status) -> calls.RestCall[calls.Page[TaskRun]]:
            return calls.list_task_runs(online_task_id, status=status, cursor=cursor)

        runs, _ = await _read_list(list_runs, exchange)
        run_ids |= set(runs)
    return run_ids


async def _read_list(
    list_runs: ListRuns, exchange: Exchange, *, stop: Callable[[list[TaskRun]], bool] = lambda _: False
) -> tuple[dict[str, TaskRun], datetime]:
    """Return the runs of a list by ID, and Arize's time when it sent the first page.

    :param stop: returns whether the runs read so far are enough.
    :raises UnexpectedResponse: the list doesn't end.
    """
    runs: dict[str, TaskRun] = {}
    server_time: datetime | None = None
    cursors, cursor = calls.Cursors("list task runs", most=MOST_PAGES), None
    while True:
        page, response = await exchange(list_runs(cursor))
        server_time = server_time or response.date or datetime.now(UTC)
        # IDs with other characters can't be stored in the memory.
        runs |= {run.id: run for run in page.items if run.id.isprintable()}
        if stop(list(runs.values())):
            return runs, server_time
        cursor = cursors.after(page)
        if cursor is None:
            return runs, server_time
