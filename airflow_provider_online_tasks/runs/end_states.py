"""How a run can end, and what a task does about it: succeed, skip or fail."""

from __future__ import annotations

import enum
import re
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, assert_never

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks._defaults import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs.arguments import choice

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

LOG_COLUMNS = 100
CHECK_THE_WINDOW = "Check the window, the query filter, and whether the application sent spans."
OnNothingEvaluated = Literal["fail", "skip", "succeed"]
# Whole words: "no database" or "no matching integration" must fail, not skip.
_NO_DATA = re.compile(r"\bno (matching )?(data|spans?)\b")


class EndState(enum.Enum):
    """How a run ended: the cases that a pipeline treats differently."""

    SUCCEEDED = "succeeded"
    NOTHING_TO_ADD = "nothing to add"
    NOTHING_EVALUATED = "nothing evaluated"
    ERROR_RATE_EXCEEDED = "too many errors"
    ONLY_ERRORS = "only errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


def read_end_state(
    run: TaskRun, *, max_error_rate: float | None = None, labels_exist: bool = False
) -> EndState:
    """Return the end state of a finished run.

    :param labels_exist: whether spans of its window have labels, if it skipped all spans.
    """
    from airflow_provider_online_tasks.api.responses import RunStatus

    counts = run.counts
    match run.status:
        case RunStatus.COMPLETED:
            if skipped_all(run) and labels_exist:
                return EndState.NOTHING_TO_ADD
            if counts.attempted == 0:
                return EndState.NOTHING_EVALUATED
            if counts.successes == 0:
                return EndState.ONLY_ERRORS
            if max_error_rate is not None and counts.error_rate > max_error_rate:
                return EndState.ERROR_RATE_EXCEEDED
            return EndState.SUCCEEDED
        case RunStatus.FAILED:
            return EndState.FAILED
        case RunStatus.CANCELLED:
            if counts.done == 0 and says_already_labelled(run.failure_reason):
                return EndState.NOTHING_TO_ADD
            return EndState.CANCELLED
        case RunStatus.PENDING | RunStatus.RUNNING | RunStatus.UNKNOWN:
            raise ValueError(f"run {run.id} isn't finished: {run.status_text}")
        case _:
            assert_never(run.status)


def skipped_all(run: TaskRun) -> bool:
    """Return whether a run skipped all spans: because of their labels, or for other reasons."""
    return run.counts.attempted == 0 < run.counts.skipped


def says_already_labelled(reason: str | None) -> bool:
    """Return whether the reason of a cancelled run says that all matching spans already have a label."""
    # Only the wording differs from rejected credentials and broken evaluators. Unknown ones are failures.
    words = (reason or "").lower().replace("_", " ")
    return "override evaluations" in words and ("already" in words or "trigger" in words)


def says_no_data(code: str | None, reason: str) -> bool:
    """Return whether a TaskError says that the window has no span. Its codes are not documented."""
    words = f"{code or ''} {reason}".lower().replace("_", " ")
    return _NO_DATA.search(words) is not None


class Explanation(NamedTuple):
    """The exception of an end state (None for a success), what happened, what it means, and what to do."""

    exception: type[exceptions.OnlineTaskRunUnsuccessful] | None
    happened: str
    meaning: str = ""
    advice: str = ""


def explain(end_state: EndState, run: TaskRun, *, max_error_rate: float | None = None) -> Explanation:
    """Return the exception, the text and the advice of an end state."""
    counts = run.counts
    reason = (run.failure_reason or "").strip().rstrip(".")
    reason = f"Arize gives the reason: {reason}." if reason else "Arize gives no reason."
    match end_state:
        case EndState.SUCCEEDED:
            return Explanation(None, f"Run {run.id} completed: {counts}.")
        case EndState.NOTHING_TO_ADD:
            what = "all matching spans already have a label"
            if counts.skipped:
                what = f"it skipped {counts.skipped} spans, and spans of the window already have labels"
            return Explanation(
                None,
                f"Run {run.id} has nothing to add: {what}. EvalResultsOperator reads these labels. To "
                f"evaluate the spans again, set override_evaluations=True.",
            )
        case EndState.NOTHING_EVALUATED:
            if counts.skipped:
                meaning = (
                    f"All {counts.skipped} spans were skipped. Spans without a label are skipped if they "
                    f"have no value for a variable of the template."
                )
                advice = "Check the template's variables, and the column mappings of the evaluator."
            else:
                meaning = "No span in the window matches the task's filter and sampling."
                advice = CHECK_THE_WINDOW
            return Explanation(
                exceptions.OnlineTaskRunNothingEvaluated,
                f"Run {run.id} evaluated nothing.{f' {reason}' if run.failure_reason else ''}",
                meaning,
                advice,
            )
        case EndState.ERROR_RATE_EXCEEDED:
            return Explanation(
                exceptions.OnlineTaskRunErrorRateExceeded,
                f"Run {run.id} completed with too many errors: {counts}.",
                f"{counts.error_rate:.1%} of the attempted spans could not be evaluated, more than "
                f"max_error_rate ({max_error_rate or 0.0:.1%}) allows.",
                "Look at the errors in Arize before you use the labels.",
            )
        case EndState.ONLY_ERRORS:
            return Explanation(
                exceptions.OnlineTaskRunFailed,
                f"Run {run.id} completed with errors only: {counts}. {reason}",
                "The evaluator failed on every span.",
                "Check the evaluator's LLM, its API key and the template, or its code.",
            )
        case EndState.FAILED:
            return Explanation(
                exceptions.OnlineTaskRunFailed,
                f"Run {run.id} failed: {counts}. {reason}",
                "Its labels are kept. The remaining spans of the window are not evaluated.",
                "Fix the cause, then clear the task to start a new run.",
            )
        case EndState.CANCELLED:
            return Explanation(
                exceptions.OnlineTaskRunCancelled,
                f"Run {run.id} was cancelled: {counts}. {reason}",
                "It stopped before the first span: a user cancelled it, the LLM rejected its credentials, or "
                "the evaluator is broken."
                if counts.done == 0
                else "Its labels cover only a part of the window.",
                "Find out who or what cancelled it, then clear the task to start a new run.",
            )
        case _:
            assert_never(end_state)


