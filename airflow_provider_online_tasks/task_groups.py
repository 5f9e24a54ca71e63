"""A complete eval as one task group: create the eval task, run it, wait, read the results, check a gate.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import TaskGroup

from airflow_provider_online_tasks._defaults import SESSION_ID
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.rules import CALIBRATED
from airflow_provider_online_tasks.inputs.arguments import finite, suggests_names
from airflow_provider_online_tasks.inputs.evaluators import CodeEvaluator, LlmConfig, TemplateEvaluator
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated
from airflow_provider_online_tasks.operators import eval_tasks
from airflow_provider_online_tasks.operators.gate import MAX_ERROR_RATE, EvalGateOperator, OnFailure
from airflow_provider_online_tasks.operators.results import COMPLETE_WITHIN, EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseNotifier, XComArg

    from airflow_provider_online_tasks.costs.budgets import OnOverBudget
    from airflow_provider_online_tasks.gate.rules import OnInconclusive
    from airflow_provider_online_tasks.inputs.arguments import Granularity, Scope
    from airflow_provider_online_tasks.inputs.budgets import EvalBudget
    from airflow_provider_online_tasks.runs.end_states import OnNothingEvaluated

# What Airflow shows for a task of a mapped group, instead of its index.
_WINDOWS = {
    "run_task": "{{ ti.task.data_start_time }} to {{ ti.task.data_end_time }}",
    "read_results": "{{ ti.task.window or '' }}",
    "gate": "{{ ti.task.summary.data_start_time }} to {{ ti.task.summary.data_end_time }}",
}


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
    run_continuously: bool | str | XComArg = False,
    if_exists: eval_tasks.IfExists = "update",
    data_start_time: datetime | str | XComArg | None = None,
    data_end_time: datetime | str | XComArg | None = None,
    lookback: timedelta | float | str | XComArg | None = None,
    partition_length: timedelta | float | str | XComArg | None = None,
    index_delay: timedelta | float | str | XComArg | None = None,
    max_spans: int | str | XComArg | None = None,
    override_evaluations: bool | str | XComArg | None = None,
    timeout: float | None = None,
    max_evaluations: int | str | XComArg | None = None,
    max_cost: float | str | XComArg | None = None,
    prices: Mapping[str, Any] | str | XComArg | None = None,
    budget: EvalBudget | Mapping[str, Any] | XComArg | None = None,
    on_over_budget: OnOverBudget = "fail",
    max_error_rate: float | None = None,
    on_nothing_evaluated: OnNothingEvaluated = "skip",
    deferrable: bool = True,
    scope: Scope = "window",
    read_evaluators: Sequence[str] | XComArg | None = None,
    direction: Literal["maximize", "minimize"] = "maximize",
    granularity: Granularity = "span",
    baseline: timedelta | float | None = None,
    group_by: str | XComArg | None = None,
    cluster_by: str | XComArg | None = SESSION_ID,
    complete_within: timedelta | float = COMPLETE_WITHIN,
    rules: Mapping[str, Mapping[str, Any] | XComArg] | XComArg | None = None,
    labels: Mapping[str, Sequence[str]] | XComArg | None = None,
    score_ranges: Mapping[str, Sequence[float]] | XComArg | None = None,
    min_evaluated: int = 1,
    confidence: float | None = None,
    false_alarms_per_year: float | Literal["auto"] | None = "auto",
    on_inconclusive: OnInconclusive = "fail",
    on_failure: OnFailure = "fail",
    response_timeout: timedelta | float | None = None,
    notifiers: BaseNotifier | Sequence[BaseNotifier] = (),
    across_evaluator_versions: bool = False,
    accept_unverified: bool = False,
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
    :param run_continuously: whether the eval task also evaluates new spans as they arrive. Default False.
        (templated)
    :param if_exists: what happens to an existing task of this name: ``update`` (default), ``skip``, ``fail``.
    :param data_start_time: start of the window. Default: start of the DAG run's data interval. (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval. (templated)
    :param partition_length: length of a window that starts at the DAG run's partition (Airflow 3.3).
        (templated)
    :param index_delay: minimum time between the window's end and the start of the run. Default: the
        connection's ``index_delay_minutes``. (templated)
    :param max_spans: maximum number of spans to evaluate. Default: that of the API, 10,000. (templated)
    :param override_evaluations: whether spans that have a label are evaluated again. Default False.
        (templated)
    :param timeout: seconds after which the run is cancelled. Default: no limit.
    :param max_evaluations: maximum number of evaluations of the run. Default: no limit. (templated)
    :param max_cost: maximum estimated cost of the run. Default: no limit. (templated)
    :param prices: prices per million tokens by model. Default: the connection's ``prices``. (templated)
    :param budget: maximum number of evaluations per day, week or month. Default: none. (templated)
    :param on_over_budget: what to do if the run may exceed a limit: ``fail`` (default), ``cap`` or ``ask``.
    :param max_error_rate: maximum share of errors, 0 to 1. Default: no limit for the run, 0.05 for the gate.
    :param on_nothing_evaluated: ``skip`` (default), ``fail`` or ``succeed``.
    :param deferrable: whether to wait in the triggerer, without a worker slot. Default True.
    :param scope: which evaluations count: ``window`` (default) for all in the window, also those from before
        the run, or ``run`` for those of the run only.
    :param read_evaluators: column names of the evaluators whose results are read. Default: those of the eval
        task. (templated)
    :param direction: whether a high score is good: ``maximize`` (default) or ``minimize``.
    :param granularity: what the evaluators evaluate: ``span`` (default), ``trace`` or ``session``.
    :param baseline: length of the time before the window to compare with, a timedelta or seconds. Default: no
        comparison.
    :param group_by: attribute whose values are the segments of the results. Default: no segments.
    :param cluster_by: attribute whose values say which spans resemble each other. Default: ``session.id``.
    :param complete_within: how long after the run's end its evaluations may take to be readable. Default: 2
        hours.
    :param rules: the rules of the gate per evaluator. Default: no gate. (templated)
    :param labels: all labels of each evaluator. Default: those of the template evaluators. (templated)
    :param score_ranges: lowest and highest score of each evaluator. Default: those of the
        ``classification_choices`` of the template evaluators. (templated)
    :param min_evaluated: minimum number of evaluations for evaluators whose rules don't set it. Default 1.
    :param confidence: confidence of the gate, such as 0.95. Default: none.
    :param false_alarms_per_year: instead of ``confidence``: how often the gate may fail per year although the
        true shares satisfy its rules, such as 1; None compares the measured values of each window. Default:
        ``auto``, which is 1 if the DAG runs at regular times and neither ``confidence`` nor ``baseline`` is
        set, else None.
    :param on_inconclusive: what an inconclusive rule does: ``fail`` (default), ``skip``, ``pass`` or ``ask``.
    :param on_failure: what a failed rule does: ``fail`` (default), ``skip``, ``ask`` or ``warn``.
    :param response_timeout: how long a task with ``ask`` waits for a person, a timedelta or seconds. Default:
        no limit.
    :param notifiers: notifiers that tell people that a task waits for them. Default: none.
    :param across_evaluator_versions: whether ``max_drop`` and ``false_alarms_per_year`` combine results of
        different evaluator versions. Default False.
    :param accept_unverified: whether the gate passes results if it is unknown whether they are complete.
        Default False.
    :param outlets: assets that the last task updates.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. Default: from ``default_args``, here
        or of the DAG, else ``arize_online_tasks_default``. (templated)
    :param default_args: default arguments of the group's tasks, in addition to those of the DAG.
    :return: the task group.
    :raises InvalidInput: neither or both of ``online_task_id`` and ``name`` are set, a rule names an
        evaluator that the call doesn't define, ``max_cost`` is set for evaluators of unknown cost, or an
        operator rejects an argument; for literals when the DAG is parsed.
    """
    if (online_task_id is None) == (name is None):
        raise InvalidInput(
            "Set either online_task_id for an existing eval task, or name, model_id and the evaluators of an "
            "eval task that is created or found by its name."
        )
    of_new_task: dict[str, Any] = {
        "model_id": model_id,
        "project": project,
        "template_evaluators": template_evaluators,
        "evaluators": evaluators,
        "code_evaluators": code_evaluators,
        "llm_config": llm_config,
        "query_filter": query_filter,
        "run_continuously": run_continuously,
    }
    useless = [key for key, value in of_new_task.items() if value is not None and value is not False]
    useless += ["sampling_rate"] * (sampling_rate != 1) + ["if_exists"] * (if_exists != "update")
    if online_task_id is not None and useless:
        raise InvalidInput(
            f"{useless[0]} is for an eval task that is created or found by its name, and online_task_id is "
            f"set. Remove one of them."
        )
    own = [key for key in ("template_evaluators", "code_evaluators") if of_new_task[key] is not None]
    if own and max_cost is not None and not is_templated(max_cost):
        raise InvalidInput(
            f"max_cost needs a known cost, and the cost of {own[0]} is unknown. Use evaluators of the Eval "
            f"Hub, or max_evaluations."
        )
    if isinstance(rules, Mapping):
        _check_no_human_labels(rules)
    if isinstance(rules, Mapping) and (name is not None or read_evaluators is not None):
        columns = _columns(template_evaluators, evaluators, code_evaluators, read_evaluators)
        _check_rules_name_evaluators(rules, columns)
    arguments: Any = {**(default_args or {}), **({} if conn_id is None else {"conn_id": conn_id})}
    names: dict[str, Any] = {}
    if data_start_time is not None and "map_index_template" not in arguments:
        names = {task: {"map_index_template": template} for task, template in _WINDOWS.items()}
    with TaskGroup(group_id, default_args=arguments) as group:
        if false_alarms_per_year == "auto":
            is_recurring = _runs_at_regular_times(group.dag)
            false_alarms_per_year = 1 if is_recurring and confidence is None and baseline is None else None
        task_id: Any = online_task_id
        if name is not None:
            task_id = eval_tasks.CreateEvalTaskOperator(
                task_id="create_task",
                name=name,
                sampling_rate=sampling_rate,
                if_exists=if_exists,
                **of_new_task,
            ).output
        run = RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=task_id,
            data_start_time=data_start_time,
            data_end_time=data_end_time,
            lookback=lookback,
            partition_length=partition_length,
            index_delay=index_delay,
            max_spans=max_spans,
            override_evaluations=override_evaluations,
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=timeout,
            max_evaluations=max_evaluations,
            max_cost=max_cost,
            prices=prices,
            budget=budget,
            on_over_budget=on_over_budget,
            response_timeout=response_timeout,
            notifiers=notifiers,
            max_error_rate=max_error_rate,
            on_nothing_evaluated=on_nothing_evaluated,
            **names.get("run_task", {}),
        )
        results = EvalResultsOperator(
            task_id="read_results",
            run_id=run.output,
            scope=scope,
            evaluators=read_evaluators,
            direction=direction,
            granularity=granularity,
            baseline=baseline,
            group_by=group_by,
            cluster_by=cluster_by,
            complete_within=complete_within,
            outlets=[] if rules else list(outlets),
            **names.get("read_results", {}),
        )
        if rules is not None:
            EvalGateOperator(
                task_id="gate",
                summary=results.output,
                rules=rules,
                labels=_labels(template_evaluators) if labels is None else labels,
                score_ranges=_score_ranges(template_evaluators) if score_ranges is None else score_ranges,
                min_evaluated=min_evaluated,
                max_error_rate=MAX_ERROR_RATE if max_error_rate is None else max_error_rate,
                confidence=confidence,
                false_alarms_per_year=false_alarms_per_year,
                on_inconclusive=on_inconclusive,
                on_failure=on_failure,
                response_timeout=response_timeout,
                notifiers=notifiers,
                across_evaluator_versions=across_evaluator_versions,
                accept_unverified=accept_unverified,
                outlets=list(outlets),
                **names.get("gate", {}),
            )
    return group


