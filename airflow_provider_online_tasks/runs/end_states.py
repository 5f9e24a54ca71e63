"""How a run can end, and what a task does about it: succeed, skip, or fail and say why.

:class:`Ending` names the endings, :func:`read_ending` recognises them, and :func:`explain` is the table: for
each ending its exception, what happened, what it means and what to do. A status or an ending that is added
and forgotten in one of them is a type error.
"""

from __future__ import annotations

import enum
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Literal, assert_never, get_args

from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks.api.responses.runs import DEFAULT_MAX_SPANS, RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    FINAL,
    InvalidInput,
    OnlineTaskRunCancelled,
    OnlineTaskRunErrorRateExceeded,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunUnsuccessful,
)

LOG_COLUMNS = 100


class Ending(enum.Enum):
    """How a run ended, as far as it matters to a pipeline."""

    SUCCEEDED = "succeeded"
    NOTHING_EVALUATED = "nothing evaluated"
    ERROR_RATE_EXCEEDED = "too many errors"
    ONLY_ERRORS = "only errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


def read_ending(run: TaskRun, *, max_error_rate: float | None = None) -> Ending:
    """Return how a run that is over has ended.

    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1.
    :raises ValueError: the run is not over.
    """
    counts = run.counts
    match run.status:
        case RunStatus.COMPLETED:
            if counts.attempted == 0:
                return Ending.NOTHING_EVALUATED
            if counts.successes == 0:
                return Ending.ONLY_ERRORS
            if max_error_rate is not None and counts.error_rate > max_error_rate:
                return Ending.ERROR_RATE_EXCEEDED
            return Ending.SUCCEEDED
        case RunStatus.FAILED:
            return Ending.FAILED
        case RunStatus.CANCELLED:
            if counts.done == 0 and says_already_labelled(run.failure_reason):
                return Ending.NOTHING_EVALUATED
            return Ending.CANCELLED
        case RunStatus.PENDING | RunStatus.RUNNING | RunStatus.UNKNOWN:
            raise ValueError(f"run {run.id} is not over: {run.status_text}")
        case _:
            assert_never(run.status)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a person reads about how a run ended: three sentences, of which the last two may be empty.

    :param kind: the exception of this ending; None for a success.
    :param happened: what happened.
    :param means: what that means.
    :param do: what to do about it.
    """

    kind: type[OnlineTaskRunUnsuccessful] | None
    happened: str
    means: str = ""
    do: str = ""

    def __str__(self) -> str:
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What happened, what it means and what to do."""
        return tuple(filter(None, (self.happened, self.means, self.do)))

    def lines(self) -> list[str]:
        """Return the sentences as lines of the task's log, each begun anew and wrapped."""
        return [
            line
            for sentence in self.sentences
            for line in textwrap.wrap(sentence, LOG_COLUMNS, break_long_words=False, break_on_hyphens=False)
        ]


def explain(ending: Ending, run: TaskRun, *, max_error_rate: float | None = None) -> Explanation:
    """Return what there is to say about how a run ended.

    :param ending: what :func:`read_ending` found.
    :param run: the run.
    :param max_error_rate: the largest share of errors that was acceptable.
    """
    counts = run.counts
    match ending:
        case Ending.SUCCEEDED:
            return Explanation(kind=None, happened=f"Run {run.id} is completed: {counts}.")
        case Ending.NOTHING_EVALUATED:
            return _nothing_evaluated(run)
        case Ending.ERROR_RATE_EXCEEDED:
            return Explanation(
                kind=OnlineTaskRunErrorRateExceeded,
                happened=f"Run {run.id} is completed with too many errors: {counts}.",
                means=f"{counts.error_rate:.1%} of the attempted spans could not be judged, more than "
                f"max_error_rate ({max_error_rate or 0.0:.1%}) permits.",
                do="Look at the errors in Arize before you trust the labels.",
            )
        case Ending.ONLY_ERRORS:
            return Explanation(
                kind=OnlineTaskRunFailed,
                happened=f"Run {run.id} is completed without one success: {counts}. {_reason(run)}",
                means="Every span that the evaluator was asked about ended in an error.",
                do="Check the evaluator's LLM, its key and the template.",
            )
        case Ending.FAILED:
            return Explanation(
                kind=OnlineTaskRunFailed,
                happened=f"Run {run.id} failed: {counts}. {_reason(run)}",
                means="The labels that it made stay; the rest of the window is not judged.",
                do="Fix the cause, then clear the task to start a new run.",
            )
        case Ending.CANCELLED:
            return Explanation(
                kind=OnlineTaskRunCancelled,
                happened=f"Run {run.id} was cancelled: {counts}. {_reason(run)}",
                means="It stopped before any span was done: a person cancelled it, or the LLM refused its "
                "credentials, or the evaluator is broken."
                if counts.done == 0
                else "Its labels cover a part of the window only.",
                do="Find out who or what cancelled it, then clear the task to start a new run.",
            )
        case _:
            assert_never(ending)


def _nothing_evaluated(run: TaskRun) -> Explanation:
    happened = f"Run {run.id} evaluated nothing."
    if run.failure_reason:
        happened += f" {_reason(run)}"
    if run.status is RunStatus.CANCELLED:
        means = "All matching spans are labelled already."
        do = "Set override_evaluations=True to judge them again."
    elif run.counts.skipped:
        means = f"All {run.counts.skipped} spans were skipped, as spans that are labelled already are."
        do = "Set override_evaluations=True to judge them again."
    else:
        means = "No span in the window matches the task's filter and sampling."
        do = "Check the window, the query filter, and whether the application sent spans."
    return Explanation(kind=OnlineTaskRunNothingEvaluated, happened=happened, means=means, do=do)


