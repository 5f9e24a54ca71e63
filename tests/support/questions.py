"""Questions on the page of required actions, as Airflow keeps them: the first one of a task instance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks._airflow import TaskDeferred


def record_questions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the arguments of each question, to be filled when a task asks and pauses."""
    hitl = pytest.importorskip("airflow.providers.standard.operators.hitl")
    asked: list[dict[str, Any]] = []
    kept: dict[Any, Any] = {}

    class Question:
        def __init__(self, *, response_timeout: Any = None, **arguments: Any) -> None:
            asked.append({**arguments, "response_timeout": response_timeout})

        def execute(self, context: Any) -> None:
            raise TaskDeferred(trigger=None, method_name="execute_complete")

    comms = SimpleNamespace(send=lambda msg: kept.setdefault(msg.ti_id, msg))
    monkeypatch.setattr(hitl, "HITLOperator", Question)
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", comms, raising=False)
    return asked
