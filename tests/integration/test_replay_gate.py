"""``airflow online-tasks replay-gate``: rules on the results in Airflow's database."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.cli import run_replay_gate
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.results.history import RESULTS_KEY, results_record
from tests.support.recurring_gates import DAY, DailyGate
from tests.support.summaries import results, summary

pytest.importorskip("airflow.models.team", reason="needs a newer Airflow")

from airflow_provider_online_tasks.ui.evals import reads
from airflow_provider_online_tasks.ui.evals.records import read_results
from airflow_provider_online_tasks.ui.evals.replay import replay_gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.dag_runs import DagResult

pytestmark = [pytest.mark.dag, pytest.mark.since_airflow("3.2", "commands of providers")]

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}
RULES = '{"e": {"correct": ">= 0.95"}}'


def replay(capsys: pytest.CaptureFixture[str], dag_id: str, rules: str, **options: Any) -> list[str]:
    given = {"labels": None, "false_alarms_per_year": 1.0, "map_index": None, **options}
    capsys.readouterr()
    run_replay_gate(Namespace(dag_id=dag_id, task_id="read_results", rules=rules, **given))
    return capsys.readouterr().out.splitlines()


def test_replay_prints_when_rules_fail_and_pass(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG("replayed", schedule=None, start_date=START - DAY) as dag:

        @task
        def read_results(**context: Any) -> None:
            for day, correct in enumerate(context["dag_run"].conf["correct"]):
                window = {"data_start_time": wire_time(START + day * DAY)}
                window["data_end_time"] = wire_time(START + (day + 1) * DAY)
                counts = results(labels={"correct": correct, "incorrect": 1_000 - correct})
                if day == context["dag_run"].conf["day"]:
                    record = results_record({**summary(e=counts), **window})
                    context["ti"].xcom_push(key=RESULTS_KEY, value=record)

        read_results()
    correct = [960, 955, 700, 700, 960, 960]
    for day in range(len(correct)):
        run_dag(dag, conf={"correct": correct, "day": day}, logical_date=START + (day + 1) * DAY)

    failed, passed, total = replay(capsys, "replayed", '{"e": {"correct": ">= 0.95"}}')
    assert failed.startswith("2026-03-03T00:00:00Z  e correct >= 0.95  0.7  failed (this window;")
    assert passed == "2026-03-06T00:00:00Z  e correct >= 0.95  0.96  passes"
    assert total == "6 windows of replayed.read_results"

    upper = '{"e": {"incorrect": "<= 0.5"}}'
    assert len(replay(capsys, "replayed", upper, labels='{"e": ["correct", "incorrect"]}')) == 1


def day_of(day: int, correct: int, **figures: Any) -> dict[str, Any]:
    """Return the summary of a day with 1,000 evaluations."""
    counts = results(labels={"correct": correct, "incorrect": 1_000 - correct}, not_evaluated=0)
    window = {"data_start_time": wire_time(START + day * DAY)}
    window["data_end_time"] = wire_time(START + (day + 1) * DAY)
    return {**summary(e={**counts, **figures.pop("counts", {})}), "expected": 1_000, **window, **figures}


def run_mapped(run_dag: Callable[..., DagResult], dag_id: str, summaries: list[dict[str, Any]]) -> None:
    """Run a DAG whose mapped task leaves a record of each summary."""
    with DAG(dag_id, schedule=None, start_date=START - DAY) as dag:

        @task
        def read_results(given: dict[str, Any], **context: Any) -> None:
            context["ti"].xcom_push(key=RESULTS_KEY, value=results_record(given))

        read_results.expand(given=summaries)
    run_dag(dag, logical_date=START)


def test_replay_of_mapped_windows_has_each_window(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str]
) -> None:
    run_mapped(run_dag, "replayed_windows", [day_of(day, 960) for day in range(3)])
    assert replay(capsys, "replayed_windows", RULES) == ["3 windows of replayed_windows.read_results"]


def test_replay_of_mapped_eval_tasks_needs_map_index(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str]
) -> None:
    run_mapped(run_dag, "replayed_tasks", [day_of(0, 960), day_of(0, 500)])
    with pytest.raises(SystemExit, match="--map-index"):
        replay(capsys, "replayed_tasks", RULES)
    assert len(replay(capsys, "replayed_tasks", RULES, map_index=0)) == 1
    failed, _ = replay(capsys, "replayed_tasks", RULES, map_index=1)
    assert "  0.5  failed" in failed


def test_replay_says_if_older_windows_are_left_out(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_mapped(run_dag, "replayed_cut", [day_of(day, 960) for day in range(5)])
    monkeypatch.setattr(reads, "MAX_RECORDS", 3)
    total, left_out = replay(capsys, "replayed_cut", RULES)
    assert total == "3 windows of replayed_cut.read_results"
    assert "3 records" in left_out


@pytest.mark.parametrize(
    "problem",
    [
        {"errors": 500, "expected": 500},
        {"complete": False},
        {"counts": {"not_evaluated": 4_000}},
        {"counts": {"evaluated": 2_000}},
    ],
)
def test_replay_leaves_out_same_windows_as_gate(problem: dict[str, Any]) -> None:
    rules = {"e": {"correct": ">= 0.95", "min_coverage": 0.5}}
    gate = DailyGate(rules=rules, accept_unverified=True)
    days = [day_of(day, 940) for day in range(5)]
    days += [day_of(day, 0, **problem) for day in (5, 6)] + [day_of(7, 940)]
    expected = [gate.execute(given, START + (day + 1) * DAY, "run") for day, given in enumerate(days)]
    history = [read_results(results_record(given)) for given in days]
    for verdict, (_, replayed) in zip(expected, replay_gate(filter(None, history), rules), strict=True):
        assert [(each.measure, each.outcome, each.evidence) for each in replayed] == [
            (each["measure"], each["outcome"], each["evidence"]) for each in verdict["rules"]
        ]


def test_replay_prints_again_if_errors_fail_two_times(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str]
) -> None:
    errors = {"errors": 500, "expected": 500}
    days = [day_of(0, 960, **errors), day_of(1, 960), day_of(2, 960, **errors), day_of(3, 960, **errors)]
    run_mapped(run_dag, "replayed_errors", days)
    *lines, _ = replay(capsys, "replayed_errors", RULES)
    assert [line[:10] for line in lines if " error_rate " in line] == ["2026-03-01", "2026-03-03"]


def test_replay_without_results_has_no_windows(capsys: pytest.CaptureFixture[str]) -> None:
    rules = '{"e": {"correct": ">= 0.95"}}'
    assert replay(capsys, "no_such_dag", rules) == ["0 windows of no_such_dag.read_results"]


def records(*counts: tuple[int, str]) -> list[dict[str, Any]]:
    """Return the records of days with these correct evaluations of 1,000 and versions of the evaluator."""
    found = []
    for day, (correct, version_id) in enumerate(counts):
        figures = results(
            labels={"correct": correct, "incorrect": 1_000 - correct},
            not_evaluated=100,
            version_id=version_id,
        )
        window = {"data_start_time": wire_time(START + day * DAY)}
        window["data_end_time"] = wire_time(START + (day + 1) * DAY)
        found.append(read_results(results_record({**summary(e=figures), **window})))
    return [record for record in found if record is not None]


def test_replay_leaves_out_rules_without_numbers() -> None:
    rules = {
        "e": {
            "correct": ">= 0.9",
            "score_mean": ">= 0.9",
            "each_segment": {"correct": ">= 0.9"},
            "calibrated": {"correct": ">= 0.9"},
        },
        "only scores": {"score_mean": ">= 0.9"},
    }
    [(_, found)] = replay_gate(records((960, "v1")), rules)
    assert [(each.measure, each.outcome) for each in found] == [
        (measure, "passed") for measure in ("complete", "min_evaluated", "correct")
    ]
    with pytest.raises(InvalidInput):
        list(replay_gate(records((960, "v1")), {"e": {"score_mean": ">= 0.9"}}))


def test_replay_counts_missing_evaluations_as_gate_does() -> None:
    rules = {"e": {"correct": ">= 0.95", "missing_evaluations": "fail"}}
    [(_, found)] = replay_gate(records((960, "v1")), rules)
    assert found[-1].measured == pytest.approx(960 / 1_100)


@pytest.mark.parametrize("rule", [{"rare": ">= 0.001"}, {"rare": "<= 0.5"}, {"label 0": "<= 0.5"}])
def test_replay_of_rule_whose_label_is_not_in_record_is_rejected(rule: dict[str, str]) -> None:
    counts = {f"label {number}": 100 for number in range(20)} | {"rare": 10}
    given = {**summary(e=results(labels=counts)), **WINDOW}
    history = [record] if (record := read_results(results_record(given))) else []
    with pytest.raises(InvalidInput):
        list(replay_gate(history, {"e": rule}, labels={"e": list(counts)}))
    [(_, found)] = replay_gate(history, {"e": {"label 0": ">= 0.04"}}, labels={"e": list(counts)})
    assert (found[-1].measured, found[-1].outcome) == (pytest.approx(100 / 2_010), "passed")


def test_replay_of_label_that_no_evaluation_has_is_zero() -> None:
    [(_, found)] = replay_gate(records((1_000, "v1")), {"e": {"other": ">= 0.5"}})
    assert (found[-1].measured, found[-1].outcome) == (0, "failed")


def test_replay_starts_new_history_when_version_changes() -> None:
    days = [(900, "v1")] * 12 + [(940, "v2")]
    *_, (_, found) = replay_gate(records(*days), {"e": {"correct": ">= 0.95"}})
    assert found[-1].failing_since is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"rules": "correct >= 0.95"},
        {"rules": '{"e": {"correct": "good"}}'},
        {"rules": '["e"]'},
        {"labels": "{"},
        {"labels": '["correct"]'},
        {"labels": '{"e": ["right"]}'},
        {"rules": '{"e": {"wrong": "<= 0.1"}}'},
        {"rules": '{"e": {"correct": "> 1"}}'},
        *({"false_alarms_per_year": number} for number in (0.0, -1.0, 101.0, float("nan"), float("inf"))),
    ],
)
@pytest.mark.parametrize("dag_id", ["no_such_dag", "replayed_wrongly"])
def test_replay_of_wrong_arguments_fails(
    run_dag: Callable[..., DagResult], capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], dag_id: str
) -> None:
    if dag_id == "replayed_wrongly":
        run_mapped(run_dag, dag_id, [day_of(0, 960)])
    with pytest.raises(SystemExit) as stopped:
        replay(capsys, dag_id, **{"rules": RULES, **wrong})
    assert str(stopped.value).startswith("No replay:")
