"""The example DAGs on a real Airflow; the tests compare the records of the emulator."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from airflow_provider_online_tasks.emulator import Emulator

pytestmark = pytest.mark.dag

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def connection(online_tasks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default connection leads to the emulator."""
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", online_tasks_emulator.connection_json)


@pytest.fixture
def example_dag(
    register_dags: Callable[..., None], read_dags: Callable[..., Any], pytestconfig: pytest.Config
) -> Callable[[str], DAG]:
    """``example_dag("recurring_eval")``: return a DAG; all of the folder are stored in Airflow's database."""
    bag = read_dags(pytestconfig.rootpath / "example_dags")
    assert bag.import_errors == {}
    register_dags(*bag.dags.values())
    return bag.dags.__getitem__


def midnight() -> datetime:
    return datetime.now(tz=UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def window(run: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromtimestamp(run["data_start"], tz=UTC), datetime.fromtimestamp(run["data_end"], tz=UTC)


def test_recurring_eval_evaluates_the_previous_day(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> None:
    result = run_dag(example_dag("recurring_eval"), logical_date=midnight())

    assert result.states == {"create_task": "success", "run_task": "success", "wait_for_run": "success"}
    [task] = online_tasks_emulator.tasks()
    [run] = online_tasks_emulator.runs()
    assert result.returned("create_task") == task["id"]
    assert result.returned("run_task") == run["id"]
    assert run["task_id"] == task["id"]
    assert window(run) == (midnight() - DAY, midnight())
    assert run["status"] == "COMPLETED"

    evaluations = online_tasks_emulator.evaluations(run_id=run["id"])
    labels = Counter(evaluation["label"] for evaluation in evaluations)
    assert set(labels) == {"correct", "incorrect"}
    assert {evaluation["name"] for evaluation in evaluations} == {"correctness"}
    assert len({evaluation["span_id"] for evaluation in evaluations}) == len(evaluations)
    assert (run["num_successes"], run["num_errors"]) == (len(evaluations), 0)

    summary = result.returned("wait_for_run")
    assert (summary["status"], summary["run_id"]) == ("COMPLETED", run["id"])
    assert summary["num_successes"] == len(evaluations)


def test_successful_dag_run_logs_no_error(
    online_tasks_emulator: Emulator,
    example_dag: Callable[[str], DAG],
    run_dag: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_dag(example_dag("recurring_eval"), logical_date=midnight()).state == "success"

    logged = "".join(capfd.readouterr())
    [run] = online_tasks_emulator.runs()
    assert run["id"] in logged
    # Airflow logs an error if a missing XCom is read, such as a link that is not stored yet.
    assert "[error" not in logged
    assert "[warning" not in logged


def test_recurring_eval_reuses_its_task_on_the_next_day(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> None:
    dag = example_dag("recurring_eval")

    for due in (midnight() - DAY, midnight()):
        assert run_dag(dag, logical_date=due).state == "success"

    [task] = online_tasks_emulator.tasks()
    runs = online_tasks_emulator.runs(task["id"])
    assert sorted(window(run) for run in runs) == [
        (midnight() - 2 * DAY, midnight() - DAY),
        (midnight() - DAY, midnight()),
    ]


def test_asset_event_starts_the_eval_after_an_index_rebuild(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> None:
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import select

    assert run_dag(example_dag("rebuild_search_index")).state == "success"
    with create_session() as session:
        assert list(session.scalars(select(AssetDagRunQueue.target_dag_id))) == ["eval_after_pipeline"]

    # A DAG run that an asset triggered has no logical date.
    due = datetime.now(tz=UTC)
    result = run_dag(example_dag("eval_after_pipeline"), logical_date=None, run_after=due)

    assert result.states == {"create_task": "success", "run_task": "success", "wait_for_run": "success"}
    [run] = online_tasks_emulator.runs()
    assert window(run)[1] == pytest.approx(due, abs=timedelta(milliseconds=1))
    assert window(run)[1] - window(run)[0] == DAY
    evaluations = online_tasks_emulator.evaluations(run_id=run["id"])
    assert {evaluation["label"] for evaluation in evaluations} <= {"relevant", "irrelevant"}
    assert run["num_successes"] == len(evaluations) > 0


def test_backfill_evaluates_each_span_of_a_long_window_once(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> None:
    online_task_id = make_task(online_tasks_emulator)
    start, end = midnight() - 7 * DAY, midnight()

    result = run_dag(
        example_dag("backfill_eval"),
        conf={
            "online_task_id": online_task_id,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "days": 3,
        },
    )

    assert result.state == "success"
    runs = sorted(online_tasks_emulator.runs(online_task_id), key=window)
    assert [window(run) for run in runs] == [
        (start, start + 3 * DAY),
        (start + 3 * DAY, start + 6 * DAY),
        (start + 6 * DAY, end),
    ]
    assert {result.returned(f"run_task[{piece}]") for piece in range(3)} == {run["id"] for run in runs}
    spans = [
        {evaluation["span_id"] for evaluation in online_tasks_emulator.evaluations(run_id=run["id"])}
        for run in runs
    ]
    assert [len(judged) for judged in spans] == [run["num_successes"] for run in runs]
    assert len(set.union(*spans)) == sum(len(judged) for judged in spans) >= 14 * 6


def test_backfill_above_its_limit_starts_no_run(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> None:
    result = run_dag(
        example_dag("backfill_eval"),
        conf={
            "online_task_id": make_task(online_tasks_emulator),
            "start": (midnight() - 7 * DAY).isoformat(),
            "end": midnight().isoformat(),
            "days": 3,
            "max_evaluations": 10,
        },
    )

    assert (result.state, result.states["estimate"]) == ("failed", "failed")
    assert result.returned("estimate")["evaluations"]["high"] > 10
    assert online_tasks_emulator.runs() == []


@pytest.mark.parametrize("no_data", ["completed", "task_error"])
def test_backfill_with_a_window_without_spans_reads_the_results_of_the_others(
    online_tasks_emulator: Emulator,
    example_dag: Callable[[str], DAG],
    run_dag: Callable[..., Any],
    no_data: str,
) -> None:
    start = midnight() - 60 * DAY
    online_tasks_emulator.configure(no_data=no_data)
    online_task_id = make_task(online_tasks_emulator)

    result = run_dag(
        example_dag("backfill_eval"),
        conf={
            "online_task_id": online_task_id,
            "start": start.isoformat(),
            "end": midnight().isoformat(),
        },
    )

    assert result.state == "success"
    assert "skipped" not in result.states.values()
    [run] = [run for run in online_tasks_emulator.runs(online_task_id) if run["num_successes"]]
    summaries = [xcoms["return_value"] for name, xcoms in result.xcoms.items() if "read_results" in name]
    [summary] = [summary for summary in summaries if summary["run_id"] == run["id"]]
    assert (summary["complete"], summary["read"]) == (True, run["num_successes"])


def make_task(emulator: Emulator) -> str:
    """Create an eval task and return its ID."""
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

    template = "{attributes.input.value} {attributes.output.value}"
    evaluator = {"name": "correctness", "template": template, "rails": ["correct", "incorrect"]}
    task = EvalTaskInput.read(
        {
            "name": "answer correctness",
            "model_id": emulator.project_id,
            "query_filter": "attributes.openinference.span.kind = 'AGENT'",
            "template_evaluators": [evaluator],
            "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
        }
    )
    with OnlineTasksHook() as hook:
        return hook.create_eval_task(task)


@pytest.mark.parametrize(("min_correct", "deployed"), [(0.2, True), (0.95, False)])
def test_failed_gate_stops_the_deployment(
    online_tasks_emulator: Emulator,
    example_dag: Callable[[str], DAG],
    run_dag: Callable[..., Any],
    min_correct: float,
    deployed: bool,
) -> None:
    result = run_dag(example_dag("quality_gate"), conf={"min_correct": min_correct})

    [run] = online_tasks_emulator.runs()
    labels = Counter(one["label"] for one in online_tasks_emulator.evaluations(run_id=run["id"]))
    assert 0.5 < labels["correct"] / labels.total() < 0.95
    verdict = result.returned("gate")
    assert verdict["passed"] is deployed
    [measured] = [rule["measured"] for rule in verdict["rules"] if rule["measure"] == "correct"]
    assert measured == pytest.approx(labels["correct"] / labels.total())
    assert result.states["gate"] == ("success" if deployed else "failed")
    assert result.states["deploy"] == ("success" if deployed else "upstream_failed")


RECORDS = "rest.list_annotation_queue_records"


@pytest.fixture
def week(
    online_tasks_emulator: Emulator, example_dag: Callable[[str], DAG], run_dag: Callable[..., Any]
) -> Counter[str]:
    """The labels of the evaluator in a week."""
    for days in range(7):
        result = run_dag(example_dag("evaluate_for_review"), logical_date=midnight() - days * DAY)
        assert result.state == "success"
    return Counter(each["label"] for each in online_tasks_emulator.evaluations())


def label_after_first_poll(emulator: Emulator, **people: float) -> threading.Thread:
    """Return a thread that labels the queue as people do, once the sensor has found it unlabelled."""

    def label() -> None:
        # The operator lists the records before it adds some; the next list is the sensor's.
        while len(emulator.requests(RECORDS)) < 2:
            done.wait(0.05)
        emulator.label_records(
            queue_of(emulator),
            evaluator="reviewed_correctness",
            annotation="correctness_review",
            positive="correct",
            **people,
        )

    done = threading.Event()
    thread = threading.Thread(target=label, daemon=True)
    thread.start()
    return thread


def queue_of(emulator: Emulator) -> str:
    """Return the ID of the only annotation queue."""
    import requests

    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    response = requests.get(f"{emulator.url}/v2/annotation-queues", headers=headers, timeout=30)
    [queue] = response.json()["annotation_queues"]
    return str(queue["id"])


@pytest.mark.parametrize(
    ("people", "min_correct", "not_passed"),
    [
        ({"sensitivity": 1.0, "specificity": 1.0}, 0.4, set()),
        ({"sensitivity": 1.0, "specificity": 1.0}, 0.95, {"calibrated correct"}),
        # The evaluator finds half of the wrong answers.
        ({"sensitivity": 0.9, "specificity": 0.5}, 0.1, {"specificity of correct"}),
    ],
    ids=["good-week", "bad-week", "bad-evaluator"],
)
def test_calibrated_gate_decides_by_the_labels_of_people(
    online_tasks_emulator: Emulator,
    example_dag: Callable[[str], DAG],
    run_dag: Callable[..., Any],
    week: Counter[str],
    people: dict[str, float],
    min_correct: float,
    not_passed: set[str],
) -> None:
    dag = example_dag("calibrated_gate")
    dag.get_task("wait_for_people").poke_interval = 0.5
    labelling = label_after_first_poll(online_tasks_emulator, **people)

    result = run_dag(dag, conf={"min_correct": min_correct, "min_human_labels": 20})

    labelling.join(60)
    sent = result.returned("send_sample")
    assert sent["sample"]["is_random"] is True
    strata = sent["sample"]["strata"]
    assert {label: each["spans"] for label, each in strata.items()} == dict(week)
    # The week has fewer than 200 answers, so all are selected.
    assert sent["sent"] == week.total() < 200
    counts = result.returned("wait_for_people")
    assert (counts["records"], counts["completed"]) == (week.total(), week.total())
    human = result.returned("read_results")["evaluators"]["reviewed_correctness"]["human_labels"]
    assert (human["labelled"], human["sample_problem"]) == (week.total(), None)
    verdict = result.returned("gate")
    assert {rule["measure"] for rule in verdict["rules"] if rule["outcome"] != "passed"} == not_passed
    assert verdict["passed"] is (not not_passed)
    assert result.states["gate"] == ("success" if verdict["passed"] else "failed")
