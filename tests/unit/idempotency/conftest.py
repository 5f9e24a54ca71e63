"""A server, a state store and clocks in memory."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks import _clock
from tests.support.task_instance import TaskInstance
from tests.support.widgets import Clocks, Server


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that only sleeping moves."""
    clocks = Clocks()
    for name in ("now", "monotonic", "sleep"):
        monkeypatch.setattr(_clock, name, getattr(clocks, name))
    return clocks


@pytest.fixture
def server(clocks: Clocks) -> Server:
    """A server without widgets."""
    return Server(clocks)


@pytest.fixture
def task() -> TaskInstance:
    """A task instance with a state store."""
    return TaskInstance()
