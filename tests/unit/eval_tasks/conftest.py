"""The create operator and the requests that the emulator received."""

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
    """``create(if_exists="skip", sampling_rate=0.5)``: the operator, with some arguments changed."""

    def make(**arguments: Any) -> CreateEvalTaskOperator:
        return CreateEvalTaskOperator(
            task_id="create_task", **{"model_id": arize.project_id, **TASK, **arguments}
        )

    return make


@pytest.fixture
def requests(arize: Emulator) -> Callable[[str], int]:
    """``requests("graphql.createEvalTask")``: how many requests the emulator received."""
    return lambda operation: len(arize.requests(operation))