def no_run_started(reason: str, window: object) -> Explanation:
    """Return what there is to say when Arize starts no run, since the window holds no data."""
    return Explanation(
        kind=OnlineTaskRunNothingEvaluated,
        happened=f"No run was started. Arize says: {reason}",
        means=f"There is nothing to evaluate in {window}.",
        do="Check the window, the query filter, and whether the application sent spans.",
    )


def _reason(run: TaskRun) -> str:
    said = (run.failure_reason or "").strip().rstrip(".")
    return f"Arize says: {said}." if said else "Arize gives no reason."


def probably_cut(run: TaskRun, max_spans: int | None) -> bool:
    """Return whether a run attempted exactly as many spans as it was allowed to."""
    return run.counts.attempted >= (max_spans or DEFAULT_MAX_SPANS)


def says_already_labelled(reason: str | None) -> bool:
    """Return whether a cancelled run's reason says that all matching data is labelled already.

    Only the wording tells this case from refused credentials and broken evaluators: the
    documented reason asks to re-trigger with override_evaluations. What is not recognised is a failure.
    """
    words = (reason or "").lower().replace("_", " ")
    return "override evaluations" in words and "already" in words


# Whole words: "no database" or "no matching integration" must fail, not skip.
_NO_DATA = re.compile(r"\bno (matching )?(data|spans?)\b")


def says_no_data(code: str | None, reason: str) -> bool:
    """Return whether a TaskError says that no span is in the window. Its codes are not documented."""
    words = f"{code or ''} {reason}".lower().replace("_", " ")
    return _NO_DATA.search(words) is not None


OnNothingEvaluated = Literal["fail", "skip", "succeed"]
ON_NOTHING_EVALUATED: tuple[OnNothingEvaluated, ...] = get_args(OnNothingEvaluated)


class EndingRules:
    """Which endings count as what.

    :param on_nothing_evaluated: what a run that scored nothing does to the task: ``fail``, ``skip`` or
        ``succeed``.
    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1. None: any,
        as long as one span was scored.
    :param max_spans: the run's cap on spans, to recognise a window that was cut. None: the API's 10,000.
    :raises InvalidInput: a value is wrong.
    """

    def __init__(
        self,
        *,
        on_nothing_evaluated: OnNothingEvaluated = "skip",
        max_error_rate: Any = None,
        max_spans: int | None = None,
    ) -> None:
        if on_nothing_evaluated not in ON_NOTHING_EVALUATED:
            raise InvalidInput(
                f"on_nothing_evaluated must be one of {', '.join(ON_NOTHING_EVALUATED)}, "
                f"not {on_nothing_evaluated!r}."
            )
        if max_error_rate is not None and (
            isinstance(max_error_rate, bool)
            or not isinstance(max_error_rate, int | float)
            or not 0 <= max_error_rate <= 1
        ):
            raise InvalidInput(f"max_error_rate must be a share from 0 to 1, not {max_error_rate!r}.")
        self.on_nothing_evaluated: OnNothingEvaluated = on_nothing_evaluated
        self.max_error_rate: float | None = max_error_rate
        self.max_spans = max_spans

    def settle(
        self,
        run: TaskRun,
        *,
        log: Any,
        url: str | None = None,
        task: str | None = None,
        final: bool = False,
    ) -> None:
        """Return if a run that is over counts as a success; else log why not, and raise.

        :param run: the run.
        :param log: the task's log.
        :param url: where the Arize UI shows the run's spans.
        :param task: the name of the run's task, where it is known.
        :param final: whether no retry can change the run, so that its failure is an ``AirflowFailException``.
        :raises OnlineTaskRunUnsuccessful: the subclass that fits the ending.
        :raises AirflowSkipException: nothing was evaluated, and that skips.
        """
        ending = read_ending(run, max_error_rate=self.max_error_rate)
        found = explain(ending, run, max_error_rate=self.max_error_rate)
        if task is not None and run.task_id is not None:
            log.info("Run %s is of the task %r (%s).", run.id, task, run.task_id)
        if found.kind is not None:
            self.settle_bad(found, log=log, run=run, url=url, final=final)
            return
        log.info("%s%s", found, _see(url))
        if probably_cut(run, self.max_spans):
            log.warning(
                "The run attempted %d spans, as many as it may (%d): the window was probably cut, and "
                "some of its spans are not evaluated. Raise max_spans, or cut the window with "
                "split_window().",
                run.counts.attempted,
                self.max_spans or DEFAULT_MAX_SPANS,
            )

    def settle_bad(
        self,
        found: Explanation,
        *,
        log: Any,
        run: TaskRun | None,
        url: str | None = None,
        final: bool = False,
    ) -> None:
        """Log what a bad end, or an attempt that evaluated nothing, is about, and act on it.

        :raises OnlineTaskRunUnsuccessful: the subclass that fits the ending.
        :raises AirflowSkipException: nothing was evaluated, and that skips.
        """
        kind = found.kind or OnlineTaskRunUnsuccessful
        reaction = self.on_nothing_evaluated if kind is OnlineTaskRunNothingEvaluated else "fail"
        say = log.error if reaction == "fail" else log.warning
        for line in found.lines():
            say("%s", line)
        if url:
            log.info("The spans in Arize: %s", url)
        message = f"{found}{_see(url)}"
        match reaction:
            case "fail":
                raise (FINAL[kind] if final else kind)(message, run=run.summary() if run else None)
            case "skip":
                raise AirflowSkipException(message)
            case "succeed":
                log.info("The task succeeds all the same: on_nothing_evaluated is %r.", reaction)
            case _:
                assert_never(reaction)


def _see(url: str | None) -> str:
    return f" See {url}" if url else ""
