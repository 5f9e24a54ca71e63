"""A template of an empty parameter renders to "" or "None": an optional text is left out then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.operators.eval_tasks import PatchEvalTaskOperator
from tests.support.task_instance import EVALUATOR, TASK, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

EMPTY = pytest.mark.parametrize("empty", ["None", "", " None\n"])


@EMPTY
def test_empty_filters_of_new_task_are_left_out(
    create: Callable[..., CreateEvalTaskOperator], arize: Emulator, empty: str
) -> None:
    operator = create(
        query_filter="{{ params.filter }}",
        template_evaluators=[{**EVALUATOR, "query_filter": "{{ params.filter }}"}],
    )
    operator.query_filter = empty
    operator.template_evaluators[0]["query_filter"] = empty
    operator.execute(TaskInstance().next_try())
    [task] = arize.tasks()
    assert task["query_filter"] is None
    assert task["evaluators"][0]["query_filter"] is None


@EMPTY
def test_empty_filter_in_patch_clears_the_filter(arize: Emulator, empty: str) -> None:
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(EvalTaskInput(model_id=arize.project_id, **TASK))
    operator = PatchEvalTaskOperator(task_id="a", online_task_id=task_id, query_filter="{{ params.filter }}")
    operator.query_filter = empty
    operator.execute(TaskInstance().next_try())
    assert [task["query_filter"] for task in arize.tasks()] == [None]


@pytest.mark.parametrize(("field", "empty"), [("name", ""), ("model_id", ""), ("model_id", "None")])
def test_empty_required_text_is_rejected(
    create: Callable[..., CreateEvalTaskOperator], arize: Emulator, field: str, empty: str
) -> None:
    operator = create(**{field: "{{ params.text }}"})
    setattr(operator, field, empty)
    with pytest.raises(InvalidInput, match=field):
        operator.execute(TaskInstance().next_try())
    assert arize.tasks() == []
