"""What the calls to Arize take: validated, frozen, and written exactly as documented.

Every class can be given as a dict with snake_case or the API's camelCase keys. A field that is left out is
not sent; in a patch ``None`` is sent as null and clears the field.
"""

from __future__ import annotations

from airflow_provider_online_tasks.inputs.base import WireInput, wire_name
from airflow_provider_online_tasks.inputs.eval_tasks import (
    EvalTaskInput,
    EvalTaskPatch,
    describe_sampling_rate,
)
from airflow_provider_online_tasks.inputs.evaluators import (
    MAXIMIZE,
    MINIMIZE,
    CodeEvaluator,
    EvaluatorLlmConfig,
    HubEvaluator,
    LlmConfig,
    NamedFilter,
    QueryFilters,
    QueryMapping,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.runs import DataWindow, RunInput, split_window
from airflow_provider_online_tasks.inputs.unset import UNSET, Unset
from airflow_provider_online_tasks.inputs.values import read_id, read_sampling_rate

__all__ = [
    "MAXIMIZE",
    "MINIMIZE",
    "UNSET",
    "CodeEvaluator",
    "DataWindow",
    "EvalTaskInput",
    "EvalTaskPatch",
    "EvaluatorLlmConfig",
    "HubEvaluator",
    "LlmConfig",
    "NamedFilter",
    "QueryFilters",
    "QueryMapping",
    "RunInput",
    "TemplateEvaluator",
    "Unset",
    "WireInput",
    "describe_sampling_rate",
    "read_id",
    "read_sampling_rate",
    "split_window",
    "wire_name",
]
