"""An online task of one test in the emulator."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import EmulatorProcess, RunFate
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.deployment import until

# Runs continue until the test finishes them, so that no test depends on durations.
ENDLESS = RunFate(seconds=3600, pending_seconds=0, times=None)
LIVE = frozenset({"PENDING", "RUNNING"})


class OnlineTask:
    """An online task of one test in the emulator."""

    def __init__(self, arize: EmulatorProcess, task_id: str) -> None:
        self._arize = arize
        self.id = task_id
        self._completing: set[str] = set()

    @classmethod
    def create(cls, arize: EmulatorProcess) -> OnlineTask:
        """Create an online task whose evaluator has a unique name."""
        # Arize does not evaluate spans again that already have a label of the same evaluator.
        name = f"correctness {time.time_ns()}"
        task = EvalTaskInput.read(
            {
                "name": name,
                "model_id": arize.project_id,
                "sampling_rate": 1,
                "template_evaluators": [
                    {
                        "name": name,
                        "template": "{attributes.input.value} {attributes.output.value}",
                        "rails": ["correct", "incorrect"],
                    }
                ],
                "llm_config": {"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
            }
        )
        settings = Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="test")
        with Client(settings) as client:
            return cls(arize, client.send(calls.create_eval_task(task, settings.sampling_rate_unit)))

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Its runs in the order of creation."""
        return self._arize.runs(self.id)

    @property
    def statuses(self) -> list[str]:
        """Their statuses."""
        return [run["status"] for run in self.runs]

    def until_started(self, count: int = 1) -> dict[str, Any]:
        """Wait until the task has ``count`` runs, and return the latest."""
        return until(
            f"{count} runs were created",
            lambda: runs[-1] if len(runs := self.runs) >= count else None,
            show=lambda: self.runs,
        )

    def until_last_is(self, status: str) -> None:
        """Wait until the latest run has a status."""
        until(f"the run is {status}", lambda: self.statuses[-1] == status, show=lambda: self.runs)

    def complete(self) -> None:
        """Let all pending and running runs finish within half a second."""
        for run in self.runs:
            if run["status"] in LIVE and run["id"] not in self._completing:
                self._completing.add(run["id"])
                self._arize.set_run(run["id"], seconds=0.5)
