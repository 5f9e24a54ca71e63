"""Rotate the API key of an emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_online_tasks.emulator.server.requests import ApiRequest

if TYPE_CHECKING:
    import pytest
    from starlette.responses import Response

    from airflow_provider_online_tasks.emulator import Emulator

NEW_KEY = "ak-rotated"


def rotate(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the emulator accept only the new key over REST."""
    respond = ApiRequest.respond

    async def with_new_key(self: ApiRequest) -> Response:
        if self.operation.startswith("rest."):
            self.key = arize.api_key if self.key == NEW_KEY else "revoked"
        return await respond(self)

    monkeypatch.setattr(ApiRequest, "respond", with_new_key)
