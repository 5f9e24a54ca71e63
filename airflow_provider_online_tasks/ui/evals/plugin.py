"""The Evals page in Airflow's UI: in the navigation, and as a tab of DAGs and tasks.

Every Airflow process that loads plugins imports this module, so it imports almost nothing. The server of the
page is created by its first request, in the API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow import __version__ as airflow_version
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_online_tasks._airflow import conf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/arize-evals"
# Airflow 3.0 has no external views.
FIRST_AIRFLOW = (3, 1)


class LazyApp:
    """The server of the page, created by its first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if self._app is None:
            from airflow_provider_online_tasks.ui.evals.app import create_app

            self._app = create_app()
        await self._app(scope, receive, send)

    def __repr__(self) -> str:
        return "the Evals page"


def _is_supported() -> bool:
    return tuple(int(part) for part in airflow_version.split(".")[:2]) >= FIRST_AIRFLOW


def _base_path() -> str:
    """Return the path prefix that Airflow is served under."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def _views() -> list[dict[str, Any]]:
    page = f"{_base_path()}{PREFIX}/"
    icons = {"icon": f"{page}static/evals.svg", "icon_dark_mode": f"{page}static/evals-dark.svg"}
    places = {
        "nav": "",
        "dag": "?dag_id={DAG_ID}",
        "task": "?dag_id={DAG_ID}&task_id={TASK_ID}",
        "task_instance": "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
    }
    return [
        {
            "name": "Evals",
            "href": page + query,
            "destination": place,
            # A route must be unique over all plugins and destinations.
            "url_route": "arize-evals" if place == "nav" else f"arize-evals-{place.replace('_', '-')}",
            **({"category": "browse"} if place == "nav" else {}),
            **icons,
        }
        for place, query in places.items()
    ]


class EvalsPlugin(AirflowPlugin):
    """The Evals page."""

    name = "arize_online_evals"
    fastapi_apps: list[Any] = (
        [{"app": LazyApp(), "url_prefix": PREFIX, "name": "Arize evals"}] if _is_supported() else []
    )
    external_views: list[Any] = _views() if _is_supported() else []
