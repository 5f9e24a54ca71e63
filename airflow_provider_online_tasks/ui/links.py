"""Links from Airflow's UI into Arize's.

Patterns: published in Arize's arize-link skill. A run has no page of its own; its spans do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_online_tasks.inputs import DataWindow

RUN_URL_KEY = "run_url"
PROJECT_URL_KEY = "project_url"
EVALUATOR_URL_KEY = "evaluator_url"
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the Arize UI has a project.

    :param ui_url: base of the addresses of the Arize UI.
    """

    ui_url: str
    organization_id: str
    space_id: str
    project_id: str

    def spans_url(self, window: DataWindow | None = None, query_filter: str | None = None) -> str:
        """Return the address of the spans of a window; without one, the UI shows the last seven days.

        :param query_filter: shows only the spans that it selects.
        """
        bounds = {} if window is None else _bounds(window)
        query = urlencode(
            {
                "selectedTab": "llmTracing",
                **bounds,
                "envA": "tracing",
                "modelType": "generative_llm",
                "queryFilterA": query_filter or "",
            }
        )
        return f"{self._space_url}/projects/{_part(self.project_id)}?{query}"

    def evaluator_url(self, evaluator_id: str) -> str:
        """Return the address of an Eval Hub evaluator of the project's space."""
        return f"{self._space_url}/evaluators/{_part(evaluator_id)}"

    @property
    def _space_url(self) -> str:
        return f"{self.ui_url}/organizations/{_part(self.organization_id)}/spaces/{_part(self.space_id)}"


def _bounds(window: DataWindow) -> dict[str, int]:
    return {
        "startA": (window.start - _EPOCH) // _MILLISECOND,
        "endA": -((_EPOCH - window.end) // _MILLISECOND),  # rounded up, so that the last span shows
    }


def _part(value: str) -> str:
    return quote(value, safe="")


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where the Arize UI shows what an operator is about; None if that is not known.

    :param spans: the spans of the operator's window.
    :param project: the project's spans of the last seven days.
    :param evaluator: the first Eval Hub evaluator.
    :param project_id: the project, which was learned on the way.
    :param task: the name of the online task, which was learned on the way.
    """

    spans: str | None = None
    project: str | None = None
    evaluator: str | None = None
    project_id: str | None = None
    task: str | None = None

    @classmethod
    def within(
        cls,
        place: Place,
        *,
        evaluator_ids: Iterable[str | None] = (),
        window: DataWindow | None = None,
        query_filter: str | None = None,
    ) -> Links:
        """Return the links to a project, and to an evaluator and the spans of a window if given.

        :param query_filter: of the spans in the window, shows those that it selects.
        """
        evaluator_id = next(filter(None, evaluator_ids), None)
        return cls(
            spans=place.spans_url(window, query_filter) if window else None,
            project=place.spans_url(),
            evaluator=place.evaluator_url(evaluator_id) if evaluator_id else None,
            project_id=place.project_id,
        )

    def span(self, span_id: str, trace_id: str | None) -> str | None:
        """Return where one span of the window is shown."""
        if self.spans is None or trace_id is None:
            return None
        return f"{self.spans}&{urlencode({'selectedTraceId': trace_id, 'selectedSpanId': span_id})}"

    @property
    def addresses(self) -> dict[str, str | None]:
        """The addresses by their keys in XCom, where the web server finds them."""
        return {
            RUN_URL_KEY: self.spans,
            PROJECT_URL_KEY: self.project,
            EVALUATOR_URL_KEY: self.evaluator,
        }

    def push(self, context: Context) -> None:
        """Push the addresses that are known now already: Airflow does so when the task's process ends."""
        for key, address in self.addresses.items():
            if address:
                context["ti"].xcom_push(key=key, value=address)


class _TaskLink(BaseOperatorLink):
    """A link that Airflow asks for when a task's process ends; what it returns is pushed to XCom."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task knows, or nothing."""
        links: Links = getattr(operator, "links", Links())
        return links.addresses[self.xcom_key] or ""


class OnlineTaskRunLink(_TaskLink):
    """The spans of a run, in the Arize UI."""

    name = "Spans in Arize"
    xcom_key = RUN_URL_KEY


class ProjectLink(_TaskLink):
    """The project that is judged, in the Arize UI."""

    name = "Project in Arize"
    xcom_key = PROJECT_URL_KEY


class EvaluatorLink(_TaskLink):
    """The first Eval Hub evaluator of the task, in the Arize UI."""

    name = "Evaluator in Arize"
    xcom_key = EVALUATOR_URL_KEY
