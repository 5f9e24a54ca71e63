"""Find the runs of a task that have finished since the last poll: each one once, whichever tool started it.

Arize doesn't document the order of a task's list of runs. A poll reads pages until the list ends, or until
the pages are newest first so far and go back beyond what was reported. Runs that were unfinished at the last
poll and are not on these pages are read separately.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pydantic import AwareDatetime, BaseModel, ValidationError

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.http import Response
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    CallError,
    NotFound,
    RateLimited,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.runs.wait_policy import backoff

Exchange = Callable[[calls.RestCall[Any]], Awaitable[tuple[Any, Response]]]
log = logging.getLogger(__name__)

# Arize may show a run as finished some time after the end time that it reports.
LATENESS = timedelta(minutes=10)
# Keeps the memory far below the 64 KiB that Airflow stores.
MOST_UNFINISHED = 500
MOST_PAGES = 100
LONGEST_PAUSE = 900.0


class Memory(BaseModel, frozen=True):
    """What has been reported, as of a poll: the runs that finished since a time on Arize's clock."""

    since: AwareDatetime
    reported: dict[str, AwareDatetime] = {}
    unfinished: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Memory | None:
        """Return the memory that was stored as JSON values; None if the value is something else."""
        try:
            return cls.model_validate(value)
        except ValidationError:
            return None

    def with_reported(self, reported: Mapping[str, datetime]) -> Memory:
        """Return the memory with more reported runs, without those that finished before `since`."""
        both = {**reported, **self.reported}
        return self.model_copy(update={"reported": {key: at for key, at in both.items() if at >= self.since}})


@dataclass(frozen=True, kw_only=True)
class Found:
    """Newly finished runs, the earliest end first, and what to remember once they are reported."""

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
    """Poll forever, every ``poll_interval`` seconds. After an error, poll later and find what was missed."""
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
            if isinstance(error, RateLimited | Unavailable):
                pause = max(poll_interval, min(error.retry_after or 0.0, LONGEST_PAUSE))
            else:
                pause = backoff(failures + 1, first=poll_interval, longest=max(poll_interval, LONGEST_PAUSE))
            reason = error if isinstance(error, CallError) else f"{type(error).__name__}: {error}"
            message = "Finished runs of task %s could not be read. The next attempt is in %.0f s: %s"
            log.warning(message, online_task_id, pause, reason)
        await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def _open_session(conn_id: str) -> AsyncIterator[Exchange]:
    """Open a session with the connection's current settings, within the watchers' share of the budget."""
    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.runs.polling.shared_pollers import this_loop

    loop, shared = asyncio.get_running_loop(), this_loop()
    settings = await shared.settings_of(conn_id)
    share = shared.endpoint(settings).watchers_share
    session = await AsyncClient.open(settings)

    async def exchange(call: calls.RestCall[Any]) -> tuple[Any, Response]:
        await share.wait()
        sent_at = loop.time()
        try:
            return await session.exchange(call)
        except RateLimited:
            share.budget.rate_limited(loop.time(), sent_at=sent_at)
            raise

    try:
        yield exchange
    finally:
        await session.close()


async def find_finished_runs(online_task_id: str, memory: Memory | None, exchange: Exchange) -> Found:
    """Poll once. The first poll, without a memory, reports nothing."""
    # Leaves out runs that can't be read, which must not hide the others.
    list_readable = partial(calls.skim_task_runs, online_task_id, None)
    runs, server_time = await _read_list(
        list_readable, exchange, stop=lambda runs: memory is None or calls.go_back_beyond(runs, memory.since)
    )
    still_unfinished: set[str] = set()
    if memory is None:
        still_unfinished = await _read_unfinished(online_task_id, exchange)
    elif unlisted := set(memory.unfinished) - set(runs):
        still_unfinished = await _read_unfinished(online_task_id, exchange) & unlisted
        for run_id in unlisted - still_unfinished:
            try:
                run, _ = await exchange(calls.get_task_run(run_id))
                runs[run.id] = run
            except NotFound:
                continue
            except UnexpectedResponse:  # this run must not hide the others
                still_unfinished.add(run_id)
    still_unfinished |= {run_id for run_id, run in runs.items() if not run.is_over}
    unfinished = tuple(still_unfinished)[:MOST_UNFINISHED]
    if memory is None:
        return Found(finished=(), memory=Memory(since=server_time, unfinished=unfinished))
    ends: dict[str, datetime] = {}
    for run_id, run in runs.items():
        if run.is_over and run_id not in memory.reported:
            end = run.run_finished_at or run.created_at
            if run_id in memory.unfinished or (end is not None and end >= memory.since):
                ends[run_id] = end or server_time
    since = max(memory.since, server_time - LATENESS)
    after = Memory(since=since, reported=memory.reported, unfinished=unfinished)
    return Found(
        finished=tuple(runs[run_id] for run_id in sorted(ends, key=ends.__getitem__)),
        memory=after.with_reported(ends),
    )


async def _read_unfinished(online_task_id: str, exchange: Exchange) -> set[str]:
    """Return the IDs of the task's unfinished runs."""
    run_ids: set[str] = set()
    for status in (RunStatus.PENDING, RunStatus.RUNNING):
        runs, _ = await _read_list(
            partial(calls.skim_task_runs, online_task_id, None, status=status), exchange
        )
        run_ids |= set(runs)
    return run_ids


async def _read_list(
    list_runs: Callable[..., calls.RestCall[calls.Page[TaskRun]]],
    exchange: Exchange,
    *,
    stop: Callable[[list[TaskRun]], bool] = lambda _: False,
) -> tuple[dict[str, TaskRun], datetime]:
    """Return the runs of a list by ID until they suffice, and Arize's time when it sent the first page."""
    runs: dict[str, TaskRun] = {}
    server_time: datetime | None = None
    cursors, cursor = calls.Cursors("list task runs", most=MOST_PAGES), None
    while True:
        page, response = await exchange(list_runs(cursor=cursor))
        server_time = server_time or response.date or datetime.now(UTC)
        # IDs with other characters can't be stored in the memory.
        runs |= {run.id: run for run in page.items if run.id.isprintable()}
        if stop(list(runs.values())) or (cursor := cursors.after(page)) is None:
            return runs, server_time
