"""What the operators have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.ui.links import Links

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

    _Operator = BaseOperator
else:
    _Operator = object


class UsesArize(_Operator):
    """What the operators and the sensor have in common: a hook, and links into Arize."""

    conn_id: str
    # None once the task is resumed: what was known before it was deferred is in XCom.
    links: Links | None = Links()

    @property
    def hook(self) -> OnlineTasksHook:
        """A new hook on the connection; close it after use."""
        from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

        return OnlineTasksHook(self.conn_id)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the task was deferred."""
        self.links = None
        return super().resume_execution(next_method, next_kwargs, context)


class OnlineTasksOperator(UsesArize, BaseOperator):
    """Base of the operators of this provider.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    """

    ui_color = "#ffe0f0"

    def __init__(self, *, conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id


class LineageOperator(OnlineTasksOperator):
    """Base of the operators that tell OpenLineage, where its provider is installed, what they had judged."""

    _project_id: str | None = None
    _namespace: str | None = None
    _facts: Mapping[str, Any] = MappingProxyType({})

    def note_lineage(
        self, facts: Mapping[str, Any], *, online_task_id: str | None = None, project_id: str | None = None
    ) -> None:
        """Keep what OpenLineage asks for when the task is over. Without its provider this does nothing.

        :param facts: by the names of :class:`~airflow_provider_online_tasks.lineage.OnlineTaskRunFacet`.
        :param online_task_id: the task, whose project is asked for unless it is given.
        :param project_id: the project whose spans are judged.
        """
        if not _has_openlineage():
            return
        self._facts = dict(facts)
        project_id = project_id or self._project_id
        try:
            with self.hook as hook:
                self._namespace = hook.settings.endpoint.ui_url
                if project_id is None and online_task_id is not None:
                    project_id = hook.get_task(online_task_id).project_id
        except OnlineTasksError as error:
            self.log.debug("OpenLineage is not told of the spans: %s", error)
        self._project_id = project_id

    def keep_lineage(
        self, facts: Mapping[str, Any], *, namespace: str | None, project_id: str | None
    ) -> None:
        """Keep what OpenLineage asks for when the task is over, where all of it is known already."""
        self._facts, self._namespace, self._project_id = dict(facts), namespace, project_id

    def get_openlineage_facets_on_start(self) -> Any:
        """Tell OpenLineage what is known of the run."""
        from airflow_provider_online_tasks.lineage import lineage_of

        facts = self._facts or {"online_task_id": getattr(self, "online_task_id", None)}
        return lineage_of(facts, namespace=self._namespace, project_id=self._project_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Tell OpenLineage what is known of the run."""
        return self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Tell OpenLineage what is known of the run."""
        return self.get_openlineage_facets_on_start()


@cache
def _has_openlineage() -> bool:
    return find_spec("airflow.providers.openlineage") is not None
