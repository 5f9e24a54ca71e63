"""Which runs of a task have finished since it was last looked: each once, whatever happens in between.

The order of a task's list of runs is not documented. A look reads its pages until there are no more of them,
or until they have been newest first so far and reach back to what was reported before. Runs that were going
at the last look and are not on these pages are asked for by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import skim_task_runs
from airflow_provider_online_tasks.api.responses import Answer
from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    CallError,
    NotFound,
    RateLimited,
    Unavailable,
)

T = TypeVar("T")
Ask = Callable[[calls.RestCall[Any]], Awaitable[tuple[Any, Answer]]]
log = logging.getLogger(__name__)

# A run may be shown as over a while after the time it gives for its end.
LATENESS = timedelta(minutes=10)
# So many runs are asked for one by one; for more, the lists of those that are going show which have ended.
FEW = 3
# Keeps what is remembered far below the 64 KiB that Airflow stores.
MOST_GOING = 500
MANY_PAGES = 10
MOST_PAGES = 100
LONGEST_PAUSE = 900.0


class _Anything:
    def __contains__(self, _: object) -> bool:
        return True


ANYTHING = _Anything()


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What has been reported, as of a look.

    :param since: what was over before, by the server's clock, was reported, or was over before all watching.
    :param reported: IDs of reported runs that were over since then, with the times of their ends.
    :param going: IDs of the runs that were not over.
    """

    since: datetime
    reported: Mapping[str, datetime] = field(default_factory=dict)
    going: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "since": wire_time(self.since),
            "reported": {run_id: wire_time(at) for run_id, at in self.reported.items()},
            "going": list(self.going),
        }

    @classmethod
    def from_json(cls, value: Any) -> Memory | None:
        """Read back what :meth:`to_json` wrote; None if another version wrote it."""
        try:
            return cls(
                since=parse_time(value["since"], "since"),
                reported={run_id: parse_time(at, "reported") for run_id, at in value["reported"].items()},
                going=tuple(value["going"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def with_reported(self, reported: Mapping[str, datetime]) -> Memory:
        """Return it with more reported runs, without those that are too long ago to matter."""
        both = {**reported, **self.reported}
        return replace(self, reported={run_id: at for run_id, at in both.items() if at >= self.since})


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look has found.

    :param finished: runs that were not reported before, the earliest end first.
    :param memory: what is to be remembered once they are reported.
    """

    finished: tuple[TaskRun, ...]
    memory: Memory


async def look(online_task_id: str, memory: Memory | None, ask: Ask) -> Look:
    """Look once.

    :param memory: of the last look; None to begin, with what finishes from now on.
    :param ask: sends a call.
    :raises CallError: an answer did not come, so that nothing is known.
    """
    seen, server_time = await _pages(online_task_id, memory, ask)
    if memory is None:
        going = {run_id for run_id, run in seen.items() if not run.is_over}
        going |= await _going(online_task_id, ask)
        return Look(finished=(), memory=Memory(since=server_time, going=_bounded(going)))
    for run in await _unseen([one for one in memory.going if one not in seen], online_task_id, ask):
        seen[run.id] = run
    finished = sorted(
        (run for run in seen.values() if _is_news(run, memory)),
        key=lambda run: _end(run) or server_time,
    )
    reported = {run.id: _end(run) or server_time for run in finished}
    after = Memory(
        since=max(memory.since, server_time - LATENESS),
        reported=memory.reported,
        going=_bounded(run.id for run in seen.values() if not run.is_over),
    ).with_reported(reported)
    return Look(finished=tuple(finished), memory=after)


def _bounded(run_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(run_ids)[:MOST_GOING]


def _end(run: TaskRun) -> datetime | None:
    return run.run_finished_at or run.created_at


def _is_news(run: TaskRun, memory: Memory) -> bool:
    if not run.is_over or run.id in memory.reported:
        return False
    end = _end(run)
    return run.id in memory.going or (end is not None and end >= memory.since)


async def _pages(online_task_id: str, memory: Memory | None, ask: Ask) -> tuple[dict[str, TaskRun], datetime]:
    """Read the list as far as news can be in it, and the server's clock before that."""
    seen: dict[str, TaskRun] = {}
    server_time, pages = None, 0

    def call_for(cursor: str | None) -> calls.RestCall[calls.Page[TaskRun]]:
        return skim_task_runs(online_task_id, ANYTHING, cursor=cursor)

    async with aclosing(_each_page(call_for, ask)) as listed:
        async for page, answer in listed:
            server_time, pages = server_time or answer.date or datetime.now(UTC), pages + 1
            # What cannot be written down cannot be remembered either.
            seen |= {run.id: run for run in page.items if run.id.isprintable()}
            if memory is None or _reaches(list(seen.values()), memory.since):
                break
    if pages > MANY_PAGES:
        log.warning(
            "It took %d requests to look for finished runs of task %s: its list is long, and is not in the "
            "order of creation or was not looked at for long.",
            pages,
            online_task_id,
        )
    return seen, server_time or datetime.now(UTC)


async def _each_page(
    call_for: Callable[[str | None], calls.RestCall[calls.Page[TaskRun]]], ask: Ask
) -> AsyncGenerator[tuple[calls.Page[TaskRun], Answer], None]:
    """Yield the pages of a list.

    :raises UnexpectedResponse: a page leads back to one that was read, or there is no end of them.
    """
    cursors, cursor = calls.Cursors("list task runs", most=MOST_PAGES), None
    while True:
        page, answer = await ask(call_for(cursor))
        yield page, answer
        cursor = cursors.after(page)
        if cursor is None:
            return


def _reaches(runs: list[TaskRun], since: datetime) -> bool:
    """Return whether runs that are newest first go back beyond a time."""
    created = [run.created_at for run in runs if run.created_at is not None]
    if len(created) < len(runs) or not created:
        return False
    # Of runs that were created together nobody knows in which order the others come.
    is_newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
    return is_newest_first and created[-1] < since


async def _going(online_task_id: str, ask: Ask) -> set[str]:
    found: set[str] = set()
    for status in (RunStatus.PENDING, RunStatus.RUNNING):

        def call_for(cursor: str | None, status: RunStatus = status) -> calls.RestCall[calls.Page[TaskRun]]:
            return calls.list_task_runs(online_task_id, status=status, cursor=cursor)

        async with aclosing(_each_page(call_for, ask)) as listed:
            async for page, _ in listed:
                found |= {run.id for run in page.items if run.id.isprintable()}
    return found


async def _unseen(run_ids: list[str], online_task_id: str, ask: Ask) -> list[TaskRun]:
    """Return runs that were going, as they are now; those that still go need not be read."""
    still = await _going(online_task_id, ask) if len(run_ids) > FEW else set()
    found = [
        TaskRun(id=run_id, status=RunStatus.RUNNING, status_text=RunStatus.RUNNING.value)
        for run_id in run_ids
        if run_id in still
    ]
    for run_id in run_ids:
        if run_id not in still:
            try:
                run, _ = await ask(calls.get_task_run(run_id))
            except NotFound:
                continue
            found.append(run)
    return found


async def looks(
    conn_id: str, online_task_id: str, *, poll_interval: float, memory: Memory | None = None
) -> AsyncGenerator[Look, None]:
    """Look again and again, once in ``poll_interval`` seconds. It never ends and never raises.

    What cannot be asked is asked later: what finished meanwhile is found then.
    """
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        async with aclosing(_session(conn_id)) as session:
            try:
                ask = await anext(session)
                while True:
                    began = loop.time()
                    found = await look(online_task_id, memory, ask)
                    if failures:
                        log.info("Finished runs of task %s can be looked up again.", online_task_id)
                    memory, failures = found.memory, 0
                    yield found
                    await asyncio.sleep(began + poll_interval - loop.time())
            except Exception as error:  # noqa: BLE001  a watch that ends would end unnoticed
                failures += 1
                pause = _pause(error, failures, poll_interval)
                log.warning(
                    "Finished runs of task %s could not be looked up. The next attempt is in %.0f s: %s",
                    online_task_id,
                    pause,
                    error if isinstance(error, CallError) else f"{type(error).__name__}: {error}",
                )
        await asyncio.sleep(pause)


def _pause(error: Exception, failures: int, poll_interval: float) -> float:
    """Return after how long to look again: soon if it may pass by itself, else less and less often."""
    if isinstance(error, RateLimited | Unavailable):
        return max(poll_interval, min(error.retry_after or 0.0, LONGEST_PAUSE))
    return max(poll_interval, min(poll_interval * 2.0 ** min(failures, 10), LONGEST_PAUSE))


async def _session(conn_id: str) -> AsyncGenerator[Ask, None]:
    """Yield what sends calls with a connection as it is now, within the budget of all who use it."""
    from airflow_provider_online_tasks.runs.polling.connections import look_up
    from airflow_provider_online_tasks.runs.polling.in_flight import open_client

    settings, share = await look_up(conn_id)
    client = await asyncio.to_thread(open_client, settings)

    async def ask(call: calls.RestCall[T]) -> tuple[T, Answer]:
        await share.wait()
        sent_at = asyncio.get_running_loop().time()
        try:
            # No answer takes longer, however slowly its parts come.
            async with asyncio.timeout(settings.timeout):
                return await client.exchange(call)
        except TimeoutError:
            host, bound = settings.endpoint.rest_url, settings.timeout
            raise Unavailable(f"{call.name} at {host}: no whole answer within {bound:g} s") from None
        except RateLimited:
            share.refused(asyncio.get_running_loop().time(), sent_at=sent_at)
            raise

    try:
        yield ask
    finally:
        await client.close()