def _runs_at_regular_times(dag: DAG) -> bool:
    """Return whether a cron expression, a duration or a timetable starts the DAG, and not only assets."""
    schedule: Any = dag.schedule
    timetable: Any = dag.timetable
    # A timetable of assets and times has the timetable of the times.
    is_of_assets = bool(timetable.asset_condition) and not hasattr(timetable, "timetable")
    return timetable.can_be_scheduled and schedule != "@once" and not is_of_assets


def _check_no_human_labels(rules: Mapping[str, Any]) -> None:
    """Raise InvalidInput if a rule needs human labels, which don't exist yet when the gate runs."""
    for name, given in rules.items():
        if isinstance(given, Mapping) and CALIBRATED in given:
            raise InvalidInput(
                f"rules[{name!r}] has {CALIBRATED!r}, but people can label spans only after the run. Use "
                f"EvalResultsOperator with human_labels, and EvalGateOperator, in a later DAG."
            )


def _check_rules_name_evaluators(rules: Mapping[str, Any], columns: Collection[str] | None) -> None:
    """Raise InvalidInput if a rule names an evaluator whose results are not read."""
    unknown = (
        [] if columns is None else [name for name in rules if not (name in columns or is_templated(name))]
    )
    if unknown:
        raise InvalidInput(
            f"rules names the evaluator {shown(unknown[0])}, and the call defines "
            f"{', '.join(map(shown, columns or ()))}. Use one of these names."
        )


