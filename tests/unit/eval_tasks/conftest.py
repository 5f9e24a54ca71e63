"""What the emulator holds, and what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from tests.support.task_instance import TASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator


@pytest.fixture
def create(arize: Emulator) -> Callable[..., CreateEvalTaskOperator]:
    """``create(if_exists="skip", sampling_rate=0.5)``: the operator, with the arguments that matter."""

    def make(**arguments: Any) -> CreateEvalTaskOperator:
        return CreateEvalTaskOperator(
            task_id="create_task", **{"model_id": arize.project_id, **TASK, **arguments}
        )

    return make


@pytest.fixture
def asked(arize: Emulator) -> Callable[[str], int]:
    """``asked("graphql.createEvalTask")``: how often that was asked of the emulator."""
    return lambda operation: len(arize.requests(operation))
