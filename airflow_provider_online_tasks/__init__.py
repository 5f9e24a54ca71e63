"""Apache Airflow provider for Arize AX online evaluation tasks.

Every public name can be imported from here, as in
``from airflow_provider_online_tasks import RunOnlineTaskOperator``. A module is loaded when one of its names
is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# To make a name public, add it here and to the imports for type checkers below.
_MODULES = {
    "exceptions": (
        "AnnotationQueueUnreachable",
        "CallError",
        "EvalBudgetExceeded",
        "EvalBudgetReserved",
        "EvalGateFailed",
        "EvalGateInconclusive",
        "EvalResultsIncomplete",
        "BadRequest",
        "InvalidConnection",
        "InvalidInput",
        "AuthenticationFailed",
        "NotFound",
        "OnlineTaskRunCancelled",
        "OnlineTaskRunUnsuccessful",
        "OnlineTaskRunErrorRateExceeded",
        "OnlineTaskRunFailed",
        "OnlineTaskRunNothingEvaluated",
        "OnlineTaskRunTimeout",
        "OnlineTaskRunUnreachable",
        "OnlineTasksError",
        "PermissionDenied",
        "RateLimited",
        "ResponseTooLarge",
        "TaskErrorReturned",
        "TaskExists",
        "Unavailable",
        "UnexpectedResponse",
        "WindowTooLong",
    ),
    "gate.sample_sizes": ("suggest_evaluations",),
    "hooks.online_tasks": ("OnlineTasksHook",),
    "inputs.arguments": ("UNSET",),
    "inputs.budgets": ("EvalBudget",),
    "inputs.eval_tasks": ("EvalTaskInput", "EvalTaskPatch"),
    "inputs.evaluators": (
        "CodeEvaluator",
        "EvaluatorLlmConfig",
        "HubEvaluator",
        "LlmConfig",
        "NamedFilter",
        "QueryFilters",
        "QueryMapping",
        "TemplateEvaluator",
    ),
    "inputs.runs": ("RunInput",),
    "inputs.windows": ("DataWindow", "split_window"),
    "notifications.eval_gate": ("EvalGateNotifier",),
    "operators.annotation_queues": ("AnnotationQueueOperator",),
    "operators.eval_tasks": ("CreateEvalTaskOperator", "DeleteOnlineTaskOperator", "PatchEvalTaskOperator"),
    "operators.estimates": ("EstimateRunOperator",),
    "operators.evaluators": ("EvaluatorOperator",),
    "operators.gate": ("EvalGateOperator",),
    "operators.results": ("EvalResultsOperator",),
    "operators.runs": ("CancelOnlineTaskRunOperator", "RunOnlineTaskOperator"),
    "operators.spans": ("SendSpansOperator",),
    "sensors.annotation_queues": ("AnnotationQueueSensor",),
    "sensors.runs": ("OnlineTaskRunSensor",),
    "task_groups": ("online_eval",),
    "triggers.annotation_queues": ("AnnotationQueueTrigger",),
    "triggers.runs": ("OnlineTaskRunTrigger",),
    "triggers.task_runs": ("FinishedRunsTrigger",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *_PLACES]  # noqa: PLE0604  the keys are texts

if TYPE_CHECKING:
    from airflow_provider_online_tasks.exceptions import *  # noqa: F403
    from airflow_provider_online_tasks.gate.sample_sizes import suggest_evaluations as suggest_evaluations
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook as OnlineTasksHook
    from airflow_provider_online_tasks.inputs.arguments import UNSET as UNSET
    from airflow_provider_online_tasks.inputs.budgets import EvalBudget as EvalBudget
    from airflow_provider_online_tasks.inputs.eval_tasks import (
        EvalTaskInput as EvalTaskInput,
        EvalTaskPatch as EvalTaskPatch,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        CodeEvaluator as CodeEvaluator,
        EvaluatorLlmConfig as EvaluatorLlmConfig,
        HubEvaluator as HubEvaluator,
        LlmConfig as LlmConfig,
        NamedFilter as NamedFilter,
        QueryFilters as QueryFilters,
        QueryMapping as QueryMapping,
        TemplateEvaluator as TemplateEvaluator,
    )
    from airflow_provider_online_tasks.inputs.runs import RunInput as RunInput
    from airflow_provider_online_tasks.inputs.windows import (
        DataWindow as DataWindow,
        split_window as split_window,
    )
    from airflow_provider_online_tasks.notifications.eval_gate import EvalGateNotifier as EvalGateNotifier
    from airflow_provider_online_tasks.operators.annotation_queues import (
        AnnotationQueueOperator as AnnotationQueueOperator,
    )
    from airflow_provider_online_tasks.operators.eval_tasks import (
        CreateEvalTaskOperator as CreateEvalTaskOperator,
        DeleteOnlineTaskOperator as DeleteOnlineTaskOperator,
        PatchEvalTaskOperator as PatchEvalTaskOperator,
    )
    from airflow_provider_online_tasks.operators.estimates import EstimateRunOperator as EstimateRunOperator
    from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator as EvaluatorOperator
    from airflow_provider_online_tasks.operators.gate import EvalGateOperator as EvalGateOperator
    from airflow_provider_online_tasks.operators.results import EvalResultsOperator as EvalResultsOperator
    from airflow_provider_online_tasks.operators.runs import (
        CancelOnlineTaskRunOperator as CancelOnlineTaskRunOperator,
        RunOnlineTaskOperator as RunOnlineTaskOperator,
    )
    from airflow_provider_online_tasks.operators.spans import SendSpansOperator as SendSpansOperator
    from airflow_provider_online_tasks.sensors.annotation_queues import (
        AnnotationQueueSensor as AnnotationQueueSensor,
    )
    from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor as OnlineTaskRunSensor
    from airflow_provider_online_tasks.task_groups import online_eval as online_eval
    from airflow_provider_online_tasks.triggers.annotation_queues import (
        AnnotationQueueTrigger as AnnotationQueueTrigger,
    )
    from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger as OnlineTaskRunTrigger
    from airflow_provider_online_tasks.triggers.task_runs import FinishedRunsTrigger as FinishedRunsTrigger
else:  # type checkers take any name for known where there is a __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
