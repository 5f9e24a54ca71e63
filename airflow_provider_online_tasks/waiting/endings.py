"""What a task does about how a run ended: succeed, skip, or fail and say why."""

from __future__ import annotations

import enum
import re
from typing import Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_online_tasks.api.runs import DEFAULT_MAX_SPANS, RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    FINAL,
    InputRefused,
    InvalidConnection,
    InvalidInput,
    KeyRefused,
    NotFound,
    OnlineTaskRunCancelled,
    OnlineTaskRunEndedBadly,
    OnlineTaskRunErrorRateExceeded,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunUnreachable,
    OnlineTasksError,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedAnswer,
)


class Ending(enum.Enum):
    """How a run ended, as far as a pipeline must tell the endings apart."""

    SUCCEEDED = "succeeded"
    NOTHING_EVALUATED = "nothing evaluated"
    ERROR_RATE_EXCEEDED = "too many errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


def read_ending(run: TaskRun, *, max_error_rate: float | None = None) -> Ending:
    """Return how a run that is over has ended.

    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1.
    :raises ValueError: the run is not over.
    """
    counts = run.counts
    if run.status is RunStatus.COMPLETED:
        if counts.attempted == 0:
            return Ending.NOTHING_EVALUATED
        if counts.successes == 0:
            return Ending.FAILED
        if max_error_rate is not None and counts.error_rate > max_error_rate:
            return Ending.ERROR_RATE_EXCEEDED
        return Ending.SUCCEEDED
    if run.status is RunStatus.FAILED:
        return Ending.FAILED
    if run.status is RunStatus.CANCELLED:
        if counts.done == 0 and says_already_labelled(run.failure_reason):
            return Ending.NOTHING_EVALUATED
        return Ending.CANCELLED
    raise ValueError(f"run {run.id} is not over: {run.status_text}")


def probably_cut(run: TaskRun, max_spans: int | None) -> bool:
    """Return whether a run attempted exactly as many spans as it was allowed to."""
    return run.counts.attempted >= (max_spans or DEFAULT_MAX_SPANS)


