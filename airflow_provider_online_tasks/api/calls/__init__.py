"""Every API call, once: what to send, how to read the answer, whether a repeat is safe.

GraphQL carries the three documented mutations
(https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api), REST v2 everything else
(https://arize.com/docs/api-reference/tasks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.answers._fields import LONGEST_WORD, identifier, line, text
from airflow_provider_online_tasks.api.calls._pages import Cursors, Page, pages, pages_async, read_page
from airflow_provider_online_tasks.api.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import TaskErrorReturned
from airflow_provider_online_tasks.inputs import read_id

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import EvalTaskInput, EvalTaskPatch, RunInput

__all__ = ["Cursors", "Page", "pages", "pages_async", "read_page"]

T = TypeVar("T")
RUNS_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class RestCall(Generic[T]):
    """A REST v2 call.

    :param name: the operation, for messages.
    :param method: HTTP method.
    :param path: path with its parts quoted.
    :param read: how to read the answer's object; KeyError, TypeError and ValueError mean: malformed.
    :param query: query parameters.
    :param body: JSON body.
    :param repeatable: whether carrying it out twice is harmless.
    :param about: the ID that the answer must have, if it has one.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    read: Callable[[dict[str, Any]], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    about: str | None = None


@dataclass(frozen=True, kw_only=True)
class GraphQLCall(Generic[T]):
    """A GraphQL mutation with one ``$input`` variable.

    :param name: the mutation.
    :param input_type: name of the variable's type, as documented.
    :param selection: what is read of the payload.
    :param input: the variable's value.
    :param read: how to read the payload; KeyError, TypeError and ValueError mean that it is malformed.
    """

    name: str
    input_type: str
    selection: str
    input: Mapping[str, Any]
    read: Callable[[dict[str, Any]], T]
    repeatable: bool = False

    def document(self, input_type: str | None = None) -> str:
        """Return the GraphQL document. User values are no part of it."""
        return (
            f"mutation ($input: {input_type or self.input_type}!) "
            f"{{ {self.name}(input: $input) {{ {self.selection} }} }}"
        )


_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")
# The first and the last are confirmed by Arize's own code, the second follows their pattern.
MUTATION_INPUT_TYPES = {
    "createEvalTask": "CreateEvalTaskMutationInput",
    "patchEvalTask": "PatchEvalTaskMutationInput",
    "runOnlineTask": "RunOnlineTaskMutationInput",
}
TYPE_NAME = "{ __typename }"
ARGUMENT_TYPES = (
    '{ __type(name: "Mutation") { fields { name args { name type { name ofType { name } } } } } }'
)


def argument_type(data: Mapping[str, Any], mutation: str) -> str | None:
    """Read the real type of a mutation's ``input`` argument from the answer to :data:`ARGUMENT_TYPES`."""
    for fields in (data.get("__type") or {}).get("fields") or []:
        if fields["name"] == mutation:
            for argument in fields["args"]:
                if argument["name"] == "input":
                    kind = argument["type"]
                    found = kind.get("name") or (kind.get("ofType") or {}).get("name")
                    # It becomes a part of the document, so nothing but a name will do.
                    return found if isinstance(found, str) and _NAME.fullmatch(found) else None
    return None


@dataclass(frozen=True, kw_only=True)
class EvalTask:
    """A task as the mutations return it."""

    id: str
    name: str


def same_id(found: object, asked: str) -> None:
    """Check that an answer is about what was asked for.

    :raises ValueError: it is about something else.
    """
    if str(found) != asked:
        raise ValueError(f"it is about {shown(found)}, not about {shown(asked)}")


def _read_eval_task(payload: dict[str, Any]) -> EvalTask:
    task = _object(payload, "evalTask")
    return EvalTask(id=_id(task, "id"), name=text(task["name"]))


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value[name]
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} is {shown(found)}, not an object")
    return found


def _id(value: Mapping[str, Any], name: str) -> str:
    return identifier(value[name], name)


def _optional(value: Mapping[str, Any], name: str, kind: type | UnionType) -> Any:
    found = value.get(name)
    if found is not None and not isinstance(found, kind):
        raise TypeError(f"{name} is {shown(found)}")
    return found


