"""scripts/ui.py: the order in which it starts Airflow."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.support.pages import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def test_tasks_start_after_the_api_server_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    ui = importlib.import_module("ui")
    events: list[str] = []
    responses = iter([False, False, True])

    @contextmanager
    def component(name: str, environment: Any) -> Iterator[Any]:
        events.append(name)
        yield SimpleNamespace(poll=lambda: None)

    def answers(url: str) -> bool:
        events.append("asked")
        return next(responses)

    monkeypatch.setattr(ui, "component", component)
    monkeypatch.setattr(ui, "answers", answers)
    monkeypatch.setattr(ui.time, "sleep", lambda _: None)

    with ui.airflow_at_work({"AIRFLOW__API__BASE_URL": "http://127.0.0.1:1"}):
        pass

    assert events[:4] == ["api-server", "asked", "asked", "asked"]
    assert set(events[4:]) == {"scheduler", "dag-processor", "triggerer"}
