"""Example IDs and inputs for the tests of the clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.runs import RunInput

END = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
START = END - timedelta(days=1)

# IDs as the API documents them.
PROJECT = "TW9kZWw6MTIzOmFCY0Q="
EVALUATOR = "RXZhbHVhdG9yOjEyOmFCY0Q="
TASK = "T25saW5lVGFzazo0NTpxUndY"
RUN = "VGFza1J1bjo5OTpxUndY"


def eval_task(project_id: str = PROJECT, evaluator_id: str = EVALUATOR, **fields: Any) -> EvalTaskInput:
    """Return a task with one Eval Hub evaluator."""
    given = {"name": "quality", "model_id": project_id, "evaluators": {"evaluator_id": evaluator_id}}
    return EvalTaskInput.read({**given, **fields})


def run_of(task_id: str = TASK, **fields: Any) -> RunInput:
    """Return a run over one day."""
    return RunInput.read(
        {"online_task_id": task_id, "data_start_time": START, "data_end_time": END, **fields}
    )
