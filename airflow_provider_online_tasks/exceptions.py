"""The errors: one class for each reaction that a DAG author may want.

Catch any of them as :class:`OnlineTasksError`, or name one in a retry policy. Airflow does not retry a class
marked with ``*``, because a retry cannot help (it is also an ``AirflowFailException``). It retries every
other class as the task's ``retries`` say::

    OnlineTasksError
    ├── InvalidInput *                              a value is wrong; nothing was sent
    │   └── InvalidConnection *                     the Airflow connection is incomplete or wrong
    ├── CallError                                   an API call did not succeed
    │   ├── AuthenticationFailed *                            401
    │   ├── PermissionDenied *                      403, or the plan
    │   ├── NotFound *                              404
    │   ├── BadRequest *                          400, 409, 422, a GraphQL error
    │   │   └── WindowTooLong *                     a window of more than 30 days
    │   ├── TaskErrorReturned                       Arize did not start the run
    │   ├── RateLimited                             429
    │   └── Unavailable                             no usable answer
    │       └── UnexpectedResponse                    an answer that cannot be read
    ├── TaskExists *                                a task of that name exists, with if_exists="fail"
    ├── OnlineTaskRunUnsuccessful                   a run finished without success; no retry by the sensor
    │   ├── OnlineTaskRunFailed
    │   ├── OnlineTaskRunCancelled
    │   ├── OnlineTaskRunErrorRateExceeded
    │   └── OnlineTaskRunNothingEvaluated
    ├── OnlineTaskRunTimeout                        a run did not finish in time
    ├── OnlineTaskRunUnreachable                    a run could not be read for minutes; a retry resumes it
    ├── EvalResultsIncomplete                       not all evaluations of a run could be read in time
    └── EvalGateFailed *                          the evaluations break a rule of a gate
        └── EvalGateInconclusive *                     they are too few to decide a rule
"""

from __future__ import annotations

from typing import Any

from airflow_provider_online_tasks._airflow import AirflowException, AirflowFailException


class OnlineTasksError(AirflowException):
    """Base of every error this provider raises."""


class InvalidInput(OnlineTasksError, AirflowFailException, ValueError):
    """A value was refused here, before anything was sent."""


class InvalidConnection(InvalidInput):
    """The Airflow connection does not say where Arize is, or lacks the key."""


class CallError(OnlineTasksError):
    """An API call did not succeed.

    :param message: what happened, where, and what to do.
    :param may_have_executed: whether the server may have carried the call out all the same.
    """

    def __init__(self, message: str, *, may_have_executed: bool = False) -> None:
        super().__init__(message)
        self.may_have_executed = may_have_executed


class AuthenticationFailed(CallError, AirflowFailException):
    """The API key is not valid on this host (HTTP 401)."""


class PermissionDenied(CallError, AirflowFailException):
    """The key's user, or the account's plan, does not permit the call (HTTP 403)."""


class NotFound(CallError, AirflowFailException):
    """The task, run, project or space does not exist, or the key cannot read it (HTTP 404)."""


class BadRequest(CallError, AirflowFailException):
    """The server understood the call and refused what it asks (HTTP 400, 409, 422, a GraphQL error)."""


class TaskExists(OnlineTasksError, AirflowFailException):
    """A task of that name exists on the model, and ``if_exists`` is ``fail``.

    :param message: which task, and what to do.
    :param online_task_id: the task that exists.
    """

    def __init__(self, message: str, *, online_task_id: str | None = None) -> None:
        super().__init__(message)
        self.online_task_id = online_task_id


class TaskErrorReturned(CallError):
    """The server did not start the run: the ``TaskError`` member of runOnlineTask's result.

    No run exists, so a retry is safe. The codes are not documented; see ``code`` and ``reason``.

    :param code: the server's code, if any.
    :param reason: the server's message.
    """

    def __init__(self, message: str, *, code: str | None, reason: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class WindowTooLong(BadRequest):
    """The server refused a window longer than the documented 30 days; ``split_window()`` cuts it."""


class RateLimited(CallError):
    """Too many requests: the documented limits are 100 queries and 300 mutations a minute.

    :param retry_after: seconds the server asks to wait, if it says.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(CallError):
    """No usable answer: connection refused or lost, a time-out, an HTTP 5xx.

    :param retry_after: seconds the server asks to wait, if it says.
    """

    def __init__(
        self, message: str, *, may_have_executed: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message, may_have_executed=may_have_executed)
        self.retry_after = retry_after


class UnexpectedResponse(Unavailable):
    """An answer came that cannot be read: not JSON, cut off, or without a documented field."""


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


class EvalResultsIncomplete(OnlineTasksError):
    """Not all evaluations of a run could be read in time. A retry looks again, once.

    :param message: how many could be read, and what to do.
    :param summary: what could be read.
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
