"""Fixtures: spans of a file, and evaluators of the Eval Hub on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.emulator_api import eventually

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 10, tzinfo=UTC)
END = START + timedelta(days=1)
WINDOW = {"data_start_time": START, "data_end_time": END}
MAPPINGS = {"input": "attributes.input.value", "output": "attributes.output.value"}


def spans(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return spans that are spread evenly over the window."""
    return [
        {
            "span_id": f"{number:016x}",
            "trace_id": f"{number // 4:032x}",
            "start_time": (START + (END - START) * ((number + 0.5) / count)).isoformat(),
            "attributes": {"input.value": f"question {number}", "output.value": "an answer", **fields},
        }
        for number in range(count)
    ]


class Costs:
    """An emulator with given spans, and a hook on it."""

    def __init__(self, emulator: Emulator, hook: OnlineTasksHook) -> None:
        self.emulator = emulator
        self.hook = hook

    def evaluator(self, name: str, **template_config: Any) -> str:
        """Create a template evaluator of the Eval Hub, and return its ID."""
        config = {
            "name": name,
            "template": "Is the answer {output} to {input} correct?",
            "include_explanations": False,
            "classification_choices": {"correct": 1, "incorrect": 0},
            "use_function_calling": False,
            "llm_config": {
                "model_name": "gpt-4o",
                "ai_integration_id": self.integration_id,
                "invocation_parameters": {},
                "provider_parameters": {},
            },
            **template_config,
        }
        return self._create(name, "TEMPLATE", {"template_config": config})

    def task(self, name: str, *evaluators: str | dict[str, Any], **fields: Any) -> str:
        """Create a task with evaluators, and return its ID."""
        attached = [
            {"evaluator_id": each, "column_mappings": MAPPINGS} if isinstance(each, str) else each
            for each in evaluators
        ]
        return self.hook.create_eval_task(
            {
                "name": name,
                "model_id": self.emulator.project_id,
                "sampling_rate": 1,
                "run_continuously": False,
                "evaluators": attached,
                **fields,
            }
        )

    def run(self, task_id: str, **fields: Any) -> dict[str, Any]:
        """Run a task over the window until it is finished, and return the emulator's record of the run."""
        run_id = self.hook.run_online_task({"online_task_id": task_id, **WINDOW, **fields})
        eventually(lambda: self.hook.get_task_run(run_id).is_over)
        return next(each for each in self.emulator.runs() if each["id"] == run_id)

    def _create(self, name: str, kind: str, config: dict[str, Any]) -> str:
        from airflow_provider_online_tasks.api import calls

        call = calls.create_evaluator(
            space_id=self.emulator.space_id,
            name=name,
            description=None,
            evaluator_type=kind,  # type: ignore[arg-type]
            content=config,
            commit_message="first",
        )
        return self.hook.client.send(call).evaluator_id

    @property
    def integration_id(self) -> str:
        from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS

        return INTEGRATIONS[0].id


@pytest.fixture
def costs_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Costs]]:
    """``costs_of(spans, …)``: an emulator with these spans and settings."""
    with ExitStack() as stack:

        def costs_of(given: list[dict[str, Any]], **settings: Any) -> Costs:
            path = tmp_path / "spans.jsonl"
            path.write_text("\n".join(map(json.dumps, given)))
            limits = {"queries_per_minute": None, "mutations_per_minute": None, "run_seconds": 0}
            emulator = stack.enter_context(
                Emulator(EmulatorSettings(spans=str(path), **{**limits, **settings}))
            )
            monkeypatch.setenv("AIRFLOW_CONN_COSTS", emulator.connection_json)
            return Costs(emulator, stack.enter_context(OnlineTasksHook("costs")))

        yield costs_of
