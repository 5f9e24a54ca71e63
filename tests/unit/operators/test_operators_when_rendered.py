"""Rendering: templates are rendered, other literals stay as they are, and data is never rendered."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from tests.support.valid_operators import EVALUATOR, KINDS, LATER, VALID, instead, make

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
    params = {name: param.value for name, param in dag.params.items()}
    task.render_template_fields({**context, "params": params}, dag.get_template_env())
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


def test_literal_prompt_with_jinja_other_argument_mapped_rejected(
    map_operator: Callable[..., Any],
) -> None:
    def over(partial: Any, output: Any) -> Any:
        partial.kwargs["template"] = "{{output}}"
        return partial.expand(name=output)

    with pytest.raises(InvalidInput):
        map_operator(EvaluatorOperator, "name", over, "n")


LITERALS = ["1", "1.0", "True", "None", "[1]", "{'a': 1}", "two\nlines\n", "{% raw %}1{% endraw %}"]


@pytest.mark.parametrize("is_native", [True, False])
@KINDS
def test_literal_stays_as_it_is(kind: type[BaseOperator], is_native: bool) -> None:
    """Airflow evaluates each text as Python code with ``render_template_as_native_obj=True``."""
    with DAG("a_dag", render_template_as_native_obj=is_native, params=PARAMS) as dag:
        task = make(kind)
    for name in task.template_fields:
        setattr(task, name, {"texts": LITERALS})
    render(task, dag)
    for name in task.template_fields:
        assert getattr(task, name) == {"texts": [*LITERALS[:-1], "1"]}, name


@pytest.mark.parametrize(("is_native", "rendered"), [(True, 5), (False, "5")])
def test_template_is_rendered_natively_if_dag_says_so(is_native: bool, rendered: Any) -> None:
    with DAG("a_dag", render_template_as_native_obj=is_native, params={"share": 5}) as dag:
        task = make(CreateEvalTaskOperator, sampling_rate="{{ params.share }}")
    assert render(task, dag).sampling_rate == rendered


def test_template_with_delimiters_of_the_dag_is_rendered() -> None:
    delimiters = {"variable_start_string": "<<", "variable_end_string": ">>"}
    with DAG("a_dag", jinja_environment_kwargs=delimiters, params={"name": "answers"}) as dag:
        task = make(CreateEvalTaskOperator, name="<< params.name >>")
    assert render(task, dag).name == "answers"


@KINDS
def test_callable_is_called_when_the_task_is_rendered(kind: type[BaseOperator]) -> None:
    def read_param(context: Any, jinja_env: Any) -> Any:
        return context["params"]["later"]

    for name in kind.template_fields:
        with DAG("a_dag", params=PARAMS) as dag:
            task = make(kind, **instead(kind, name, read_param))
        assert getattr(render(task, dag), name) == "2024-10-08", name


def test_nested_callable_is_called_when_the_task_is_rendered() -> None:
    def read_labels(context: Any, jinja_env: Any) -> list[str]:
        return ["1", "2"]

    with DAG("a_dag") as dag:
        task = make(CreateEvalTaskOperator, template_evaluators=[{**EVALUATOR, "rails": read_labels}])
    assert render(task, dag).template_evaluators == [{**EVALUATOR, "rails": ["1", "2"]}]


def test_class_as_argument_is_rejected() -> None:
    with pytest.raises(InvalidInput):
        make(RunOnlineTaskOperator, lookback=timedelta)
