"""Check evaluation results against the rules of a gate. Sends no requests to Arize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive, InvalidInput
from airflow_provider_online_tasks.gate.approval import ask, check_can_ask, read_answer
from airflow_provider_online_tasks.inputs.arguments import choice, positive_seconds, switch, whole_number
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.operators.base import LineageOperator
from airflow_provider_online_tasks.results.history import VERDICT_KEY, verdict_record

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.gate.verdict import Finding

OnFailure = Literal["fail", "skip", "ask"]
OnInconclusive = Literal["fail", "skip", "pass", "ask"]
MAX_ERROR_RATE = 0.05


class EvalGateOperator(LineageOperator):
    """Check the results of an eval against rules. If a rule is broken, what is downstream does not run.

    It sends nothing to Arize: it reads the summary of ``EvalResultsOperator``. A rule compares the share of a
    label, ``score_mean`` or a quantile (``score_p05`` … ``score_p95``) with a bound. ``min_evaluated`` is the
    fewest evaluations that a rule needs, ``max_missing`` the largest share of them that may lack the label or
    the score, ``max_drop`` the largest loss against the baseline, and ``each_segment`` holds rules for every
    segment. A rule that cannot be measured does not pass, and incomplete results do not either.

    XCom: the verdict, rule by rule, with the worst examples. It is also the ``extra`` of the events of the
    task's ``outlets``, and OpenLineage's data quality assertions.

    :param summary: what ``EvalResultsOperator`` returned. (templated)
    :param rules: ``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200}}``.
        (templated)
    :param labels: evaluator name to all its labels. A rule on another label is refused. Needed for upper
        bounds on labels, which a misspelled label would always keep. (templated)
    :param baseline: the summary of an earlier window, or a list of them, for ``max_drop``. Default: what
        ``EvalResultsOperator`` read with its ``baseline``. (templated)
    :param min_evaluated: fewest evaluations for evaluators whose rules do not say it. Default 1.
    :param max_error_rate: largest share of the run's attempted items whose evaluation failed, 0 to 1: they
        were not judged. Default 0.05.
    :param confidence: of the intervals by which a rule is held, broken or undecided, such as 0.95. Default:
        none, the measured figures are compared as they are.
    :param on_inconclusive: what an undecided rule does: ``fail`` (default), ``skip``, ``pass`` or ``ask``.
    :param on_failure: whether a broken rule fails the task (``fail``, default), skips it and what is
        downstream (``skip``), or has a person decide on Airflow's page of required actions (``ask``, Airflow
        3.1 or later).
    :param response_timeout: how long to wait for that person, a timedelta or seconds; then the task fails.
        Default: no limit.
    :param across_evaluator_versions: whether ``max_drop`` compares results of different evaluator versions.
        Default False.
    :param accept_unverified: whether results may pass if it is not known whether they are complete, such as
        those of a task and a window. Default False.
    :param conn_id: Airflow connection; the gate itself sends nothing. (templated)
    :raises InvalidInput: an argument is wrong, a rule cannot be parsed, or names an unknown label; when the
        DAG is parsed if it is a literal.
    :raises EvalGateFailed: a rule is broken.
    :raises EvalGateInconclusive: no rule is broken, and one is undecided.
    """

    template_fields: Sequence[str] = ("conn_id", "summary", "rules", "labels", "baseline")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields[1:], "json")
    ui_color = "#e0ffe8"

    def __init__(
        self,
        *,
        summary: Any,
        rules: Mapping[str, Mapping[str, Any] | XComArg] | XComArg,
        labels: Mapping[str, Sequence[str]] | XComArg | None = None,
        baseline: Any = None,
        min_evaluated: int = 1,
        max_error_rate: float = MAX_ERROR_RATE,
        confidence: float | None = None,
        on_inconclusive: OnInconclusive = "fail",
        on_failure: OnFailure = "fail",
        response_timeout: timedelta | float | None = None,
        across_evaluator_versions: bool = False,
        accept_unverified: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.summary = summary
        self.rules = rules
        self.labels = labels
        self.baseline = baseline
        self.min_evaluated = whole_number(min_evaluated, "min_evaluated")
        self.max_error_rate = max_error_rate
        self.confidence = confidence
        self.on_inconclusive = choice(on_inconclusive, "on_inconclusive", get_args(OnInconclusive))
        self.on_failure = choice(on_failure, "on_failure", get_args(OnFailure))
        self.response_timeout = (
            None
            if response_timeout is None
            else timedelta(seconds=positive_seconds(response_timeout, "response_timeout"))
        )
        self.across_evaluator_versions = switch(across_evaluator_versions, "across_evaluator_versions")
        self.accept_unverified = switch(accept_unverified, "accept_unverified")
        self._findings: list[Finding] = []
        rate: Any = max_error_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise InvalidInput(f"max_error_rate must be from 0 to 1, not {rate!r}.")
        sure: Any = confidence
        if sure is not None and (
            isinstance(sure, bool) or not isinstance(sure, int | float) or not 0.5 <= sure < 1
        ):
            raise InvalidInput(f"confidence must be from 0.5 to below 1, such as 0.95, not {sure!r}.")
        if "ask" in (on_failure, on_inconclusive):
            check_can_ask()
        if not is_templated(summary):
            from airflow_provider_online_tasks.gate.verdict import read_evaluators

            read_evaluators(summary, "summary")
        if baseline is not None and not is_templated(baseline):
            from airflow_provider_online_tasks.gate.verdict import read_evaluators, several

            for one in several(baseline):
                read_evaluators(one, "baseline")
        from airflow_provider_online_tasks.gate.rules import check_rules

        check_rules(rules, labels=labels, min_evaluated=min_evaluated)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the rules, and log the outcome as one table."""
        from airflow_provider_online_tasks.gate import report as table

        verdict = self._judge()
        self.log.info("The gate's rules:\n%s", table.text_table(self._findings))
        if verdict["lowest_scoring_examples"]:
            self.log.info(
                "Lowest-scoring examples:\n%s", table.examples_text(verdict["lowest_scoring_examples"])
            )
        self._report(context, verdict)
        if verdict["passed"]:
            return verdict
        state, message = verdict["outcome"], self._message()
        reaction = self.on_inconclusive if state == "inconclusive" else self.on_failure
        context["ti"].xcom_push(key="return_value", value=verdict)
        if reaction == "skip":
            raise AirflowSkipException(message)
        if reaction == "ask":
            self.log.info("%s A person decides, on the page of required actions.", message)
            body = [table.markdown_table(self._findings)]
            if verdict["lowest_scoring_examples"]:
                body += [
                    "**Lowest-scoring examples**",
                    table.examples_markdown(verdict["lowest_scoring_examples"]),
                ]
            ask(
                context,
                task_id=self.task_id,
                subject=f"Gate {self.task_id}: {state}. Continue anyway?",
                body="\n\n".join(body),
                within=self.response_timeout,
            )
        error = EvalGateInconclusive if state == "inconclusive" else EvalGateFailed
        raise error(message, verdict=verdict)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Act on a person's answer."""
        verdict = self._judge()
        is_approved, who = read_answer(event)
        verdict |= {"approved": is_approved, "responded_by": who}
        self._report(context, verdict)
        if not is_approved:
            context["ti"].xcom_push(key="return_value", value=verdict)
            raise EvalGateFailed(f"{self._message()} Not approved: {who}.", verdict=verdict)
        self.log.info("%s Approved by %s.", self._message(), who)
        return verdict

    def _judge(self) -> dict[str, Any]:
        from airflow_provider_online_tasks.gate.report import worst_examples
        from airflow_provider_online_tasks.gate.rules import read_labels, read_rules
        from airflow_provider_online_tasks.gate.verdict import judge, verdict

        rules = read_rules(self.rules, min_evaluated=self.min_evaluated)
        self._findings = judge(
            rules,
            self.summary,
            baseline=self.baseline,
            labels=read_labels(self.labels),
            max_error_rate=self.max_error_rate,
            confidence=self.confidence,
            across_evaluator_versions=self.across_evaluator_versions,
            accept_unverified=self.accept_unverified,
        )
        about = {
            name: self.summary.get(name)
            for name in ("run_id", "online_task_id", "project_id", "data_start_time", "data_end_time")
        }
        return {
            **verdict(self._findings, on_inconclusive=self.on_inconclusive),
            "confidence": self.confidence,
            **about,
            "lowest_scoring_examples": worst_examples(self.summary, [one.evaluator for one in rules]),
        }

    def _message(self) -> str:
        """Say which rules do not hold."""
        open_rules = [one for one in self._findings if not one.passed]
        said = "; ".join(
            f"{one.evaluator}.{one.measure} is {one.measured_text}, inconclusive for {one.rule}"
            if one.outcome == "inconclusive"
            else f"{one.evaluator}.{one.measure} is {one.measured_text}, not {one.rule}"
            for one in open_rules
        )
        return f"{len(open_rules)} of {len(self._findings)} rules of the gate did not pass: {said}."

    def _report(self, context: Context, verdict: dict[str, Any]) -> None:
        """Put the verdict into the task's asset events, and keep it for OpenLineage."""
        extra = {name: value for name, value in verdict.items() if name != "lowest_scoring_examples"}
        context["ti"].xcom_push(key=VERDICT_KEY, value=verdict_record(verdict))
        tell_of_run(context, self.outlets, extra)
        self.keep_lineage(
            extra, namespace=self.summary.get("arize_url"), project_id=self.summary.get("project_id")
        )
