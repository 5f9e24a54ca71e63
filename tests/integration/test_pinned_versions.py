"""Gates on the results of an evaluator whose pinned version changed, on a real Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk import DAG

from airflow_provider_online_tasks import online_eval
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from tests.support.evaluated_runs import arize_with, spans_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.dag_runs import DagResult

pytestmark = pytest.mark.dag

NAME = "output_present"
NOW = datetime.now(UTC).replace(microsecond=0)
HOURS = timedelta(hours=6)


def old_versions(arize: Emulator) -> list[str]:
    """Add two versions that were created long ago, and return their IDs."""
    url = f"{arize.url}/v2/evaluators/{arize.evaluator_ids[NAME]}/versions"
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    [first] = requests.get(url, headers=headers, timeout=60).json()["evaluator_versions"]
    body = {"commit_message": "Another version", "code_config": first["code_config"]}
    added = []
    for days in (31, 30):
        arize.set_clock_offset(-days * 86_400)
        added.append(requests.post(url, headers=headers, json=body, timeout=60).json()["id"])
    arize.set_clock_offset(0)
    return added


def test_drop_is_not_measured_over_a_pin_that_moved_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_dag: Callable[..., DagResult]
) -> None:
    with arize_with(monkeypatch, spans_file(tmp_path, 60)) as arize, OnlineTasksHook() as hook:
        pins = old_versions(arize)

        def attached(version_id: str) -> list[dict[str, Any]]:
            return [{"evaluator_id": arize.evaluator_ids[NAME], "evaluator_version_id": version_id}]

        task = {"name": "pinned", "model_id": arize.project_id, "evaluators": attached(pins[1])}
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
        with DAG("pin_moves_back", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            online_eval(
                "eval",
                online_task_id=task_id,
                data_start_time="{{ dag_run.conf.start }}",
                data_end_time="{{ dag_run.conf.end }}",
                baseline=HOURS,
                rules={NAME: {"score_mean": ">= 0", "max_drop": 0.5}},
                on_inconclusive="pass",
            )

        def run_until(end: datetime) -> DagResult:
            window = {"start": (end - HOURS).isoformat(), "end": end.isoformat()}
            return run_dag(dag, conf=window, logical_date=end)

        same = [run_until(end) for end in (NOW - 2 * HOURS, NOW - HOURS)]
        change = {"online_task_id": task_id, "evaluators": attached(pins[0])}
        hook.patch_eval_task(EvalTaskPatch.read(change))
        changed = run_until(NOW)

    assert [result.states["eval.gate"] for result in same] == ["success", "success"]
    assert changed.states["eval.gate"] == "failed"
    assert changed.returned("eval.read_results")["evaluators"][NAME]["version_id"] == pins[0]


def test_history_of_recurring_gate_ends_when_pin_moves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_dag: Callable[..., DagResult]
) -> None:
    with arize_with(monkeypatch, spans_file(tmp_path, 60)) as arize, OnlineTasksHook() as hook:
        pins = old_versions(arize)

        def attached(version_id: str) -> list[dict[str, Any]]:
            return [{"evaluator_id": arize.evaluator_ids[NAME], "evaluator_version_id": version_id}]

        task = {"name": "pinned", "model_id": arize.project_id, "evaluators": attached(pins[0])}
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
        with DAG("recurring_pin", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            online_eval(
                "eval",
                online_task_id=task_id,
                data_start_time="{{ dag_run.conf.start }}",
                data_end_time="{{ dag_run.conf.end }}",
                rules={NAME: {"score_mean": ">= 0.5"}},
                false_alarms_per_year=1,
            )

        def evidence_since(end: datetime) -> str:
            window = {"start": (end - HOURS).isoformat(), "end": end.isoformat()}
            verdict = run_dag(dag, conf=window, logical_date=end).returned("eval.gate")
            [found] = [rule for rule in verdict["rules"] if rule["measure"] == "score_mean"]
            return str(found["evidence_since"])

        first, second = (evidence_since(end) for end in (NOW - 2 * HOURS, NOW - HOURS))
        change = {"online_task_id": task_id, "evaluators": attached(pins[1])}
        hook.patch_eval_task(EvalTaskPatch.read(change))
        third = evidence_since(NOW)

    assert first == second == wire_time(NOW - 3 * HOURS)
    assert third == wire_time(NOW - HOURS)
