"""A server that is slower than the timeout: it executes requests late and sends no response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.exceptions import Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.support.tries import Time


@dataclass
class LateServer:
    """Loses the responses to calls of one name.

    :param time: the clocks; requests are executed while the client sleeps.
    :param name: the name of the calls, such as ``createEvalTask``.
    :param seconds: how long after it was sent a request is executed; None for never.
    :param times: how many requests it loses.
    :param raises: what the client sees instead of a response.
    """

    time: Time
    name: str
    seconds: float | None
    times: int = 1
    raises: Callable[[], BaseException] = lambda: Unavailable("timed out", may_have_executed=True)
    received: int = 0
    held: list[tuple[float, Any]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> LateServer:
        """Stand between the client and the emulator."""
        exchange = Client.exchange

        def lossy(client: Client, call: Any, **options: Any) -> Any:
            if call.name != self.name:
                return exchange(client, call, **options)
            self.received += 1
            if self.received > self.times:
                return exchange(client, call, **options)
            if self.seconds is not None:
                self.held.append((self.time.passed + self.seconds, call))
            raise self.raises()

        def execute_due() -> None:
            due = [call for when, call in self.held if when <= self.time.passed]
            self.held = [(when, call) for when, call in self.held if when > self.time.passed]
            for call in due:
                with OnlineTasksHook() as hook:
                    exchange(hook.client, call)

        monkeypatch.setattr(Client, "exchange", lossy)
        self.time.on_sleep = execute_due
        return self
