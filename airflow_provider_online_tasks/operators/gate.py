"""Check evaluation results against the rules of a gate. Sends no requests to Arize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks._text import shown_name
from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive, InvalidInput
from airflow_provider_online_tasks.gate.rules import (
    MAX_CONFIDENCE,
    MIN_CONFIDENCE,
    OnInconclusive,
    check_rules,
    read_score_ranges,
)
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.operators import approvals
from airflow_provider_online_tasks.operators.base import LineageOperator, update_asset_events

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context, XComArg

    from airflow_provider_online_tasks.gate.checks import RuleResult
    from airflow_provider_online_tasks.gate.rules import EvaluatorRules

OnFailure = Literal["fail", "skip", "ask", "warn"]
MAX_ERROR_RATE = 0.05
FALSE_ALARMS = (0.01, 100)


class EvalGateOperator(LineageOperator):
    """Check the results of an eval against rules. If a rule fails, downstream tasks do not run.

    It sends no requests to Arize: it reads the summary of ``EvalResultsOperator``. A rule compares the share
    of a label, ``score_mean`` or a quantile (``score_p05`` … ``score_p95``) with a bound; ``docs/gates.md``
    lists the other keys. A rule that cannot be measured fails, and incomplete results fail.

    XCom: the verdict with one entry per rule and examples that violate the rules. It is also the ``extra`` of
    the events of the task's ``outlets``, and OpenLineage's data quality assertions.

    :param summary: the result of ``EvalResultsOperator``. (templated)
    :param rules: ``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200}}``.
        (templated)
    :param labels: evaluator name to all its labels. Rules on other labels are rejected. Required for upper
        bounds on labels, which are always satisfied by a misspelled label. (templated)
    :param score_ranges: evaluator name to its lowest and highest possible score, such as
        ``{"helpfulness": (1, 5)}``. With ``confidence``, a rule on ``score_mean`` without a range needs
        1,000 scores. (templated)
    :param baseline: the summary of an earlier window, or a list of them, such as the output of a mapped task;
        for ``max_drop``. Default: the ``baseline`` that ``EvalResultsOperator`` read. Unused with
        ``false_alarms_per_year``. (templated)
    :param min_evaluated: minimum number of evaluations for evaluators whose rules don't set it. Default 1.
    :param max_error_rate: maximum share of the run's attempted items whose evaluation failed, 0 to 1.
        Default 0.05.
    :param confidence: confidence of the intervals by which a rule passes, fails or is inconclusive, such as
        0.95; from 0.5 to 0.999999. Default: none; the measured values are compared.
    :param false_alarms_per_year: for a gate that runs on a schedule, instead of ``confidence``: how often all
        its rules together may fail per year although the true shares satisfy them, such as 1; from 0.01 to
        100. Rules on labels and on ``score_mean`` also fail on the evidence of several windows. Default:
        none; each window is checked alone.
    :param on_inconclusive: what an inconclusive rule does, unless it has its own setting: ``fail`` (default),
        ``skip``, ``ask`` or ``pass``. If the settings of several failed or inconclusive rules differ, the
        strictest one decides: ``fail``, ``skip``, ``ask``, ``warn``, ``pass``.
    :param on_failure: whether a failed rule fails the task (``fail``, default), skips it and its downstream
        tasks (``skip``), asks a person on Airflow's page of required actions (``ask``, Airflow 3.1 or later),
        or only logs a warning and lets downstream tasks run (``warn``).
    :param response_timeout: how long to wait for that person, a timedelta or seconds; then the task fails.
        Default: no limit.
    :param notifiers: one or several notifiers that tell people that the gate waits for them, such as
        ``EvalGateNotifier(SmtpNotifier(…))``. Default: none.
    :param across_evaluator_versions: whether ``max_drop`` compares results of different evaluator versions,
        and ``false_alarms_per_year`` adds up their evidence. Default False.
    :param accept_unverified: whether results pass if it is unknown whether they are complete, such as those
        of a task and a window. Default False.
    :param conn_id: Airflow connection; the gate itself does not use it. (templated)
    :raises InvalidInput: an argument is wrong, a rule cannot be parsed, or a rule names an unknown label;
        for literal arguments when the DAG is parsed.
    :raises EvalGateFailed: a rule failed.
    :raises EvalGateInconclusive: no rule failed, and at least one is inconclusive.
    """

    template_fields: Sequence[str] = ("conn_id", "summary", "rules", "labels", "score_ranges", "baseline")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields[1:], "json")
    ui_color = "#e0ffe8"

    def __init__(
        self,
        *,
        summary: Any,
        rules: Mapping[str, Mapping[str, Any] | XComArg] | XComArg,
        labels: Mapping[str, Sequence[str]] | XComArg | None = None,
        score_ranges: Mapping[str, Sequence[float]] | XComArg | None = None,
        baseline: Any = None,
        min_evaluated: int = 1,
        max_error_rate: float = MAX_ERROR_RATE,
        confidence: float | None = None,
        false_alarms_per_year: float | None = None,
        on_inconclusive: OnInconclusive = "fail",
        on_failure: OnFailure = "fail",
        response_timeout: timedelta | float | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] = (),
        across_evaluator_versions: bool = False,
        accept_unverified: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.summary = summary
        self.rules = rules
        self.labels = labels
        self.score_ranges = score_ranges
        self.baseline = baseline
        self.min_evaluated = arguments.whole_number(min_evaluated, "min_evaluated")
        self.max_error_rate = max_error_rate
        self.confidence = confidence
        self.false_alarms_per_year = false_alarms_per_year
        self.on_inconclusive = arguments.choice(on_inconclusive, "on_inconclusive", get_args(OnInconclusive))
        self.on_failure = arguments.choice(on_failure, "on_failure", get_args(OnFailure))
        self.response_timeout = approvals.read_response_timeout(response_timeout)
        self.notifiers = approvals.read_notifiers(notifiers)
        self.across_evaluator_versions = arguments.switch(
            across_evaluator_versions, "across_evaluator_versions"
        )
        self.accept_unverified = arguments.switch(accept_unverified, "accept_unverified")
        self._results: list[RuleResult] = []
        self._window: str | None = None
        if (rate := arguments.finite(max_error_rate)) is None or not 0 <= rate <= 1:
            raise InvalidInput(f"max_error_rate must be from 0 to 1, not {max_error_rate!r}.")
        _check_confidence(confidence, false_alarms_per_year)
        read = check_rules(
            rules,
            labels=labels,
            min_evaluated=self.min_evaluated,
            score_ranges=score_ranges,
            confidence=confidence,
        )
        if false_alarms_per_year is not None:
            _check_not_calibrated(read)
        if "ask" in {on_failure, on_inconclusive}.union(*(evaluator.reactions for evaluator in read)):
            approvals.check_can_ask()
        if is_templated(self.summary) and (self.baseline is None or is_templated(self.baseline)):
            return
        from airflow_provider_online_tasks.gate.summary import list_summaries, read_evaluators

        if not is_templated(self.summary):
            read_evaluators(self.summary, "summary")
        if not is_templated(self.baseline):
            for earlier in list_summaries(self.baseline):
                read_evaluators(earlier, "baseline")

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the rules, log and report the verdict, and stop downstream tasks unless it passed."""
        from airflow_provider_online_tasks.gate import report
        from airflow_provider_online_tasks.gate.examples import EXAMPLES, HUMAN_LABELS

        verdict = self._check(context)
        examples, people = verdict[EXAMPLES], verdict[HUMAN_LABELS]
        self.log.info("Rules of the gate:\n%s", report.text_table(self._results))
        if people:
            self.log.info("What people say:\n%s", report.people_text(people))
        if examples:
            self.log.info("Examples that violate the rules:\n%s", report.examples_text(examples))
        self._report(context, verdict)
        if verdict["passed"]:
            return verdict
        if verdict["reaction"] == "warn":
            self.log.warning("%s", self._message())
            return verdict
        context["ti"].xcom_push(key="return_value", value=verdict)
        message, is_inconclusive = self._message(), verdict["outcome"] == "inconclusive"
        if verdict["reaction"] == "skip":
            raise AirflowSkipException(message)
        if verdict["reaction"] == "ask":
            self.log.info("%s Waiting for a decision on the page of required actions.", message)
            body = [report.markdown_table(self._results), report.people_markdown(people)]
            if examples:
                body += ["**Examples that violate the rules**", report.examples_markdown(examples)]
            try:
                approvals.ask(
                    context,
                    task_id=self.task_id,
                    subject=f"Gate {self.task_id}: {verdict['outcome']}. Continue anyway?",
                    body="\n\n".join(filter(None, body)),
                    response_timeout=self.response_timeout,
                    notifiers=self.notifiers,
                    method_name="execute_complete",
                )
            except approvals.CannotAsk as error:
                message = f"{message} {error}"
        raise (EvalGateInconclusive if is_inconclusive else EvalGateFailed)(message, verdict=verdict)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Report the verdict with the response of a person, and fail unless they approved."""
        verdict = self._check(context)
        verdict["approved"], verdict["responded_by"] = approvals.read_response(event)
        self._report(context, verdict)
        if not verdict["approved"]:
            context["ti"].xcom_push(key="return_value", value=verdict)
            message = f"{self._message()} Not approved; response by {verdict['responded_by']}."
            raise EvalGateFailed(message, verdict=verdict)
        self.log.info("%s Approved by %s.", self._message(), verdict["responded_by"])
        return verdict

    def _check(self, context: Context) -> dict[str, Any]:
        """Check the rules, and return the verdict."""
        from airflow_provider_online_tasks.gate.checks import verdict
        from airflow_provider_online_tasks.gate.examples import (
            EXAMPLES,
            HUMAN_LABELS,
            human_labels_of,
            select_examples,
        )
        from airflow_provider_online_tasks.gate.rules import check_bounds, read_labels, read_rules

        rules, labels = read_rules(self.rules, min_evaluated=self.min_evaluated), read_labels(self.labels)
        check_bounds(rules, self.confidence)
        if self.false_alarms_per_year is None:
            self._results = self._check_window(rules, self.confidence)
        else:
            self._results = self._check_history(context, rules, self.false_alarms_per_year)
        subject = ("run_id", "online_task_id", "project_id", "data_start_time", "data_end_time")
        return {
            **verdict(self._results, on_failure=self.on_failure, on_inconclusive=self.on_inconclusive),
            "confidence": self.confidence,
            "false_alarms_per_year": self.false_alarms_per_year,
            **{key: self.summary.get(key) for key in subject},
            HUMAN_LABELS: human_labels_of(rules, self.summary),
            EXAMPLES: select_examples(rules, self._results, self.summary, labels),
        }

    def _check_window(self, rules: Sequence[EvaluatorRules], confidence: float | None) -> list[RuleResult]:
        """Check the rules on the results of this window."""
        from airflow_provider_online_tasks.gate.checks import check_summary
        from airflow_provider_online_tasks.gate.rules import read_labels

        return check_summary(
            rules,
            self.summary,
            baseline=self.baseline,
            labels=read_labels(self.labels),
            score_ranges=read_score_ranges(self.score_ranges),
            max_error_rate=self.max_error_rate,
            confidence=confidence,
            across_evaluator_versions=self.across_evaluator_versions,
            accept_unverified=self.accept_unverified,
        )

    def _check_history(
        self, context: Context, rules: Sequence[EvaluatorRules], false_alarms_per_year: float
    ) -> list[RuleResult]:
        """Check the rules on this window and the earlier ones that this task has checked."""
        from airflow_provider_online_tasks.gate.recurring import WINDOW_KEY, RecurringCheck, history_text

        _check_not_calibrated(rules)
        check = RecurringCheck(
            rules=rules,
            summary=self.summary,
            score_ranges=read_score_ranges(self.score_ranges),
            false_alarms_per_year=false_alarms_per_year,
            across_versions=self.across_evaluator_versions,
        )
        results = self._check_window(rules, check.budget.confidence)
        # One request returns the records of all map indexes in this and all earlier DAG runs.
        ti = context["ti"]
        earlier = ti.xcom_pull(task_ids=self.task_id, key=WINDOW_KEY, include_prior_dates=True)
        checked = check.check(results, earlier if isinstance(earlier, list) else [earlier])
        self.log.info("%s", history_text(checked.windows))
        self._window = checked.record
        return checked.results

    def _message(self) -> str:
        """Return which rules did not pass."""
        texts = [_failure_text(result) for result in self._results if not result.passed]
        return f"{len(texts)} of {len(self._results)} rules of the gate did not pass: {'; '.join(texts)}."

    def _report(self, context: Context, verdict: dict[str, Any]) -> None:
        """Push the record for the Evals page, and add the verdict to asset events and OpenLineage."""
        from airflow_provider_online_tasks.gate.examples import EXAMPLES
        from airflow_provider_online_tasks.gate.recurring import WINDOW_KEY
        from airflow_provider_online_tasks.results.history import VERDICT_KEY, verdict_record

        facts = {key: value for key, value in verdict.items() if key != EXAMPLES}
        context["ti"].xcom_push(key=VERDICT_KEY, value=verdict_record(verdict))
        if self._window is not None:
            context["ti"].xcom_push(key=WINDOW_KEY, value=self._window)
        update_asset_events(context, self.outlets, facts)
        self.keep_lineage(
            facts, namespace=self.summary.get("arize_url"), project_id=self.summary.get("project_id")
        )


def _check_confidence(confidence: Any, false_alarms_per_year: Any) -> None:
    """Raise InvalidInput if one is out of range, or both are set."""
    if confidence is not None and not MIN_CONFIDENCE <= (arguments.finite(confidence) or 0) <= MAX_CONFIDENCE:
        raise InvalidInput(
            f"confidence must be from {MIN_CONFIDENCE} to {MAX_CONFIDENCE}, such as 0.95, not {confidence!r}."
        )
    if false_alarms_per_year is not None:
        check_false_alarms(false_alarms_per_year)
        if confidence is not None:
            raise InvalidInput("Set only one of confidence and false_alarms_per_year.")


def check_false_alarms(number: Any) -> None:
    """Raise InvalidInput if ``false_alarms_per_year`` is out of range."""
    least, most = FALSE_ALARMS
    if not least <= (arguments.finite(number) or 0) <= most:
        raise InvalidInput(
            f"false_alarms_per_year must be from {least} to {most}, such as 1, not {number!r}."
        )


def _check_not_calibrated(rules: Sequence[EvaluatorRules]) -> None:
    """Raise InvalidInput for rules that need a proof in one window."""
    for evaluator in rules:
        if evaluator.calibrated is not None:
            raise InvalidInput(
                f"{evaluator.evaluator}.calibrated cannot be used with false_alarms_per_year. Check it "
                f"with a second gate that has a confidence."
            )


def _failure_text(result: RuleResult) -> str:
    """Return why a rule did not pass."""
    name = f"{shown_name(result.evaluator)}.{shown_name(result.measure)}"
    if result.failing_since is not None:
        return f"{name} fails {result.rule} since {result.failing_since}; it is {result.measured_text} now"
    relation = "inconclusive for" if result.outcome == "inconclusive" else "not"
    return f"{name} is {result.measured_text}, {relation} {result.rule}"
