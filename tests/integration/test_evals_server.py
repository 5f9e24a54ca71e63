"""The Evals page in Airflow's API server: permissions, queries and CPU time."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from airflow.sdk import DAG, task

from airflow_provider_online_tasks.results.history import (
    RESULTS_KEY,
    VERDICT_KEY,
    results_record,
    verdict_record,
)
from tests.support import evals_history as history

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from fastapi.testclient import TestClient

pytestmark = [pytest.mark.dag, pytest.mark.since_airflow("3.3", "the API server that these tests know")]

PAGE = "/arize-evals"
HOSTILE = "<img src=x onerror=alert(1)>"
DAY = timedelta(days=1)
NO_EVALS = {"evaluators": [], "is_cut": False, "omitted_evaluators": 0}
Asked = tuple[int, Any]


@pytest.fixture(scope="module")
def reads() -> ModuleType:
    """The module with the page's queries, which can't be imported on Airflow 3.0."""
    return importlib.import_module("airflow_provider_online_tasks.ui.evals.reads")


@pytest.fixture(scope="module")
def server(airflow_db: None) -> TestClient:
    """Airflow's API server with the plugin of the package's entry point."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"))


@pytest.fixture
def ask(server: TestClient) -> Callable[..., Asked]:
    """``ask(path, role="viewer", login=True)``: return the status and the body of the response to a user."""
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
    """The ID of a DAG with three runs whose tasks pushed records, as the operators do."""
    with DAG("evals_of_three_days", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:

        @task
        def read_results(**context: Any) -> None:
            end = context["logical_date"]
            push = context["ti"].xcom_push
            push(key=RESULTS_KEY, value=results_record(_summary(end, correct=80 + end.day)))

        @task
        def gate(**context: Any) -> None:
            rule = {"evaluator": "correctness", "measure": "correct", "rule": ">= 0.8", "outcome": "passed"}
            window = _summary(context["logical_date"], correct=0)
            record = verdict_record({**window, "passed": True, "rules": [rule]})
            context["ti"].xcom_push(key=VERDICT_KEY, value=record)

        read_results() >> gate()
    for day in (1, 2, 3):
        assert run_dag(dag, logical_date=datetime(2026, 1, day, tzinfo=UTC)).state == "success"
    return dag.dag_id


def test_history_with_viewer_role_returns_all_records(ask: Callable[..., Asked], evals: str) -> None:
    status, found = ask(f"/api/history?dag_id={evals}")

    assert status == 200
    [evaluator] = found["evaluators"]
    assert (evaluator["name"], evaluator["task_id"]) == ("correctness", "read_results")
    assert evaluator["status"] == {"state": "passed"}
    windows = evaluator["windows"]
    assert [one["shares"]["correct"]["count"] for one in windows] == [81, 82, 83]
    assert HOSTILE in windows[0]["shares"]  # unchanged: the page shows it as text
    assert [one["outcome"] for one in windows] == ["passed"] * 3
    assert {gate["task_id"] for one in windows for gate in one["gates"]} == {"gate"}
    assert not found["is_cut"]


def test_overview_with_viewer_role_returns_the_dag(ask: Callable[..., Asked], evals: str) -> None:
    status, found = ask("/api/overview")

    assert status == 200
    # Other tests leave records in the same database.
    [one] = [one for one in found["evaluators"] if one["dag_id"] == evals]
    assert one["status"] == {"state": "passed"}
    assert one["newest"]["shares"]["correct"] == {"share": 0.83}
    assert one["trend"]["values"] == [0.81, 0.82, 0.83]


@pytest.mark.parametrize("path", ["/api/history?dag_id=evals_of_three_days", "/api/overview"])
def test_request_without_login_is_unauthorized(ask: Callable[..., Asked], evals: str, path: str) -> None:
    assert ask(path, login=False)[0] == 401


def test_request_without_read_permission_returns_nothing(ask: Callable[..., Asked], evals: str) -> None:
    assert ask(f"/api/history?dag_id={evals}", role=None)[0] == 403
    assert ask(f"/api/run?dag_id={evals}&run_id=x", role=None)[0] == 403
    assert ask("/api/overview", role=None) == (200, NO_EVALS)


def test_permission_for_dag_without_xcoms_returns_nothing(
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
    assert ask(f"/api/run?dag_id={evals}&run_id=x")[0] == 403
    assert ask("/api/overview") == (200, NO_EVALS)


@pytest.mark.parametrize(
    "query", ["dag_id=~", "dag_id=", "", "dag_id=evals_of_three_days&days=0", "dag_id=x&days=9999"]
)
def test_history_with_invalid_query_is_rejected(ask: Callable[..., Asked], evals: str, query: str) -> None:
    assert ask(f"/api/history?{query}")[0] in (403, 404, 422)


def test_run_of_every_dag_is_rejected(ask: Callable[..., Asked], evals: str) -> None:
    assert ask("/api/run?dag_id=~&run_id=x")[0] in (403, 404)


def test_run_returns_only_the_records_of_that_run(ask: Callable[..., Asked], evals: str) -> None:
    _, everything = ask(f"/api/history?dag_id={evals}")
    run_id = everything["records"][0]["run_id"]

    status, found = ask(f"/api/run?dag_id={evals}&run_id={quote(run_id, safe='')}")

    assert status == 200
    assert len(everything["records"]) == 3
    assert not found["is_cut"]
    assert {(one["run_id"], one["kind"]) for one in found["records"]} == {
        (run_id, "results"),
        (run_id, "verdict"),
    }


YEAR = {"windows": 365, "evaluators": 5}
MANY_DAGS = [f"evals_of_a_year_{number:02}" for number in range(20)]
# The goals are 0.3 and 1 s of CPU time. A slow processor may take longer.
SLOW_PROCESSOR = 5.0


@pytest.fixture(scope="module")
def a_year(airflow_db: None) -> Iterator[list[str]]:
    """The IDs of DAGs with a year of history each; the records are deleted afterwards."""
    from airflow.utils.session import create_session

    found = history.summaries(datetime.now(UTC).replace(microsecond=0), **YEAR)
    with create_session() as session:
        for dag_id in MANY_DAGS:
            history.fill(session, dag_id, found, spans_url=history.SPANS_URL)
    yield MANY_DAGS
    with create_session() as session:
        history.delete(session, MANY_DAGS)


@contextmanager
def queries() -> Iterator[list[str]]:
    """Yield a list that collects the queries that Airflow sends to its database."""
    from airflow import settings
    from sqlalchemy import event

    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            sent.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


def fastest(ask: Callable[..., Asked], path: str) -> tuple[float, dict[str, Any]]:
    """Return the CPU time of the fastest of three requests, and the response."""
    taken = []
    for _ in range(3):
        begin = time.process_time()
        status, found = ask(path)
        taken.append(time.process_time() - begin)
        assert status == 200
    return min(taken), found


@pytest.mark.slow
def test_history_of_a_year_takes_two_bounded_queries(ask: Callable[..., Asked], a_year: list[str]) -> None:
    path = f"/api/history?dag_id={a_year[0]}&days=366"
    with queries() as sent:
        ask(path)
    seconds, found = fastest(ask, path)

    ours = [one for one in sent if "xcom" in one]
    assert len(ours) == 2, ours  # records, and summaries of runs
    assert all("LIMIT" in one for one in ours)
    assert len([one for one in sent if "revoked_token" not in one]) <= 6, sent
    assert len(found["records"]) == YEAR["windows"]
    assert [len(one["windows"]) for one in found["evaluators"]] == [YEAR["windows"]] * YEAR["evaluators"]
    assert not found["is_cut"]
    assert seconds < 0.3 * SLOW_PROCESSOR


def test_overview_of_twenty_dags_is_small_and_takes_five_queries(
    ask: Callable[..., Asked], a_year: list[str], reads: ModuleType
) -> None:
    with queries() as sent:
        ask("/api/overview?days=366")
    seconds, found = fastest(ask, "/api/overview?days=366")

    ours = [one for one in sent if "revoked_token" not in one]  # Airflow checks the login with it
    assert len(ours) == 5, ours
    assert all("LIMIT" in one for one in ours if "xcom" in one or "task_instance" in one)
    evaluators = [one for one in found["evaluators"] if one["dag_id"] in a_year]
    assert len(evaluators) == len(a_year) * YEAR["evaluators"]
    assert {len(one["trend"]["values"]) for one in evaluators} == {reads.OVERVIEW_WINDOWS}
    assert {one["newest"]["end"][:10] for one in evaluators} == {datetime.now(UTC).date().isoformat()}
    assert len(json.dumps(found)) < 200_000
    assert seconds < 1.0 * SLOW_PROCESSOR


def test_record_limit_leaves_out_the_oldest(
    ask: Callable[..., Asked], a_year: list[str], reads: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_RECORDS", 10)

    _, found = ask("/api/overview?days=366")
    _, of_one = ask(f"/api/history?dag_id={a_year[0]}&days=366")

    assert found["is_cut"]
    assert of_one["is_cut"]
    assert len(of_one["records"]) == 5
    assert min(one["at"] for one in of_one["records"]) > (datetime.now(UTC) - 7 * DAY).isoformat()


def test_history_of_a_day_of_25_hours_has_the_runs_in_it(
    ask: Callable[..., Asked], a_year: list[str]
) -> None:
    path = f"/api/history?dag_id={a_year[0]}"
    *_, before, last = [one["at"] for one in ask(path)[1]["records"]]
    until = datetime.fromisoformat(last) + timedelta(hours=1)

    _, found = ask(f"{path}&days={25 / 24}&until={quote(until.isoformat())}")

    assert [one["at"] for one in found["records"]] == [before, last]


def test_page_has_strict_policy_and_only_local_files(server: TestClient) -> None:
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
@pytest.mark.parametrize("path", ["/", "/api/history", "/api/overview", "/api/run"])
def test_write_methods_are_not_allowed(server: TestClient, method: str, path: str) -> None:
    assert server.request(method, f"{PAGE}{path}").status_code == 405
