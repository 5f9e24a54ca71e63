"""The Evals page's server in Airflow's own API server: who may see what, and how fast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_online_tasks.ui.evals.records import (
    RESULTS_KEY,
    VERDICT_KEY,
    results_record,
    verdict_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi.testclient import TestClient

pytestmark = [pytest.mark.dag, pytest.mark.since_airflow("3.3", "the API server that these tests know")]

PAGE = "/arize-evals"
HOSTILE = "<img src=x onerror=alert(1)>"
Asked = tuple[int, Any]


@pytest.fixture(scope="module")
def server(airflow_db: None) -> TestClient:
    """Airflow's own API server, with the plugin that its entry point names."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"))


@pytest.fixture
def ask(server: TestClient) -> Callable[..., Asked]:
    """``ask(path, role="viewer")``: what a user with a role is answered; None is nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def ask_as(path: str, *, role: str | None = "viewer", login: bool = True) -> Asked:
        headers = {}
        if login:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="one", role=role))
            headers["Authorization"] = f"Bearer {token}"
        answer = server.get(f"{PAGE}{path}", headers=headers)
        return answer.status_code, answer.json()

    return ask_as


def _summary(end: datetime, *, correct: int) -> dict[str, Any]:
    labels = {"correct": {"count": correct}, HOSTILE: {"count": 100 - correct}}
    return {
        "data_start_time": (end - timedelta(days=1)).isoformat(),
        "data_end_time": end.isoformat(),
        "complete": True,
        "expected": 100,
        "evaluators": {"correctness": {"evaluated": 100, "labels": labels, "score_mean": correct / 100}},
    }


@pytest.fixture(scope="module")
def evals(run_dag: Callable[..., Any]) -> str:
    """A DAG whose three runs left records, as the operators do."""
    with DAG("evals_of_three_days", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:

        @task
        def read_results(**context: Any) -> None:
            end = context["logical_date"]
            push = context["ti"].xcom_push
            push(key=RESULTS_KEY, value=results_record(_summary(end, correct=80 + end.day)))

        @task
        def gate(**context: Any) -> None:
            rule = {"evaluator": "correctness", "measure": "correct", "rule": ">= 0.8", "outcome": "held"}
            record = verdict_record({"passed": True, "rules": [rule]})
            context["ti"].xcom_push(key=VERDICT_KEY, value=record)

        read_results() >> gate()
    for day in (1, 2, 3):
        assert run_dag(dag, logical_date=datetime(2026, 1, day, tzinfo=UTC)).state == "success"
    return dag.dag_id


def test_a_viewer_sees_the_history_of_a_dag(ask: Callable[..., Asked], evals: str) -> None:
    status, found = ask(f"/api/history?dag_id={evals}")

    assert status == 200
    results = [one for one in found["records"] if one["kind"] == "results"]
    shares = [one["value"]["evaluators"]["correctness"]["shares"] for one in results]
    assert [one["correct"]["count"] for one in shares] == [81, 82, 83]
    assert HOSTILE in shares[0]  # as it is: the page shows it as text
    verdicts = [one["value"] for one in found["records"] if one["kind"] == "verdict"]
    assert [one["passed"] for one in verdicts] == [True] * 3
    assert {one["task_id"] for one in found["records"]} == {"read_results", "gate"}
    assert not found["is_cut"]


def test_a_viewer_sees_the_overview(ask: Callable[..., Asked], evals: str) -> None:
    status, found = ask("/api/overview")

    assert status == 200
    assert {one["dag_id"] for one in found["records"]} == {evals}


@pytest.mark.parametrize("path", ["/api/history?dag_id=evals_of_three_days", "/api/overview"])
def test_without_a_login_there_is_nothing(ask: Callable[..., Asked], evals: str, path: str) -> None:
    assert ask(path, login=False)[0] == 401


def test_without_a_right_to_read_there_is_nothing(ask: Callable[..., Asked], evals: str) -> None:
    assert ask(f"/api/history?dag_id={evals}", role=None)[0] == 403
    assert ask("/api/overview", role=None) == (200, {"records": [], "is_cut": False})


def test_a_right_to_read_the_dag_is_no_right_to_read_its_xcoms(
    ask: Callable[..., Asked], evals: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    auth = type(get_auth_manager())
    permits = auth.is_authorized_dag

    def but_no_xcoms(self: Any, *, access_entity: Any = None, **given: Any) -> bool:
        return access_entity is not DagAccessEntity.XCOM and permits(
            self, access_entity=access_entity, **given
        )

    monkeypatch.setattr(auth, "is_authorized_dag", but_no_xcoms)

    assert ask(f"/api/history?dag_id={evals}")[0] == 403
    assert ask("/api/overview") == (200, {"records": [], "is_cut": False})


@pytest.mark.parametrize(
    "query", ["dag_id=~", "dag_id=", "", "dag_id=evals_of_three_days&days=0", "dag_id=x&days=9999"]
)
def test_what_is_asked_for_is_checked(ask: Callable[..., Asked], evals: str, query: str) -> None:
    assert ask(f"/api/history?{query}")[0] in (403, 404, 422)


def test_the_page_itself_holds_nothing_and_loads_nothing_from_elsewhere(server: TestClient) -> None:
    page = server.get(f"{PAGE}/")

    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    for name in ("evals.js", "evals.css", "uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE", "evals.svg"):
        assert server.get(f"{PAGE}/static/{name}").status_code == 200
    assert server.get(f"{PAGE}/static/index.html").status_code == 404
    assert server.get(f"{PAGE}/static/..%2Fapp.py").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/api/history", "/api/overview"])
def test_nothing_can_be_changed(server: TestClient, method: str, path: str) -> None:
    assert server.request(method, f"{PAGE}{path}").status_code == 405
