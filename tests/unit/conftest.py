"""What the operators log is heard by pytest."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor


@pytest.fixture(autouse=True)
def _what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pytest hear what the operators log, which Airflow writes past the standard library."""
    for kind in (CreateEvalTaskOperator, EvaluatorOperator, RunOnlineTaskOperator, OnlineTaskRunSensor):
        monkeypatch.setattr(kind, "log", logging.getLogger("airflow.task"), raising=False)