def _objects(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = _optional(value, name, list) or []
    if not all(isinstance(item, Mapping) for item in found):
        raise TypeError(f"{name} is {shown(found)}, not a list of objects")
    return found


def create_eval_task(task: EvalTaskInput, sampling_rate_unit: str) -> GraphQLCall[EvalTask]:
    """createEvalTask: returns the new task."""
    return GraphQLCall(
        name="createEvalTask",
        input_type=MUTATION_INPUT_TYPES["createEvalTask"],
        selection="evalTask { id name }",
        input=task.to_wire(sampling_rate_unit),
        read=_read_eval_task,
    )


def patch_eval_task(patch: EvalTaskPatch, sampling_rate_unit: str) -> GraphQLCall[EvalTask]:
    """patchEvalTask: returns the task. A repeat sets the same values again."""

    def read(payload: dict[str, Any]) -> EvalTask:
        task = _read_eval_task(payload)
        same_id(task.id, patch.online_task_id)
        return task

    return GraphQLCall(
        name="patchEvalTask",
        input_type=MUTATION_INPUT_TYPES["patchEvalTask"],
        selection="evalTask { id name }",
        input=patch.to_wire(sampling_rate_unit),
        read=read,
        repeatable=True,
    )


def run_online_task(run: RunInput) -> GraphQLCall[str]:
    """runOnlineTask: returns the run's ID.

    :raises TaskErrorReturned: (on reading) the server did not start the run.
    """

    def read(payload: dict[str, Any]) -> str:
        result = _object(payload, "result")
        if "runId" in result:
            return _id(result, "runId")
        message, code = result["message"], result.get("code")
        reason = "no reason given" if message is None else line(message)
        code = None if code is None else line(code, LONGEST_WORD)
        said = f"Task {run.online_task_id} was not started: {reason}" + (f" (code {code})" if code else "")
        raise TaskErrorReturned(said, code=code, reason=reason)

    return GraphQLCall(
        name="runOnlineTask",
        input_type=MUTATION_INPUT_TYPES["runOnlineTask"],
        selection=(
            "result { __typename ... on CreateTaskRunResponse { runId } ... on TaskError { message code } }"
        ),
        input=run.to_wire(),
        read=read,
    )


def _paged(limit: int, cursor: str | None, **filters: str | None) -> dict[str, str | int]:
    query: dict[str, str | int] = {"limit": limit}
    query |= {name: value for name, value in {"cursor": cursor, **filters}.items() if value is not None}
    return query


def _part(value: str) -> str:
    """Quote an ID as one part of a path. One that is empty or dots would make another path of it."""
    return quote(read_id(value, "The ID in the address"), safe="")


def get_task_run(run_id: str) -> RestCall[TaskRun]:
    """GET /v2/task-runs/{run_id}."""
    return RestCall(
        name="get task run",
        method="GET",
        path=f"/v2/task-runs/{_part(run_id)}",
        read=TaskRun.from_wire,
        about=run_id,
    )


def list_task_runs(
    task_id: str, *, status: RunStatus | None = None, limit: int = RUNS_PAGE, cursor: str | None = None
) -> RestCall[Page[TaskRun]]:
    """GET /v2/tasks/{task_id}/runs, in an order that is not documented."""
    return RestCall(
        name="list task runs",
        method="GET",
        path=f"/v2/tasks/{_part(task_id)}/runs",
        query=_paged(limit, cursor, status=status.value if status else None),
        read=read_page("task_runs", TaskRun.from_wire),
    )


def cancel_task_run(run_id: str) -> RestCall[TaskRun]:
    """POST /v2/task-runs/{run_id}/cancel, valid while the run is pending or running."""
    return RestCall(
        name="cancel task run",
        method="POST",
        path=f"/v2/task-runs/{_part(run_id)}/cancel",
        read=TaskRun.from_wire,
        about=run_id,
    )


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as REST tells it.

    Fields: https://arize.com/docs/api-reference/tasks/create-task
    """

    id: str
    name: str
    project_id: str | None
    sampling_rate: float | None
    query_filter: str | None
    run_continuously: bool | None
    evaluators: tuple[Mapping[str, Any], ...]
    has_named_filters: bool = False
    created_at: datetime | None = None

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Task:
        """Read a task as REST v2 tells it."""
        created_at = value.get("created_at")
        return cls(
            id=_id(value, "id"),
            name=text(value["name"]),
            project_id=None if value.get("project_id") is None else _id(value, "project_id"),
            sampling_rate=_optional(value, "sampling_rate", float | int),
            query_filter=_optional(value, "query_filter", str),
            run_continuously=_optional(value, "is_continuous", bool),
            evaluators=tuple(_objects(value, "evaluators")),
            has_named_filters=bool(value.get("query_filters")),
            created_at=None if created_at is None else parse_time(created_at, "created_at"),
        )

    @property
    def evaluator_ids(self) -> tuple[str | None, ...]:
        """The Eval Hub IDs of its evaluators in their order; None for one that is written in the task."""
        return tuple(one.get("evaluator_id") for one in self.evaluators)

    @property
    def evaluator_names(self) -> tuple[str | None, ...]:
        """The names of its evaluators in their order, where they are told."""
        return tuple(one.get("evaluator_name") for one in self.evaluators)


def get_task(task_id: str) -> RestCall[Task]:
    """GET /v2/tasks/{task_id}."""
    return RestCall(
        name="get task", method="GET", path=f"/v2/tasks/{_part(task_id)}", read=Task.from_wire, about=task_id
    )


def list_tasks(
    *,
    project_id: str | None = None,
    name: str | None = None,
    limit: int = RUNS_PAGE,
    cursor: str | None = None,
) -> RestCall[Page[Task]]:
    """GET /v2/tasks; ``name`` matches as a part of the name."""
    return RestCall(
        name="list tasks",
        method="GET",
        path="/v2/tasks",
        query=_paged(limit, cursor, project_id=project_id, name=name),
        read=read_page("tasks", Task.from_wire),
    )


def delete_task(task_id: str) -> RestCall[None]:
    """DELETE /v2/tasks/{task_id}. A repeat of one that was carried out finds nothing."""
    return RestCall(
        name="delete task", method="DELETE", path=f"/v2/tasks/{_part(task_id)}", read=lambda _: None
    )


def get_project_space(project_id: str) -> RestCall[str]:
    """GET /v2/projects/{project_id}: returns the ID of its space."""
    return RestCall(
        name="get project",
        method="GET",
        path=f"/v2/projects/{_part(project_id)}",
        read=lambda value: _id(value, "space_id"),
        about=project_id,
    )


def get_space_organization(space_id: str) -> RestCall[str]:
    """GET /v2/spaces/{space_id}: returns the ID of its organisation, which older servers leave out."""
    return RestCall(
        name="get space",
        method="GET",
        path=f"/v2/spaces/{_part(space_id)}",
        read=lambda value: _id(value, "organization_id"),
        about=space_id,
    )
