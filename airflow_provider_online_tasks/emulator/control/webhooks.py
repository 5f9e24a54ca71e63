"""Webhooks: who hears that a run failed, and the deliveries that were tried."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import secrets
import threading
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.runs.run import Run
    from airflow_provider_online_tasks.emulator.runs.tasks import Task
    from airflow_provider_online_tasks.emulator.store import Store

RUN_FAILED: Final = "ONLINE_TASK_RUN_FAILED"
SOURCES_OF_EVENT: Final = {
    "PROMPT_VERSION_CREATED": ("PROMPT",),
    "PROMPT_VERSION_LABELED": ("PROMPT",),
    "PROMPT_VERSION_UNLABELED": ("PROMPT",),
    "EVALUATOR_VERSION_CREATED": ("EVALUATOR",),
    RUN_FAILED: ("ONLINE_TASK", "SPACE"),
}


class Webhooks:
    """The webhooks of the organization, what they are subscribed to, and what was delivered."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._attempts: list[dict[str, Any]] = []
        self._causes: dict[str, str | None] = {}

    def clear(self) -> None:
        """Forget deliveries; the webhooks are records, and gone with these."""
        with self._lock:
            self._attempts.clear()
        self._causes.clear()

    def all(self) -> list[dict[str, Any]]:
        """Return the webhooks in the order they were created."""
        return self._store.records("webhook")

    def get(self, webhook_id: str) -> dict[str, Any]:
        """Return a webhook, or refuse."""
        return _one(self.all(), "Webhook", webhook_id)

    def create(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Make a webhook; its signing secret is returned this once only."""
        if any(each["name"] == fields["name"] for each in self.all()):
            raise RefusedInputError(f"A webhook named {fields['name']!r} already exists in this organization")
        _check_url(fields["url"])
        signed = fields["auth_type"] == "HMAC_SHA256"
        number = self._store.take_numbers("Webhook")
        now = self._clock.stamp()
        webhook = {
            **fields,
            "number": number,
            "id": ids.encode("Webhook", number),
            "secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}" if signed else None,
            "created_at": now,
            "updated_at": now,
        }
        self._store.save_record("webhook", number, webhook)
        return webhook

    def delete(self, webhook: dict[str, Any]) -> None:
        """Delete a webhook with its subscriptions."""
        self._store.delete_record("webhook", webhook["number"])
        for each in self.subscriptions():
            if each["webhook_id"] == webhook["id"]:
                self._store.delete_record("webhook_subscription", each["number"])

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the subscriptions in the order they were created."""
        return self._store.records("webhook_subscription")

    def subscription(self, subscription_id: str) -> dict[str, Any]:
        """Return a subscription, or refuse."""
        return _one(self.subscriptions(), "Webhook subscription", subscription_id)

    def subscribe(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Connect a webhook to an event of a source."""
        self.get(fields["webhook_id"])
        if fields["source_type"] not in SOURCES_OF_EVENT[fields["event"]]:
            raise RefusedInputError(
                f"A source of type {fields['source_type']} has no event {fields['event']}"
            )
        if any(all(each[name] == value for name, value in fields.items()) for each in self.subscriptions()):
            raise RefusedInputError("The webhook has this subscription already")
        number = self._store.take_numbers("WebhookSubscription")
        subscription = {
            **fields,
            "number": number,
            "id": ids.encode("WebhookSubscription", number),
            "created_at": self._clock.stamp(),
        }
        self._store.save_record("webhook_subscription", number, subscription)
        return subscription

    def unsubscribe(self, subscription: dict[str, Any]) -> None:
        """Delete a subscription."""
        self._store.delete_record("webhook_subscription", subscription["number"])

    def attempts(self, webhook_id: str) -> list[dict[str, Any]]:
        """Return what was delivered or tried, most recent first."""
        with self._lock:
            return [each for each in reversed(self._attempts) if each["webhook_id"] == webhook_id]

    # -- events -----------------------------------------------------------------------------------

    def run_ended(self, run: Run, task: Task | None) -> None:
        """Notify of a task that starts to fail, or fails for another reason than before."""
        if run.status != "FAILED":
            if run.status == "COMPLETED":
                self._causes.pop(run.task_id, None)
            return
        if run.task_id in self._causes and self._causes[run.task_id] == run.failure_reason:
            return
        self._causes[run.task_id] = run.failure_reason
        payload = {
            "id": str(uuid.uuid4()),
            "event": "online_task.run.failed",
            "created_at": write_time(self._clock.stamp()),
            "data": {
                "task_id": run.task_id,
                "task_name": task.name if task is not None else None,
                "run_id": run.id,
                "space_id": ids.SPACE_ID,
                "failure_reason": run.failure_reason,
            },
        }
        sources = {("ONLINE_TASK", run.task_id), ("SPACE", ids.SPACE_ID)}
        subscribed = {
            each["webhook_id"]
            for each in self.subscriptions()
            if each["event"] == RUN_FAILED and (each["source_type"], each["source_id"]) in sources
        }
        for webhook in self.all():
            if webhook["id"] in subscribed:
                # A receiver that is slow must not hold up the server.
                arguments = (webhook, payload, int(self._clock.stamp()))
                threading.Thread(target=self._deliver, args=arguments, daemon=True).start()

    def _deliver(self, webhook: dict[str, Any], payload: dict[str, Any], now: int) -> None:
        body = json.dumps(payload).encode()
        headers = {**(webhook["headers"] or {}), "Content-Type": "application/json"}
        if webhook["secret"] is not None:
            headers |= signature(webhook["secret"], payload["id"], now, body)
        elif webhook["auth_token"] is not None:
            headers["Authorization"] = webhook["auth_token"]
        status, problem = _post(webhook["url"], body, headers, webhook["timeout_ms"] / 1000)
        with self._lock:
            self._attempts.append(
                {
                    "webhook_id": webhook["id"],
                    "event_id": payload["id"],
                    "attempt_number": 1,
                    "payload": payload,
                    "status_code": status,
                    "error_message": problem,
                    "created_at": write_time(now),
                }
            )


def signature(secret: str, event_id: str, now: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sent an event, as the Standard Webhooks specification has them."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((event_id.encode(), str(now).encode(), body))
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{digest}",
    }


def _post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> tuple[int | None, str | None]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return status, None if status < 300 else f"The endpoint answered {status}"


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    try:
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    # Arize takes https only; a receiver of a test is on this machine.
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        raise RefusedInputError(f"url is {url!r}; it has to be an https URL (http is for this machine only)")


def _one(records: list[dict[str, Any]], what: str, wanted: str) -> dict[str, Any]:
    for record in records:
        if record["id"] == wanted:
            return record
    raise UnknownObjectError(f"{what} {wanted!r} not found")
