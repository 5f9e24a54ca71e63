"""Run an online task over a window of spans, wait for it, and cancel a run.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks._defaults import DEFAULT_MAX_SPANS, DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks.exceptions import EvalBudgetExceeded, InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.operators import approvals, base
from airflow_provider_online_tasks.runs import window as windows
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context, XComArg

    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.costs.budgets import Check, OnOverBudget
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.budgets import EvalBudget
    from airflow_provider_online_tasks.inputs.runs import RunInput
    from airflow_provider_online_tasks.runs.end_states import OnNothingEvaluated
    from airflow_provider_online_tasks.runs.lifecycle import RunLifecycle

LIMITS = ("max_evaluations", "max_cost", "prices", "budget")


class RunOnlineTaskOperator(base.PlansRun, base.LineageOperator):
    """Run an online task over a window of historical spans (``runOnlineTask``) and return the run's ID.

    One execution leaves at most one live run: a retry resumes the run of the earlier try.
    Clearing the task after it succeeded starts a new run.

    The window is ``data_start_time`` to ``data_end_time``, else ``lookback``, else the DAG run's data
    interval. Every try of a DAG run computes the same window.

    Arize indexes spans late, so the run starts ``index_delay`` after the window's end. Until then the task
    waits in the triggerer, without a worker slot.

    XCom: the run's ID as ``return_value`` (and ``run_id``), pushed before the task waits for the run's end;
    ``run_url`` (its spans in the Arize UI), ``project_url`` and ``evaluator_url``, if they are known; with
    ``wait_for_completion``, ``run``, its summary, which is also the ``extra`` of the events of the task's
    ``outlets``.

    :param online_task_id: global ID of the task; set this or ``online_task``. (templated)
    :param online_task: name of the task, which costs one more request. (templated)
    :param data_start_time: start of the window, a datetime or ISO 8601; UTC without a zone. (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval, or at its run-after time:
        a timedelta, seconds, or an ISO 8601 duration such as ``P1D``. Whole days are days in the time zone of
        the DAG's cron schedule. (templated)
    :param partition_length: length of a window that starts at the DAG run's partition (Airflow 3.3,
        ``dag_run.partition_date``); types as for ``lookback``. (templated)
    :param index_delay: minimum time between the window's end and the start of the run: a timedelta, seconds,
        or an ISO 8601 duration such as ``PT2H``; 0 starts the run at once. Default: the connection's
        ``index_delay_minutes`` (120); manual DAG runs start at once with a warning. (templated)
    :param max_spans: maximum number of spans to evaluate. Default: the API's, 10,000. (templated)
    :param override_evaluations: whether spans that have a label are evaluated again. Default False.
        (templated)
    :param wait_for_completion: whether the task waits until the run finishes. Default False.
    :param deferrable: whether it waits in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls of the run. Default 10.
    :param timeout: seconds after which the run is cancelled and the task fails. Default: none.
        ``execution_timeout`` applies too, also while the task is deferred.
    :param cancel_on_kill: whether killing the waiting task cancels its run. Default True.
    :param on_nothing_evaluated: what the task does if the run evaluated nothing: ``fail``, ``skip`` or
        ``succeed``. Default ``skip``.
    :param max_error_rate: maximum share of errors among the attempted spans, 0 to 1. Default: no maximum, but
        at least one span must be evaluated.
    :param max_evaluations: maximum number of evaluations of the run: spans that it evaluates or fails to
        evaluate. Default: no maximum but ``max_spans``. (templated)
    :param max_cost: maximum cost of the run by the high end of its estimate, in the currency of ``prices``.
        Default: no maximum. (templated)
    :param prices: prices per million tokens, such as ``{"gpt-4o": {"input": 2.5, "output": 10}}``, for
        ``max_cost`` and the estimated cost in the summary. Default: the connection's ``prices``, else those
        of ``genai-prices`` if it is installed. (templated)
    :param budget: maximum number of evaluations per day, week or month, such as
        ``EvalBudget(max_evaluations=500_000, per="month")``, or a dict with its fields, which may be
        templates. Default: none. (templated)
    :param on_over_budget: what the task does, before it starts a run, if the run may exceed
        ``max_evaluations``, ``max_cost`` or ``budget``: ``fail`` (default), ``cap`` (lower ``max_spans``, so
        that spans may be left out), or ``ask`` (a person on Airflow's page of required actions, Airflow 3.1
        or later).
    :param response_timeout: how long ``ask`` waits for that person, a timedelta or seconds; then the task
        fails. Default: no limit.
    :param notifiers: one or several notifiers that tell people that the task waits for them. Default: none.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises EvalBudgetExceeded: the run may exceed a limit, or no one approved it. It was not started.
    :raises EvalBudgetReserved: the same, but only until unfinished runs have finished.
    :raises TaskErrorReturned: Arize did not start the run, and gives the reason.
    :raises OnlineTaskRunUnsuccessful: the run failed, was cancelled, or had too many errors.
    :raises OnlineTaskRunTimeout: the run did not finish in time and was cancelled.
    :raises OnlineTaskRunUnreachable: Arize rejected the polls for minutes; a retry resumes the run.
    :raises CallError: Arize rejected a request or was unavailable.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "online_task_id",
        "online_task",
        "data_start_time",
        "data_end_time",
        "lookback",
        "partition_length",
        "index_delay",
        "max_spans",
        "override_evaluations",
        *LIMITS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"prices": "json", "budget": "json"}
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    _lifecycle: RunLifecycle | None = None
    _approval: approvals.Approval | None = None

    def __init__(
        self,
        *,
        online_task_id: str | XComArg | None = None,
        online_task: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        lookback: timedelta | float | str | XComArg | None = None,
        partition_length: timedelta | float | str | XComArg | None = None,
        index_delay: timedelta | float | str | XComArg | None = None,
        max_spans: int | str | XComArg | None = None,
        override_evaluations: bool | str | XComArg | None = None,
        wait_for_completion: bool = False,
        deferrable: bool | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        timeout: float | None = None,
        cancel_on_kill: bool = True,
        on_nothing_evaluated: OnNothingEvaluated = "skip",
        max_error_rate: float | None = None,
        max_evaluations: int | str | XComArg | None = None,
        max_cost: float | str | XComArg | None = None,
        prices: Mapping[str, Any] | str | XComArg | None = None,
        budget: EvalBudget | Mapping[str, Any] | XComArg | None = None,
        on_over_budget: OnOverBudget = "fail",
        response_timeout: timedelta | float | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.online_task = online_task
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.lookback = lookback
        self.partition_length = partition_length
        self.index_delay = index_delay
        self.max_spans = max_spans
        self.override_evaluations = override_evaluations
        self.wait_for_completion = arguments.switch(wait_for_completion, "wait_for_completion")
        self.deferrable = arguments.read_deferrable(deferrable)
        self.poll_interval = arguments.positive_seconds(poll_interval, "poll_interval")
        self.timeout = None if timeout is None else arguments.positive_seconds(timeout, "timeout")
        self.cancel_on_kill = arguments.switch(cancel_on_kill, "cancel_on_kill")
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        from airflow_provider_online_tasks.costs.budgets import OnOverBudget, RunLimits
        from airflow_provider_online_tasks.inputs.base import plain
        from airflow_provider_online_tasks.runs.end_states import EndRules

        self.max_evaluations = max_evaluations
        self.max_cost = max_cost
        self.prices = prices
        self.budget = plain(budget)
        self.on_over_budget = arguments.choice(on_over_budget, "on_over_budget", get_args(OnOverBudget))
        self.response_timeout = approvals.read_response_timeout(response_timeout)
        self.notifiers = approvals.read_notifiers(notifiers)
        RunLimits.check_literals(**self._limits())
        self._limits_of_dag = [name for name, value in self._limits().items() if value is not None]
        if on_over_budget == "ask":
            approvals.check_can_ask()
        if on_over_budget != "fail" and (max_evaluations, max_cost, budget) == (None, None, None):
            raise InvalidInput("on_over_budget needs a limit. Set max_evaluations, max_cost or budget.")
        self._rules = EndRules(on_nothing_evaluated=on_nothing_evaluated, max_error_rate=max_error_rate)
        if not is_templated(index_delay):
            windows.read_index_delay(index_delay)
        self.check_run_literals()

    def execute(self, context: Context) -> str | None:
        """Plan the run, wait for the index delay, start the run, and wait until it finishes if asked to."""
        with self.hook as hook:
            lifecycle = self._begin(context, hook)
            run = self._plan(context, hook)
            start = windows.earliest_start(
                context,
                run.window,
                index_delay=self.index_delay,
                index_delay_minutes=hook.settings.index_delay_minutes,
                log=self.log,
            )
            if start is not None:
                kwargs = {"run": run.to_rest()}
                self.pause_until(start, context["ti"], method_name="execute_after_index_delay", kwargs=kwargs)
            return self._start(context, lifecycle, run)

    def execute_after_index_delay(
        self, context: Context, event: Any = None, run: Mapping[str, Any] | None = None
    ) -> str | None:
        """Start the planned run after the index delay. ``airflow dags test`` passes the event only."""
        from airflow_provider_online_tasks.inputs.runs import RunInput

        with self.hook as hook:
            lifecycle = self._begin(context, hook)
            planned = RunInput.read(run) if run else self._plan(context, hook)
            return self._start(context, lifecycle, planned)

    def execute_after_approval(
        self, context: Context, event: Any, run: Mapping[str, Any] | None = None
    ) -> str | None:
        """Start the run that exceeds its limits, if a person approved it."""
        is_approved, responded_by = approvals.read_response(event)
        if not is_approved:
            raise EvalBudgetExceeded(
                f"No run was started: it may exceed its limits. Not approved; response by {responded_by}."
            )
        self._approval = approvals.Approval(context)
        self._approval.give(responded_by, run)
        with self.hook as hook:
            lifecycle = self._begin(context, hook)
            return self._start(context, lifecycle, self._plan(context, hook))

    def execute_complete(self, context: Context, event: Any) -> str | None:
        """Conclude after the trigger has seen the end of the run, or the deadline."""
        from airflow_provider_online_tasks.triggers.events import read_event

        seen = read_event(event)
        with self.hook as hook:
            lifecycle = self._begin(context, hook)
            lifecycle.resume(seen.run_id, seen.payload)
            run = seen.finished_run() or lifecycle.time_out(seen.run, self.wait_limit(self.timeout))
            return self._conclude(context, lifecycle, run)

    def _begin(self, context: Context, hook: OnlineTasksHook) -> RunLifecycle:
        from airflow_provider_online_tasks.runs.lifecycle import RunLifecycle

        self._lifecycle = RunLifecycle(
            context=context,
            hook=hook,
            rules=self._rules,
            cancel_on_kill=self.cancel_on_kill,
            log=self.log,
        )
        return self._lifecycle

    def _plan(self, context: Context, hook: OnlineTasksHook) -> RunInput:
        """Return the run as it will be sent. An invalid window or limit costs no request."""
        from airflow_provider_online_tasks.costs.budgets import RunLimits

        RunLimits.read(self._limits_of_dag, **self._limits())
        run = self.plan_run(context, hook)
        if run.window.is_long:
            self.log.warning(
                "The window %s is longer than the documented maximum of 30 days. It is sent unchanged. To "
                "split it, use split_window() with dynamic task mapping.",
                run.window,
            )
        return run

    def _start(self, context: Context, lifecycle: RunLifecycle, run: RunInput) -> str | None:
        """Resume the run of an earlier try, or start a new one within its limits, and follow it."""
        if lifecycle.resume_earlier(run):
            return self._follow(context, lifecycle)
        if self.on_over_budget == "ask":
            self._approval = self._approval or approvals.Approval(context)
            self._approval.use_up_by(lifecycle.earlier_spending)
        return self._start_new(context, lifecycle, run)

    def _start_new(self, context: Context, lifecycle: RunLifecycle, run: RunInput) -> str | None:
        """Check the limits of a new run, start it, and follow it."""
        checked = self._check_limits(context, lifecycle.hook, run)
        is_started = lifecycle.start(checked.run, spending=checked.spending)
        return self._follow(context, lifecycle) if is_started else None

    def _limits(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LIMITS}

    def _check_limits(self, context: Context, hook: OnlineTasksHook, run: RunInput) -> Check:
        """Return the run as it may be started. Raise, or ask a person, if it exceeds a limit."""
        from airflow_provider_online_tasks.costs.budgets import (
            Check,
            RunLimits,
            check_run,
            with_planned_spans,
        )
        from airflow_provider_online_tasks.gate.report import escaped_markdown

        limits = RunLimits.read(self._limits_of_dag, **self._limits())
        if not limits:
            return Check(run=run)
        of_dag, run = run, with_planned_spans(run, limits.budget)
        approval, planned = self._approval or approvals.Approval(context), run.to_rest()
        if spending := approval.spending_of(planned):
            self.log.info("%s approved the run.", spending["approved_by"])
            return Check(run=run, spending=spending)
        check = check_run(hook, of_dag, limits, may_lower=self.on_over_budget == "cap", log=self.log)
        if check.excess is not None and self.on_over_budget == "ask":
            approval.note(planned, check.spending)
            figures = (check.excess, *check.details)
            self.log.info("%s Waiting for a decision on the page of required actions.", " ".join(figures))
            about, *shown = map(escaped_markdown, (limits.of_run(run), *figures))
            try:
                approvals.ask(
                    context,
                    task_id=self.task_id,
                    subject=f"{self.task_id} exceeds its limits. Start the run anyway?",
                    body="\n\n".join((about, *shown)),
                    about=f"{about}\n\n",
                    response_timeout=self.response_timeout,
                    notifiers=self.notifiers,
                    method_name="execute_after_approval",
                    kwargs={"run": planned},
                )
            except approvals.CannotAsk as error:
                raise EvalBudgetExceeded(f"No run was started. {check.excess} {error}") from None
        if check.excess is not None:
            raise check.error()
        return check

    def _follow(self, context: Context, lifecycle: RunLifecycle) -> str | None:
        """Announce the run, and wait for it if asked to."""
        run, run_id = lifecycle.run, str(lifecycle.run_id)
        with lifecycle.cancelled_if_last_try_fails():
            if self.on_over_budget == "ask":
                (self._approval or approvals.Approval(context)).use_up()
            self._announce(context, lifecycle)
            if not self.wait_for_completion:
                lifecycle.finish()
                return run_id
        if lifecycle.finished is None and self.deferrable:
            from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

            limit = self.wait_limit(self.timeout)
            trigger = OnlineTaskRunTrigger(
                run_id=run_id,
                online_task_id=run.online_task_id,
                conn_id=self.conn_id,
                poll_interval=self.poll_interval,
                deadline=None if limit is None else _clock.epoch() + limit[0],
                cancel_on_kill=self.cancel_on_kill,
                payload=lifecycle.to_json(),
            )
            self.defer_in_try(context["ti"], trigger=trigger, method_name="execute_complete")
        finished = lifecycle.finished or lifecycle.wait(
            poll_interval=self.poll_interval, limit=self.wait_limit(self.timeout)
        )
        return self._conclude(context, lifecycle, finished)

    def _announce(self, context: Context, lifecycle: RunLifecycle) -> None:
        """Push the run's ID and the links that are known, and log the run."""
        run, run_id, push = lifecycle.run, str(lifecycle.run_id), context["ti"].xcom_push
        push(key="return_value", value=run_id)
        push(key="run_id", value=run_id)
        self.links = lifecycle.hook.known_links(run.window)
        self.links.push(context)
        self.log.info(
            "Run %s (%s) evaluates at most %s spans.%s",
            run_id,
            lifecycle.outcome.value,
            run.max_spans or DEFAULT_MAX_SPANS,
            f" See {self.links.spans}" if self.links.spans else "",
        )
        self._keep_lineage(lifecycle.hook, {**run.to_rest(), "run_id": run_id})

    def _conclude(self, context: Context, lifecycle: RunLifecycle, run: TaskRun) -> str | None:
        """Act on the end state of the finished run."""
        if lifecycle.was_cancelled_by_clear(run):
            lifecycle.give_up()
            return self._start_new(context, lifecycle, self._plan(context, lifecycle.hook))
        from airflow_provider_online_tasks.costs.budgets import summarize_spending
        from airflow_provider_online_tasks.results.history import RUN_KEY
        from airflow_provider_online_tasks.results.reading import labels_exist

        summary = {**run.summary(), **summarize_spending(run, lifecycle.spending)}
        context["ti"].xcom_push(key=RUN_KEY, value=summary)
        self.links = lifecycle.find_links()
        self._keep_lineage(lifecycle.hook, summary)
        try:
            self._rules.conclude(
                run,
                log=self.log,
                hook=lifecycle.hook,
                url=self.links.spans,
                task=self.links.task,
                max_spans=lifecycle.run.max_spans,
                labels_exist=not lifecycle.run.override_evaluations
                and labels_exist(lifecycle.hook, run, log=self.log),
            )
        except AirflowSkipException:
            lifecycle.finish()
            raise
        base.update_asset_events(context, self.outlets, summary)
        lifecycle.finish()
        return run.id

    def _keep_lineage(self, hook: OnlineTasksHook, facts: Mapping[str, Any]) -> None:
        self.keep_lineage(facts, namespace=hook.settings.endpoint.app_url, project_id=self.links.project_id)

    def on_kill(self) -> None:
        """Cancel the run that the task starts or waits for, if the task ended."""
        lifecycle = self._lifecycle
        if self.cancel_on_kill and lifecycle and (self.wait_for_completion or lifecycle.run_id is None):
            lifecycle.on_kill()


class CancelOnlineTaskRunOperator(base.OnlineTasksOperator):
    """Cancel a run (``POST /v2/task-runs/{run_id}/cancel``) and return its summary.

    A run that is already finished stays as it is: the log and the summary give its end state.

    :param run_id: the run's ID, as :class:`RunOnlineTaskOperator` returns it. (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises NotFound: the run doesn't exist, or the key can't read it.
    :raises CallError: Arize rejected a request or was unavailable.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id")

    def __init__(self, *, run_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        arguments.check_id(run_id, "run_id")

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the run."""
        run_id = arguments.read_id(self.run_id, "run_id")
        with self.hook as hook:
            run = hook.get_task_run(run_id)
            was_finished = run.is_over
            if not was_finished:
                run, was_finished = hook.end_task_run(run_id)
        if was_finished:
            self.log.info("Run %s is already finished, %s: %s.", run_id, run.status.value, run.counts)
        else:
            self.log.info("Cancelled run %s: %s.", run_id, run.counts)
        return run.summary()
