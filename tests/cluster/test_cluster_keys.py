"""A key that is rotated while tasks wait."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.deployment import until
from tests.support.online_task import ENDLESS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.cluster

READ = "rest.*task_run*"
# Time enough for several looks with the old key: the first must not decide.
OVERLAP_SECONDS = 45.0


@pytest.mark.promise("poll-401", "cluster-key-rotated")
def test_waits_continue_after_key_rotation(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    first = airflow.start_dag("deferred_4", online_task_id=online_task.id, conn_id=conn_id)
    first.until_all("deferred", 4)

    revoke(arize, key="ak-rotated-1111")
    airflow.set_connection(conn_id, arize)
    second = airflow.start_dag("deferred_2", online_task_id=online_task.id, conn_id=conn_id)
    second.until_all("deferred", 2)
    time.sleep(OVERLAP_SECONDS)
    assert (first.states(), second.states()) == ({"deferred": 4}, {"deferred": 2})
    read = len(arize.requests(READ))
    until("runs are read on", lambda: len(arize.requests(READ)) > read + 2)
    assert all(each["key_ok"] for each in arize.requests(READ)[read:])
    online_task.complete()

    assert [first.until_over(), second.until_over()] == ["success", "success"]
    assert (first.tries(), second.tries()) == ({1: 4}, {1: 2})
    assert online_task.statuses == ["COMPLETED"] * 6


def revoke(arize: EmulatorProcess, *, key: str) -> None:
    """Have the emulator accept another key, and no longer the old one."""
    arize.kill()
    arize.settings = dataclasses.replace(arize.settings, api_key=key)
    arize.api_key = key
    arize.start()
    arize.next_run(ENDLESS)
