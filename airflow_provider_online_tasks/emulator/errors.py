"""The errors with which both APIs reject a request."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError


# The documented words of problem types; other statuses use their phrase.
_WORDS = {
    400: "invalid-request",
    404: "resource-not-found",
    409: "resource-conflict",
    422: "validation-error",
}


class RequestError(Exception):
    """A request that is rejected; the detail goes to the client.

    :param status: the HTTP status over REST.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class InvalidError(RequestError):
    """A value that has the right type but is not allowed."""

    def __init__(self, detail: str) -> None:
        super().__init__(422, detail)


class NotFoundError(RequestError):
    """An object that does not exist."""

    def __init__(self, detail: str) -> None:
        super().__init__(404, detail)


def describe(error: ValidationError) -> str:
    """Return the fields that pydantic rejects and why, on one line."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    texts = (
        (".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in problems
    )
    return "; ".join(": ".join(filter(None, text)) for text in texts)


def problem(
    path: str, status: int, detail: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as RFC 9457 problem details."""
    phrase = HTTPStatus(status).phrase
    word = _WORDS.get(status, phrase.lower().replace(" ", "-"))
    document = {
        "status": status,
        "title": phrase,
        "type": f"https://arize.com/docs/ax/rest-reference/errors#{word}",
        "detail": detail,
        "instance": path,
    }
    if code is not None:
        document["error_code"] = code
    return Response(json.dumps(document), status, headers, media_type="application/problem+json")
