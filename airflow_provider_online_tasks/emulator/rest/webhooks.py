"""Webhooks and their subscriptions over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.control.webhooks import SOURCES_OF_EVENT
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.fields import (
    identifier,
    json_response,
    only,
    paged,
    path_id,
    text,
)
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.state import EmulatorState

_AUTH_TYPES = ("BEARER", "HMAC_SHA256")
_SHOWN = ("id", "organization_id", "name", "description", "url", "auth_type", "timeout_ms")
_TYPE_OF_SOURCE = {
    "PROMPT": "Prompt",
    "EVALUATOR": "Evaluator",
    "ONLINE_TASK": "OnlineTask",
    "SPACE": "Space",
}


def list_webhooks(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the webhooks, newest first."""
    page, pagination = paged(request, state.webhooks.all()[::-1], lambda each: each["number"])
    return json_response({"webhooks": [_webhook(each) for each in page], "pagination": pagination})


def create_webhook(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Create a webhook; the answer is the only one with the secret that deliveries are signed with."""
    only(fields, "organization_id name url description auth_type auth_token timeout_ms headers")
    organization = identifier(text(fields, "organization_id", required=True), "AccountOrganization")
    if organization != ids.ORGANIZATION_ID:
        raise UnknownObjectError(f"Organization {organization!r} not found")
    auth_type = text(fields, "auth_type") or "BEARER"
    if auth_type not in _AUTH_TYPES:
        raise ProblemError(400, f"auth_type is {auth_type!r}; it has to be one of {', '.join(_AUTH_TYPES)}")
    auth_token = text(fields, "auth_token")
    if auth_token is not None and auth_type != "BEARER":
        raise ProblemError(400, "auth_token is for webhooks of auth_type BEARER")
    webhook = state.webhooks.create(
        {
            "organization_id": organization,
            "name": text(fields, "name", required=True),
            "url": text(fields, "url", required=True),
            "description": text(fields, "description") or "",
            "auth_type": auth_type,
            "auth_token": auth_token,
            "timeout_ms": _timeout(fields.get("timeout_ms")),
            "headers": _headers(fields.get("headers")),
        }
    )
    secret = {"signing_secret": webhook["secret"]} if webhook["secret"] is not None else {}
    return json_response({**_webhook(webhook), **secret}, 201)


def get_webhook(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a webhook."""
    return json_response(_webhook(state.webhooks.get(path_id(request, "webhook_id", "Webhook"))))


def delete_webhook(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Delete a webhook with its subscriptions."""
    state.webhooks.delete(state.webhooks.get(path_id(request, "webhook_id", "Webhook")))
    return Response(status_code=204)


def list_webhook_delivery_attempts(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List what was delivered or tried, most recent first."""
    webhook = state.webhooks.get(path_id(request, "webhook_id", "Webhook"))
    attempts = state.webhooks.attempts(webhook["id"])
    numbered = list(enumerate(attempts))
    page, pagination = paged(request, numbered, lambda each: -each[0])
    shown = [{name: value for name, value in each.items() if name != "webhook_id"} for _, each in page]
    return json_response({"delivery_attempts": shown, "pagination": pagination})


def list_webhook_subscriptions(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the subscriptions that match, newest first."""
    query = request.query_params
    found = [
        each
        for each in reversed(state.webhooks.subscriptions())
        if all(
            query.get(name) in (None, each[name])
            for name in ("webhook_id", "source_id", "source_type", "event")
        )
    ]
    page, pagination = paged(request, found, lambda each: each["number"])
    return json_response({"subscriptions": [_subscription(each) for each in page], "pagination": pagination})


def create_webhook_subscription(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Subscribe a webhook to an event of a source."""
    only(fields, "webhook_id source_type source_id event")
    source_type = text(fields, "source_type", required=True)
    if source_type not in _TYPE_OF_SOURCE:
        raise ProblemError(
            400, f"source_type is {source_type!r}; it has to be one of {', '.join(_TYPE_OF_SOURCE)}"
        )
    event = text(fields, "event", required=True)
    if event not in SOURCES_OF_EVENT:
        raise ProblemError(400, f"event is {event!r}; it has to be one of {', '.join(SOURCES_OF_EVENT)}")
    source_id = identifier(text(fields, "source_id", required=True), _TYPE_OF_SOURCE[source_type])
    if source_type == "ONLINE_TASK":
        state.tasks.get(source_id)
    elif source_type == "SPACE" and source_id != ids.SPACE_ID:
        raise UnknownObjectError(f"Space {source_id!r} not found")
    subscription = state.webhooks.subscribe(
        {
            "webhook_id": identifier(text(fields, "webhook_id", required=True), "Webhook"),
            "source_type": source_type,
            "source_id": source_id,
            "event": event,
        }
    )
    return json_response(_subscription(subscription), 201)


def get_webhook_subscription(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a subscription."""
    return json_response(_subscription(_subscription_of(state, request)))


def delete_webhook_subscription(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Delete a subscription."""
    state.webhooks.unsubscribe(_subscription_of(state, request))
    return Response(status_code=204)


def _subscription_of(state: EmulatorState, request: Request) -> dict[str, Any]:
    return state.webhooks.subscription(path_id(request, "subscription_id", "WebhookSubscription"))


def _webhook(webhook: dict[str, Any]) -> dict[str, Any]:
    hint = (
        {"signing_secret_hint": f"whsec_…{webhook['secret'][-4:]}"} if webhook["secret"] is not None else {}
    )
    return {
        **{name: webhook[name] for name in _SHOWN},
        **hint,
        "created_at": write_time(webhook["created_at"]),
        "updated_at": write_time(webhook["updated_at"]),
        "created_by_user_id": ids.USER_ID,
    }


def _subscription(subscription: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in subscription.items() if name != "number"}
    return {**shown, "created_at": write_time(subscription["created_at"])}


def _timeout(value: Any) -> int:
    if value is None:
        return 30_000
    if not isinstance(value, int) or isinstance(value, bool) or not 1000 <= value <= 60_000:
        raise ProblemError(400, f"timeout_ms is {value!r}; it has to be a number from 1000 to 60000")
    return value


def _headers(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if (
        not isinstance(value, dict)
        or len(value) > 20
        or not all(isinstance(each, str) for each in value.values())
    ):
        raise ProblemError(400, "headers has to be an object of at most 20 names and texts")
    if {"host", "content-length", "connection"} & {name.lower() for name in value}:
        raise ProblemError(400, "headers cannot set Host, Content-Length or Connection")
    return value
