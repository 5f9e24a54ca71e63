"""The emulator under test, and both of its APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.emulator_api import Api

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.fixture
def emulator(online_tasks_emulator: Emulator) -> Emulator:
    return online_tasks_emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    api = Api(emulator)
    yield api
    api.http.close()
