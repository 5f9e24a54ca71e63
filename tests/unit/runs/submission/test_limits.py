"""Limits of a run and budgets over time: what is started, lowered, rejected, and asked about."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from airflow_provider_online_tasks import EvalBudget
from airflow_provider_online_tasks._airflow import AirflowFailException, TaskDeferred
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import Page
from airflow_provider_online_tasks.api.responses import RunCounts
from airflow_provider_online_tasks.costs import budgets
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    CallError,
    EvalBudgetExceeded,
    EvalBudgetReserved,
    InvalidInput,
    OnlineTaskRunFailed,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.triggers.events import FINISHED, RunEvent
from tests.support.questions import record_questions
from tests.support.tries import HANG, START, WAIT, Execution, Killed, Time, start_run

RUN = "graphql.runOnlineTask"


def mutations(emulator: Emulator) -> int:
    """Return how many mutations the emulator received."""
    return len(emulator.requests("graphql.*"))


def max_spans(emulator: Emulator) -> list[int]:
    """Return ``maxSpans`` of all runs; 10,000 is that of a run without it."""
    return [run["max_spans"] for run in emulator.runs()]


def spans_of_window(execution: Execution, emulator: Emulator) -> int:
    """Run the task over the window once, without limits, and return how many spans it evaluates."""
    Execution(execution.online_task_id).next_try(**WAIT, override_evaluations=True)
    count: int = emulator.runs()[-1]["num_successes"]
    emulator.clear_requests()
    return count


def die_at_push(step: str) -> None:
    """Kill the process when the run has started."""
    if step == "push:before":
        raise Killed


@pytest.fixture
def arguments() -> dict[str, Any]:
    return {**WAIT, "override_evaluations": True}


# -- The limit of a run. --


@pytest.mark.promise("limit-sends-nothing")
def test_run_above_its_limit_sends_no_mutation(execution: Execution, emulator: Emulator) -> None:
    with pytest.raises(EvalBudgetExceeded) as raised:
        execution.next_try(max_evaluations=35)

    assert isinstance(raised.value, AirflowFailException)  # Airflow doesn't retry it
    assert mutations(emulator) == 0
    assert emulator.runs() == []


def test_run_whose_max_spans_is_within_its_limit_is_sent_unchanged(
    execution: Execution, emulator: Emulator
) -> None:
    execution.next_try(max_evaluations=100, max_spans=100)

    assert max_spans(emulator) == [100]
    assert len(emulator.requests("rest.list_spans")) == 0


def test_run_whose_estimate_is_within_its_limit_cannot_exceed_it(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    execution.next_try(**arguments, max_evaluations=36)

    assert max_spans(emulator) == [36]
    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["estimated_cost"]) == (36, {"low": 0, "high": 0})


def test_limit_of_default_max_spans_is_not_exceeded(execution: Execution, emulator: Emulator) -> None:
    execution.next_try(max_evaluations=10_000)

    assert max_spans(emulator) == [10_000]


@pytest.mark.parametrize("planned", [None, 500])
def test_cap_lowers_max_spans(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any], planned: int | None
) -> None:
    execution.next_try(**arguments, max_evaluations=3, max_spans=planned, on_over_budget="cap")

    assert max_spans(emulator) == [3]
    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["max_spans"], summary["capped"]) == (3, 3, True)


def test_lineage_has_the_limits_of_the_run(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    execution.next_try(**arguments, max_evaluations=3, prices={}, on_over_budget="cap")

    assert execution.operator is not None
    [facet] = execution.operator.get_openlineage_facets_on_start().run_facets.values()

    assert (facet.evaluations, facet.max_spans, facet.capped) == (3, 3, True)
    assert facet.estimated_cost == {"low": 0, "high": 0}


def test_cap_that_leaves_out_no_span_is_not_reported(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    count = spans_of_window(execution, emulator)

    execution.next_try(**arguments, max_evaluations=count + 1, on_over_budget="cap")

    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["capped"]) == (count, False)


def test_max_spans_of_the_budget_that_leaves_out_spans_is_reported(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(**arguments, budget=EvalBudget(max_evaluations=1_000, max_spans=5))

    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["max_spans"], summary["capped"]) == (5, 5, True)
    assert [
        record for record in caplog.records if record.levelname == "WARNING" and "5" in record.getMessage()
    ]


@pytest.mark.parametrize(("skipped", "is_capped"), [(2, True), (1, False)])
def test_cap_that_labelled_spans_use_up_is_reported(skipped: int, is_capped: bool) -> None:
    run: Any = SimpleNamespace(counts=RunCounts(successes=1, skipped=skipped))

    summary = budgets.summarize_spending(run, {"max_spans": 3, "planned_max_spans": 10})

    assert summary["capped"] is is_capped


def test_estimate_without_evaluations_has_unknown_cost_for_a_run_with_some() -> None:
    counts = RunCounts(successes=4)
    none = {"low": 0, "high": 0}
    spending = {"estimate": {"evaluations": none, "input_tokens": none, "output_tokens": none, "cost": none}}

    summary = budgets.summarize_spending(SimpleNamespace(counts=counts), spending)  # type: ignore[arg-type]

    assert summary["estimated_cost"] is None


def test_summary_without_limits_has_the_evaluations_only(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    emulator.next_run(RunFate(error_rate=0.5))

    execution.next_try(**arguments)

    summary = execution.pushed["run"]
    assert summary["evaluations"] == summary["num_successes"] + summary["num_errors"]
    assert "capped" not in summary


def test_retry_that_resumes_a_run_does_not_check_its_limit(execution: Execution, emulator: Emulator) -> None:
    execution.reached = die_at_push
    with pytest.raises(Killed):
        execution.next_try(max_evaluations=3, on_over_budget="cap", **WAIT)
    execution.reached = lambda step: None

    execution.next_try(max_evaluations=3, on_over_budget="fail", **WAIT)

    assert mutations(emulator) == 1
    assert (execution.pushed["run"]["max_spans"], execution.pushed["run"]["capped"]) == (3, True)


def test_retry_that_starts_another_run_checks_its_limit(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    emulator.next_run(RunFate("fail"))
    with pytest.raises(OnlineTaskRunFailed):
        execution.next_try(**arguments)

    with pytest.raises(EvalBudgetExceeded):
        execution.next_try(**arguments, max_evaluations=3)

    assert len(emulator.runs()) == 1


def test_retry_after_a_request_that_started_no_run_sends_the_lowered_max_spans(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.add_fault(Fault(RUN, "drop_before", times=3))
    with pytest.raises(CallError):
        execution.next_try(max_evaluations=5, on_over_budget="cap")

    execution.next_try(max_evaluations=4, on_over_budget="cap")

    assert max_spans(emulator) == [4]


def test_deferred_run_keeps_what_was_checked(
    execution: Execution, emulator: Emulator, time: Time, arguments: dict[str, Any]
) -> None:
    emulator.next_run(HANG)
    with pytest.raises(TaskDeferred) as raised:
        execution.next_try(**{**arguments, "deferrable": True}, max_evaluations=3, on_over_budget="cap")
    trigger: Any = raised.value.trigger
    emulator.set_run(trigger.run_id, status="COMPLETED", num_successes=3)
    with OnlineTasksHook() as hook:
        run = hook.get_task_run(trigger.run_id)
    event = RunEvent(outcome=FINISHED, run_id=run.id, run=run, payload=trigger.payload).model_dump()

    execution.operator.execute_complete(execution.context, event)  # type: ignore[union-attr, arg-type]

    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["max_spans"], summary["capped"]) == (3, 3, True)


def clear_started_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    """Kill a process whose run has started. A clear then cancels the run during the next try."""
    emulator.next_run(HANG)
    execution.reached = die_at_push
    with pytest.raises(Killed):
        execution.next_try(**WAIT)
    execution.reached = lambda step: None
    time.on_sleep = lambda: emulator.set_run(emulator.runs()[0]["id"], status="CANCELLED")


@pytest.mark.promise("limit-sends-nothing")
def test_run_instead_of_one_that_a_clear_cancelled_is_checked(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    clear_started_run(execution, emulator, time)

    with pytest.raises(EvalBudgetExceeded):
        execution.next_try(**WAIT, max_evaluations=3)

    assert len(emulator.runs()) == 1


def test_kill_after_a_clear_cancelled_the_run_cancels_the_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    clear_started_run(execution, emulator, time)

    def kill_before_the_id_is_stored(step: str) -> None:
        if step == "set:before" and len(emulator.runs()) == 2 and not ended:
            execution.kill()
            ended.extend(run["status"] for run in emulator.runs())

    ended: list[str] = []
    execution.reached = kill_before_the_id_is_stored
    with pytest.raises(OnlineTasksError):
        execution.next_try(**WAIT)

    assert ended == ["CANCELLED", "CANCELLED"]


# -- A budget over time. --


def another_task(emulator: Emulator) -> str:
    evaluator = {"evaluator_id": emulator.evaluator_ids["output_present"]}
    task = {"name": "another", "model_id": emulator.project_id, "evaluators": evaluator}
    with OnlineTasksHook() as hook:
        return hook.create_eval_task(EvalTaskInput.read(task))


@pytest.mark.promise("budget-of-period")
def test_budget_counts_the_runs_of_every_tool(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    count = spans_of_window(execution, emulator)  # one run of this task
    budget = EvalBudget(max_evaluations=count + 5)

    execution.next_try(**arguments, budget=budget, on_over_budget="cap")
    with pytest.raises(EvalBudgetExceeded):
        Execution(execution.online_task_id).next_try(**arguments, budget=budget, on_over_budget="cap")

    assert max_spans(emulator)[1:] == [5]
    assert execution.pushed["run"]["budget"] == {
        **budget.to_rest(),
        "since": execution.pushed["run"]["budget"]["since"],
        "project_id": None,
        "finished": count,
        "in_flight": 0,
    }


@pytest.mark.parametrize(("scope", "is_counted"), [("task", False), ("project", True)])
def test_scope_says_whose_runs_count(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any], scope: str, is_counted: bool
) -> None:
    count = spans_of_window(execution, emulator)
    budget = {"max_evaluations": count, "scope": scope, "max_spans": count}
    other = Execution(another_task(emulator))
    emulator.clear_requests()

    if is_counted:
        with pytest.raises(EvalBudgetExceeded):
            other.next_try(**arguments, budget=budget)
        assert mutations(emulator) == 0
    else:
        other.next_try(**arguments, budget=budget)
        assert mutations(emulator) == 1


def test_budget_of_a_project_names_the_project(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    execution.next_try(**arguments, budget={"max_evaluations": 100_000, "scope": "project"})

    assert execution.pushed["run"]["budget"]["project_id"] == emulator.project_id


def test_task_that_is_deleted_during_the_check_does_not_count(
    execution: Execution, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OnlineTasksHook() as hook:
        task = hook.get_task(execution.online_task_id)
        other = replace(task, id="T25saW5lVGFzazo5OTk6cVJ3WA==")
    page = Page(items=(task, other), next_cursor=None)
    list_tasks = calls.list_tasks
    monkeypatch.setattr(
        calls, "list_tasks", lambda **query: replace(list_tasks(**query), read=lambda _: page)
    )

    execution.next_try(budget=EvalBudget(max_evaluations=20_000, scope="project"))

    assert len(emulator.runs()) == 1


def test_exhausted_budget_starts_no_run_even_if_all_spans_have_labels(
    execution: Execution, emulator: Emulator
) -> None:
    count = spans_of_window(execution, emulator)

    with pytest.raises(EvalBudgetExceeded):
        execution.next_try(**WAIT, budget={"max_evaluations": count})

    assert mutations(emulator) == 0


def test_budget_that_needs_too_many_requests_starts_no_run(
    execution: Execution, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "MAX_PAGES", 2)
    emulator.configure(runs_order="oldest")
    emulator.create_runs(execution.online_task_id, 250, seconds=(0, 0))
    emulator.clear_requests()

    with pytest.raises(InvalidInput):
        execution.next_try(budget={"max_evaluations": 1_000_000})

    assert (len(emulator.requests("rest.list_task_runs")), mutations(emulator)) == (2, 0)


@pytest.mark.parametrize(
    ("per", "now", "start"),
    [
        ("day", "2026-03-01T23:59:59-01:00", "2026-03-02T00:00:00Z"),
        ("week", "2026-03-01T23:59:59Z", "2026-02-23T00:00:00Z"),
        ("week", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("month", "2026-03-31T22:00:00-05:00", "2026-04-01T00:00:00Z"),
    ],
)
def test_period_starts_at_midnight_utc(per: str, now: str, start: str) -> None:
    budget = EvalBudget.read({"max_evaluations": 1, "per": per})

    assert budget.period_start(datetime.fromisoformat(now)) == datetime.fromisoformat(start)


def test_runs_of_the_period_before_do_not_count(
    execution: Execution, emulator: Emulator, time: Time, arguments: dict[str, Any]
) -> None:
    count = spans_of_window(execution, emulator)
    budget = EvalBudget(max_evaluations=count, per="day", max_spans=count)
    with pytest.raises(EvalBudgetExceeded):
        Execution(execution.online_task_id).next_try(**arguments, budget=budget)

    time.advance(86_400)
    execution.next_try(**arguments, budget=budget)

    assert len(emulator.runs()) == 2


def test_unfinished_runs_count_with_the_max_spans_of_the_budget(
    execution: Execution, emulator: Emulator, arguments: dict[str, Any]
) -> None:
    emulator.next_run(RunFate("hang", times=1, pending_seconds=0))
    running = start_run(execution.online_task_id)
    budget = EvalBudget(max_evaluations=25_000, max_spans=10_000)

    with pytest.raises(EvalBudgetReserved) as raised:
        execution.next_try(**arguments, budget=EvalBudget(max_evaluations=10_035))
    assert not isinstance(raised.value, AirflowFailException)  # a retry may succeed
    execution.next_try(**arguments, budget=budget)

    assert execution.pushed["run"]["budget"]["in_flight"] == 10_000
    assert emulator.runs()[0]["id"] == running


def test_max_spans_above_that_of_the_budget_is_rejected(execution: Execution, emulator: Emulator) -> None:
    with pytest.raises(InvalidInput):
        execution.next_try(max_spans=501, budget=EvalBudget(max_evaluations=10_000, max_spans=500))
    assert emulator.requests() == []


@pytest.mark.parametrize("kind", ["status_before", "rate_limited", "garbage"])
def test_list_that_cannot_be_read_starts_no_run(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.add_fault(Fault("rest.list_task_runs", kind, times=None))

    with pytest.raises(CallError) as raised:
        execution.next_try(budget=EvalBudget(max_evaluations=10_000))

    assert not isinstance(raised.value, AirflowFailException)
    assert mutations(emulator) == 0


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_runs_are_counted_in_any_order_of_the_list(
    execution: Execution, emulator: Emulator, time: Time, order: str
) -> None:
    emulator.configure(runs_order=order)
    emulator.create_runs(execution.online_task_id, 150, seconds=(0, 0), total=10)
    time.advance(86_400 * 2)
    emulator.create_runs(execution.online_task_id, 250, seconds=(0, 0), total=10)
    budget = EvalBudget(max_evaluations=20_000, per="day")
    emulator.clear_requests()

    execution.next_try(**WAIT, override_evaluations=True, budget=budget)

    assert execution.pushed["run"]["budget"]["finished"] == 2_500
    assert len(emulator.requests("rest.list_task_runs")) <= 8


@pytest.mark.promise("budget-of-period")
def test_budget_holds_over_twenty_runs_of_two_dags_with_a_lost_response(
    execution: Execution, emulator: Emulator, time: Time, arguments: dict[str, Any]
) -> None:
    other_task = another_task(emulator)
    emulator.clear_requests()
    emulator.add_fault(Fault(RUN, "drop_after", skip=4))
    budget = {"max_evaluations": 61, "scope": "project", "max_spans": 5}
    rejected = 0

    for number in range(20):
        task_id = other_task if number % 2 else execution.online_task_id
        try:
            Execution(task_id).next_try(**arguments, budget=budget, on_over_budget="cap")
        except EvalBudgetExceeded:
            rejected += 1

    runs = emulator.runs()
    assert [run["num_successes"] for run in runs] == [5] * 12 + [1]
    assert (mutations(emulator), rejected) == (13, 7)


def test_limit_that_is_below_the_run_stays_exceeded_after_unfinished_runs(
    execution: Execution, emulator: Emulator
) -> None:
    emulator.next_run(RunFate("hang", times=1, pending_seconds=0))
    start_run(execution.online_task_id)

    with pytest.raises(EvalBudgetExceeded):  # the unfinished run leaves 5 of the budget
        execution.next_try(
            max_evaluations=10, override_evaluations=True, budget={"max_evaluations": 105, "max_spans": 100}
        )

    assert mutations(emulator) == 1


def test_cap_without_a_span_until_another_run_finishes_is_temporary(
    execution: Execution, emulator: Emulator
) -> None:
    emulator.next_run(RunFate("hang", times=1, pending_seconds=0))
    start_run(execution.online_task_id)

    with pytest.raises(EvalBudgetReserved):
        execution.next_try(
            override_evaluations=True,
            budget={"max_evaluations": 30, "max_spans": 100},
            on_over_budget="cap",
        )

    assert mutations(emulator) == 1


# -- Asking a person. --


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return record_questions(monkeypatch)


ASK: dict[str, Any] = {"max_evaluations": 3, "on_over_budget": "ask"}
PASSED: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""What Airflow passes to the method that continues a task."""


