"""``online_eval`` on a real Airflow: once, and mapped over windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, task, task_group

from airflow_provider_online_tasks import (
    CreateEvalTaskOperator,
    EvalResultsOperator,
    RunOnlineTaskOperator,
    online_eval,
)
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY

if TYPE_CHECKING:
    from tests.support.dag_runs import DagResult

pytestmark = pytest.mark.dag

CONN_ID = "arize_of_the_team"
NOW = datetime.now(UTC).replace(microsecond=0)
EVAL: dict[str, Any] = {
    "name": "answers",
    "template_evaluators": {
        "name": "correctness",
        "template": "Question: {attributes.input.value}\nAnswer: {attributes.output.value}\nCorrect?",
        "rails": ["correct", "incorrect"],
        "classification_choices": {"correct": 1, "incorrect": 0},
    },
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
    "rules": {"correctness": {"correct": ">= 0.1"}},
}


@pytest.fixture
def arize(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that only the connection in the default arguments leads to."""
    settings = EmulatorSettings(run_seconds=0, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(settings) as emulator:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", emulator.connection_json)
        monkeypatch.delenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", raising=False)
        yield emulator


def new_dag(dag_id: str) -> DAG:
    return DAG(
        dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), default_args={"conn_id": CONN_ID}
    )


def test_online_eval_group_runs_between_other_tasks(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    evaluated = Asset("evaluated")
    with new_dag("one_eval") as dag:
        group = online_eval(
            "eval", **EVAL, model_id=arize.project_id, lookback=timedelta(days=7), outlets=[evaluated]
        )
        EmptyOperator(task_id="before") >> group >> EmptyOperator(task_id="after")

    done = run_dag(dag, logical_date=NOW)

    assert done.state == "success", done.states
    assert done.states["after"] == "success"
    [run] = arize.runs()
    assert run["status"] == "COMPLETED"
    assert done.returned("eval.gate")["passed"] is True
    assert done.xcoms["eval.gate"][VERDICT_KEY]["run_id"] == run["id"]


def test_task_after_online_eval_reads_run_results_and_verdict(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    with new_dag("read_xcoms") as dag:

        @task
        def after(*values: str) -> list[str]:
            return list(values)

        group = online_eval("eval", **EVAL, model_id=arize.project_id, lookback=timedelta(days=7))
        group >> after(
            '{{ ti.xcom_pull("eval.run_task") }}',
            '{{ ti.xcom_pull("eval.read_results")["complete"] }}',
            '{{ ti.xcom_pull("eval.gate")["outcome"] }}',
        )

    done = run_dag(dag, logical_date=NOW)

    [run] = arize.runs()
    assert done.returned("after") == [run["id"], "True", "passed"]


def test_mapped_online_eval_runs_once_per_window(arize: Emulator, run_dag: Callable[..., DagResult]) -> None:
    ends = [NOW - timedelta(days=2), NOW]
    windows = [{"start": (end - timedelta(days=2)).isoformat(), "end": end.isoformat()} for end in ends]
    with new_dag("mapped_eval") as dag:

        @task
        def windows_to_evaluate() -> list[dict[str, str]]:
            return windows

        @task_group
        def of_window(start: Any, end: Any) -> None:
            online_eval(
                "eval",
                **{**EVAL, "if_exists": "skip"},
                model_id=arize.project_id,
                data_start_time=start,
                data_end_time=end,
            )

        of_window.expand_kwargs(windows_to_evaluate())

    done = run_dag(dag, logical_date=NOW)

    assert done.state == "success", done.states
    assert _names(done, "run_task") == [f"{window['start']} to {window['end']}" for window in windows]
    shown = [str(DataWindow.of(window["start"], window["end"])) for window in windows]
    assert _names(done, "read_results") == _names(done, "gate") == shown
    runs = arize.runs()
    begins = [datetime.fromtimestamp(run["data_start"], UTC) for run in runs]
    assert sorted(begins) == [datetime.fromisoformat(window["start"]) for window in windows]
    # The Evals page matches the verdict of a gate with the results of the same window.
    for index in (0, 1):
        results = done.xcoms[f"of_window.eval.read_results[{index}]"][RESULTS_KEY]
        verdict = done.xcoms[f"of_window.eval.gate[{index}]"][VERDICT_KEY]
        assert {name: verdict[name] for name in ("run_id", "start", "end")} == {
            name: results[name] for name in ("run_id", "start", "end")
        }
    assert len(arize.tasks()) == 1


@pytest.mark.parametrize("no_data", ["completed", "task_error"])
@pytest.mark.parametrize(
    ("of_run", "of_results"),
    [({}, {"trigger_rule": "none_failed"}), ({"on_nothing_evaluated": "succeed"}, {})],
)
def test_mapped_results_are_read_also_if_a_window_has_no_spans(
    arize: Emulator,
    run_dag: Callable[..., DagResult],
    no_data: Any,
    of_run: dict[str, Any],
    of_results: dict[str, Any],
) -> None:
    arize.configure(no_data=no_data)
    ends = [NOW - timedelta(days=100), NOW]
    windows = [{"data_start_time": end - timedelta(days=7), "data_end_time": end} for end in ends]
    with new_dag(f"an_empty_window_{no_data}_{len(of_run)}") as dag:
        create = CreateEvalTaskOperator(
            task_id="create_task",
            model_id=arize.project_id,
            **{key: value for key, value in EVAL.items() if key != "rules"},
        )
        run = RunOnlineTaskOperator.partial(
            task_id="run_task", online_task_id=create.output, wait_for_completion=True, **of_run
        ).expand_kwargs(windows)
        EvalResultsOperator.partial(task_id="read_results", **of_results).expand(run_id=run.output)

    done = run_dag(dag, logical_date=NOW)

    assert done.state == "success", done.states
    read = [xcoms["return_value"]["read"] for name, xcoms in done.xcoms.items() if "read_results" in name]
    assert max(read) == max(run["num_successes"] for run in arize.runs()) > 0


def _names(done: DagResult, task_id: str) -> list[str | None]:
    """Return what Airflow shows for the mapped instances of a task."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(TaskInstance.rendered_map_index).where(
            TaskInstance.run_id == done.dag_run.run_id, TaskInstance.task_id == f"of_window.eval.{task_id}"
        )
        return list(session.scalars(query.order_by(TaskInstance.map_index)))
