"""A key that is rotated at Arize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.rest.operations import RestAnswers

if TYPE_CHECKING:
    import pytest

    from airflow_provider_online_tasks.emulator import Emulator

NEW_KEY = "ak-rotated"


def rotate(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the emulator accept the new key over REST, and no longer its own."""
    really = RestAnswers.key

    def rotated(self: Any, request: Any) -> str:
        return arize.api_key if really(self, request) == NEW_KEY else "revoked"

    monkeypatch.setattr(RestAnswers, "key", rotated)
