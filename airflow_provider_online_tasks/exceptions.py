"""The exceptions: one class for each reaction that a DAG author may want.

Catch all of them as :class:`OnlineTasksError`. Airflow does not retry a task that raises a class marked with
``*``, because a retry cannot help (it is also an ``AirflowFailException``). It retries every other class as
the task's ``retries`` says::

    OnlineTasksError
    ├── InvalidInput *                      a value is wrong; nothing was sent
    │   └── InvalidConnection *             the Airflow connection is incomplete or wrong
    ├── CallError                           an API call failed
    │   ├── AuthenticationFailed *          HTTP 401
    │   ├── PermissionDenied *              HTTP 403, or the plan does not include the call
    │   ├── NotFound *                      HTTP 404
    │   ├── BadRequest *                    HTTP 400, 409, 422, or a GraphQL error
    │   │   └── WindowTooLong *             a window of more than 30 days
    │   ├── TaskErrorReturned               Arize did not start the run
    │   ├── RateLimited                     HTTP 429
    │   └── Unavailable                     no response, or HTTP 5xx
    │       └── UnexpectedResponse          a response that cannot be read
    │           └── ResponseTooLarge        a response of more than 3 MiB
    ├── TaskExists *                        a task with this name exists, with if_exists="fail"
    ├── OnlineTaskRunUnsuccessful           a run finished without success; the sensor is not retried
    │   ├── OnlineTaskRunFailed
    │   ├── OnlineTaskRunCancelled
    │   ├── OnlineTaskRunErrorRateExceeded
    │   └── OnlineTaskRunNothingEvaluated
    ├── OnlineTaskRunTimeout                a run did not finish in time
    ├── OnlineTaskRunUnreachable            a run could not be read for minutes; a retry resumes it
    ├── AnnotationQueueUnreachable          a queue could not be read for minutes; a retry waits again
    ├── EvalBudgetExceeded *                a run would exceed its limit or budget; it was not started
    ├── EvalBudgetReserved                  the same, but a retry may succeed: unfinished runs use the budget
    ├── EvalResultsIncomplete               some evaluations of a run could not be read in time
    └── EvalGateFailed *                    a rule of a gate failed
        └── EvalGateInconclusive *          too few evaluations to decide a rule
"""

from __future__ import annotations

from typing import Any

from airflow_provider_online_tasks._airflow import AirflowException, AirflowFailException


class OnlineTasksError(AirflowException):
    """Base of all exceptions of this provider."""


class InvalidInput(OnlineTasksError, AirflowFailException, ValueError):
    """A value is wrong. It was rejected before anything was sent."""


class InvalidConnection(InvalidInput):
    """A field of the Airflow connection is missing or wrong."""


class CallError(OnlineTasksError):
    """An API call failed.

    :param message: what happened, where, and what to do.
    :param may_have_executed: whether the server may have executed the call anyway.
    :param retry_after: seconds that the server asks to wait, if known.
    """

    def __init__(
        self, message: str, *, may_have_executed: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.may_have_executed = may_have_executed
        self.retry_after = retry_after


class AuthenticationFailed(CallError, AirflowFailException):
    """The API key is not valid on this host (HTTP 401)."""


class PermissionDenied(CallError, AirflowFailException):
    """The key's user lacks a permission, or the plan does not include the call (HTTP 403)."""


class NotFound(CallError, AirflowFailException):
    """The task, run, project or space does not exist, or the key cannot read it (HTTP 404)."""


class BadRequest(CallError, AirflowFailException):
    """The server rejected the request (HTTP 400, 409, 422, or a GraphQL error)."""


class TaskExists(OnlineTasksError, AirflowFailException):
    """A task with this name exists in the project, and ``if_exists`` is ``fail``.

    :param message: which task, and what to do.
    :param online_task_id: the existing task.
    """

    def __init__(self, message: str, *, online_task_id: str | None = None) -> None:
        super().__init__(message)
        self.online_task_id = online_task_id


class TaskErrorReturned(CallError):
    """The server did not start the run: the result of runOnlineTask is a ``TaskError``.

    No run exists, so a retry is safe. The codes are not documented.

    :param code: the server's code, if any.
    :param reason: the server's message.
    """

    def __init__(self, message: str, *, code: str | None, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class WindowTooLong(BadRequest):
    """The server rejected a window of more than 30 days. ``split_window()`` splits it."""


class RateLimited(CallError):
    """Too many requests: the documented limits are 100 queries and 300 mutations per minute."""


class Unavailable(CallError):
    """No usable response: connection refused or lost, a timeout, or HTTP 5xx."""


class UnexpectedResponse(Unavailable):
    """The response cannot be read: not JSON, cut off, or without a documented field."""


class ResponseTooLarge(UnexpectedResponse):
    """The response is too large to be read, with the smallest page size too."""


class OnlineTaskRunUnsuccessful(OnlineTasksError):
    """A run finished, but not successfully.

    The operator's retry starts a new run. A retry of the sensor could not change the run, so the sensor
    raises the same class combined with ``AirflowFailException``.

    :param message: what happened, what it means and what to do.
    :param run: the run's summary, as the sensor returns it.
    """

    def __init__(self, message: str, *, run: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.run = run or {}

    def without_retry(self) -> OnlineTaskRunUnsuccessful:
        """Return this error as one that Airflow doesn't retry, of a subclass of its class."""
        kind = type(type(self).__name__, (type(self), AirflowFailException), {"__module__": __name__})
        error: OnlineTaskRunUnsuccessful = kind(str(self), run=self.run)
        return error


class OnlineTaskRunFailed(OnlineTaskRunUnsuccessful):
    """The run ended as FAILED, or as COMPLETED with errors only."""


class OnlineTaskRunCancelled(OnlineTaskRunUnsuccessful):
    """The run was cancelled: by a user, or because of rejected LLM credentials or a broken evaluator."""


class OnlineTaskRunErrorRateExceeded(OnlineTaskRunUnsuccessful):
    """The run completed with a larger share of errors than ``max_error_rate`` allows."""


class OnlineTaskRunNothingEvaluated(OnlineTaskRunUnsuccessful):
    """The run evaluated nothing, and ``on_nothing_evaluated`` is ``fail``."""


class OnlineTaskRunTimeout(OnlineTasksError):
    """The run did not finish in time and was cancelled."""


class OnlineTaskRunUnreachable(OnlineTasksError):
    """The run could not be read for minutes and may still be running. A retry resumes it."""


class AnnotationQueueUnreachable(OnlineTasksError):
    """An annotation queue could not be read for minutes. A retry waits again."""


class EvalBudgetExceeded(OnlineTasksError, AirflowFailException):
    """The run would exceed ``max_evaluations``, ``max_cost`` or ``budget``, or no one approved it.

    It was not started.
    """


class EvalBudgetReserved(OnlineTasksError):
    """The run would exceed ``budget`` while unfinished runs count with their maximum. It was not started.

    A retry counts again.
    """


class EvalResultsIncomplete(OnlineTasksError):
    """Some evaluations of a run could not be read in time. A retry reads them again, once.

    :param message: how many were read, and what to do.
    :param summary: the summary of the evaluations that were read.
    """

    def __init__(self, message: str, *, summary: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.summary = summary or {}


class EvalGateFailed(OnlineTasksError, AirflowFailException):
    """The evaluations do not keep a gate's rules. A retry would read the same evaluations.

    :param message: which rules, and by how much.
    :param verdict: what the gate found, rule by rule.
    """

    def __init__(self, message: str, *, verdict: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict or {}


class EvalGateInconclusive(EvalGateFailed):
    """No rule is broken, and there are too few evaluations to decide all of them."""
