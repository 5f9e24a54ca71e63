"""The exception for a call that got no response."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api._bounds import ResponseTooSlow, UnreadableBody
from airflow_provider_online_tasks.exceptions import Unavailable, UnexpectedResponse


def no_response(error: BaseException, *, call: str, host: str, may_have_executed: bool) -> Unavailable:
    """Return the exception for a call that got no response. It repeats no text of the server.

    :param error: the exception of the HTTP library.
    :param call: the call's name, for messages.
    :param host: the host, for messages.
    :param may_have_executed: whether the server may have executed the call.
    """
    cause = error
    while deeper := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None):
        if not isinstance(deeper, BaseException):
            break
        cause = deeper  # libraries wrap it several times
    parts = [f"{call} at {host}: no response: {type(cause).__name__}", _reason(cause)]
    message = ": ".join(filter(None, parts)) + _fix(cause)
    if may_have_executed:
        message += ". The call may have been executed."
    kind = UnexpectedResponse if isinstance(cause, UnreadableBody) else Unavailable
    return kind(message, may_have_executed=may_have_executed)


def _reason(cause: BaseException) -> str:
    """Return the reason in the words of the operating system or of this package."""
    match cause:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {on_one_line(cause.verify_message)}"
        case ssl.SSLError():
            return str(cause.reason or "")
        case ResponseTooSlow():
            return "the response started and did not end in time"
        case UnreadableBody():
            return f"the response {cause}"
        case OSError(strerror=str() as text) if text:
            return on_one_line(text)
        case TimeoutError():
            return "timed out"
        case IncompleteRead():
            return "the response is cut off"
        case RemoteDisconnected():
            return "the connection was closed without a response"
        case HTTPException():
            return "the response is not HTTP"
        case _:
            return ""


def _fix(cause: BaseException) -> str:
    """Return what to check, if it is known."""
    match cause:
        case ConnectionRefusedError():
            return ". Nothing listens there. Check the connection's host and port"
        case socket.gaierror():
            return ". No host has this name. Check the connection's host or region"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return ". The host doesn't use https. To use http, write http:// before the host"
        case _:
            return ""
