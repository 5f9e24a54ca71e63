"""Ask a person on Airflow's page of required actions (Airflow 3.1 and later)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from airflow_provider_online_tasks._text import on_one_line, shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

APPROVE, REJECT = "Approve", "Reject"
STATE_KEY = "approval"


class Approval:
    """A question of a task about a run, and its approval. Airflow 3.3 and later keep them for later tries.

    Before Airflow 3.3, only the process that Airflow resumes with the response knows the approval. A cleared
    task needs another approval.
    """

    def __init__(self, context: Context) -> None:
        values: Any = context
        self._store = values.get("task_state_store")
        # Clearing the task raises max_tries; a retry does not.
        self._max_tries = getattr(values["ti"], "max_tries", None)
        kept: Any = self._store.get(STATE_KEY) if self._store is not None else None
        is_current = isinstance(kept, dict) and kept.get("max_tries") == self._max_tries
        self._known: dict[str, Any] = kept if is_current else {}

    def note(self, run: Mapping[str, Any], spending: Mapping[str, Any] | None) -> None:
        """Note that the task asks whether to start a run; all are JSON values.

        :param spending: what the check of the run's limits found.
        """
        self._write(run=run, spending={**(spending or {}), "approval": uuid4().hex})

    def give(self, responded_by: str, run: Mapping[str, Any] | None) -> None:
        """Note who approved what the task asked about.

        :param run: what it asked about; None if Airflow doesn't pass it, as ``airflow dags test``.
        """
        self._write(**{**self._known, **({"run": run} if run else {}), "approved_by": responded_by})

    def spending_of(self, run: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what to store with a run that was approved; None if it was not."""
        known = self._known
        if not known.get("approved_by") or known.get("run", run) != run:
            return None
        return {**known.get("spending", {}), "approved_by": known["approved_by"]}

    def use_up(self) -> None:
        """Forget the approval, because what was approved has started."""
        if self._known:
            self._known = {}
            if self._store is not None:
                self._store.delete(STATE_KEY)

    def use_up_by(self, spending: Mapping[str, Any] | None) -> None:
        """Forget the approval if an earlier run was started with it.

        :param spending: what was stored with that run.
        """
        used = (spending or {}).get("approval")
        if used and self._known.get("spending", {}).get("approval") == used:
            self.use_up()

    def _write(self, **known: Any) -> None:
        self._known = {**known, "max_tries": self._max_tries}
        if self._store is not None:
            self._store.set(STATE_KEY, self._known)


class CannotAsk(Exception):
    """Airflow would show the question of an earlier try instead of the one of this try."""

    def __init__(self) -> None:
        super().__init__(
            "Airflow can't change the question of an earlier try of this task, and that was a different one, "
            "so no one is asked. Trigger a new DAG run to ask."
        )


def ask(
    context: Context,
    *,
    task_id: str,
    subject: str,
    body: str,
    about: str | None = None,
    response_timeout: timedelta | None,
    notifiers: Sequence[BaseNotifier],
    method_name: str,
    kwargs: dict[str, Any] | None = None,
) -> NoReturn:
    """Ask a person, and pause the task.

    :param body: what is needed to decide, in Markdown.
    :param about: the first part of the body. If Airflow shows the question of an earlier try, this part must
        be the same. Default: the body.
    :param method_name: the method of the operator that Airflow calls with the response.
    :param kwargs: JSON values that Airflow passes to this method.
    :raises CannotAsk: Airflow shows another question.
    """
    check_can_ask()
    _check_shown(context["ti"], subject, body, about or body)
    from airflow.providers.standard.operators.hitl import HITLOperator

    # The standard provider for Airflow 3.1 uses the task's own timeout as the time for a response.
    has_timeout = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
    limit: Any = {"response_timeout" if has_timeout else "execution_timeout": response_timeout}
    question = HITLOperator(
        task_id=task_id,
        subject=subject,
        body=body,
        options=[APPROVE, REJECT],
        notifiers=notifiers,
        **limit,
    )
    from airflow_provider_online_tasks.notifications.eval_gate import QUESTION

    for_notifiers: Any = {**context, QUESTION: subject}
    try:
        # Airflow logs a warning if a decorated execute() is called within another operator.
        inspect.unwrap(HITLOperator.execute)(question, for_notifiers)
    except BaseException as pause:
        if hasattr(pause, "method_name"):  # TaskDeferred, or from Airflow 3.3 on TaskAwaitingInput
            pause.method_name, pause.kwargs = method_name, kwargs  # type: ignore[attr-defined]
        raise
    raise RuntimeError("HITLOperator returned without deferring")


def _check_shown(ti: Any, subject: str, body: str, about: str) -> None:
    """Create the question, and raise CannotAsk if Airflow keeps another one of the task instance."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

    question = CreateHITLDetailPayload(
        ti_id=ti.id, options=[APPROVE, REJECT], subject=subject, body=body, params={}, assigned_users=[]
    )
    shown: Any = task_runner.SUPERVISOR_COMMS.send(question)
    if shown.subject != subject or not (shown.body or "").startswith(about):
        raise CannotAsk


def read_response(event: object) -> tuple[bool, str]:
    """Return whether a person approved, and who responded. An unreadable response is a rejection."""
    if not isinstance(event, Mapping):
        return False, "no one (unreadable response)"
    if "error" in event:
        return False, on_one_line(f"no one ({event.get('error_type')}: {event['error']})")
    user: Any = event.get("responded_by_user")
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", None)
    chosen = event.get("chosen_options")
    is_approved = isinstance(chosen, list | tuple) and list(chosen) == [APPROVE]
    return is_approved, on_one_line(str(name or "an unknown user"))


def check_can_ask() -> None:
    """Raise InvalidInput if this Airflow has no required actions."""
    from importlib.metadata import version

    from packaging.version import Version

    installed = version("apache-airflow-core")
    if Version(Version(installed).base_version) < Version("3.1"):
        raise InvalidInput(
            f'"ask" needs the required actions of Airflow 3.1 or later; this is {installed}. Upgrade '
            f'Airflow, or use "fail".'
        )


def read_response_timeout(value: timedelta | float | None) -> timedelta | None:
    """Return how long to wait for a response; None is without a limit."""
    if value is None:
        return None
    return timedelta(seconds=arguments.positive_seconds(value, "response_timeout"))


def read_notifiers(notifiers: Any) -> list[BaseNotifier]:
    """Return the notifiers as a list; raise InvalidInput if one is no notifier."""
    from airflow.sdk import BaseNotifier

    listed = list(notifiers) if isinstance(notifiers, list | tuple) else [notifiers]
    for notifier in listed:
        if not isinstance(notifier, BaseNotifier):
            raise InvalidInput(
                f"notifiers must be notifiers, such as SmtpNotifier(to='…'), not {shown(notifier)}."
            )
    return listed
