"""Every API call: its request, how to read its response, and whether it may be repeated.

``eval_tasks`` has the three documented GraphQL mutations
(https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api), the other modules have REST v2
(https://arize.com/docs/api-reference/tasks). The calls that most of the package uses can be imported from
here.
"""

from __future__ import annotations

from airflow_provider_online_tasks.api.calls._graphql import (
    ARGUMENT_TYPES,
    MUTATION_INPUT_TYPES,
    TYPE_NAME,
    GraphQLCall,
    argument_type,
)
from airflow_provider_online_tasks.api.calls._pages import Cursors, Page, pages, read_page
from airflow_provider_online_tasks.api.calls._rest import RestCall, check_same_id
from airflow_provider_online_tasks.api.calls._value import read_value
from airflow_provider_online_tasks.api.calls.eval_tasks import (
    create_eval_task,
    patch_eval_task,
    run_online_task,
)
from airflow_provider_online_tasks.api.calls.runs import (
    cancel_task_run,
    get_task_run,
    list_task_runs,
    skim_task_runs,
)
from airflow_provider_online_tasks.api.calls.spaces import (
    get_project_space,
    get_space_organization,
    list_projects,
    list_spaces,
)
from airflow_provider_online_tasks.api.calls.tasks import delete_task, get_task, list_tasks
from airflow_provider_online_tasks.api.responses.eval_tasks import EvalTask
from airflow_provider_online_tasks.api.responses.tasks import Task

__all__ = [
    "ARGUMENT_TYPES",
    "MUTATION_INPUT_TYPES",
    "TYPE_NAME",
    "Cursors",
    "EvalTask",
    "GraphQLCall",
    "Page",
    "RestCall",
    "Task",
    "argument_type",
    "cancel_task_run",
    "check_same_id",
    "create_eval_task",
    "delete_task",
    "get_project_space",
    "get_space_organization",
    "get_task",
    "get_task_run",
    "list_projects",
    "list_spaces",
    "list_task_runs",
    "list_tasks",
    "pages",
    "patch_eval_task",
    "read_page",
    "read_value",
    "run_online_task",
    "skim_task_runs",
]
