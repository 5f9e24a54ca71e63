"""The fields of a connection to an emulator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def changed(emulator: Emulator, **fields: Any) -> dict[str, Any]:
    """Return the fields of the connection with changes; a changed host has no port."""
    connection = json.loads(emulator.connection_json)
    if "host" in fields:
        del connection["port"]
    return {**connection, **fields}