def _columns(
    template_evaluators: Any, evaluators: Any, code_evaluators: Any, read_evaluators: Any
) -> list[str] | None:
    """Return the columns of the results; None if they are not known when the DAG is parsed."""
    if read_evaluators is not None:
        names = [read_evaluators] if isinstance(read_evaluators, str) else read_evaluators
    elif evaluators is not None or any(map(is_leaf_template, (template_evaluators, code_evaluators))):
        return None  # the column of an evaluator of the Eval Hub is defined there
    else:
        both = [*_listed(template_evaluators), *_listed(code_evaluators)]
        names = [_field(evaluator, "name") for evaluator in both]
    return None if is_templated(names) else list(names)


def _labels(template_evaluators: Any) -> dict[str, list[str]] | None:
    """Return the labels of the template evaluators that are known when the DAG is parsed."""
    labels: dict[str, list[str]] = {}
    for evaluator in _listed(template_evaluators):
        name, rails = _field(evaluator, "name"), _field(evaluator, "rails")
        if isinstance(name, str) and isinstance(rails, list | tuple):
            labels[name] = [str(rail) for rail in rails]
    return labels or None


def _score_ranges(template_evaluators: Any) -> dict[str, tuple[float, float]] | None:
    """Return the lowest and the highest score of the template evaluators that are known at parse time."""
    ranges: dict[str, tuple[float, float]] = {}
    for evaluator in _listed(template_evaluators):
        name, choices = _field(evaluator, "name"), _field(evaluator, "classification_choices")
        given = list(choices.values()) if isinstance(choices, Mapping) else []
        scores = [score for each in given if (score := finite(each)) is not None]
        if isinstance(name, str) and len(scores) == len(given) and len({*scores}) > 1:
            ranges[name] = (min(scores), max(scores))
    return ranges or None


def _listed(evaluators: Any) -> Sequence[Any]:
    """Return one or more evaluators as a list; empty if they are known only when the task runs."""
    if isinstance(evaluators, Mapping | TemplateEvaluator | CodeEvaluator):
        return [evaluators]
    return evaluators if isinstance(evaluators, list | tuple) else ()


def _field(evaluator: Any, name: str) -> Any:
    return evaluator.get(name) if isinstance(evaluator, Mapping) else getattr(evaluator, name, None)