def respond(execution: Execution, option: str) -> Any:
    """Continue a try that asked, as Airflow does after the response of a person."""
    assert execution.operator is not None
    event = {"chosen_options": [option], "params_input": {}, "responded_by_user": {"id": "1", "name": "ada"}}
    kwargs = {**PASSED.get(execution.operator, {}), "event": event}
    return execution.operator.resume_execution("execute_after_approval", kwargs, execution.context)  # type: ignore[arg-type]


def ask(execution: Execution, **arguments: Any) -> None:
    with pytest.raises(TaskDeferred) as raised:
        execution.next_try(**{**ASK, **arguments})
    assert raised.value.method_name == "execute_after_approval"
    PASSED[execution.operator] = json.loads(json.dumps(raised.value.kwargs or {}))


@pytest.mark.since_airflow("3.1", "required actions")
def test_approved_run_starts_as_planned(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], arguments: dict[str, Any]
) -> None:
    count = spans_of_window(execution, emulator)
    ask(execution, **arguments, max_spans=50, response_timeout=60)
    assert mutations(emulator) == 0

    respond(execution, "Approve")

    assert max_spans(emulator)[1:] == [50]
    assert questions[0]["response_timeout"] == timedelta(minutes=1)
    assert execution.pushed["run"]["approved_by"] == "ada"
    assert (execution.pushed["run"]["evaluations"], execution.pushed["run"]["capped"]) == (
        min(count, 50),
        False,
    )


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.parametrize("event", ["Reject", None])
def test_rejected_run_is_not_started(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], event: str | None
) -> None:
    ask(execution)

    with pytest.raises(EvalBudgetExceeded):
        respond(execution, event or "")

    assert mutations(emulator) == 0


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.promise("approval-kept")
def test_approval_holds_in_retries(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], time: Time
) -> None:
    ask(execution)
    emulator.add_fault(Fault(RUN, "task_error", message="try later"))
    with pytest.raises(CallError):
        respond(execution, "Approve")

    run_id = execution.next_try(**ASK)

    assert len(questions) == 1
    assert [run["id"] for run in emulator.runs()] == [run_id]


