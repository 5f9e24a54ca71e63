"""Encode a trigger event as the triggerer and the database do."""

from __future__ import annotations

import json
import re
from typing import Any

from airflow.triggers.base import TriggerEvent


def sent(payload: Any) -> Any:
    """Return the payload of an event after the triggerer's message and the database's JSON."""
    from airflow.jobs.triggerer_job_runner import messages
    from airflow.sdk.execution_time import comms

    entry = {"trigger_id": 1, "event": TriggerEvent(payload), "persist_seq": None}
    try:
        message = messages.TriggerStateChanges(events=[tuple(entry.values())])
    except Exception:  # before Airflow 3.3 an entry is a pair
        message = messages.TriggerStateChanges(events=[(1, TriggerEvent(payload))])
    frame = comms._RequestFrame(id=1, body=message.model_dump())
    assert len(frame.as_bytes()) <= 64 * 1024 + 300
    stored = json.dumps(payload, allow_nan=False)
    assert len(stored) <= 64 * 1024
    # PostgreSQL rejects NUL characters.
    assert re.search(r"(?<!\\)\\u0000", stored.replace("\\\\", "")) is None
    json.dumps(payload, ensure_ascii=False).encode()
    return json.loads(stored)
