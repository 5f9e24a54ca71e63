"""Fixtures: hooks on any host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.connections import changed
from tests.support.examples import eval_task

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

HookOn = Callable[..., OnlineTasksHook]


@pytest.fixture
def emulator(arize: Emulator) -> Emulator:
    """An empty emulator."""
    return arize


@pytest.fixture(autouse=True)
def no_proxy_or_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Hide the proxies and the .netrc file of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays between attempts of clients, which do not sleep."""
    slept: list[float] = []
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "sleep", slept.append)
    return slept


@pytest.fixture
def hook_on(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Iterator[HookOn]:
    """``hook_on(host=…, extra={…})``: a hook on the emulator's connection with these changes."""
    opened: list[OnlineTasksHook] = []

    def hook_on(**fields: Any) -> OnlineTasksHook:
        connection = changed(emulator, **fields)
        conn_id = f"arize_{len(opened)}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        opened.append(OnlineTasksHook(conn_id))
        return opened[-1]

    yield hook_on
    for hook in opened:
        hook.close()


@pytest.fixture
def hook(hook_on: HookOn) -> OnlineTasksHook:
    """A hook on the emulator."""
    return hook_on()


@pytest.fixture
def task_id(emulator: Emulator, hook: OnlineTasksHook) -> str:
    """An existing task; the requests that created it are cleared."""
    task_id = hook.create_eval_task(eval_task(emulator.project_id, emulator.evaluator_ids["output_present"]))
    emulator.clear_requests()
    return task_id
