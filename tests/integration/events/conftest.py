"""A client of the emulator and a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.fixture
def client(arize: Emulator) -> Client:
    """A client for preparing tests."""
    return Client(Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="test"))


@pytest.fixture
def online_task_id(arize: Emulator, client: Client) -> str:
    """The ID of an eval task."""
    evaluator = {
        "name": "correctness",
        "template": "{attributes.input.value} {attributes.output.value}",
        "rails": ["correct", "incorrect"],
    }
    task = EvalTaskInput(
        name="answer correctness",
        model_id=arize.project_id,
        query_filter="attributes.openinference.span.kind = 'AGENT'",
        template_evaluators=[evaluator],
        llm_config={"model_name": "GPT_4o", "provider": "openAI"},
    )
    return client.send(calls.create_eval_task(task, "fraction"))
