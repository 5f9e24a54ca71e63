"""A worker that is suspended or dies, and is replaced by another try, starts and cancels nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.inputs.runs import RunInput
from tests.support.deployment import until

if TYPE_CHECKING:
    import psutil

    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster, MappedRun
    from tests.support.online_task import OnlineTask

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

START = "graphql.runOnlineTask"
ADD_EXAMPLES = "rest.insert_dataset_examples"


def until_replaced(dag_run: MappedRun) -> None:
    """Wait until Airflow has missed the heartbeats of the first try, and runs the second one."""
    until(
        "a second try runs",
        lambda: dag_run.task["state"] == "running" and dag_run.task["try_number"] > 1,
        show=lambda: dag_run.task,
    )


def until_ended(process: psutil.Process) -> None:
    until("the process has ended", lambda: not process.is_running(), show=process.status)


@pytest.mark.promise("suspended-process", "cluster-suspended")
def test_worker_suspended_before_request_starts_no_second_run(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    # The first try is suspended while it waits for the rate limit: after its intent, before its request.
    arize.add_fault(Fault(START, "rate_limited", retry_after=30))
    dag_run = airflow.start_dag("blocking_1", online_task_id=online_task.id, conn_id=conn_id)
    until("the request was sent", lambda: arize.requests(START))

    with dag_run.suspended_worker() as process:
        until_replaced(dag_run)
        online_task.until_started()
    until_ended(process)

    assert len(arize.requests(START)) == 2  # the rejected one, and that of the second try
    assert online_task.statuses == ["RUNNING"]
    online_task.complete()
    assert dag_run.until_over() == "success"
    assert dag_run.tries() == {2: 1}


@pytest.mark.promise("suspended-process", "cluster-suspended")
def test_worker_suspended_past_its_timeout_leaves_run(
    airflow: Cluster, conn_id: str, online_task: OnlineTask
) -> None:
    dag_run = airflow.start_dag("blocking_1_for_120_seconds", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_waiting("running")
    began = time.monotonic()

    with dag_run.suspended_worker() as process:
        until_replaced(dag_run)
        time.sleep(max(0.0, began + 121 - time.monotonic()))
    until_ended(process)

    assert online_task.statuses == ["RUNNING"]
    online_task.complete()
    assert dag_run.until_over() == "success"
    assert dag_run.tries() == {2: 1}


@pytest.mark.promise("sent-spans", "cluster-sent-spans")
def test_spans_of_killed_worker_are_sent_once(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    run_id = start_run(arize, online_task)
    online_task.complete()
    online_task.until_last_is("COMPLETED")
    [evaluator] = [task["name"] for task in arize.tasks() if task["id"] == online_task.id]
    dataset_id = create_dataset(arize)
    arize.add_fault(Fault(ADD_EXAMPLES, "delay_after", seconds=120))
    dag_run = airflow.start_dag(
        "sends_1", run_id=run_id, evaluator=evaluator, dataset_id=dataset_id, conn_id=conn_id
    )
    until("spans are sent", lambda: span_ids(arize, dataset_id), show=lambda: dag_run.task)

    dag_run.kill_worker()

    assert dag_run.until_over() == "success"
    sent = span_ids(arize, dataset_id)
    assert len(sent) == len(set(sent))
    assert len(arize.requests(ADD_EXAMPLES)) == 1


def start_run(arize: EmulatorProcess, online_task: OnlineTask) -> str:
    """Start a run over the sample spans."""
    end = datetime.now(UTC)
    run = RunInput(
        online_task_id=online_task.id, data_start_time=end - timedelta(hours=12), data_end_time=end
    )
    settings = Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="test")
    with Client(settings) as client:
        return client.send(calls.run_online_task(run))


def create_dataset(arize: EmulatorProcess) -> str:
    body = {"name": "failures", "space_id": arize.space_id, "examples": [{"question": "theirs"}]}
    return str(_ask(arize, "POST", "/v2/datasets", body)["id"])


def span_ids(arize: EmulatorProcess, dataset_id: str) -> list[str]:
    """Return the span IDs of the examples in a dataset."""
    examples = _ask(arize, "GET", f"/v2/datasets/{dataset_id}/examples?limit=500")["examples"]
    return [each["span_id"] for each in examples if "span_id" in each]


def _ask(arize: EmulatorProcess, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    response = requests.request(method, arize.url + path, json=body, headers=headers, timeout=30)
    response.raise_for_status()
    return response.json()
