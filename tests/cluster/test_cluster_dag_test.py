"""``airflow dags test`` on a deployment whose triggerers run."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.cluster

# Longer than a triggerer needs to start a trigger and to drop it again.
WAITS_SECONDS = 15.0


@pytest.mark.promise("kill-state-one-process", "cluster-dag-test")
def test_dags_test_does_not_cancel_its_run(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    conf = json.dumps({"online_task_id": online_task.id, "conn_id": conn_id})
    # Airflow 3.3.2 finds no connection of the database in a trigger that it runs for this command.
    environment = {f"AIRFLOW_CONN_{conn_id.upper()}": arize.connection_json}
    tested = threading.Thread(
        target=airflow.run_command,
        args=("dags-test", "dags", "test", "deferred_1", "--conf", conf),
        kwargs={"seconds": 240, "environment": environment},
    )
    tested.start()
    online_task.until_started()
    time.sleep(WAITS_SECONDS)
    statuses = online_task.statuses
    online_task.complete()
    tested.join()

    assert statuses == ["RUNNING"]
    assert online_task.statuses == ["COMPLETED"]
    assert "Trigger completed" in airflow.log("dags-test")
