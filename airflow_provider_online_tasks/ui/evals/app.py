"""The server of the Evals page: static files for everyone, data for users with access. It only serves GET."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY
from airflow_provider_online_tasks.ui.evals import reads
from airflow_provider_online_tasks.ui.evals.records import read_results, read_verdict

WWW = Path(__file__).parent / "www"
FILES = {
    "airflow.js": "text/javascript",
    "evals.js": "text/javascript",
    "plots.js": "text/javascript",
    "windows.js": "text/javascript",
    "evals.css": "text/css",
    "evals.svg": "image/svg+xml",
    "evals-dark.svg": "image/svg+xml",
    "uPlot.iife.min.js": "text/javascript",
    "uPlot.min.css": "text/css",
    "uPlot.LICENSE": "text/plain",
}
HEADERS = {
    # Load nothing from other hosts, and run no script that is part of a label or an evaluator name.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
MAX_DAYS = 366

Days = Annotated[int, Query(ge=1, le=MAX_DAYS)]
Until = Annotated[datetime | None, Query()]


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
    """Serve the page itself, which has no data and needs no login."""
    return FileResponse(WWW / "index.html", media_type="text/html")


def _static(name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(WWW / name, media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})


def _history(
    dag_id: Annotated[str, Query(min_length=1)],
    run_id: str | None = None,
    days: Days = 90,
    until: Until = None,
) -> Response:
    """Return the records of a DAG in a time span, or of one of its runs."""
    if dag_id == "~":  # Airflow's access check treats it as every DAG
        raise HTTPException(404)
    with create_session(scoped=False) as session:
        if run_id is not None:
            records = reads.of_dag_run(session, dag_id=dag_id, run_id=run_id)
        else:
            records = reads.history(session, dag_id=dag_id, span=_span(days, until))
    return _response(records, is_cut=len(records) == reads.MAX_RECORDS)


def _overview(user: GetUserDep, days: Days = 30, until: Until = None) -> Response:
    """Return the newest records of each DAG whose XComs the user may read."""
    span = _span(days, until)
    with create_session(scoped=False) as session:
        dag_ids = reads.dags_with_records(session, span=span)
        teams = reads.teams(session, dag_ids) if dag_ids else {}
        readable = list(islice(_readable(dag_ids, teams, user), reads.OVERVIEW_DAGS + 1))
        shown = readable[: reads.OVERVIEW_DAGS]
        records = reads.overview(session, dag_ids=shown, span=span) if shown else []
    is_cut = len(shown) < len(readable) or len(dag_ids) == reads.MAX_DAGS
    return _response(records, is_cut=is_cut or len(records) == reads.MAX_RECORDS)


def _readable(dag_ids: Iterable[str], teams: Mapping[str, str | None], user: Any) -> Iterator[str]:
    """Yield the DAGs that the user may read together with their XComs."""
    auth = get_auth_manager()
    for dag_id in dag_ids:
        details = DagDetails(id=dag_id, team_name=teams.get(dag_id))
        if auth.is_authorized_dag(method="GET", details=details, user=user) and auth.is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, details=details, user=user
        ):
            yield dag_id


def _span(days: int, until: datetime | None) -> reads.Span:
    end = datetime.now(UTC) if until is None else until if until.tzinfo else until.replace(tzinfo=UTC)
    return reads.Span(since=end - timedelta(days=days), until=end)


def _response(records: Iterable[reads.Record], *, is_cut: bool) -> Response:
    # Encode directly: FastAPI would first inspect hundreds of thousands of values.
    return JSONResponse({"records": list(_shown(records)), "is_cut": is_cut})


def _shown(records: Iterable[reads.Record]) -> Iterator[dict[str, Any]]:
    """Yield the records for the browser, without unreadable ones."""
    read = {RESULTS_KEY: read_results, VERDICT_KEY: read_verdict}
    for record in records:
        value = read[record.key](record.value)
        if value is not None:
            yield {
                "dag_id": record.dag_id,
                "run_id": record.run_id,
                "task_id": record.task_id,
                "map_index": record.map_index,
                "kind": "results" if record.key == RESULTS_KEY else "verdict",
                "at": record.at.isoformat(),
                "value": value,
            }
