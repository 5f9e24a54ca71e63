"""Webhooks: a receiver hears of a task that starts to fail, and can tell who says so."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from airflow_provider_online_tasks.emulator import RunFate
from tests.support.emulator_api import Api, eventually

from .test_rest import problem

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


class Receiver:
    """An endpoint that remembers what it was sent."""

    def __init__(self, status: int = 200) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?a=1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def make(api: Api, url: str, **fields: Any) -> Any:
    body = {"organization_id": api.emulator.info()["organization_id"], "name": "ops", "url": url, **fields}
    response = api.rest("POST", "webhooks", json=body)
    assert response.status_code == 201, response.text
    return response.json()


def subscribe(api: Api, webhook: Any, source_type: str, source_id: str, **fields: Any) -> Any:
    body = {
        "webhook_id": webhook["id"],
        "source_type": source_type,
        "source_id": source_id,
        "event": "ONLINE_TASK_RUN_FAILED",
        **fields,
    }
    return api.rest("POST", "webhook-subscriptions", json=body)


def fail(api: Api, emulator: Emulator, task_id: str, reason: str) -> str:
    emulator.next_run(RunFate(outcome="fail", failure_reason=reason))
    run_id = api.run(task_id, overrideEvaluations=True)
    assert api.read(run_id)["status"] == "FAILED"
    return run_id


def attempts(api: Api, webhook: Any) -> list[Any]:
    found: list[Any] = api.rest("GET", f"webhooks/{webhook['id']}/delivery-attempts").json()[
        "delivery_attempts"
    ]
    return found


def test_a_signed_event_tells_of_a_run_that_failed(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    with Receiver() as receiver:
        webhook = make(api, receiver.url, auth_type="HMAC_SHA256", headers={"X-Team": "evals"})
        assert subscribe(api, webhook, "ONLINE_TASK", task_id).status_code == 201
        run_id = fail(api, emulator, task_id, "out of money")
        eventually(lambda: attempts(api, webhook))
        [(headers, body)] = receiver.received
    event = json.loads(body)
    assert (event["event"], event["data"]["run_id"]) == ("online_task.run.failed", run_id)
    assert event["data"]["failure_reason"] == "out of money"
    assert headers["x-team"] == "evals"
    key = base64.b64decode(webhook["signing_secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    [attempt] = attempts(api, webhook)
    assert (attempt["status_code"], attempt["error_message"], attempt["payload"]) == (200, None, event)


def test_it_is_sent_when_failing_starts_and_when_the_cause_changes(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    with Receiver() as receiver:
        webhook = make(api, receiver.url, auth_token="Bearer my-token")
        subscribe(api, webhook, "SPACE", emulator.space_id)
        for reason in ("one", "one", "two"):
            fail(api, emulator, task_id, reason)
        # A run that completes ends the failing; the next failure is news, even for the same reason.
        assert api.read(api.run(task_id, overrideEvaluations=True))["status"] == "COMPLETED"
        fail(api, emulator, task_id, "two")
        eventually(lambda: len(attempts(api, webhook)) == 3)
        reasons = sorted(json.loads(body)["data"]["failure_reason"] for _, body in receiver.received)
        assert reasons == ["one", "two", "two"]
        assert {headers["authorization"] for headers, _ in receiver.received} == {"Bearer my-token"}


def test_what_nobody_subscribed_to_is_not_sent(api: Api, emulator: Emulator) -> None:
    task_id, other = api.create(), api.create(name="other")
    with Receiver() as receiver:
        webhook = make(api, receiver.url)
        subscription = subscribe(api, webhook, "ONLINE_TASK", other).json()
        fail(api, emulator, task_id, "why")
        path = f"webhook-subscriptions/{subscription['id']}"
        assert api.rest("DELETE", path).status_code == 204
        fail(api, emulator, other, "why")
        api.read(api.run(task_id, overrideEvaluations=True))
        assert (receiver.received, attempts(api, webhook)) == ([], [])


def test_an_endpoint_that_fails_is_in_the_attempts(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    with Receiver(status=500) as receiver:
        webhook = make(api, receiver.url)
        subscribe(api, webhook, "ONLINE_TASK", task_id)
        fail(api, emulator, task_id, "why")
        [attempt] = eventually(lambda: attempts(api, webhook))
    assert (attempt["status_code"], attempt["error_message"]) == (500, "The endpoint answered 500")


def test_secrets_are_shown_once(api: Api) -> None:
    webhook = make(api, "https://example.com/hook", auth_type="HMAC_SHA256")
    secret = webhook["signing_secret"]
    assert webhook["signing_secret_hint"] == f"whsec_…{secret[-4:]}"
    read = api.rest("GET", f"webhooks/{webhook['id']}")
    assert secret not in read.text
    assert secret not in api.rest("GET", "webhooks").text
    token = make(api, "https://example.com/hook", name="b", auth_token="Bearer hush", headers={"X-K": "hush"})
    assert "hush" not in api.rest("GET", f"webhooks/{token['id']}").text
    assert api.rest("DELETE", f"webhooks/{token['id']}").status_code == 204
    assert len(api.rest("GET", "webhooks").json()["webhooks"]) == 1


@pytest.mark.parametrize(
    ("fields", "status", "detail"),
    [
        ({"url": "http://example.com"}, 422, "https URL"),
        ({"url": "ftp://127.0.0.1"}, 422, "https URL"),
        ({"auth_type": "NONE"}, 400, "BEARER, HMAC_SHA256"),
        ({"auth_type": "HMAC_SHA256", "auth_token": "x"}, 400, "auth_token is for"),
        ({"timeout_ms": 10}, 400, "from 1000 to 60000"),
        ({"headers": {"Host": "x"}}, 400, "cannot set Host"),
    ],
)
def test_a_webhook_that_does_not_fit_is_refused(api: Api, fields: Any, status: int, detail: str) -> None:
    organization = api.emulator.info()["organization_id"]
    body = {"organization_id": organization, "name": "ops", "url": "https://example.com", **fields}
    assert detail in problem(api.rest("POST", "webhooks", json=body), status)
    assert api.rest("GET", "webhooks").json()["webhooks"] == []


def test_a_subscription_that_does_not_fit_is_refused(api: Api, emulator: Emulator) -> None:
    webhook = make(api, "https://example.com")
    task_id = api.create()
    event = "EVALUATOR_VERSION_CREATED"
    assert "has no event" in problem(subscribe(api, webhook, "ONLINE_TASK", task_id, event=event), 422)
    assert "not a OnlineTask" in problem(subscribe(api, webhook, "ONLINE_TASK", emulator.space_id), 404)
    assert subscribe(api, webhook, "ONLINE_TASK", task_id).status_code == 201
    assert "already" in problem(subscribe(api, webhook, "ONLINE_TASK", task_id), 422)
    [listed] = api.rest("GET", f"webhook-subscriptions?webhook_id={webhook['id']}").json()["subscriptions"]
    assert api.rest("GET", f"webhook-subscriptions/{listed['id']}").json() == listed
