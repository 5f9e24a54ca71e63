"""Links from Airflow's UI into Arize's.

Patterns: published in Arize's arize-link skill. A run has no page of its own; its spans do.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_online_tasks.api.inputs import DataWindow

RUN_URL_KEY = "run_url"
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


def spans_url(
    ui_url: str, *, organization_id: str, space_id: str, project_id: str, window: DataWindow
) -> str:
    """Return the address of a project's spans in a window."""
    organization, space, project = (quote(part, safe="") for part in (organization_id, space_id, project_id))
    query = urlencode(
        {
            "selectedTab": "llmTracing",
            "startA": (window.start - _EPOCH) // _MILLISECOND,
            "endA": -((_EPOCH - window.end) // _MILLISECOND),  # rounded up, so that the last span shows
            "envA": "tracing",
            "modelType": "generative_llm",
            "queryFilterA": "",
        }
    )
    return f"{ui_url}/organizations/{organization}/spaces/{space}/projects/{project}?{query}"


class OnlineTaskRunLink(BaseOperatorLink):
    """The spans of a run, in the Arize UI. The address was pushed with the run: nothing is looked up here."""

    name = "Spans in Arize"
    xcom_key = RUN_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task pushed, or nothing if it could not tell it."""
        from airflow.sdk.execution_time.xcom import XCom

        return str(XCom.get_value(ti_key=ti_key, key=RUN_URL_KEY) or "")
