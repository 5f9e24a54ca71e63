"""Create, update and delete eval tasks.

API: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.arguments import UNSET
from airflow_provider_online_tasks.inputs.base import RENDERED, plain
from airflow_provider_online_tasks.operators.base import LineageOperator, OnlineTasksOperator
from airflow_provider_online_tasks.ui.links import EvaluatorLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.inputs.arguments import Unset
    from airflow_provider_online_tasks.inputs.evaluators import (
        CodeEvaluator,
        HubEvaluator,
        LlmConfig,
        QueryFilters,
        TemplateEvaluator,
    )

    TemplateEvaluators = (
        Sequence[TemplateEvaluator | Mapping[str, Any]] | TemplateEvaluator | Mapping[str, Any] | XComArg
    )
    HubEvaluators = Sequence[HubEvaluator | Mapping[str, Any]] | HubEvaluator | Mapping[str, Any] | XComArg
    CodeEvaluators = Sequence[CodeEvaluator | Mapping[str, Any]] | CodeEvaluator | Mapping[str, Any] | XComArg

IfExists = Literal["fail", "skip", "update"]
_RENDERERS = {
    "template_evaluators": "json",
    "evaluators": "json",
    "code_evaluators": "json",
    "llm_config": "json",
    "query_filter": "sql",
    "query_filters": "json",
}


class CreateEvalTaskOperator(LineageOperator):
    """Create an eval task (``createEvalTask``) and return its ID.

    A retry or a lost response does not create a second task. With ``if_exists="skip"`` or ``"update"`` the
    operator can run every day.

    Define the evaluators in the task (``template_evaluators``, ``code_evaluators``) or name Eval Hub
    evaluators by their IDs (``evaluators``).

    Write the variables of an evaluator's template in single braces. A literal template that Jinja would
    change is an error, unless its evaluator has ``jinja=True``.

    :param name: name of the task. (templated)
    :param model_id: global ID of the project. Set this or ``project``. (templated)
    :param project: name of the project, looked up when the task runs, in the connection's space if it has
        one. (templated)
    :param template_evaluators: one or more LLM evaluators with a template and the allowed labels, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.TemplateEvaluator` or dicts. (templated)
    :param evaluators: one or more Eval Hub evaluators, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.HubEvaluator` or dicts with ``evaluator_id``.
        (templated)
    :param code_evaluators: one or more code evaluators, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.CodeEvaluator` or dicts. (templated)
    :param llm_config: the LLM of the template evaluators, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.LlmConfig` or a dict. (templated)
    :param sampling_rate: share of the matching spans: a fraction in (0, 1] or a percentage in (1, 100].
        Default: every span. (templated)
    :param query_filter: which spans to evaluate, such as
        ``attributes.openinference.span.kind = 'AGENT'``. Default: all. (templated)
    :param run_continuously: whether new spans are evaluated as they arrive. Default False. (templated)
    :param query_filters: named filters for Eval Hub evaluators of traces or sessions, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.QueryFilters` or a dict, instead of
        ``query_filter``. (templated)
    :param if_exists: what to do if the project has a task of exactly this name: ``fail``; ``skip`` (return
        its ID and leave it as it is); or ``update`` (change it to match the arguments, defaults included).
        An update compares what Arize returns and sends what differs. Arize does not return the templates,
        labels, LLM and code of evaluators that are written in a task, so these are sent each time.
        Default ``fail``.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong (a literal one when the DAG is parsed), or a variable of an
        evaluator's template has no mapping.
    :raises TaskExists: a task of this name exists, and ``if_exists`` is ``fail``.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = _RENDERERS
    operator_extra_links = (ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        name: str | XComArg,
        model_id: str | XComArg | None = None,
        project: str | XComArg | None = None,
        template_evaluators: TemplateEvaluators | None = None,
        evaluators: HubEvaluators | None = None,
        code_evaluators: CodeEvaluators | None = None,
        llm_config: LlmConfig | Mapping[str, Any] | XComArg | None = None,
        sampling_rate: float | str | XComArg = 1,
        query_filter: str | XComArg | None = None,
        run_continuously: bool | str | XComArg = False,
        query_filters: QueryFilters | Mapping[str, Any] | XComArg | None = None,
        if_exists: IfExists = "fail",
        **kwargs: Any,
    ) -> None:
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

        super().__init__(**kwargs)
        self.if_exists = arguments.choice(if_exists, "if_exists", get_args(IfExists))
        self.name = name
        self.model_id = model_id
        self.project = project
        self.template_evaluators = plain(template_evaluators)
        self.evaluators = plain(evaluators)
        self.code_evaluators = plain(code_evaluators)
        self.llm_config = plain(llm_config)
        self.sampling_rate = sampling_rate
        self.query_filter = query_filter
        self.run_continuously = run_continuously
        self.query_filters = plain(query_filters)
        if (model_id is None) == (project is None):
            raise InvalidInput("Set exactly one of model_id (the project's ID) and project (its name).")
        if project is not None:
            arguments.check_name(project, "project")
        found_later = {} if project is None else {"model_id": "project"}
        self.check_literals(EvalTaskInput, self._arguments() | found_later)

    template_fields: Sequence[str] = ("conn_id", *arguments.argument_names(__init__, besides={"if_exists"}))

    def _arguments(self) -> dict[str, Any]:
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

        return {name: getattr(self, name) for name in EvalTaskInput.model_fields}

    def execute(self, context: Context) -> str:
        """Create the task, or use the existing one."""
        from airflow_provider_online_tasks.eval_tasks.creation import TaskCreation
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

        with self.hook as hook:
            values = self._arguments()
            if self.project is not None:
                values["model_id"] = hook.find_project(arguments.read_name(self.project, "project"))
            task = EvalTaskInput.read(values, context=RENDERED)
            _warn_about_templates(task.template_evaluators, self.log)
            result = TaskCreation(
                hook=hook, task=task, if_exists=self.if_exists, context=context, log=self.log
            ).run()
            self.links = hook.links_of(
                project_id=task.model_id,
                evaluator_ids=[evaluator.evaluator_id for evaluator in task.evaluators or ()],
            )
        self.keep_lineage(
            {"online_task_id": result.id},
            namespace=hook.settings.endpoint.app_url,
            project_id=task.model_id,
        )
        return result.id


class PatchEvalTaskOperator(OnlineTasksOperator):
    """Update the given fields of an eval task (``patchEvalTask``) and return its ID.

    Fields that you leave out stay as they are. ``query_filter=None`` clears the filter.
    ``run_continuously`` pauses (False) or resumes (True) the task. With ``evaluators`` or ``query_filters``,
    which GraphQL does not document, everything is sent in one REST request.

    :param online_task_id: global ID of the task. (templated)
    :param name: new name. (templated)
    :param sampling_rate: share of the matching spans: a fraction in (0, 1] or a percentage in (1, 100].
        (templated)
    :param query_filter: which spans to evaluate; None clears the filter. (templated)
    :param run_continuously: whether new spans are evaluated as they arrive. (templated)
    :param template_evaluators: LLM evaluators that replace the present ones. (templated)
    :param code_evaluators: code evaluators that replace the present ones. (templated)
    :param llm_config: the LLM of the template evaluators. (templated)
    :param evaluators: Eval Hub evaluators that replace the present ones, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.HubEvaluator` or dicts. An evaluator
        keeps the mappings, the version and the filter that it has in the task, except those that are given;
        None removes one. (templated)
    :param query_filters: named filters for evaluators of traces or sessions; None clears them. (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; a literal one when the DAG is parsed.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = _RENDERERS
    operator_extra_links = (ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        online_task_id: str | XComArg,
        name: str | XComArg | Unset = UNSET,
        sampling_rate: float | str | XComArg | Unset = UNSET,
        query_filter: str | XComArg | Unset | None = UNSET,
        run_continuously: bool | str | XComArg | Unset = UNSET,
        template_evaluators: TemplateEvaluators | Unset = UNSET,
        code_evaluators: CodeEvaluators | Unset = UNSET,
        llm_config: LlmConfig | Mapping[str, Any] | XComArg | Unset = UNSET,
        evaluators: HubEvaluators | Unset = UNSET,
        query_filters: QueryFilters | Mapping[str, Any] | XComArg | Unset | None = UNSET,
        **kwargs: Any,
    ) -> None:
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch

        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.name = name
        self.sampling_rate = sampling_rate
        self.query_filter = query_filter
        self.run_continuously = run_continuously
        self.template_evaluators = plain(template_evaluators)
        self.code_evaluators = plain(code_evaluators)
        self.llm_config = plain(llm_config)
        self.evaluators = plain(evaluators)
        self.query_filters = plain(query_filters)
        self.check_literals(EvalTaskPatch, self._arguments())

    template_fields: Sequence[str] = ("conn_id", *arguments.argument_names(__init__))

    def _arguments(self) -> dict[str, Any]:
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch

        return {name: getattr(self, name) for name in EvalTaskPatch.model_fields}

    def execute(self, context: Context) -> str:
        """Update the task."""
        from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch

        patch = EvalTaskPatch.read(self._arguments(), context=RENDERED)
        _warn_about_templates(patch.template_evaluators, self.log)
        with self.hook as hook:
            task_id = hook.patch_eval_task(patch)
            self.links = hook.links(task_id)
        is_sampled = "sampling_rate" in patch.changes
        sampling = f"; {arguments.describe_sampling_rate(patch.sampling_rate)}" if is_sampled else ""
        self.log.info("Updated %s of task %s%s.", ", ".join(patch.changes), task_id, sampling)
        return task_id


class DeleteOnlineTaskOperator(OnlineTasksOperator):
    """Delete a task (``DELETE /v2/tasks/{task_id}``).

    :param online_task_id: global ID of the task. (templated)
    :param ignore_if_missing: whether to succeed if the task does not exist or the key cannot read it. Default
        True.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; a literal one when the DAG is parsed.
    :raises NotFound: the task does not exist, and ``ignore_if_missing`` is False.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields: Sequence[str] = ("conn_id", "online_task_id")

    def __init__(
        self, *, online_task_id: str | XComArg, ignore_if_missing: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.ignore_if_missing = arguments.switch(ignore_if_missing, "ignore_if_missing")
        arguments.check_id(online_task_id, "online_task_id")

    def execute(self, context: Context) -> None:
        """Delete the task."""
        task_id = arguments.read_id(self.online_task_id, "online_task_id")
        intents = IntentStore(context, "deleted_online_task", Intent)
        intent = Intent(id=task_id)
        existed = intents.read() == intent
        with self.hook as hook:
            if not (existed or self.ignore_if_missing):
                hook.get_task(task_id)
                intents.write(intent)
                existed = True
            try:
                hook.delete_task(task_id)
            except NotFound as error:
                if existed:  # the response to an earlier request was lost
                    self.log.info("Task %s is already deleted.", task_id)
                else:
                    self.log.info("There is no task %s to delete. %s", task_id, error)
            else:
                self.log.info("Deleted task %s.", task_id)
            intents.delete()


def _warn_about_templates(evaluators: Sequence[TemplateEvaluator] | None, log: Any) -> None:
    for evaluator in evaluators or ():
        if "{" not in evaluator.template:
            log.warning(
                "The template of evaluator %r has no variable, so the LLM doesn't see the span. Add one in "
                "single braces, such as {attributes.output.value}.",
                evaluator.name,
            )
