"""Waits, triggers and counters for the tests of polling."""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _airflow
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.runs.polling.budget import Budget
from airflow_provider_online_tasks.runs.polling.poller import Poller
from airflow_provider_online_tasks.triggers.events import RunEvent, read_event
from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger
from tests.support.quick_time import run

if TYPE_CHECKING:
    import pytest

CONN_ID = "arize_waiting"
EVALUATOR = {
    "name": "tone",
    "rails": ["polite", "rude"],
    "template": "Is {attributes.output.value} polite or rude?",
}
LLM = {"model_name": "GPT_4o", "provider": "openAI"}


def create_task(emulator: Any, name: str = "waited for") -> str:
    """Create an online task and return its ID."""
    settings = Settings.of_connection(
        host=emulator.url, api_key=emulator.api_key, extra={}, conn_id="emulator"
    )
    task = EvalTaskInput.read(
        {
            "model_id": emulator.project_id,
            "name": name,
            "sampling_rate": 1,
            "run_continuously": False,
            "template_evaluators": [EVALUATOR],
            "llm_config": LLM,
        }
    )
    with Client(settings) as client:
        return client.send(calls.create_eval_task(task, settings.sampling_rate_unit))


def trigger(run_id: str, task_id: str | None = None, **arguments: Any) -> OnlineTaskRunTrigger:
    """Return a trigger that polls often, so that a test is short."""
    given = {"conn_id": CONN_ID, "poll_interval": 0.2, **arguments}
    return OnlineTaskRunTrigger(run_id=run_id, online_task_id=task_id, **given)


async def event_of(waiting: OnlineTaskRunTrigger) -> RunEvent:
    """Run a trigger to its end and return its only event."""
    events = [event.payload async for event in waiting.run()]
    assert len(events) == 1
    # As the database stores it.
    return read_event(json.loads(json.dumps(events[0])))


def wait_for(*waiting: OnlineTaskRunTrigger, within: float = 900.0, still: bool = True) -> list[RunEvent]:
    """Run triggers together on a separate event loop on which waiting takes no time; return their events."""

    async def together() -> list[RunEvent]:
        async with asyncio.timeout(within):
            return await asyncio.gather(*map(event_of, waiting))

    return run(together(), still=still)


def delay_responses(
    monkeypatch: pytest.MonkeyPatch, seconds: float, *, to: str = "*", times: int | None = None
) -> None:
    """Delay responses, on the event loop's clock.

    :param to: a pattern for the names of the calls, such as ``get task run``.
    :param times: number of responses; None for all.
    """
    really, slow = AsyncClient._request, itertools.count() if times is None else iter(range(times))

    async def ask(client: AsyncClient, call: Any, host: str) -> Any:
        is_slow = fnmatch.fnmatchcase(call.name, to) and next(slow, None) is not None
        answer = await really(client, call, host)
        await asyncio.sleep(seconds if is_slow else 0)
        return answer

    monkeypatch.setattr(AsyncClient, "_request", ask)


def count_reads(arize: Any) -> Counter[str]:
    """Return how often each endpoint for runs was read."""
    return Counter(request["operation"] for request in arize.requests("rest.*task_run*"))


def count_outcomes(events: list[RunEvent]) -> Counter[str]:
    """Return how many events have each outcome."""
    return Counter(event.outcome for event in events)


def read_connections(monkeypatch: pytest.MonkeyPatch, *, seconds: float = 0.0) -> list[str]:
    """Return the IDs of the connections that are read from now on.

    :param seconds: how long each read takes.
    """
    names: list[str] = []
    really = _airflow.read_connection

    async def read(conn_id: str) -> Any:
        names.append(conn_id)
        await asyncio.sleep(seconds)
        return await really(conn_id)

    monkeypatch.setattr(_airflow, "read_connection", read)
    return names


class Sessions:
    """Counts the sessions that are opened and closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.closed = 0
        really_open, really_close = AsyncClient.open, AsyncClient.close

        async def count_open(settings: Settings) -> AsyncClient:
            self.opened += 1
            return await really_open(settings)

        async def count_close(session: AsyncClient) -> None:
            self.closed += 1
            await really_close(session)

        monkeypatch.setattr(AsyncClient, "open", count_open)
        monkeypatch.setattr(AsyncClient, "close", count_close)


def poller_of(
    arize: Any,
    *,
    api_key: str | None = None,
    per_minute: int = 6_000,
    on_closed: Callable[[], None] = lambda: None,
) -> Poller:
    """Start a poller that is not shared."""
    settings = Settings.of_connection(
        host=arize.url, api_key=api_key or arize.api_key, extra={}, conn_id="test"
    )
    return Poller(settings, Budget(per_minute), on_closed=on_closed, on_settings_doubtful=lambda: None)


async def eventually(condition: Callable[[], Awaitable[bool] | bool], within: float = 10.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while True:
            holds = condition()
            if not isinstance(holds, bool):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.02)
