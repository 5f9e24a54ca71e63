"""Base classes of the operators and the sensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import AssetAlias, BaseOperator

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import check_keywords, check_name, read_name
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_renderer, text_without_jinja
from airflow_provider_online_tasks.runs import window as windows
from airflow_provider_online_tasks.ui.links import Links

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.definitions.xcom_arg import PlainXComArg
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.base import WireInput
    from airflow_provider_online_tasks.inputs.runs import RunInput

    _Operator = BaseOperator
else:
    _Operator = object

# The argument of the next method that names the try that deferred, and the links that it knew.
DEFERRED = "deferred"
# Airflow fails a deferred task whose event comes before its scheduler has noted that the worker is done.
# Half of the time is for clocks that differ.
SHORTEST_PAUSE = timedelta(seconds=10)
# Stands for mapped data when literals are checked.
DATA = "{{ params.data }}"


class UsesArize(_Operator):
    """A hook, links into Arize, and deferral: for the operators and the sensor."""

    conn_id: Any
    links: Links = Links()

    if TYPE_CHECKING:

        @property
        def output(self) -> PlainXComArg:
            """What the task returns; ``output["run_id"]`` is another value that it pushes."""

    @property
    def hook(self) -> OnlineTasksHook:
        """Return a new hook. Close it after use."""
        from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

        return OnlineTasksHook(self.conn_id)

    def _mapped_data(self, context: Context | None = None) -> set[str]:
        """Return the arguments that are mapped over the result of another task.

        Without a context, these are all arguments that the result of ``expand_kwargs`` may have.
        """
        has_dag: bool = self.has_dag()  # type: ignore[no-untyped-call]
        mapped: Any = self.dag.task_dict.get(self.task_id) if has_dag else None
        over = getattr(mapped, "expand_input", None)
        if over is None:
            return set()
        if isinstance(over.value, Mapping):
            return {name for name, value in over.value.items() if is_leaf_template(value)}
        if isinstance(over.value, Sequence) and all(isinstance(part, Mapping) for part in over.value):
            return set()
        if context is not None:
            return set(over.resolve(context)[0])
        return set(self.template_fields) - set(mapped.partial_kwargs)

    def check_literals(self, model: type[WireInput], values: Mapping[str, Any]) -> None:
        """Check the literals of a model when the DAG is parsed. Mapped data is read when the task runs."""
        model.check_literals({**values, **dict.fromkeys(self._mapped_data() & values.keys(), DATA)})

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: Any,
        seen_oids: set[int],
    ) -> None:
        """Render the template fields, except mapped data: Airflow renders it if it is nested or a copy."""
        if parent is self:
            data = self._mapped_data(context)
            template_fields = [name for name in template_fields if name not in data]
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a template. A text without Jinja stays a text, even if the DAG renders native objects."""
        jinja_env = jinja_env or self.get_template_env()
        if is_renderer(content):
            return content(context=context, jinja_env=jinja_env)
        if isinstance(content, str) and (text := text_without_jinja(content, jinja_env)) is not None:
            return text
        rendered = super().render_template(content, context, jinja_env, seen_oids)
        # The results of a mapped task are a sequence that requests each result when it is used.
        is_lazy = isinstance(rendered, Sequence) and not isinstance(rendered, str | bytes | list | tuple)
        return list(rendered) if is_lazy else rendered

    def wait_limit(self, timeout: float | None = None) -> tuple[float, str] | None:
        """Return the shorter one of a timeout and ``execution_timeout``, which Airflow ignores in a deferral.

        :return: seconds, and the name of the argument.
        """
        limits = [] if timeout is None else [(timeout, "timeout")]
        if self.execution_timeout is not None:
            limits.append((self.execution_timeout.total_seconds(), "execution_timeout"))
        return min(limits, default=None)

    def defer_in_try(
        self, ti: Any, *, trigger: BaseTrigger, method_name: str, kwargs: dict[str, Any] | None = None
    ) -> NoReturn:
        """Defer without a timeout of Airflow's. ``airflow dags test`` doesn't pass the kwargs."""
        deferred = {"try_number": getattr(ti, "try_number", None), "links": asdict(self.links)}
        kwargs = {**(kwargs or {}), DEFERRED: deferred}
        self.defer(trigger=trigger, method_name=method_name, kwargs=kwargs, timeout=None)

    def pause_until(
        self, moment: datetime, ti: Any, *, method_name: str, kwargs: dict[str, Any] | None = None
    ) -> NoReturn:
        """Wait in the triggerer until a moment, at least 10 seconds. See :meth:`defer_in_try`."""
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        trigger = DateTimeTrigger(moment=max(moment, _clock.now() + SHORTEST_PAUSE))
        self.defer_in_try(ti, trigger=trigger, method_name=method_name, kwargs=kwargs)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral.

        Airflow 3.0 resumes a retry with the event of the earlier try, which acted on it already: such a retry
        starts again.
        """
        kwargs = dict(next_kwargs or {})
        deferred = kwargs.pop(DEFERRED, None)
        if deferred is not None:
            if deferred["try_number"] != getattr(context.get("ti"), "try_number", None):
                return self.execute(context)
            self.links = Links(**deferred["links"])
        return super().resume_execution(next_method, kwargs, context)


def update_asset_events(context: Context, outlets: Iterable[Any], facts: Mapping[str, Any]) -> None:
    """Add facts to the events of the outlets, except of aliases: only the DAG's author knows their assets."""
    for outlet in outlets:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(facts)


