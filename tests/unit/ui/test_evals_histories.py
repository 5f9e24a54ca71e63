"""Tests for the histories of the Evals page: which verdicts are of which windows, and what is stale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_online_tasks.results.history import (
    RESULTS_KEY,
    RUN_KEY,
    VERDICT_KEY,
    results_record,
    verdict_record,
)
from airflow_provider_online_tasks.ui.evals import views
from airflow_provider_online_tasks.ui.evals.histories import histories
from airflow_provider_online_tasks.ui.evals.records import (
    MAX_EVALUATORS,
    DagState,
    FinishedRun,
    Record,
    read,
)
from tests.support.summaries import results as of_evaluator

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def results(day: int, *names: str, labels: Any = None, **changes: Any) -> Any:
    figures = of_evaluator(labels={"good": 9} if labels is None else labels)
    end = MIDNIGHT + day * DAY
    summary = {"run_id": f"arize {day}", "data_start_time": (end - DAY).isoformat()}
    summary |= {"data_end_time": end.isoformat(), "evaluators": dict.fromkeys(names, figures)}
    return record(day, RESULTS_KEY, results_record(summary), **{"task_id": "results", **changes})


def verdict(day: int, **outcomes: str) -> Any:
    end = MIDNIGHT + day * DAY
    rules = [
        {"evaluator": name, "measure": "good", "rule": ">= 0.9", "outcome": outcome}
        for name, outcome in outcomes.items()
    ]
    value = {"run_id": f"arize {day}", "data_start_time": (end - DAY).isoformat(), "rules": rules}
    return record(
        day, VERDICT_KEY, verdict_record({**value, "data_end_time": end.isoformat()}), task_id="gate"
    )


def record(day: int, key: str, value: Any, **changes: Any) -> Any:
    where = {"dag_id": "d", "run_id": f"run {day}", "map_index": -1, "at": MIDNIGHT + day * DAY}
    return Record(**{**where, "is_manual": False, "key": key, "value": value, **changes})


def run(day: int, eval_tasks: Any = None, **tasks: str) -> Any:
    return FinishedRun(run_id=f"run {day}", at=MIDNIGHT + day * DAY, tasks=tasks, eval_tasks=eval_tasks or {})


def status_of(records: list[Any], **dag: Any) -> dict[str, tuple[str | None, str | None]]:
    found = histories(read(records), {"d": DagState(**dag)})
    return {history.name or history.task_id: (status.state, status.why) for history, status in found}


GOOD = {"results": "success", "gate": "success"}


def test_newest_window_gives_the_status() -> None:
    records = [results(1, "a"), verdict(1, a="failed"), results(2, "a"), verdict(2, a="passed")]

    assert status_of(records, newest=run(2, **GOOD)) == {"a": ("passed", None)}


def test_rule_on_evaluator_without_results_has_a_history() -> None:
    records = [results(1, "correctness"), verdict(1, corectness="failed", correctness="passed")]

    found = status_of(records, newest=run(1, results="success", gate="failed"))

    assert found == {"corectness": ("failed", None), "correctness": ("passed", None)}


def test_verdict_without_results_has_a_history() -> None:
    assert status_of([verdict(1, a="failed")], newest=run(1, gate="failed")) == {"a": ("failed", None)}


def test_two_results_tasks_of_a_run_each_have_their_own_evaluators() -> None:
    records = [
        results(1, "a", task_id="results_a"),
        results(1, "b", task_id="results_b"),
        verdict(1, a="passed", b="failed"),
    ]

    found = histories(read(records), {"d": DagState()})

    assert [(one.task_id, one.name) for one, _ in found] == [("results_b", "b"), ("results_a", "a")]


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ({"results": "failed", "gate": "upstream_failed"}, "failed"),
        ({"results": "upstream_failed", "gate": "upstream_failed"}, "failed"),
        ({"results": "skipped", "gate": "skipped"}, "skipped"),
        ({"results": "success", "gate": "success"}, "no_results"),
        ({"another": "success"}, "removed"),
    ],
)
def test_newest_run_without_results_is_stale(tasks: dict[str, str], why: str) -> None:
    records = [results(1, "a"), verdict(1, a="passed")]

    assert status_of(records, newest=run(2, **tasks)) == {"a": ("stale", why)}


@pytest.mark.parametrize(("gate", "why"), [("failed", "failed"), ("skipped", "skipped")])
def test_newest_run_with_results_and_no_verdict_is_stale(gate: str, why: str) -> None:
    records = [results(1, "a"), verdict(1, a="passed"), results(2, "a")]

    assert status_of(records, newest=run(2, results="success", gate=gate)) == {"a": ("stale", why)}


def test_failed_instance_of_mapped_gate_without_verdict_is_stale() -> None:
    records = [results(2, "a", map_index=0), verdict(2, a="passed")]
    other = results(2, "a", map_index=1)
    other.value["run_id"] = "another"

    found = status_of([*records, other], newest=run(2, results="success", gate="failed"))

    assert found == {"a": ("stale", "failed")}


def test_evaluator_without_rule_in_newest_run_is_not_stale_if_the_gate_failed() -> None:
    records = [
        results(1, "a", "b"),
        verdict(1, a="passed", b="passed"),
        results(2, "a", "b"),
        verdict(2, b="failed"),
    ]

    found = status_of(records, newest=run(2, results="success", gate="failed"))

    assert found == {"b": ("failed", None), "a": (None, None)}


def test_failed_instance_of_mapped_results_is_stale() -> None:
    records = [results(2, "a", map_index=0), verdict(2, a="passed")]

    assert status_of(records, newest=run(2, results="failed", gate="failed")) == {"a": ("stale", "failed")}


@pytest.mark.parametrize(
    ("outcome", "state"), [("failed", ("failed", None)), ("passed", ("stale", "failed"))]
)
def test_failed_verdict_counts_more_than_a_failed_instance_of_mapped_results(
    outcome: str, state: tuple[str, str | None]
) -> None:
    records = [results(1, "a"), verdict(1, a="failed"), results(2, "a", map_index=0), verdict(2, a=outcome)]

    assert status_of(records, newest=run(2, results="failed", gate="failed")) == {"a": state}
    assert status_of(records, newest=run(3, results="failed", gate="failed")) == {"a": ("stale", "failed")}


def test_failed_gate_with_a_verdict_is_failed() -> None:
    records = [results(2, "a"), verdict(2, a="failed")]

    assert status_of(records, newest=run(2, results="success", gate="failed")) == {"a": ("failed", None)}


def test_verdict_of_running_run_counts_after_a_failed_run() -> None:
    records = [results(3, "a"), verdict(3, a="passed")]

    assert status_of(records, newest=run(2, results="failed")) == {"a": ("passed", None)}


@pytest.mark.parametrize(("is_paused", "why"), [(True, "paused"), (False, "overdue")])
def test_missing_run_is_stale(is_paused: bool, why: str) -> None:
    records = [results(1, "a"), verdict(1, a="passed")]

    found = status_of(records, newest=run(1, **GOOD), due=MIDNIGHT + 2 * DAY, is_paused=is_paused)

    assert found == {"a": ("stale", why)}


def test_manual_run_does_not_hide_the_scheduled_verdict() -> None:
    manual = {"is_manual": True, "run_id": "manual", "at": MIDNIGHT + 2 * DAY}
    records = [results(1, "a"), verdict(1, a="failed"), results(2, "a", **manual)]

    assert status_of(records, newest=run(1, results="success", gate="failed")) == {"a": ("failed", None)}


def test_one_failed_gate_of_mapped_windows_with_equal_times_is_failed() -> None:
    records = [
        results(1, "a", map_index=0),
        verdict(1, a="failed"),
    ]
    other = results(1, "a", map_index=1)
    other.value["run_id"] = "another"

    assert status_of([*records, other]) == {"a": ("failed", None)}


def test_task_that_never_left_records_is_stale() -> None:
    tasks = {"results": "upstream_failed", "gate": "upstream_failed"}
    operators = {"results": "EvalResultsOperator", "gate": "EvalGateOperator"}
    assert status_of([], newest=run(1, operators, **tasks)) == {"results": ("stale", "failed")}

    tasks = {"results": "success", "gate": "failed"}
    found = status_of([results(1, "a")], newest=run(1, operators, **tasks))
    assert found == {"gate": ("stale", "failed"), "a": (None, None)}


def test_bad_news_are_first_and_newest_first() -> None:
    records = [
        results(1, "old_failure"),
        verdict(1, old_failure="failed"),
        results(2, "failure", "good", "bad", "unknown", "unchecked"),
        verdict(2, failure="failed", good="passed", bad="failed", unknown="inconclusive"),
    ]

    assert list(status_of(records)) == ["bad", "failure", "old_failure", "unknown", "good", "unchecked"]


def test_more_than_fifty_evaluators_and_their_gates_are_all_shown() -> None:
    names = [f"evaluator_{number:03}" for number in range(300)]
    records = [results(1, *names), verdict(1, **dict.fromkeys(names, "passed") | {names[-1]: "failed"})]

    found = status_of(records)

    assert len(found) == 300
    assert next(iter(found)) == names[-1]


def test_evaluators_over_the_limit_are_counted_and_failed_rules_are_kept() -> None:
    names = [f"evaluator_{number:04}" for number in range(MAX_EVALUATORS + 7)]
    outcomes = dict.fromkeys(names, "passed") | {names[-1]: "failed"}

    found = read([results(1, *names), verdict(1, **outcomes)])

    assert found[0].value["omitted"] == 7
    assert found[1].value["rules"][0]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("label", "shown"),
    [("a\u202eb\nc", "a b c"), ("", "(empty)"), (" \u200b", "(empty)"), ("x" * 300, "x" * 199 + "…")],
)
def test_labels_are_cleaned_and_named(label: str, shown: str) -> None:
    [found] = read([results(1, label, labels={label: 1})])

    assert list(found.value["evaluators"]) == [shown]
    assert list(found.value["evaluators"][shown]["shares"]) == [shown]


def test_labels_that_look_the_same_are_counted_together() -> None:
    [found] = read([results(1, "a", labels={"good": 3, "good\u202e": 1, "bad": 1})])

    shares = found.value["evaluators"]["a"]["shares"]
    assert {label: (one["count"], one["share"]) for label, one in shares.items()} == {
        "good": (4, 0.8),
        "bad": (1, 0.2),
    }


def test_dag_view_sends_what_evaluators_share_once() -> None:
    records = [one for day in range(3) for one in (results(day, "a", "b"), verdict(day, a="passed"))]

    found = json.loads(json.dumps(views.dag(histories(read(records), {"d": DagState()}))))

    assert len(found["records"]) == 3
    a, b = found["evaluators"]
    assert [found["records"][window["record"]]["run_id"] for window in a["windows"]] == [
        "run 0",
        "run 1",
        "run 2",
    ]
    assert [window["outcome"] for window in a["windows"]] == ["passed"] * 3
    assert [window["gates"] for window in b["windows"]] == [[]] * 3
    assert not any(window["is_new_version"] for window in a["windows"])


@pytest.mark.parametrize("field", ["evaluator_version", "version_id"])
@pytest.mark.parametrize(
    ("versions", "changes"),
    [
        (["1", "1", None, "1"], []),
        ([None, "1", "1"], []),
        (["1", None, "2", "2"], [2]),
        (["1", "2", "1"], [1, 2]),
    ],
)
def test_version_changes_only_between_known_values(
    field: str, versions: list[str | None], changes: list[int]
) -> None:
    records = [results(day, "a") for day in range(len(versions))]
    for found, version in zip(records, versions, strict=True):
        found.value["evaluators"]["a"] |= {"evaluator_version": None, "version_id": None, field: version}

    [shown] = dag_view(records)["evaluators"]

    assert [place for place, window in enumerate(shown["windows"]) if window["is_new_version"]] == changes


def test_newest_window_and_trend_are_those_of_the_schedule() -> None:
    manual = {"is_manual": True, "run_id": "manual"}
    records = [results(day, "a", labels={"good": 5 + day, "bad": 5 - day}) for day in (1, 2)]
    records.append(results(3, "a", labels={"good": 0, "bad": 9}, **manual))
    found = histories(read(records), {"d": DagState()})

    [shown] = views.dag(found)["evaluators"]
    [summary] = views.overview(found)["evaluators"]

    assert (len(shown["windows"]), shown["newest"]) == (3, 1)
    assert summary["newest"]["run_id"] == "run 2"
    assert summary["trend"]["values"] == [0.6, 0.7]
    assert (
        views.dag(histories(read([verdict(1, a="failed")]), {"d": DagState()}))["evaluators"][0]["newest"]
        == 0
    )
    failed = run(1, {"results": "EvalResultsOperator"}, results="failed")
    assert views.dag(histories([], {"d": DagState(newest=failed)}))["evaluators"][0]["newest"] is None


def test_labels_are_listed_by_count_in_any_order_of_the_database() -> None:
    [found] = read([results(1, "a", labels={"b": 1, "rare": 1, "frequent": 9})])

    assert list(found.value["evaluators"]["a"]["shares"]) == ["frequent", "b", "rare"]


def run_record(day: int, **changes: Any) -> Any:
    value = {"run_id": f"arize {day}", "online_task_id": "T", "evaluations": 100, **changes}
    return record(day, RUN_KEY, value, task_id="run_task")


def budget(finished: int, since: str = "2026-01-01T00:00:00Z", **changes: Any) -> dict[str, Any]:
    found = {"max_evaluations": 1_000, "per": "month", "scope": "project", "since": since}
    return {**found, "finished": finished, "in_flight": 0, **changes}


def dag_view(records: list[Any], runs: Sequence[Any] = ()) -> Any:
    found = views.dag(histories(read(records), {"d": DagState()}), read(runs))
    return json.loads(json.dumps(found, allow_nan=False))


def test_run_is_shown_with_the_results_of_its_window() -> None:
    cost = {"low": 1.5, "high": 2.0}
    found = dag_view([results(1, "a"), results(2, "a")], [run_record(2, estimated_cost=cost)])

    assert [one["run"] and one["run"]["cost"] for one in found["records"]] == [None, cost]
    assert found["records"][1]["run"]["evaluations"] == 100
    assert found["spending"]["runs"] == found["spending"]["runs_with_cost"] == 1
    assert found["spending"]["cost"] == cost


def test_runs_without_results_count_and_unknown_cost_is_not_zero() -> None:
    found = dag_view([results(1, "a")], [run_record(1), run_record(2, estimated_cost=None)])

    assert (found["spending"]["runs"], found["spending"]["evaluations"]) == (2, 200)
    assert found["spending"]["runs_with_cost"] == 0


def test_dag_without_runs_has_no_spending() -> None:
    assert dag_view([results(1, "a")])["spending"] is None


def test_budget_has_what_the_newest_period_used() -> None:
    later = "2026-02-01T00:00:00Z"
    runs = [
        run_record(1, budget=budget(900)),
        run_record(2, budget=budget(200, later)),
        run_record(3, budget=budget(300, later)),
        run_record(4, budget=budget(100, later)),  # a retry that ended later was checked earlier
    ]
    [found] = dag_view([], runs)["spending"]["budgets"]
    assert (found["used"], found["since"], found["max_evaluations"]) == (400, later, 1_000)


def test_budgets_of_tasks_and_of_projects_are_apart() -> None:
    runs = [
        run_record(day, online_task_id=task, budget=budget(day, scope=scope, project_id=project))
        for day, (task, scope, project) in enumerate(
            [
                ("T", "task", None),
                ("U", "task", None),
                ("T", "project", "P"),
                ("U", "project", "P"),
                ("V", "project", "Q"),
            ]
        )
    ]
    found = dag_view([], runs)["spending"]["budgets"]
    assert [(one["scope"], one["of"], one["used"]) for one in found] == [
        ("task", "T", 100),
        ("task", "U", 101),
        ("project", "P", 103),
        ("project", "Q", 104),
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://app.arize.com/?a=%C3%A9", "https://app.arize.com/?a=%C3%A9"),
        ("https://app.arize.com/\ud800", None),
        ("javascript:alert(1)", None),
    ],
)
def test_spans_url_that_is_not_a_web_address_is_left_out(url: str, shown: str | None) -> None:
    found = results(1, "a")
    found.value["spans_url"] = url

    assert dag_view([found])["records"][0]["spans_url"] == shown


@pytest.mark.parametrize(
    "value", [None, "x", 3, [], {"run_id": "r"}, {"evaluations": 3}, {"run_id": "r", "evaluations": -1}]
)
def test_xcom_that_is_no_summary_of_a_run_is_ignored(value: Any) -> None:
    assert read([record(1, RUN_KEY, value, task_id="run_task")]) == []


def test_summary_of_a_run_pushed_by_others_is_bounded() -> None:
    odd = {"max_evaluations": 5, "finished": "1", "since": "x", "scope": "y" * 999}
    long = run_record(1, run_id="r" * 999, estimated_cost={"low": float("nan")}, budget=odd, more="z")
    [found] = read([long])
    assert len(found.value["run_id"]) <= 200
    assert found.value["cost"] == {"low": None, "high": None}
    assert len(found.value["budget"]["scope"]) <= 200
    assert set(found.value) == set(read([run_record(1)])[0].value)


def test_status_has_since_when_rules_fail() -> None:
    checked = verdict(2, a="failed")
    checked.value["rules"][0]["failing_since"] = "2026-01-02"
    found = histories(read([results(2, "a"), checked]), {"d": DagState()})

    [shown] = views.overview(found)["evaluators"]
    assert shown["failing_since"] == "2026-01-02T00:00:00Z"
    [shown] = views.overview(histories(read([results(2, "a"), verdict(2, a="failed")]), {"d": DagState()}))[
        "evaluators"
    ]
    assert shown["failing_since"] is None
