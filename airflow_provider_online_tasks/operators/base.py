"""What the operators have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.inputs.arguments import check_name
from airflow_provider_online_tasks.ui.links import Links

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.definitions.xcom_arg import PlainXComArg
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

    _Operator = BaseOperator
else:
    _Operator = object

# The argument of the next method that says in which try the task was deferred, and what it knew.
DEFERRED = "deferred"


def _try_number(ti: Any) -> int | None:
    return getattr(ti, "try_number", None)


class UsesArize(_Operator):
    """What the operators and the sensor have in common: a hook, and links into Arize."""

    conn_id: Any
    links: Links = Links()

    if TYPE_CHECKING:

        @property
        def output(self) -> PlainXComArg:
            """What the task returns; ``output["run_id"]`` is another value that it pushes."""

    @property
    def hook(self) -> OnlineTasksHook:
        """A new hook on the connection; close it after use."""
        from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

        return OnlineTasksHook(self.conn_id)

    def defer_in_try(
        self, ti: Any, *, trigger: BaseTrigger, method_name: str, kwargs: dict[str, Any] | None = None
    ) -> NoReturn:
        """Defer without a timeout, since the trigger keeps it; note in which try, and the links.

        :param ti: the task instance.
        """
        kept = {**(kwargs or {}), DEFERRED: {"try_number": _try_number(ti), "links": asdict(self.links)}}
        self.defer(trigger=trigger, method_name=method_name, kwargs=kept, timeout=None)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the task was deferred.

        Airflow 3.0 resumes a retry with the event of the try before it, which that try has acted on: such a
        retry begins afresh.
        """
        kept = dict(next_kwargs or {})
        deferred = kept.pop(DEFERRED, None)  # airflow dags test hands over the event alone
        if deferred is not None:
            if deferred["try_number"] != _try_number(context.get("ti")):
                return self.execute(context)
            self.links = Links(**deferred["links"])
        return super().resume_execution(next_method, kept, context)


class OnlineTasksOperator(UsesArize, BaseOperator):
    """Base of the operators of this provider.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    """

    ui_color = "#ffe0f0"

    def __init__(self, *, conn_id: str | XComArg = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        check_name(conn_id, "conn_id")


class LineageOperator(OnlineTasksOperator):
    """Base of the operators that report what they had judged to OpenLineage, if its provider is installed."""

    _project_id: str | None = None
    _namespace: str | None = None
    _facts: Mapping[str, Any] = MappingProxyType({})

    def keep_lineage(
        self, facts: Mapping[str, Any], *, namespace: str | None, project_id: str | None
    ) -> None:
        """Keep what OpenLineage asks for when the task is over. It sends nothing to Arize.

        :param facts: by the names of :class:`~airflow_provider_online_tasks.lineage.OnlineTaskRunFacet`.
        :param namespace: the address of Arize's UI.
        :param project_id: the project whose spans are judged, where it is known.
        """
        self._facts, self._namespace = dict(facts), namespace
        self._project_id = project_id or self._project_id

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what is known of the run."""
        from airflow_provider_online_tasks.lineage import lineage_of

        facts = self._facts or {"online_task_id": getattr(self, "online_task_id", None)}
        return lineage_of(facts, namespace=self._namespace, project_id=self._project_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what is known of the run."""
        return self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return what is known of the run."""
        return self.get_openlineage_facets_on_start()
