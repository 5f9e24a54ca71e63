"""Rendering: templates are rendered, other literals stay as they are, and data is never rendered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from tests.support.valid_operators import EVALUATOR, KINDS, LATER, VALID, instead

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "{{ params.secret }}"
CONN = {"conn_id": "{{ params.conn }}"}
PARAMS = {"secret": "s3cr3t", "conn": "another_arize", "later": "2024-10-08"}


def render(task: Any, dag: DAG) -> Any:
    """Return a task as Airflow renders it before it executes it; of a mapped one, the first task."""
    dag_run = SimpleNamespace(conf={})
    context: Any = {
        "ti": SimpleNamespace(map_index=0, task=task),
        "task": task,
        "dag": dag,
        "dag_run": dag_run,
    }
    task.render_template_fields({**context, "params": PARAMS} if isinstance(task, BaseOperator) else context)
    return context["ti"].task


@pytest.fixture
def map_operator(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``map_operator(kind, "name", {"name": ["a", "b"]}, result=[…])``: the first mapped task, rendered."""

    def map_over(kind: type[BaseOperator], name: str, over: Callable[[Any], Any], *results: Any) -> Any:
        needed = VALID[kind] | instead(kind, name, LATER)
        partial = {key: value for key, value in needed.items() if value is not ... and key != name}
        with DAG("a_dag", default_args=CONN, params=PARAMS) as dag, TaskGroup("a_group"):
            upstream = BaseOperator(task_id="upstream")
            task = over(kind.partial(task_id="a_task", **partial), upstream.output)
        monkeypatch.setattr(type(upstream.output), "resolve", lambda *_, **__: list(results))
        return render(task, dag)

    return map_over


def expand(name: str) -> Callable[..., Any]:
    return lambda partial, output: partial.expand(**{name: output})


def expand_kwargs(partial: Any, output: Any) -> Any:
    return partial.expand_kwargs(output)


@KINDS
def test_result_of_another_task_is_not_rendered_when_it_is_mapped(
    map_operator: Callable[..., Any], kind: type[BaseOperator]
) -> None:
    for name in set(kind.template_fields) - {"conn_id"}:
        for value in (SECRET, {"text": {"any": SECRET}}):
            task = map_operator(kind, name, expand(name), value)
            assert (getattr(task, name), task.conn_id) == (value, "another_arize"), name
            task = map_operator(kind, name, expand_kwargs, {name: value})
            assert (getattr(task, name), task.conn_id) == (value, "another_arize"), name


@KINDS
def test_literal_is_rendered_when_it_is_mapped(
    map_operator: Callable[..., Any], kind: type[BaseOperator]
) -> None:
    for name in set(kind.template_fields) - {"conn_id"}:
        task = map_operator(kind, name, lambda partial, _, name=name: partial.expand(**{name: [SECRET]}))
        assert getattr(task, name) == "s3cr3t", name
        task = map_operator(kind, name, lambda partial, _, name=name: partial.expand_kwargs([{name: SECRET}]))
        assert getattr(task, name) == "s3cr3t", name


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CreateEvalTaskOperator, "template_evaluators", [{**EVALUATOR, "template": "{{output}}"}]),
        (EvaluatorOperator, "template", "{{output}}"),
    ],
)
def test_prompt_of_another_task_may_have_double_braces(
    map_operator: Callable[..., Any], kind: type[BaseOperator], name: str, value: Any
) -> None:
    for over, result in ((expand(name), value), (expand_kwargs, {name: value})):
        assert getattr(map_operator(kind, name, over, result), name) == value


def test_literal_prompt_that_jinja_would_change_is_rejected_when_another_argument_is_mapped(
    map_operator: Callable[..., Any],
) -> None:
    def over(partial: Any, output: Any) -> Any:
        partial.kwargs["template"] = "{{output}}"
        return partial.expand(name=output)

    with pytest.raises(InvalidInput):
        map_operator(EvaluatorOperator, "name", over, "n")
