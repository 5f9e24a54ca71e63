"""A complete eval as one task group: create the eval task, run it, wait, read the results, check a gate.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import suggests_names
from airflow_provider_online_tasks.inputs.evaluators import LlmConfig, TemplateEvaluator
from airflow_provider_online_tasks.operators import eval_tasks
from airflow_provider_online_tasks.operators.gate import EvalGateOperator, OnFailure
from airflow_provider_online_tasks.operators.results import COMPLETE_WITHIN, EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_provider_online_tasks.gate.rules import OnInconclusive
    from airflow_provider_online_tasks.inputs.arguments import Granularity
    from airflow_provider_online_tasks.runs.end_states import OnNothingEvaluated


@suggests_names
def online_eval(
    group_id: str = "online_eval",
    *,
    online_task_id: str | XComArg | None = None,
    name: str | XComArg | None = None,
    model_id: str | XComArg | None = None,
    project: str | XComArg | None = None,
    template_evaluators: eval_tasks.TemplateEvaluators | None = None,
    evaluators: eval_tasks.HubEvaluators | None = None,
    code_evaluators: eval_tasks.CodeEvaluators | None = None,
    llm_config: LlmConfig | Mapping[str, Any] | XComArg | None = None,
    sampling_rate: float | str | XComArg = 1,
    query_filter: str | XComArg | None = None,
    if_exists: eval_tasks.IfExists = "update",
    data_start_time: datetime | str | XComArg | None = None,
    data_end_time: datetime | str | XComArg | None = None,
    lookback: timedelta | float | str | XComArg | None = None,
    index_delay: timedelta | float | str | XComArg | None = None,
    max_spans: int | str | XComArg | None = None,
    timeout: float | None = None,
    max_error_rate: float | None = None,
    on_nothing_evaluated: OnNothingEvaluated = "skip",
    deferrable: bool = True,
    granularity: Granularity = "span",
    baseline: timedelta | None = None,
    group_by: str | XComArg | None = None,
    complete_within: timedelta | float = COMPLETE_WITHIN,
    rules: Mapping[str, Mapping[str, Any] | XComArg] | XComArg | None = None,
    labels: Mapping[str, Sequence[str]] | XComArg | None = None,
    confidence: float | None = None,
    on_inconclusive: OnInconclusive = "fail",
    on_failure: OnFailure = "fail",
    outlets: Sequence[Any] = (),
    conn_id: str | XComArg | None = None,
    default_args: dict[str, Any] | None = None,
) -> TaskGroup:
    """Create a task group that evaluates a window of spans. Chain, map and schedule it like any other.

    Its tasks are ``create_task`` (unless you give ``online_task_id``), ``run_task``, ``read_results`` and,
    with ``rules``, ``gate``. Use the operators directly for arguments that are not listed here.

    :param group_id: the ID of the task group.
    :param online_task_id: an existing eval task, instead of ``name`` and the evaluators. (templated)
    :param name: name of the eval task, which is created or found by this name. (templated)
    :param model_id: global ID of the project whose spans are evaluated. (templated)
    :param project: name of the project, instead of its ID. (templated)
    :param template_evaluators: LLM evaluators with a template and allowed labels. (templated)
    :param evaluators: evaluators of the Eval Hub. (templated)
    :param code_evaluators: code evaluators. (templated)
    :param llm_config: the LLM of the template evaluators. (templated)
    :param sampling_rate: share of the matching spans. Default: every span. (templated)
    :param query_filter: filter that selects the spans. Default: all. (templated)
    :param if_exists: what happens to an existing task of this name: ``update`` (default), ``skip``, ``fail``.
    :param data_start_time: start of the window. Default: start of the DAG run's data interval. (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval. (templated)
    :param index_delay: minimum time between the window's end and the start of the run. Default: the
        connection's ``index_delay_minutes``. (templated)
    :param max_spans: maximum number of spans to evaluate. Default: that of the API, 10,000. (templated)
    :param timeout: seconds after which the run is cancelled. Default: no limit.
    :param max_error_rate: maximum share of errors, 0 to 1.
    :param on_nothing_evaluated: ``skip`` (default), ``fail`` or ``succeed``.
    :param deferrable: whether to wait in the triggerer, without a worker slot. Default True.
    :param granularity: what the evaluators evaluate: ``span`` (default), ``trace`` or ``session``.
    :param baseline: length of the time before the window to compare with. Default: no comparison.
    :param group_by: attribute whose values are the segments of the results. Default: no segments.
    :param complete_within: how long after the run's end its evaluations may take to be readable. Default: 2
        hours.
    :param rules: the rules of the gate per evaluator. Default: no gate. (templated)
    :param labels: all labels of each evaluator. Default: those of the template evaluators. (templated)
    :param confidence: confidence of the gate, such as 0.95. Default: the measured values are compared.
    :param on_inconclusive: what an inconclusive rule does: ``fail`` (default), ``skip``, ``pass`` or ``ask``.
    :param on_failure: what a failed rule does: ``fail`` (default), ``skip`` or ``ask``.
    :param outlets: assets that the last task updates.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. Default: from ``default_args``, here
        or of the DAG, else ``arize_online_tasks_default``. (templated)
    :param default_args: default arguments of the group's tasks, in addition to those of the DAG.
    :return: the task group.
    :raises InvalidInput: neither or both of ``online_task_id`` and ``name`` are set, or an operator
        rejects an argument; for literals when the DAG is parsed.
    """
    if (online_task_id is None) == (name is None):
        raise InvalidInput(
            "Set either online_task_id for an existing eval task, or name, model_id and the evaluators of an "
            "eval task that is created or found by its name."
        )
    arguments: Any = {**(default_args or {}), **({} if conn_id is None else {"conn_id": conn_id})}
    with TaskGroup(group_id, default_args=arguments) as group:
        task_id: Any = online_task_id
        if name is not None:
            task_id = eval_tasks.CreateEvalTaskOperator(
                task_id="create_task",
                name=name,
                model_id=model_id,
                project=project,
                template_evaluators=template_evaluators,
                evaluators=evaluators,
                code_evaluators=code_evaluators,
                llm_config=llm_config,
                sampling_rate=sampling_rate,
                query_filter=query_filter,
                if_exists=if_exists,
            ).output
        run = RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=task_id,
            data_start_time=data_start_time,
            data_end_time=data_end_time,
            lookback=lookback,
            index_delay=index_delay,
            max_spans=max_spans,
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=timeout,
            max_error_rate=max_error_rate,
            on_nothing_evaluated=on_nothing_evaluated,
        )
        results = EvalResultsOperator(
            task_id="read_results",
            run_id=run.output,
            granularity=granularity,
            baseline=baseline,
            group_by=group_by,
            complete_within=complete_within,
            outlets=[] if rules else list(outlets),
        )
        if rules is not None:
            EvalGateOperator(
                task_id="gate",
                summary=results.output,
                rules=rules,
                labels=_labels(template_evaluators) if labels is None else labels,
                confidence=confidence,
                on_inconclusive=on_inconclusive,
                on_failure=on_failure,
                outlets=list(outlets),
            )
    return group


def _labels(template_evaluators: Any) -> dict[str, list[str]] | None:
    """Return the labels of the template evaluators that are known when the DAG is parsed."""
    is_one = isinstance(template_evaluators, Mapping | TemplateEvaluator)
    evaluators = [template_evaluators] if is_one else template_evaluators
    labels: dict[str, list[str]] = {}
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else ():
        fields = evaluator if isinstance(evaluator, Mapping) else vars(evaluator)
        name, rails = fields.get("name"), fields.get("rails")
        if isinstance(name, str) and isinstance(rails, list | tuple):
            labels[name] = [str(rail) for rail in rails]
    return labels or None
