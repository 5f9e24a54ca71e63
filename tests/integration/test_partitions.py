"""The window of a run that is derived from the partition of its DAG run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

pytestmark = pytest.mark.dag


@pytest.mark.since_airflow("3.3", "partition dates")
def test_partition_length_uses_the_partition_date(
    arize: Emulator, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models import dagrun

    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    make = dagrun.get_or_create_dagrun

    # dag.test() creates runs without a partition.
    def of_partition(*, session: Any, **arguments: Any) -> Any:
        made = make(session=session, **arguments)
        made.partition_key, made.partition_date = begin.date().isoformat(), begin
        session.merge(made)
        session.commit()
        return made

    monkeypatch.setattr(dagrun, "get_or_create_dagrun", of_partition)
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name="answers",
                model_id=arize.project_id,
                evaluators={"evaluator_id": arize.evaluator_ids["output_present"]},
            )
        )
    with DAG("by_partition", schedule=None) as dag:
        RunOnlineTaskOperator(
            task_id="run", online_task_id=task_id, partition_length="P1D", index_delay=timedelta(0)
        )

    assert run_dag(dag, logical_date=datetime.now(UTC)).states == {"run": "success"}

    [run] = arize.runs()
    window = (run["data_start"], run["data_end"])
    assert window == (begin.timestamp(), (begin + timedelta(days=1)).timestamp())
