"""Rotate the API key of an emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.server.rest import RestRequest

if TYPE_CHECKING:
    import pytest

    from airflow_provider_online_tasks.emulator import Emulator

NEW_KEY = "ak-rotated"


def rotate(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the emulator accept only the new key over REST."""
    really = RestRequest.key

    def rotated(self: Any) -> str:
        return arize.api_key if really(self) == NEW_KEY else "revoked"

    monkeypatch.setattr(RestRequest, "key", rotated)
