"""Ask a person to approve a gate that did not pass, on Airflow's page of required actions."""

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
    """Check that this Airflow has required actions.

    :raises InvalidInput: Airflow is older than 3.1.
    """
    from importlib.metadata import version

    from packaging.version import Version

    installed = version("apache-airflow-core")
    if Version(Version(installed).base_version) < Version("3.1"):
        raise InvalidInput(
            f'"ask" needs the required actions of Airflow 3.1 or later; this is {installed}. Upgrade '
            f'Airflow, or use "fail".'
        )


def ask(context: Context, *, task_id: str, subject: str, body: str, within: timedelta | None) -> NoReturn:
    """Show the question and defer; Airflow resumes the task in ``execute_complete`` with the response.

    :param body: the question's text in Markdown.
    :param within: how long to wait for the response; None for no limit.
    """
    check_can_ask()
    from airflow.providers.standard.operators.hitl import HITLOperator

    # The standard provider for Airflow 3.1 uses the task's own timeout as the time for a response.
    has_timeout = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
    limit: dict[str, Any] = {"response_timeout" if has_timeout else "execution_timeout": within}
    HITLOperator(task_id=task_id, subject=subject, body=body, options=[APPROVE, REJECT], **limit).execute(
        context
    )
    raise RuntimeError("HITLOperator returned without deferring")


def read_response(event: object) -> tuple[bool, str]:
    """Return whether a person approved, and who responded. An unreadable response is a rejection."""
    if not isinstance(event, Mapping):
        return False, "nobody (unreadable response)"
    if "error" in event:
        return False, on_one_line(f"nobody ({event.get('error_type')}: {event['error']})")
    user: Any = event.get("responded_by_user")
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "name", None)
    chosen = event.get("chosen_options")
    is_approved = isinstance(chosen, list | tuple) and list(chosen) == [APPROVE]
    return is_approved, on_one_line(str(name or "an unknown user"))
