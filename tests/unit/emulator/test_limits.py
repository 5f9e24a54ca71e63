"""The rate limits: how many requests pass, which share a budget, and how the others are rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator.server.requests import RateLimiter
from tests.support.emulator_api import CREATE, RUN, Api

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.mark.online_tasks_emulator(queries_per_minute=4, mutations_per_minute=2)
def test_reads_and_writes_have_separate_rate_limits(api: Api, emulator: Emulator) -> None:
    reads = [
        api.rest("GET", "tasks"),
        api.graphql("{ viewer { id } }"),
        api.rest("POST", "spans", json={"project_id": emulator.project_id}),
        api.rest("GET", "spaces"),
        api.rest("GET", "tasks"),
    ]
    assert [response.status_code for response in reads] == [200, 200, 200, 200, 429]
    assert reads[-1].headers["content-type"] == "application/problem+json"
    assert "retry-after" not in reads[-1].headers
    query = api.graphql("{ viewer { id } }")
    assert query.status_code == 200
    assert "TOO_MANY_REQUESTS" in query.json()["errors"][0]["message"]
    assert query.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"

    task_id = api.create()
    assert api.rest("DELETE", f"tasks/{task_id}").status_code == 204
    refused = api.graphql(RUN, input={"onlineTaskId": task_id})
    assert "TOO_MANY_REQUESTS" in refused.json()["errors"][0]["message"]
    assert emulator.requests("graphql.runOnlineTask")[0]["executed"] is False
    # Requests with a wrong key and the control plane are not counted.
    assert api.rest("GET", "tasks", key="wrong").status_code == 401
    assert emulator.info()


@pytest.mark.online_tasks_emulator(
    queries_per_minute=1, mutations_per_minute=1, retry_after=True, graphql_rate_limit_status=429
)
def test_retry_after_is_sent_when_enabled(api: Api) -> None:
    api.rest("GET", "tasks")
    assert 58 <= int(api.rest("GET", "tasks").headers["retry-after"]) <= 60
    api.create()
    again = api.graphql(CREATE, input={})
    assert again.status_code == 429
    assert 58 <= int(again.headers["retry-after"]) <= 60


def test_rate_limits_change_while_running(api: Api, emulator: Emulator) -> None:
    assert {api.rest("GET", "tasks").status_code for _ in range(150)} == {200}
    emulator.configure(queries_per_minute=1)
    assert [api.rest("GET", "tasks").status_code for _ in range(2)] == [200, 429]
    emulator.configure(queries_per_minute=None)
    assert api.rest("GET", "tasks").status_code == 200


def test_rate_limit_window_slides() -> None:
    limiter = RateLimiter()
    assert [limiter.wait("key", "reads", 2, now) for now in (0.0, 30.0)] == [0, 0]
    assert limiter.wait("key", "reads", 2, 45.0) == 15
    assert limiter.wait("other key", "reads", 2, 45.0) == 0
    assert limiter.wait("key", "writes", 2, 45.0) == 0
    # The first is a minute ago, the second is not.
    assert limiter.wait("key", "reads", 2, 60.0) == 0
    assert limiter.wait("key", "reads", 2, 60.5) == 29.5
    # With a smaller limit the wait is for as many as are too many.
    assert limiter.wait("key", "reads", 1, 60.5) == 59.5
