"""Looks up where the Arize UI shows what is waited for: once for all waits of a task.

Links are worth little: they are looked up while the budget is idle, nothing waits for them, and what goes
wrong leaves the tasks to look for themselves.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.api.responses.tasks import Task
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.inputs import DataWindow
    from airflow_provider_online_tasks.ui.links import Links

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
MOST_TASKS = 1_000


class TaskLinks:
    """The links of the tasks whose runs a poller reads.

    :param settings: of the connection.
    :param has_room: whether a request may be sent that nobody waits for.
    :param send: sends a call.
    """

    def __init__(
        self,
        settings: Settings,
        has_room: Callable[[], bool],
        send: Callable[[RestCall[Any]], Awaitable[Any]],
    ) -> None:
        self._settings = settings
        self._has_room = has_room
        self._send = send
        self._wanted: collections.deque[str] = collections.deque()
        self._asked: set[str] = set()
        # The links of each task, but for the spans, which each run has its own of.
        self._known: dict[str, tuple[Links, Callable[[DataWindow], str]]] = {}
        # The space of each project, and the organisation of each space.
        self._within: dict[str, str] = {}
        self._work: asyncio.Task[None] | None = None

    def want(self, task_id: str) -> None:
        """Have a task looked up, unless it was."""
        if task_id in self._asked or len(self._asked) >= MOST_TASKS:
            return
        self._asked.add(task_id)
        self._wanted.append(task_id)
        if self._work is None or self._work.done():
            # In a context of its own, since the triggerer attributes what is logged by context.
            self._work = asyncio.create_task(self._look_up(), context=contextvars.Context())

    def of(self, run: TaskRun) -> Links | None:
        """Return the links of a run, if all they need is known."""
        from airflow_provider_online_tasks.inputs import DataWindow

        known, start, end = self._known.get(run.task_id or ""), run.data_start_time, run.data_end_time
        if known is None or start is None or end is None:
            return None
        links, spans = known
        return replace(links, spans=spans(DataWindow(start=start, end=end)))

    async def close(self) -> None:
        """Look up no more."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _look_up(self) -> None:
        from airflow_provider_online_tasks.api import calls

        while self._wanted:
            task_id = self._wanted.popleft()
            try:
                await self._learn(await self._ask(calls.get_task(task_id)))
            except Exception as error:  # noqa: BLE001  a link is not worth a failure
                log.debug("No links for task %s: %s", task_id, error)

    async def _learn(self, task: Task) -> None:
        from airflow_provider_online_tasks.api import calls
        from airflow_provider_online_tasks.ui.links import Links, Place

        if task.project_id is None:
            return
        settings, outer, project_id = self._settings, self._outer, task.project_id
        space_id = settings.space_id or await outer(project_id, calls.get_project_space)
        place = Place(
            ui_url=settings.endpoint.ui_url,
            organization_id=settings.organization_id or await outer(space_id, calls.get_space_organization),
            space_id=space_id,
            project_id=project_id,
        )
        links = Links.within(place, evaluator_ids=task.evaluator_ids)
        spans = partial(place.spans_url, query_filter=task.query_filter)
        self._known[task.id] = replace(links, task=task.name), spans

    async def _outer(self, inner: str, call: Callable[[str], RestCall[str]]) -> str:
        if inner not in self._within:
            self._within[inner] = await self._ask(call(inner))
        return self._within[inner]

    async def _ask(self, call: RestCall[Any]) -> Any:
        while not self._has_room():  # noqa: ASYNC110  whatever else is sent goes first
            await asyncio.sleep(IDLE_SECONDS)
        return await self._send(call)
