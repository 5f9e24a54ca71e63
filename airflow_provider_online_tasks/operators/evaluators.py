"""Create and update Eval Hub evaluators from a DAG.

API: https://arize.com/docs/api-reference/evaluators/create-evaluator
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import (
    argument_names,
    check_name,
    read_optional_name,
    switch,
)
from airflow_provider_online_tasks.inputs.base import RENDERED, plain
from airflow_provider_online_tasks.inputs.evaluators import EvaluatorInput
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator
from airflow_provider_online_tasks.ui.links import EvaluatorLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.api.responses import ArizeTemplate
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.arguments import Direction, Granularity
    from airflow_provider_online_tasks.inputs.evaluators import EvaluatorLlmConfig

    Later = str | XComArg | None


class EvaluatorOperator(OnlineTasksOperator):
    """Create or update an Eval Hub evaluator to match the DAG, and return its ID and its version's ID.

    The operator creates the evaluator if its space has none of this name. It creates a version only if the
    content differs from the newest version's, by a hash in the commit message. A retry, another day or a lost
    response creates neither a second evaluator nor a second version.

    Returns ``{"evaluator_id": …, "evaluator_version_id": …}``, each also as a separate XCom, so that an eval
    task can pin this version: ``evaluator.output["evaluator_version_id"]``.

    :param name: name of the evaluator, unique in its space. (templated)
    :param template: the prompt, with variables in single braces such as ``{input}``; or, without a brace, the
        name of one of Arize's templates, such as ``hallucination``. (templated)
    :param classification_choices: score of each label, such as ``{"correct": 1, "incorrect": 0}``. Required
        with a prompt; Arize's templates have their own. (templated)
    :param llm_config: the LLM judge, as
        :class:`~airflow_provider_online_tasks.inputs.evaluators.EvaluatorLlmConfig` or a dict. Required
        with a template. (templated)
    :param direction: whether a high score is good: ``maximize``, ``minimize`` or ``none``. Default:
        ``maximize``, or the direction of Arize's template. (templated)
    :param include_explanations: whether the LLM explains its label. Default False. (templated)
    :param use_function_calling: whether Arize requests the label by function calling. Default False.
        (templated)
    :param code: Python source of a class that extends Arize's ``CodeEvaluator``, without imports, instead of
        ``template``. (templated)
    :param imports: the imports that the code needs, including ``CodeEvaluator``. (templated)
    :param variables: the parameters of ``evaluate()``, which the ``column_mappings`` of a task map to
        attributes. Required with code. (templated)
    :param query_filter: which spans the code evaluates. Default: all. (templated)
    :param data_granularity: what is evaluated: ``span``, ``trace`` or ``session``. Default: Arize's.
        (templated)
    :param column_name: column name of the evaluation. Default: ``name``. (templated)
    :param description: description of the evaluator; sent when the evaluator is created. (templated)
    :param commit_message: commit message of a new version; the hash is appended. Default: the DAG and task
        that create the version. (templated)
    :param space_id: global ID of the space. Default: the connection's, or that of the connection's project.
        (templated)
    :param jinja: whether Airflow renders Jinja in ``template``, ``code`` and ``imports``. Without it a
        literal that Jinja would change is an error. Default False.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; a literal one when the DAG is parsed.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {
        "classification_choices": "json",
        "llm_config": "json",
        "code": "py",
        "imports": "py",
        "variables": "json",
        "query_filter": "sql",
    }
    operator_extra_links = (EvaluatorLink(),)

    def __init__(
        self,
        *,
        name: str | XComArg,
        template: Later = None,
        classification_choices: Mapping[str, float] | XComArg | None = None,
        llm_config: EvaluatorLlmConfig | Mapping[str, Any] | XComArg | None = None,
        direction: Direction | XComArg | None = None,
        include_explanations: bool | str | XComArg = False,
        use_function_calling: bool | str | XComArg = False,
        code: Later = None,
        imports: Later = None,
        variables: Sequence[str] | XComArg | None = None,
        query_filter: Later = None,
        data_granularity: Granularity | XComArg | None = None,
        column_name: Later = None,
        description: Later = None,
        commit_message: Later = None,
        space_id: Later = None,
        jinja: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.name = name
        self.template = template
        self.classification_choices = classification_choices
        self.llm_config = plain(llm_config)
        self.direction = direction
        self.include_explanations = include_explanations
        self.use_function_calling = use_function_calling
        self.code = code
        self.imports = imports
        self.variables = variables
        self.query_filter = query_filter
        self.data_granularity = data_granularity
        self.column_name = column_name
        self.description = description
        self.commit_message = commit_message
        self.space_id = space_id
        self.jinja = switch(jinja, "jinja")
        self.check_literals(EvaluatorInput, self._arguments())
        if commit_message is not None:
            check_name(commit_message, "commit_message")

    template_fields: Sequence[str] = ("conn_id", *argument_names(__init__, besides={"jinja"}))

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in EvaluatorInput.model_fields}

    def execute(self, context: Context) -> dict[str, str]:
        """Find or create the evaluator and its version."""
        from airflow_provider_online_tasks.evaluators.versions import EvaluatorPublication

        evaluator = EvaluatorInput.read(self._arguments(), context=RENDERED)
        message = read_optional_name(self.commit_message, "commit_message")
        with self.hook as hook:
            space_id = evaluator.space_id or hook.find_space()
            version = EvaluatorPublication(
                hook=hook,
                evaluator=evaluator,
                content=evaluator.content(self._arize_template(hook, evaluator)),
                space_id=space_id,
                commit_message=message or f"DAG {self.dag_id}, task {self.task_id}",
                context=context,
                log=self.log,
            ).run()
            self.links = hook.links_of(
                project_id=hook.settings.model_id, evaluator_ids=[version.evaluator_id]
            )
        return {"evaluator_id": version.evaluator_id, "evaluator_version_id": version.id}

    def _arize_template(self, hook: OnlineTasksHook, evaluator: EvaluatorInput) -> ArizeTemplate | None:
        from airflow_provider_online_tasks._text import shown
        from airflow_provider_online_tasks.api.calls import list_evaluator_templates

        if evaluator.arize_template is None:
            return None
        listed = hook.client.send(list_evaluator_templates())
        name = evaluator.arize_template.strip()
        for template in listed:
            if template.name == name:
                return template
        names = ", ".join(shown(template.name) for template in listed[:30])
        raise InvalidInput(
            f"Arize has no template named {shown(name)}. Its templates are {names}. If the text is a prompt, "
            f"add a variable in braces, such as {{input}}."
        )