class OnlineTasksOperator(UsesArize, BaseOperator):
    """Base of the operators of this provider.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    """

    ui_color = "#ffe0f0"

    def __init__(self, *, conn_id: str | XComArg = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        check_keywords(type(self), kwargs)
        super().__init__(**kwargs)
        self.conn_id = conn_id
        check_name(conn_id, "conn_id")


class LineageOperator(OnlineTasksOperator):
    """Base of the operators that report evaluations to OpenLineage, if its provider is installed."""

    _project_id: str | None = None
    _namespace: str | None = None
    _facts: Mapping[str, Any] = MappingProxyType({})

    def keep_lineage(
        self, facts: Mapping[str, Any], *, namespace: str | None, project_id: str | None
    ) -> None:
        """Store what OpenLineage asks for when the task ends. The namespace is the URL of the Arize UI."""
        self._facts, self._namespace = dict(facts), namespace
        self._project_id = project_id or self._project_id

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the facts that are known. OpenLineage calls it when the task starts and when it ends."""
        from airflow_provider_online_tasks.lineage import lineage_of

        facts = self._facts or {"online_task_id": getattr(self, "online_task_id", None)}
        return lineage_of(facts, namespace=self._namespace, project_id=self._project_id)


class PlansRun(UsesArize):
    """Plans a run from the arguments of an operator."""

    online_task_id: Any
    online_task: Any
    data_start_time: Any
    data_end_time: Any
    lookback: Any
    partition_length: Any
    max_spans: Any
    override_evaluations: Any

    def check_run_literals(self) -> None:
        """Check the arguments that are literals when the DAG is parsed."""
        from airflow_provider_online_tasks.inputs.runs import RunInput

        windows.check_window_arguments(
            self.data_start_time, self.data_end_time, self.lookback, self.partition_length
        )
        if (self.online_task_id is None) == (self.online_task is None):
            raise InvalidInput("Set one of online_task_id (the task's global ID) and online_task (its name).")
        if self.online_task is not None:
            check_name(self.online_task, "online_task")
        RunInput.check_literals(
            {
                "online_task_id": self.online_task_id or "online_task",
                "data_start_time": self.data_start_time,
                "data_end_time": self.data_end_time,
                "max_spans": self.max_spans,
                "override_evaluations": self.override_evaluations,
            },
            later=("data_start_time", "data_end_time") if self.data_start_time is None else (),
        )
        if self.data_start_time is not None:
            windows.check_window_literals(self.data_start_time, self.data_end_time)

    def plan_run(self, context: Context, hook: OnlineTasksHook) -> RunInput:
        """Return the run. An invalid window costs no request, and the name of a task costs one."""
        from airflow_provider_online_tasks.inputs.runs import RunInput

        window = windows.resolve_window(
            context,
            data_start_time=self.data_start_time,
            data_end_time=self.data_end_time,
            lookback=self.lookback,
            partition_length=self.partition_length,
        )
        online_task_id = self.online_task_id
        if online_task_id is None:
            name = read_name(self.online_task, "online_task")
            online_task_id = hook.find_task(name).id
            self.log.info("The task %r is %s.", name, online_task_id)
        if window.is_short:
            self.log.warning(
                "The window %s is shorter than a minute. lookback and partition_length are in seconds: for a "
                "day, use timedelta(days=1).",
                window,
            )
        return RunInput.read(
            {
                "online_task_id": online_task_id,
                "data_start_time": window.start,
                "data_end_time": window.end,
                "max_spans": self.max_spans,
                "override_evaluations": self.override_evaluations,
            }
        )
