"""REST errors as RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A REST request that is answered with an error."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def body(self, instance: str) -> dict[str, Any]:
        """Return the problem document.

        :param instance: the path of the request it is about.
        """
        return {
            "status": self.status,
            "title": HTTPStatus(self.status).phrase,
            "type": f"https://arize.com/docs/ax/rest-reference/errors#{_word(self.status)}",
            "detail": self.detail,
            "instance": instance,
        }


def _word(status: int) -> str:
    """Return the word that names a kind of problem."""
    if status == HTTPStatus.BAD_REQUEST:
        return "invalid-request"
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


def problem_handlers() -> dict[Any, Any]:
    """Return what answers requests for paths and methods that do not exist."""

    def unknown(request: Request, error: HTTPException) -> Response:
        document = ProblemError(error.status_code, error.detail).body(request.url.path)
        return Response(json.dumps(document), error.status_code, error.headers, media_type=MEDIA_TYPE)

    return {HTTPException: unknown}
