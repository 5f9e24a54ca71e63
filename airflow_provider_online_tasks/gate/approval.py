"""Asks a person, on Airflow's own page of required actions, whether a gate that broke may be passed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.exceptions import InvalidInput

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"


def check_can_ask() -> None:
    """Check that this Airflow can ask a person.

    :raises InvalidInput: it is older than 3.1, or its standard provider is.
    """
    from importlib.metadata import version

    from packaging.version import Version

    if Version(Version(found := version("apache-airflow-core")).base_version) < Version("3.1"):
        raise InvalidInput(
            f'"ask" needs Airflow 3.1 or later, which has required actions; this is {found}. Use "fail", or '
            f"upgrade Airflow."
        )


def ask(context: Context, *, task_id: str, subject: str, body: str, within: timedelta | None) -> NoReturn:
    """Show a question and wait for its answer; the task goes on in its ``execute_complete``.

    :param body: in Markdown.
    :param within: how long to wait for the answer; None for ever.
    """
    check_can_ask()
    from airflow.providers.standard.operators.hitl import HITLOperator

    # The standard provider of Airflow 3.1's day takes the time for an answer as the task's own time-out.
    has_its_own = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
    bound: dict[str, Any] = {"response_timeout" if has_its_own else "execution_timeout": within}
    HITLOperator(task_id=task_id, subject=subject, body=body, options=[APPROVE, REJECT], **bound).execute(
        context
    )
    raise RuntimeError("HITLOperator returned without an answer")


def read_answer(event: object) -> tuple[bool, str]:
    """Return whether a person approved, and who it was. Whatever cannot be read is no approval."""
    if not isinstance(event, Mapping):
        return False, "an answer that cannot be read"
    if "error" in event:
        return False, on_one_line(f"no answer ({event.get('error_type')}: {event['error']})")
    user: Any = event.get("responded_by_user")
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", None)
    chosen = event.get("chosen_options")
    is_approved = isinstance(chosen, list | tuple) and list(chosen) == [APPROVE]
    return is_approved, on_one_line(str(name or "somebody who is not named"))
