"""Read the value of a call's response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_online_tasks.api.calls._rest import RestCall, check_same_id
from airflow_provider_online_tasks.exceptions import TaskErrorReturned

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls._graphql import GraphQLCall
    from airflow_provider_online_tasks.api.responses.response import Response

T = TypeVar("T")


def read_value(call: RestCall[T] | GraphQLCall[T], value: dict[str, Any], response: Response) -> T:  # noqa: RET503  unexpected() raises
    """Return what the call reads from its response.

    :param value: the object in the response.
    :raises TaskErrorReturned: the run was not started.
    :raises UnexpectedResponse: a field is missing or has an undocumented value.
    """
    problem: str
    try:
        result = call.read(value)
        if isinstance(call, RestCall) and call.about is not None and value.get("id") is not None:
            check_same_id(value["id"], call.about)
        return result  # noqa: TRY300
    except TaskErrorReturned as error:
        message, reason = f"{response.what}: {response.quoted(str(error))}", response.quoted(error.reason)
        raise TaskErrorReturned(message, code=error.code, reason=reason) from None
    except KeyError as error:
        problem = f"lacks the field {error}"
    except (TypeError, ValueError, AttributeError) as error:
        problem = f"is malformed ({error})"
    response.unexpected(problem)
