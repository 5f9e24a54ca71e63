"""Links from Airflow's UI to Arize's.

The address patterns are those of Arize's arize-link skill. A run has no page; its spans have one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

from airflow_provider_online_tasks.exceptions import OnlineTasksError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.inputs.windows import DataWindow

log = logging.getLogger(__name__)
RUN_URL_KEY = "run_url"
PROJECT_URL_KEY = "project_url"
EVALUATOR_URL_KEY = "evaluator_url"
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class ProjectPage:
    """The address of a project in the Arize UI; the IDs are global IDs."""

    ui_url: str
    organization_id: str
    space_id: str
    project_id: str

    def spans_url(self, window: DataWindow | None = None, query_filter: str | None = None) -> str:
        """Return the address of the spans of a window. Without one, the UI shows the last seven days.

        :param query_filter: which spans of the window to show. Default: all.
        """
        query: dict[str, str | int] = {"selectedTab": "llmTracing"}
        if window is not None:
            query["startA"] = (window.start - _EPOCH) // _MILLISECOND
            query["endA"] = -((_EPOCH - window.end) // _MILLISECOND)  # rounded up, to show the last span
        query |= {"envA": "tracing", "modelType": "generative_llm", "queryFilterA": query_filter or ""}
        return f"{self._space_url}/projects/{_part(self.project_id)}?{urlencode(query)}"

    def evaluator_url(self, evaluator_id: str) -> str:
        """Return the address of an Eval Hub evaluator in the project's space."""
        return f"{self._space_url}/evaluators/{_part(evaluator_id)}"

    @property
    def _space_url(self) -> str:
        return f"{self.ui_url}/organizations/{_part(self.organization_id)}/spaces/{_part(self.space_id)}"


def _part(value: str) -> str:
    return quote(value, safe="")


@dataclass(frozen=True, kw_only=True)
class Links:
    """Addresses in the Arize UI; None for what is not known.

    :param spans: the spans of the operator's window.
    :param project: the project's spans of the last seven days.
    :param evaluator: the first Eval Hub evaluator.
    :param project_id: global ID of the project.
    :param task: name of the online task.
    """

    spans: str | None = None
    project: str | None = None
    evaluator: str | None = None
    project_id: str | None = None
    task: str | None = None

    def span(self, span_id: str, trace_id: str | None) -> str | None:
        """Return the address of a span of the window."""
        if self.spans is None or trace_id is None:
            return None
        return f"{self.spans}&{urlencode({'selectedTraceId': trace_id, 'selectedSpanId': span_id})}"

    @property
    def addresses(self) -> dict[str, str | None]:
        """The addresses by their XCom keys, where the web server reads them."""
        return {RUN_URL_KEY: self.spans, PROJECT_URL_KEY: self.project, EVALUATOR_URL_KEY: self.evaluator}

    def push(self, context: Context) -> None:
        """Push the known addresses now; Airflow itself pushes them when the task's process ends."""
        for key, address in self.addresses.items():
            if address:
                context["ti"].xcom_push(key=key, value=address)


def links_of_task(client: Client, online_task_id: str, window: DataWindow | None = None) -> Links:
    """Return the links of :meth:`OnlineTasksHook.links`."""
    from airflow_provider_online_tasks.api.calls import get_task
    from airflow_provider_online_tasks.api.retry import NO_RETRY

    try:
        task = client.send(get_task(online_task_id), retry=NO_RETRY)
    except OnlineTasksError as error:
        log.debug("No link to Arize: %s", error)
        return Links()
    links = links_of_project(
        client,
        task.project_id,
        evaluator_ids=task.evaluator_ids,
        window=window,
        query_filter=task.query_filter,
    )
    return replace(links, task=task.name)


def links_of_project(
    client: Client,
    project_id: str | None,
    *,
    evaluator_ids: Iterable[str | None] = (),
    window: DataWindow | None = None,
    query_filter: str | None = None,
) -> Links:
    """Return the links of :meth:`OnlineTasksHook.links_of`."""
    from airflow_provider_online_tasks.api.calls import get_project_space, get_space_organization
    from airflow_provider_online_tasks.api.retry import NO_RETRY

    if project_id is None:
        return Links()
    settings = client.settings
    evaluator_id = next(filter(None, evaluator_ids), None)
    try:
        space_id = settings.space_id or client.send(get_project_space(project_id), retry=NO_RETRY)
        organization_id = settings.organization_id or client.send(
            get_space_organization(space_id), retry=NO_RETRY
        )
        page = ProjectPage(
            ui_url=settings.endpoint.app_url,
            organization_id=organization_id,
            space_id=space_id,
            project_id=project_id,
        )
        return Links(
            spans=page.spans_url(window, query_filter) if window else None,
            project=page.spans_url(),
            evaluator=page.evaluator_url(evaluator_id) if evaluator_id else None,
            project_id=project_id,
        )
    except (OnlineTasksError, UnicodeError) as error:  # an address cannot hold every filter
        log.debug("No link to Arize: %s", error)
        return Links(project_id=project_id)


class _TaskLink(BaseOperatorLink):
    """A link that Airflow reads when a task's process ends, and pushes to XCom."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty text if it is not known."""
        links: Links = getattr(operator, "links", Links())
        return links.addresses[self.xcom_key] or ""


class OnlineTaskRunLink(_TaskLink):
    """Link to the spans of a run."""

    name = "Spans in Arize"
    xcom_key = RUN_URL_KEY


class ProjectLink(_TaskLink):
    """Link to the evaluated project."""

    name = "Project in Arize"
    xcom_key = PROJECT_URL_KEY


class EvaluatorLink(_TaskLink):
    """Link to the first Eval Hub evaluator of the task."""

    name = "Evaluator in Arize"
    xcom_key = EVALUATOR_URL_KEY