class EndRules:
    """Which end states are successes. The arguments are those of the operator."""

    def __init__(
        self, *, on_nothing_evaluated: OnNothingEvaluated = "skip", max_error_rate: Any = None
    ) -> None:
        self.on_nothing_evaluated: OnNothingEvaluated = choice(
            on_nothing_evaluated, "on_nothing_evaluated", ("fail", "skip", "succeed")
        )
        if max_error_rate is not None and (
            isinstance(max_error_rate, bool)
            or not isinstance(max_error_rate, int | float)
            or not 0 <= max_error_rate <= 1
        ):
            raise exceptions.InvalidInput(f"max_error_rate must be from 0 to 1, not {shown(max_error_rate)}.")
        self.max_error_rate: float | None = max_error_rate

    def accept(self, run: TaskRun) -> bool:
        """Return whether the end of a finished run doesn't fail the task."""
        end_state = read_end_state(run, max_error_rate=self.max_error_rate)
        if end_state is EndState.NOTHING_EVALUATED:
            return self.on_nothing_evaluated != "fail"
        return end_state in (EndState.SUCCEEDED, EndState.NOTHING_TO_ADD)

    def conclude(
        self,
        run: TaskRun,
        *,
        log: Any,
        hook: OnlineTasksHook | None = None,
        url: str | None = None,
        task: str | None = None,
        max_spans: int | None = None,
        labels_exist: bool = False,
    ) -> None:
        """Return if a finished run counts as a success, else log the reason and raise."""
        end_state = read_end_state(run, max_error_rate=self.max_error_rate, labels_exist=labels_exist)
        explanation = explain(end_state, run, max_error_rate=self.max_error_rate)
        if end_state is EndState.NOTHING_EVALUATED and skipped_all(run) and run.task_id and hook:
            with suppress(exceptions.OnlineTasksError):  # the run is what counts
                if problem := hook.explain_skipped_spans(run.task_id):
                    explanation = explanation._replace(meaning=problem, advice="Then clear the task.")
        if task is not None and run.task_id is not None:
            log.info("Run %s belongs to the task %r (%s).", run.id, task, run.task_id)
        if explanation.exception is not None:
            self._react(explanation.exception, explanation[1:], log=log, run=run, url=url)
            return
        log.info("%s%s", explanation.happened, f" See {url}" if url else "")
        if run.counts.attempted >= (max_spans or DEFAULT_MAX_SPANS):
            log.warning(
                "The run attempted %d spans, its maximum: the window probably has more. Increase max_spans, "
                "or split the window with split_window().",
                run.counts.attempted,
            )

    def conclude_without_run(self, reason: str, window: object, *, log: Any) -> None:
        """Return if a window without data counts as a success, else log Arize's reason and raise."""
        sentences = (
            f"Arize started no run. It gives the reason: {reason}",
            f"There is nothing to evaluate in {window}.",
            CHECK_THE_WINDOW,
        )
        self._react(exceptions.OnlineTaskRunNothingEvaluated, sentences, log=log)

    def _react(
        self,
        exception: type[exceptions.OnlineTaskRunUnsuccessful],
        sentences: tuple[str, ...],
        *,
        log: Any,
        run: TaskRun | None = None,
        url: str | None = None,
    ) -> None:
        reaction = (
            self.on_nothing_evaluated if exception is exceptions.OnlineTaskRunNothingEvaluated else "fail"
        )
        write = log.error if reaction == "fail" else log.warning
        for sentence in sentences:
            for line in textwrap.wrap(sentence, LOG_COLUMNS, break_long_words=False, break_on_hyphens=False):
                write("%s", line)
        if url:
            log.info("The spans in Arize: %s", url)
        message = " ".join(sentences) + (f" See {url}" if url else "")
        if reaction == "fail":
            raise exception(message, run=run.summary() if run else None)
        if reaction == "skip":
            raise AirflowSkipException(message)
        log.info("The task succeeds because on_nothing_evaluated is %r.", reaction)
