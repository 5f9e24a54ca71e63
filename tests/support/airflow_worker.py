"""A program that runs one task of a DAG file with Airflow's supervisor and task runner.

Arguments: the URL of Airflow's execution API, and the file of the task's log.
"""

from __future__ import annotations

import sys
from uuid import uuid4

from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.sdk.api.datamodels._generated import BundleInfo
from airflow.sdk.execution_time.supervisor import supervise_task


def main(server: str, log: str) -> None:
    supervise_task(
        ti=TaskInstanceDTO(
            id=uuid4(),
            task_id="run",
            dag_id="waits",
            run_id="scheduled",
            try_number=1,
            dag_version_id=uuid4(),
            pool_slots=1,
            priority_weight=1,
        ),
        bundle_info=BundleInfo(name="dags-folder"),
        dag_rel_path="waits.py",
        token="token",
        server=server,
        log_path=log,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
