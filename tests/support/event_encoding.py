"""Encode a trigger event as the triggerer and the database do."""

from __future__ import annotations

import json
import re
from typing import Any

from airflow.triggers.base import TriggerEvent

MOST_BYTES = 64 * 1024


def send_and_store(payload: Any) -> Any:
    """Send an event's payload as the triggerer does, store it as the database does, and return it."""
    from airflow.jobs.triggerer_job_runner import messages
    from airflow.sdk.execution_time import comms

    try:
        message = messages.TriggerStateChanges(events=[(1, TriggerEvent(payload), None)])
    except Exception:  # before Airflow 3.3, an entry is a pair
        message = messages.TriggerStateChanges(events=[(1, TriggerEvent(payload))])
    frame = comms._RequestFrame(id=1, body=message.model_dump())
    assert len(frame.as_bytes()) <= MOST_BYTES + 300
    stored = json.dumps(payload, allow_nan=False)
    assert len(stored) <= MOST_BYTES
    # PostgreSQL stores no NUL.
    assert re.search(r"(?<!\\)\\u0000", stored.replace("\\\\", "")) is None
    json.dumps(payload, ensure_ascii=False).encode()
    return json.loads(stored)