def says_already_labelled(reason: str | None) -> bool:
    """Return whether a cancelled run's reason says that all matching data is labelled already.

    The API tells this apart from refused credentials and broken evaluators by its wording alone: the
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
ON_NOTHING_EVALUATED: tuple[OnNothingEvaluated, ...] = ("fail", "skip", "succeed")


class EndingRules:
    """Which endings count as what.

    :param on_nothing_evaluated: what a run that scored nothing does to the task: ``fail``, ``skip`` or
        ``succeed``.
    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1. None: any,
        as long as one span was scored.
    :param max_spans: the run's cap on spans, to tell a window that was cut. None: the API's 10,000.
    :raises InvalidInput: a value that is none of these.
    """

    def __init__(
        self,
        *,
        on_nothing_evaluated: str = "skip",
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
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate: float | None = max_error_rate
        self.max_spans = max_spans

    def settle(self, run: TaskRun, *, log: Any, url: str | None = None, final: bool = False) -> None:
        """Return if a run that is over counts as a success.

        :param run: the run.
        :param log: where a person reads about it.
        :param url: where the run's spans are seen in the Arize UI.
        :param final: whether no retry can change the run, so that its failure is an ``AirflowFailException``.
        :raises OnlineTaskRunEndedBadly: the subclass that fits the ending.
        :raises AirflowSkipException: nothing was evaluated, and that skips.
        """
        ending = read_ending(run, max_error_rate=self.max_error_rate)
        where = f" See {url}" if url else ""
        told = f"{run.counts}"
        if ending is Ending.SUCCEEDED:
            log.info("Run %s is completed: %s.%s", run.id, told, where)
            if probably_cut(run, self.max_spans):
                log.warning(
                    "The run attempted %d spans, as many as it may (%d): the window was probably cut, and "
                    "some of its spans are not evaluated. Raise max_spans, or cut the window with "
                    "split_window().",
                    run.counts.attempted,
                    self.max_spans or DEFAULT_MAX_SPANS,
                )
            return
        if ending is Ending.NOTHING_EVALUATED:
            self.settle_nothing(_nothing(run) + where, log=log, run=run, final=final)
            return
        kind, message = _bad(run, ending, self.max_error_rate or 0.0)
        raise _raised(kind, f"Run {run.id} {message} ({told}).{where}", run, final=final)

    def settle_nothing(self, message: str, *, log: Any, run: TaskRun | None, final: bool = False) -> None:
        """Act on a run, or an attempt at one, that evaluated nothing.

        :raises OnlineTaskRunNothingEvaluated: that fails.
        :raises AirflowSkipException: that skips.
        """
        if self.on_nothing_evaluated == "fail":
            raise _raised(OnlineTaskRunNothingEvaluated, message, run, final=final)
        if self.on_nothing_evaluated == "skip":
            raise AirflowSkipException(message)
        log.warning("%s", message)


def _raised(
    kind: type[OnlineTaskRunEndedBadly], message: str, run: TaskRun | None, *, final: bool
) -> OnlineTaskRunEndedBadly:
    return (FINAL[kind] if final else kind)(message, run=run.summary() if run else None)


def _nothing(run: TaskRun) -> str:
    if run.status is RunStatus.CANCELLED:
        return (
            f"Run {run.id} evaluated nothing: all matching spans are labelled already. "
            f"Arize says: {run.failure_reason} Set override_evaluations=True to judge them again."
        )
    if run.counts.skipped:
        why = f"all {run.counts.skipped} spans were skipped, as they are when they carry labels already"
    else:
        why = "no span in the window matches the task's filter and sampling"
    reason = f" Arize says: {run.failure_reason}" if run.failure_reason else ""
    return (
        f"Run {run.id} evaluated nothing: {why}.{reason} Check the window, the query filter and whether the "
        f"application sent spans; on_nothing_evaluated says what this does to the task."
    )


def _bad(run: TaskRun, ending: Ending, max_error_rate: float) -> tuple[type[OnlineTaskRunEndedBadly], str]:
    said = (run.failure_reason or "").strip().rstrip(".")
    reason = f"Arize says: {said}" if said else "Arize gives no reason"
    counts = run.counts
    if ending is Ending.ERROR_RATE_EXCEEDED:
        return (
            OnlineTaskRunErrorRateExceeded,
            f"is completed, but {counts.error_rate:.1%} of the attempted spans could not be judged, more "
            f"than max_error_rate ({max_error_rate:.1%}). Look at the errors before trusting its labels",
        )
    if ending is Ending.CANCELLED:
        hint = (
            "It was stopped before any span was done: refused LLM credentials or a broken evaluator end so, "
            "and so does a person's cancellation"
            if counts.done == 0
            else "Its labels cover a part of the window only"
        )
        return OnlineTaskRunCancelled, f"was cancelled. {reason}. {hint}"
    if run.status is RunStatus.COMPLETED:
        return (
            OnlineTaskRunFailed,
            f"is completed without one success: every attempted span is an error. {reason}. Check the "
            f"evaluator's LLM, key and template",
        )
    return OnlineTaskRunFailed, f"failed. {reason}. Mend the cause, then clear the task for a new run"


# What the poller ends a wait with.
WAIT_ERRORS: tuple[type[OnlineTasksError], ...] = (
    InputRefused,
    InvalidConnection,
    KeyRefused,
    NotFound,
    OnlineTaskRunUnreachable,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedAnswer,
)


def wait_error(error_type: str | None, message: str) -> OnlineTasksError:
    """Return the exception for a wait that ended without the run's end, as the trigger told it."""
    kinds = {kind.__name__: kind for kind in WAIT_ERRORS}
    return kinds.get(error_type or "", OnlineTasksError)(message)
