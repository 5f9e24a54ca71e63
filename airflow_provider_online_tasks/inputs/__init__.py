"""Request models: what a user may pass to Arize.

Each model takes a dict with snake_case or the API's camelCase keys, validates it, and writes the documented
JSON. A field that is left out is not sent; in a patch, ``None`` is sent as null and clears the field.

The models need pydantic, so a module is loaded when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs.base import WireInput as WireInput
    from airflow_provider_online_tasks.inputs.eval_tasks import (
        EvalTaskInput as EvalTaskInput,
    )
    from airflow_provider_online_tasks.inputs.eval_tasks import (
        EvalTaskPatch as EvalTaskPatch,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        CodeEvaluator as CodeEvaluator,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        EvaluatorLlmConfig as EvaluatorLlmConfig,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        HubEvaluator as HubEvaluator,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        LlmConfig as LlmConfig,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        NamedFilter as NamedFilter,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        QueryFilters as QueryFilters,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        QueryMapping as QueryMapping,
    )
    from airflow_provider_online_tasks.inputs.evaluators import (
        TemplateEvaluator as TemplateEvaluator,
    )
    from airflow_provider_online_tasks.inputs.runs import RunInput as RunInput
    from airflow_provider_online_tasks.inputs.unset import UNSET as UNSET
    from airflow_provider_online_tasks.inputs.unset import Unset as Unset
    from airflow_provider_online_tasks.inputs.values import (
        MAXIMIZE as MAXIMIZE,
    )
    from airflow_provider_online_tasks.inputs.values import (
        MINIMIZE as MINIMIZE,
    )
    from airflow_provider_online_tasks.inputs.values import (
        describe_sampling_rate as describe_sampling_rate,
    )
    from airflow_provider_online_tasks.inputs.values import (
        read_id as read_id,
    )
    from airflow_provider_online_tasks.inputs.windows import (
        DataWindow as DataWindow,
    )
    from airflow_provider_online_tasks.inputs.windows import (
        split_window as split_window,
    )

_MODULES = {
    "base": ("WireInput",),
    "eval_tasks": ("EvalTaskInput", "EvalTaskPatch"),
    "evaluators": (
        "CodeEvaluator",
        "EvaluatorLlmConfig",
        "HubEvaluator",
        "LlmConfig",
        "NamedFilter",
        "QueryFilters",
        "QueryMapping",
        "TemplateEvaluator",
    ),
    "runs": ("RunInput",),
    "unset": ("UNSET", "Unset"),
    "values": ("MAXIMIZE", "MINIMIZE", "describe_sampling_rate", "read_id"),
    "windows": ("DataWindow", "split_window"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [*_PLACES]  # noqa: PLE0604  the keys are texts

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the module of a public name."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
