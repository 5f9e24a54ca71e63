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

from airflow_provider_online_tasks.ui.evals import reads, views
from airflow_provider_online_tasks.ui.evals.histories import histories
from airflow_provider_online_tasks.ui.evals.records import Record, read

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
MINUTES_PER_DAY = 24 * 60

# A time zone's days may have 23 or 25 hours.
Days = Annotated[float, Query(gt=0, lt=MAX_DAYS + 1)]
DagId = Annotated[str, Query(min_length=1)]
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
    access = Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))
    app.get("/api/history", dependencies=[access])(_history)
    app.get("/api/run", dependencies=[access])(_run)
    app.get("/api/overview")(_overview)
    return app


def _page() -> Response:
    """Serve the page itself, which has no data and needs no login."""
    return FileResponse(WWW / "index.html", media_type="text/html")


def _static(name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(WWW / name, media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})


def _run(dag_id: DagId, run_id: str, map_index: int | None = None) -> Response:
    """Return the records of one DAG run of any age."""
    with create_session(scoped=False) as session:
        found = reads.of_dag_run(session, dag_id=_one(dag_id), run_id=run_id, map_index=map_index)
    records = [views.record(record) for record in read(found.records)]
    return JSONResponse({"records": records, "is_cut": found.is_cut})


def _history(dag_id: DagId, days: Days = 90, until: Until = None) -> Response:
    """Return the history of each evaluator of a DAG in a time span."""
    span = _span(days, until)
    with create_session(scoped=False) as session:
        found = reads.history(session, dag_id=_one(dag_id), span=span)
        runs = reads.runs(session, dag_id=dag_id, span=span)
        dags, is_cut = reads.dag_states(session, dag_ids=[dag_id], task_ids=found.task_ids, span=span)
    records = read(found.records)
    content = views.dag(histories(records, dags), read(runs.records))
    return _response(content, records, is_cut=is_cut or found.is_cut or runs.is_cut)


def _overview(user: GetUserDep, days: Days = 30, until: Until = None) -> Response:
    """Return the newest window of each evaluator in the DAGs whose XComs the user may read."""
    span = _span(days, until)
    with create_session(scoped=False) as session:
        dag_ids = reads.dags_with_records(session)
        teams = reads.teams(session, dag_ids) if dag_ids else {}
        readable = list(islice(_readable(dag_ids, teams, user), reads.OVERVIEW_DAGS + 1))
        shown = readable[: reads.OVERVIEW_DAGS]
        found = reads.overview(session, dag_ids=shown, span=span)
        dags, is_cut = reads.dag_states(session, dag_ids=shown, task_ids=found.task_ids, span=span)
    is_cut = is_cut or found.is_cut or len(shown) < len(readable) or len(dag_ids) == reads.MAX_DAGS
    records = read(found.records)
    return _response(views.overview(histories(records, dags)), records, is_cut=is_cut)


def _one(dag_id: str) -> str:
    if dag_id == "~":  # Airflow's access check treats it as every DAG
        raise HTTPException(404)
    return dag_id


def _readable(dag_ids: Iterable[str], teams: Mapping[str, str | None], user: Any) -> Iterator[str]:
    """Yield the DAGs that the user may read together with their XComs."""
    auth = get_auth_manager()
    for dag_id in dag_ids:
        details = DagDetails(id=dag_id, team_name=teams.get(dag_id))
        if auth.is_authorized_dag(method="GET", details=details, user=user) and auth.is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, details=details, user=user
        ):
            yield dag_id


def _span(days: float, until: datetime | None) -> reads.Span:
    end = datetime.now(UTC) if until is None else until if until.tzinfo else until.replace(tzinfo=UTC)
    return reads.Span(since=end - timedelta(minutes=round(days * MINUTES_PER_DAY)), until=end)


def _response(content: dict[str, Any], records: Iterable[Record], *, is_cut: bool) -> Response:
    omitted = max((record.value.get("omitted", 0) for record in records), default=0)
    # Encode directly: FastAPI would first inspect hundreds of thousands of values.
    return JSONResponse({**content, "is_cut": is_cut, "omitted_evaluators": omitted})
