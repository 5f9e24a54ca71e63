"""The page's server: a static page for everyone, numbers for those who may see them. It only answers GET."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

from airflow_provider_online_tasks.ui.evals import reads
from airflow_provider_online_tasks.ui.evals.records import (
    RESULTS_KEY,
    VERDICT_KEY,
    read_results,
    read_verdict,
)

WWW = Path(__file__).parent / "www"
FILES = {
    "evals.js": "text/javascript",
    "evals.css": "text/css",
    "evals.svg": "image/svg+xml",
    "evals-dark.svg": "image/svg+xml",
    "uPlot.iife.min.js": "text/javascript",
    "uPlot.min.css": "text/css",
    "uPlot.LICENSE": "text/plain",
}
HEADERS = {
    # Nothing is loaded from elsewhere, and no text of a label or of an evaluator becomes a script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
LONGEST_DAYS = 366

Days = Annotated[int, Query(ge=1, le=LONGEST_DAYS)]


def create_app() -> FastAPI:
    """Return the server of the page."""
    app = FastAPI(title="Arize evals", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(HEADERS)
        if request.scope["path"].rpartition("/")[0].endswith("/api"):
            response.headers["Cache-Control"] = "no-store"
        return response

    app.get("/", include_in_schema=False)(_page)
    app.get("/static/{name}", include_in_schema=False)(_static)
    app.get(
        "/api/history",
        dependencies=[Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))],
    )(_history)
    app.get("/api/overview")(_overview)
    return app


def _page() -> Response:
    """Serve the page itself, which holds no data and so needs no login."""
    return FileResponse(WWW / "index.html", media_type="text/html")


def _static(name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(WWW / name, media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})


def _history(dag_id: Annotated[str, Query(min_length=1)], days: Days = 90) -> dict[str, Any]:
    """Return the records of a DAG."""
    if dag_id == "~":  # which Airflow's own check takes for every DAG
        raise HTTPException(404)
    with create_session(scoped=False) as session:
        found = reads.history(session, dag_id=dag_id, since=_since(days))
    return {"records": list(_shown(found)), "is_cut": len(found) == reads.MOST_RECORDS}


def _overview(user: GetUserDep, days: Days = 30) -> dict[str, Any]:
    """Return the newest records of each DAG whose XComs the viewer may read."""
    auth = get_auth_manager()
    since = _since(days)
    readable = auth.get_authorized_dag_ids(user=user, method="GET")
    with create_session(scoped=False) as session:
        dag_ids = [
            dag_id
            for dag_id in reads.dags_with_records(session, since=since)
            if dag_id in readable and _may_read_xcoms(auth, dag_id, user)
        ]
        shown = dag_ids[: reads.OVERVIEW_DAGS]
        found = reads.overview(session, dag_ids=shown, since=since) if shown else []
    return {"records": list(_shown(found)), "is_cut": len(shown) < len(dag_ids)}


def _may_read_xcoms(auth: Any, dag_id: str, user: Any) -> bool:
    from airflow.models.dag import DagModel

    # Airflow 3.2 and later have teams.
    team = {"team_name": DagModel.get_team_name(dag_id)} if hasattr(DagModel, "get_team_name") else {}
    return bool(
        auth.is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, details=DagDetails(id=dag_id, **team), user=user
        )
    )


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _shown(records: Iterable[reads.Record]) -> Iterable[dict[str, Any]]:
    """Yield what the browser gets. A record that cannot be read is left out."""
    read = {RESULTS_KEY: read_results, VERDICT_KEY: read_verdict}
    for one in records:
        value = read[one.key](one.value)
        if value is not None:
            yield {
                "dag_id": one.dag_id,
                "run_id": one.run_id,
                "task_id": one.task_id,
                "map_index": one.map_index,
                "kind": "results" if one.key == RESULTS_KEY else "verdict",
                "at": one.at.isoformat(),
                "value": value,
            }