@pytest.mark.since_airflow("3.1", "required actions")
def test_approval_holds_if_the_question_is_no_longer_stored(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]]
) -> None:
    ask(execution)
    execution.context["task_state_store"].delete("approval")

    respond(execution, "Approve")

    assert (len(questions), len(emulator.runs())) == (1, 1)


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.promise("approval-kept")
def test_approval_holds_if_the_task_of_a_name_cannot_be_found_at_once(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], time: Time
) -> None:
    execution.arguments = {"online_task": "quality", "online_task_id": None}
    ask(execution)
    emulator.add_fault(Fault("rest.list_tasks", "status_before", times=None))
    with pytest.raises(CallError):
        respond(execution, "Approve")
    emulator.clear_faults()

    execution.next_try(**ASK)

    assert (len(questions), len(emulator.runs())) == (1, 1)


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.parametrize("has_store", [True, False])
def test_approval_does_not_cover_a_dag_that_changed_meanwhile(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], has_store: bool
) -> None:
    execution.store = execution.store if has_store else None
    ask(execution, max_spans=50)
    assert execution.operator is not None
    execution.operator.max_spans = 5_000

    with pytest.raises(EvalBudgetExceeded):
        respond(execution, "Approve")

    assert (len(questions), mutations(emulator)) == (1, 0)


