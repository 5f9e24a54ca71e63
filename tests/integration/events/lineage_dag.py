"""Run a DAG in a separate Airflow that sends OpenLineage events to a file.

Environment variables: ``CONNECTION`` (the connection to the emulator), ``MODEL_ID``, ``EVENTS`` (the file).
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.airflow_home import create_database, database_of, use_temporary_airflow_home

# Before Airflow, which reads its environment once.
HOME = use_temporary_airflow_home()

TRANSPORT = {"type": "file", "log_file_path": os.environ["EVENTS"], "append": True}
os.environ |= {
    "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": os.environ["CONNECTION"],
    "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(TRANSPORT),
    "AIRFLOW__OPENLINEAGE__NAMESPACE": "test",
}

from airflow.sdk import DAG  # noqa: E402

from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator  # noqa: E402
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator  # noqa: E402
from tests.support.dag_runs import run_dag, share_in_process_api_server  # noqa: E402

with DAG("tells_openlineage", schedule=None) as dag:
    create = CreateEvalTaskOperator(
        task_id="create_task",
        name="answer correctness",
        model_id=os.environ["MODEL_ID"],
        template_evaluators=[
            {
                "name": "correctness",
                "template": "{attributes.input.value} {attributes.output.value}",
                "rails": ["correct", "incorrect"],
            }
        ],
        llm_config={"model_name": "GPT_4o", "provider": "openAI"},
        if_exists="skip",
    )
    for deferrable in (False, True):
        RunOnlineTaskOperator(
            task_id=f"run_{deferrable}",
            online_task_id=create.output,
            lookback=timedelta(days=1),
            override_evaluations=True,
            wait_for_completion=True,
            deferrable=deferrable,
            on_nothing_evaluated="fail",
        )
    RunOnlineTaskOperator(
        task_id="run_nothing",
        online_task_id=create.output,
        data_start_time="2026-01-01",
        data_end_time="2026-01-02",
        wait_for_completion=True,
        deferrable=False,
        on_nothing_evaluated="fail",
    )

if __name__ == "__main__":
    create_database(database_of(HOME))
    share_in_process_api_server()
    print(json.dumps(run_dag(dag).states))
