"""A crowd against the documented limit of 100 queries a minute, which the emulator enforces."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deployment import until

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster
    from tests.support.online_task import OnlineTask

pytestmark = [pytest.mark.cluster, pytest.mark.limited]

MINUTE = 60.0
# Where the connection names the organisation and the space: one that looks, one that starts.
REQUESTS_A_SUBMISSION = 2
# How long a crowd waits before its runs end: some minutes of the limit.
WAITS_SECONDS = 200.0


def refused(arize: EmulatorProcess) -> list[float]:
    """Return when requests were rejected because of the rate limit."""
    requests = arize.requests()
    # Over GraphQL, a rate limit error has status 200. The requests were neither executed nor hit by a fault.
    return [each["time"] for each in requests if each["key_ok"] and not each["executed"]]


@pytest.mark.promise("cluster-submissions")
@pytest.mark.parametrize("count", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_simultaneous_submissions_stay_within_the_limit(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask, count: int
) -> None:
    arize.clear_requests()
    dag_run = airflow.start_dag(f"submitted_{count}", online_task_id=online_task.id, conn_id=conn_id)

    assert dag_run.until_over() == "success"
    report = Counter(each["operation"] for each in arize.requests())
    print(report, len(refused(arize)))
    assert dag_run.tries() == {1: count}
    assert len(online_task.runs) == count
    assert sum(report.values()) - len(refused(arize)) <= REQUESTS_A_SUBMISSION * count, report
    assert len(refused(arize)) <= 1


@pytest.mark.promise("several-triggerers", "cluster-crowd")
@pytest.mark.slow
def test_waits_of_triggerers_and_workers_stay_within_the_limit(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    run_ids = arize.create_runs(online_task.id, 60, (3600, 3600))
    dag_run = airflow.start_dag("sensors_60", run_ids=run_ids, conn_id=conn_id)
    until("all wait", lambda: waiting(dag_run) == {"deferred": 60, "poked": 10}, show=dag_run.states)
    # On a slow machine it takes minutes to start so many tasks; the first minute is that of all of them.
    began = time.time()
    time.sleep(WAITS_SECONDS)
    for run_id in run_ids:
        arize.set_run(run_id, seconds=0)

    assert dag_run.until_over() == "success"
    ended = time.time()
    minutes = Counter(int((at - began) // MINUTE) for at in refused(arize))
    print(Counter(int((each["time"] - began) // MINUTE) for each in arize.requests()), minutes)
    assert dag_run.tries() == {1: 70}
    assert ended - began > 2 * MINUTE
    later = sum(count for minute, count in minutes.items() if minute > 0)
    assert later <= (ended - began) / MINUTE - 1, minutes


def waiting(dag_run: Any) -> dict[str, int]:
    """Return how many of each task wait."""
    waits = {("deferred", "deferred"), ("poked", "running")}
    return Counter(
        each["task_id"] for each in dag_run.instances() if (each["task_id"], each["state"]) in waits
    )