@pytest.mark.since_airflow("3.1", "required actions")
def test_retry_with_a_run_does_not_ask(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]]
) -> None:
    emulator.next_run(HANG)
    ask(execution)

    execution.context["ti"]._reached = die_at_push
    with pytest.raises(Killed):
        respond(execution, "Approve")

    execution.next_try(**ASK)

    assert (len(questions), mutations(emulator)) == (1, 1)


@pytest.mark.since_airflow("3.1", "required actions")
def test_approval_is_for_one_execution_of_the_run(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]]
) -> None:
    ask(execution, override_evaluations=True)
    respond(execution, "Approve")
    execution.clear()

    ask(execution, override_evaluations=True)

    assert (len(questions), len(emulator.runs())) == (2, 1)


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        {"data_start_time": START - timedelta(days=30)},
        {"max_spans": 9_000},
        {"override_evaluations": True},
        {"max_evaluations": 2},
        {"budget": EvalBudget(max_evaluations=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_run_that_airflow_cannot_show_is_not_started(
    execution: Execution,
    emulator: Emulator,
    questions: list[dict[str, Any]],
    change: dict[str, Any],
    has_store: bool,
) -> None:
    execution.store = execution.store if has_store else None
    ask(execution, max_spans=50)
    execution.clear()

    with pytest.raises(EvalBudgetExceeded):
        execution.next_try(**{**ASK, "max_spans": 50, **change})

    assert (len(questions), mutations(emulator)) == (1, 0)


@pytest.mark.since_airflow("3.1", "required actions")
def test_approved_run_keeps_the_max_spans_of_the_budget(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]]
) -> None:
    ask(execution, max_evaluations=None, budget=EvalBudget(max_evaluations=3, max_spans=30))

    respond(execution, "Approve")

    assert max_spans(emulator) == [30]


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.promise("approval-kept")
@pytest.mark.parametrize("is_resumed", [True, False])
def test_approval_starts_one_run_even_if_that_fails(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], is_resumed: bool
) -> None:
    emulator.next_run(RunFate("hang" if is_resumed else "fail", times=1, pending_seconds=0))
    ask(execution, **WAIT)
    if is_resumed:
        execution.context["ti"]._reached = die_at_push
    with pytest.raises(Killed if is_resumed else OnlineTaskRunFailed):
        respond(execution, "Approve")
    emulator.set_run(emulator.runs()[0]["id"], status="FAILED")

    ask(execution, **WAIT)

    assert (len(questions), mutations(emulator)) == (2, 1)


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.promise("approval-kept")
@pytest.mark.parametrize("step", ["set:before", "set:after"])
def test_approval_starts_one_run_even_if_the_process_ends_just_after_the_request(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]], time: Time, step: str
) -> None:
    def die_after_request(reached: str) -> None:
        if reached == step and emulator.runs():
            raise Killed

    ask(execution, **WAIT, override_evaluations=True)
    assert execution.store is not None
    execution.store.reached = die_after_request
    with pytest.raises(Killed):
        respond(execution, "Approve")
    emulator.set_run(emulator.runs()[0]["id"], status="FAILED")

    ask(execution, **WAIT, override_evaluations=True)
    assert (len(questions), mutations(emulator)) == (2, 1)

    respond(execution, "Approve")
    assert mutations(emulator) == 2


