"""A response harms at most the wait it belongs to, and nothing else in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import TRIGGERERS
from tests.support.deployment import until
from tests.support.servers import RecordingServer, Reply, Seen

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.cluster

NEIGHBOURS = 5
# Requests enough that each wait was read several times.
MANY = 6

Fields = dict[str, Any]

# What one run's answer says, and the DAG that waits for it. A sensor learns the task from the answer.
HOSTILE: dict[str, tuple[str, Fields]] = {
    "half a character": ("deferred_6", {"status": "FAILED", "failure_reason": "bad \ud800"}),
    "a number of 65 bits": ("deferred_6", {"status": "COMPLETED", "num_successes": 2**64}),
    "a task that is a path": ("sensors_6", {"task_id": ".."}),
    "no task": ("sensors_6", {"task_id": ""}),
}

# One of a kind is enough where time is short.
LATER = ("a number of 65 bits", "no task")


@contextmanager
def spoilt(arize: EmulatorProcess, is_spoilt: Callable[[Fields], bool], fields: Fields) -> Iterator[str]:
    """Yield the URL of a proxy of the emulator that changes the responses about some runs."""

    def change(run: Fields) -> Fields:
        return run | fields if "data_start_time" in run and is_spoilt(run) else run

    def answer(seen: Seen) -> Reply:
        parts = urlsplit(arize.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.request(seen.method, seen.target, seen.body or None, seen.headers)
            response = connection.getresponse()
            # All that is written of a run, alone or in a list, passes here.
            body = json.loads(response.read(), object_hook=change)
        finally:
            connection.close()
        return Reply.of(body, response.status)

    with RecordingServer(answer) as proxy:
        yield proxy.url


def runner(airflow: Cluster, triggerer: str) -> list[int]:
    """Return a triggerer and the process in which it runs triggers; nothing while there is none."""
    return pids if len(pids := airflow.pids(triggerer)) > 1 else []


@pytest.mark.promise("cluster-responses")
@pytest.mark.parametrize(
    ("dag_id", "fields"),
    [
        pytest.param(*how, id=name, marks=[pytest.mark.slow] if name in LATER else [])
        for name, how in HOSTILE.items()
    ],
)
def test_unexpected_response_only_affects_its_wait(
    airflow: Cluster,
    arize: EmulatorProcess,
    conn_id: str,
    online_task: OnlineTask,
    dag_id: str,
    fields: Fields,
) -> None:
    hostile: set[str] = set()
    run_ids = arize.create_runs(online_task.id, NEIGHBOURS + 1, (3600, 3600)) if "sensor" in dag_id else []
    with spoilt(arize, lambda run: run["id"] in hostile, fields) as url:
        airflow.set_connection(conn_id, arize, url=url)
        dag_run = airflow.start_dag(dag_id, online_task_id=online_task.id, conn_id=conn_id, run_ids=run_ids)
        dag_run.until_all("deferred", NEIGHBOURS + 1)
        first, *others = (run["id"] for run in online_task.runs)

        hostile.add(first)
        if run_ids:
            # The triggerers restart, and so read the task from this response.
            for name in TRIGGERERS:
                airflow.kill(name)
            airflow.until_healthy()
        processes = {
            name: until(f"{name} runs triggers", partial(runner, airflow, name)) for name in TRIGGERERS
        }
        asked = len(arize.requests("rest.*"))
        until("the runs are read on", lambda: len(arize.requests("rest.*")) > asked + MANY)
        for run in others:
            arize.set_run(run, seconds=0)

        until(
            "the neighbours have ended",
            lambda: dag_run.states()["success"] >= NEIGHBOURS,
            show=dag_run.states,
        )
        hostile.clear()
        # A run that is said to have failed is followed by another try, which starts another.
        until("the last has ended", lambda: online_task.complete() or dag_run.state == "success")

    assert {name: runner(airflow, name) for name in TRIGGERERS} == processes
    first_tries = [each for each in dag_run.instances() if each["try_number"] == 1]
    assert sum(each["state"] == "success" for each in first_tries) >= NEIGHBOURS, dag_run.states()
    assert [run["status"] for run in online_task.runs[1 : NEIGHBOURS + 1]] == ["COMPLETED"] * NEIGHBOURS