@pytest.mark.since_airflow("3.1", "required actions")
def test_approval_without_state_store_starts_one_run(
    execution: Execution, emulator: Emulator, questions: list[dict[str, Any]]
) -> None:
    execution.store = None
    ask(execution, **WAIT)

    respond(execution, "Approve")

    assert len(emulator.runs()) == 1
    assert execution.pushed["run"]["approved_by"] == "ada"


# -- Invalid arguments. --


@pytest.mark.parametrize(
    "arguments",
    [
        *({"max_evaluations": value} for value in (0, -1, 2.5, True, "many", float("nan"))),
        *({"budget": {"max_evaluations": value}} for value in (0, -5, None, "x")),
        {"budget": {}},
        {"budget": 5_000},
        {"budget": {"max_evaluations": 5, "per": "year"}},
        {"budget": {"max_evaluations": 5, "scope": "space"}},
        {"budget": {"max_evaluations": 5, "max_spans": 0}},
        {"budget": {"max_evaluations": 5, "max_cost": 3}},
        {"on_over_budget": "cap"},
        {"max_evaluations": 5, "on_over_budget": "stop"},
        {"max_evaluations": 5, "response_timeout": 0},
    ],
)
def test_invalid_limit_is_rejected_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RunOnlineTaskOperator(task_id="run", online_task_id="T", **arguments)


def test_error_names_the_field_of_the_budget() -> None:
    with pytest.raises(InvalidInput, match="budget") as raised:
        RunOnlineTaskOperator(task_id="run", online_task_id="T", budget={"max_evaluations": 5, "per": "year"})
    assert "per" in str(raised.value)


def test_templated_limits_are_checked_when_the_task_runs(execution: Execution, emulator: Emulator) -> None:
    execution.begin_try(
        max_evaluations="{{ params.most }}", budget={"max_evaluations": "{{ params.budget }}"}
    )
    operator = execution.operator
    assert operator is not None
    operator.max_evaluations, operator.budget = "0", {"max_evaluations": "7"}
    with pytest.raises(InvalidInput):
        operator.execute(execution.context)  # type: ignore[arg-type]

    execution.begin_try()
    operator = execution.operator
    assert operator is not None
    operator.budget, operator.on_over_budget = {"max_evaluations": "7"}, "cap"
    operator.execute(execution.context)  # type: ignore[arg-type]

    assert max_spans(emulator) == [7]


@pytest.mark.promise("limit-sends-nothing")
@pytest.mark.parametrize("name", ["max_evaluations", "max_cost", "budget"])
@pytest.mark.parametrize("rendered", [None, "", "None"])
def test_limit_that_is_rendered_empty_sends_nothing(
    execution: Execution, emulator: Emulator, name: str, rendered: str | None
) -> None:
    operator = execution.begin_try(**{name: "{{ params.limit }}"})
    setattr(operator, name, rendered)

    with pytest.raises(InvalidInput, match=name):
        operator.execute(execution.context)  # type: ignore[arg-type]

    assert emulator.requests() == []
