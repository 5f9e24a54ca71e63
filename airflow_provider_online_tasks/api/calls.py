"""Every API call: its request, how to read its response, and whether it may be repeated.

The three documented GraphQL mutations: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
REST v2: https://arize.com/docs/api-reference
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api import responses
from airflow_provider_online_tasks.api.fields import identifier
from airflow_provider_online_tasks.api.responses import EvaluatorVersion, Task, TaskRun
from airflow_provider_online_tasks.api.settings import PERCENT
from airflow_provider_online_tasks.exceptions import (
    InvalidInput,
    ResponseTooLarge,
    TaskErrorReturned,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.inputs.arguments import read_id

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.http import Response
    from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
    from airflow_provider_online_tasks.inputs.evaluators import HubEvaluator
    from airflow_provider_online_tasks.inputs.runs import RunInput
    from airflow_provider_online_tasks.inputs.windows import DataWindow

T = TypeVar("T")
TaskType = Literal["TEMPLATE_EVALUATION", "CODE_EVALUATION"]
MOST_PAGES = 10_000
PAGES_BEFORE_LARGER = 4
"""After a page was too large, this many smaller ones are read before the limit is doubled."""
LONGEST_CURSOR = 8_192
PAGE = 100
"""Items of a page, where the API documents no lower limit."""
SPACES_PAGE = 50
SPANS_PAGE = 500
REVIEW_PAGE = 500
QUEUE_RECORDS, QUEUE_DAYS, DATASET_EXAMPLES = 500, 7, 1_000
"""Limits of a request: records, days between its spans, and examples."""
LONGEST_MESSAGE = 1_000
EVAL_PREFIXES = {"span": "eval", "trace": "trace_eval", "session": "session_eval"}
"""The column prefix of evaluations by granularity."""
ANNOTATION_PREFIXES = {"span": "annotation", "trace": "trace_annotation"}
"""The column prefix of annotations by granularity. Spans have no annotations of sessions."""
SPAN_ID = "span_id"
ID_ONLY = (f"context.{SPAN_ID}",)
"""The columns of a span without anything but the fields that every response has."""
TYPE_NAME = "{ __typename }"
ARGUMENT_TYPES = (
    '{ __type(name: "Mutation") { fields { name args { name type { name ofType { name } } } } } }'
)
VIEWER_SPACES = (
    f"{{ viewer {{ spaces(first: {SPACES_PAGE}) "
    "{ edges { node { id name } } pageInfo { hasNextPage endCursor } } } }"
)
"""A GraphQL query for the first spaces that the key can read."""
# Arize's own code confirms the first and the last; the second follows their pattern.
MUTATION_INPUT_TYPES = {
    "createEvalTask": "CreateEvalTaskMutationInput",
    "patchEvalTask": "PatchEvalTaskMutationInput",
    "runOnlineTask": "RunOnlineTaskMutationInput",
}
_GRAPHQL_NAME = re.compile("[_A-Za-z][_0-9A-Za-z]*")
# REST's names of fields. REST has no names for evaluators that are defined in the task.
_REST_NAMES = {"model_id": "project_id", "run_continuously": "is_continuous"}


@dataclass(frozen=True)
class RestCall(Generic[T]):
    """A REST v2 request. `read` may raise KeyError, TypeError or ValueError for a malformed response."""

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    read: Callable[[dict[str, Any]], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True  # executing it twice is harmless
    about: str | None = None  # the ID that the response must have, if it has one


@dataclass(frozen=True)
class GraphQLCall(Generic[T]):
    """A GraphQL mutation with one ``$input`` variable. `selection` are the fields of its payload."""

    name: str
    selection: str
    input: Mapping[str, Any]
    read: Callable[[dict[str, Any]], T]
    repeatable: bool = False

    @property
    def input_type(self) -> str:
        """The name of the variable's type, as documented."""
        return MUTATION_INPUT_TYPES[self.name]

    def document(self, input_type: str | None = None) -> str:
        """Return the GraphQL document. It contains no values of the user."""
        input_type = input_type or self.input_type
        return f"mutation ($input: {input_type}!) {{ {self.name}(input: $input) {{ {self.selection} }} }}"


def read_value(call: RestCall[T] | GraphQLCall[T], value: dict[str, Any], response: Response) -> T:  # noqa: RET503  unexpected() raises
    """Return what the call reads from the object in its response."""
    try:
        result = call.read(value)
        if isinstance(call, RestCall) and call.about is not None and value.get("id") is not None:
            check_same_id(value["id"], call.about)
        return result  # noqa: TRY300
    except TaskErrorReturned as error:
        message, reason = f"{response.what}: {response.quoted(str(error))}", response.quoted(error.reason)
        code = None if error.code is None else response.quoted(error.code)
        raise TaskErrorReturned(message, code=code, reason=reason) from None
    except KeyError as error:
        problem = f"lacks the field {error}"
    except (TypeError, ValueError, AttributeError) as error:
        problem = f"is malformed ({error})"
    response.unexpected(problem)


def check_same_id(received: object, requested: str) -> None:
    """Raise ValueError if a response is about another object than the requested one."""
    if str(received) != requested:
        raise ValueError(f"it is about {shown(received)}, not about {shown(requested)}")


# Pagination


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """A page of a list. The last one has no next cursor."""

    items: tuple[T, ...]
    next_cursor: str | None


def read_page(name: str, read: Callable[[Any], T]) -> Callable[[dict[str, Any]], Page[T]]:
    """Return a function that reads a page of a list, whose items are in the field `name`."""

    def read_page_of_items(value: dict[str, Any]) -> Page[T]:
        items, pagination = value[name], value.get("pagination") or {}
        if not isinstance(items, list):
            raise TypeError(f"{name} is {shown(items)}, not a list")
        has_more, cursor = pagination.get("has_more"), pagination.get("next_cursor")
        if has_more and not (isinstance(cursor, str) and 0 < len(cursor) <= LONGEST_CURSOR):
            raise ValueError(f"has_more is true, but next_cursor is {shown(cursor)}")
        return Page(items=tuple(read(item) for item in items), next_cursor=cursor if has_more else None)

    return read_page_of_items


class Cursors:
    """The cursors of one list, none of which may repeat. `what` is the call's name, for messages."""

    def __init__(self, what: str, *, most: int = MOST_PAGES) -> None:
        self.what = what
        self.most = most
        self._followed: set[int] = set()

    def after(self, page: Page[Any]) -> str | None:
        """Return the cursor of the next page, or None after the last one."""
        cursor = page.next_cursor
        if cursor is None:
            return None
        mark = hash(cursor)  # the text may be long
        if mark in self._followed:
            raise UnexpectedResponse(
                f"{self.what}: page {len(self._followed) + 1} repeats the cursor {shown(cursor)}, so the "
                f"list would never end"
            )
        self._followed.add(mark)
        if len(self._followed) >= self.most:
            raise UnexpectedResponse(f"{self.what}: the list has more than {self.most} pages")
        return cursor


def pages(
    send: Callable[[RestCall[Page[T]]], Page[T]],
    call_at: Callable[[str | None], RestCall[Page[T]]],
    *,
    skip: Callable[[str | None], Page[T]] | None = None,
) -> Iterator[Page[T]]:
    """Yield the pages of a list.

    A page that is too large is requested again with half of its limit, down to one item.

    :param call_at: returns the call for the page at a cursor.
    :param skip: returns the page instead of an item at a cursor that is too large. Default: raise.
    """
    cursor = None
    call = call_at(cursor)
    cursors = Cursors(call.name, most=MOST_PAGES)
    most = limit = int(call.query["limit"])
    read_with_limit = 0
    while True:
        try:
            page = send(replace(call, query={**call.query, "limit": limit}))
        except ResponseTooLarge:
            if limit > 1:
                limit, read_with_limit = limit // 2, 0
                continue
            if skip is None:
                raise
            page = skip(cursor)
        yield page
        cursor = cursors.after(page)
        if cursor is None:
            return
        call = call_at(cursor)
        read_with_limit += 1
        if read_with_limit == PAGES_BEFORE_LARGER:
            limit, read_with_limit = min(2 * limit, most), 0


def items(
    send: Callable[[RestCall[Page[T]]], Page[T]], call_at: Callable[[str | None], RestCall[Page[T]]]
) -> Iterator[T]:
    """Yield the items of a list, page by page, as :func:`pages` does."""
    for page in pages(send, call_at):
        yield from page.items


def _paged(limit: int, cursor: str | None, **filters: str | None) -> dict[str, str | int]:
    """Return the query parameters of a list, without those that are None."""
    query: dict[str, str | int] = {"limit": limit}
    return query | {name: value for name, value in {"cursor": cursor, **filters}.items() if value is not None}


def _part(value: str) -> str:
    """Quote an ID as one part of a path. An empty one, or dots, would change the path."""
    return quote(read_id(value, "The ID in the address"), safe="")


# GraphQL mutations


def create_eval_task(task: EvalTaskInput, sampling_rate_unit: str) -> GraphQLCall[str]:
    """createEvalTask: returns the ID of the new task."""
    task_input = _in_unit(task.to_wire(), sampling_rate_unit)
    return GraphQLCall("createEvalTask", "evalTask { id name }", task_input, _read_task_id)


def patch_eval_task(patch: EvalTaskPatch, sampling_rate_unit: str) -> GraphQLCall[str]:
    """patchEvalTask: returns the ID of the task. A repeat sets the same values again."""

    def read(payload: dict[str, Any]) -> str:
        task_id = _read_task_id(payload)
        check_same_id(task_id, patch.online_task_id)
        return task_id

    task_input = _in_unit(patch.to_wire(), sampling_rate_unit)
    return GraphQLCall("patchEvalTask", "evalTask { id name }", task_input, read, repeatable=True)


def _in_unit(wire: dict[str, Any], sampling_rate_unit: str) -> dict[str, Any]:
    """Convert the sampling rate to the unit that the server expects; it is a fraction before."""
    if sampling_rate_unit == PERCENT and "samplingRate" in wire:
        wire["samplingRate"] = float(f"{wire['samplingRate'] * 100:.12g}")
    return wire


def _read_task_id(payload: dict[str, Any]) -> str:
    return _read_id(payload["evalTask"], "id", "evalTask.")


def _read_id(value: Mapping[str, Any], name: str, where: str = "") -> str:
    try:
        return identifier(value[name])
    except ValueError as error:
        raise ValueError(f"{where}{name} {error}") from None


def run_online_task(run: RunInput) -> GraphQLCall[str]:
    """runOnlineTask: returns the run's ID. Reading raises TaskErrorReturned if no run was started."""

    def read(payload: dict[str, Any]) -> str:
        result = payload["result"]
        if not isinstance(result, Mapping):
            raise ValueError(f"result is {shown(result)}, not an object")  # noqa: TRY004  as for every malformed field
        if "runId" in result:
            return _read_id(result, "runId", "result.")
        error = responses.TaskError.from_wire(result, "result")
        reason = error.message or "no reason given"
        code = f" (code {error.code})" if error.code else ""
        raise TaskErrorReturned(
            f"Task {run.online_task_id} was not started: {reason}{code}", code=error.code, reason=reason
        )

    selection = (
        "result { __typename ... on CreateTaskRunResponse { runId } ... on TaskError { message code } }"
    )
    return GraphQLCall("runOnlineTask", selection, run.to_wire(), read)


def argument_type(data: Mapping[str, Any], mutation: str) -> str | None:
    """Return the type of a mutation's ``input`` argument, from the response to :data:`ARGUMENT_TYPES`."""
    for described in (data.get("__type") or {}).get("fields") or []:
        if described["name"] == mutation:
            for argument in described["args"]:
                if argument["name"] == "input":
                    kind = argument["type"]
                    name = kind.get("name") or (kind.get("ofType") or {}).get("name")
                    # It becomes a part of the document, so it must be a name.
                    return name if isinstance(name, str) and _GRAPHQL_NAME.fullmatch(name) else None
    return None


def _list(
    what: str,
    path: str,
    read: Callable[[dict[str, Any]], Page[T]],
    cursor: str | None = None,
    limit: int = PAGE,
    /,
    **filters: str | None,
) -> RestCall[Page[T]]:
    return RestCall(f"list {what}", "GET", path, read, _paged(limit, cursor, **filters))


# Tasks


def get_task(task_id: str) -> RestCall[Task]:
    """GET /v2/tasks/{task_id}."""
    return RestCall("get task", "GET", f"/v2/tasks/{_part(task_id)}", Task.from_wire, about=task_id)


def list_tasks(
    *, project_id: str | None = None, name: str | None = None, limit: int = PAGE, cursor: str | None = None
) -> RestCall[Page[Task]]:
    """GET /v2/tasks; ``name`` matches a part of the name."""
    read = read_page("tasks", Task.from_wire)
    return _list("tasks", "/v2/tasks", read, cursor, limit, project_id=project_id, name=name)


def delete_task(task_id: str) -> RestCall[None]:
    """DELETE /v2/tasks/{task_id}. A repeat after it was executed raises NotFound."""
    return RestCall("delete task", "DELETE", f"/v2/tasks/{_part(task_id)}", _read_nothing)


def _read_nothing(_: Mapping[str, Any]) -> None:
    return None


# Tasks with the fields that GraphQL does not document: column mappings, evaluator versions, filters of one
# evaluator, and evaluators of traces or sessions.


def task_type(evaluator_type: str) -> TaskType:
    """Return the type of a task for a type of evaluator, or raise InvalidInput if Arize documents none."""
    match evaluator_type:
        case "TEMPLATE":
            return "TEMPLATE_EVALUATION"
        case "CODE":
            return "CODE_EVALUATION"
        case _:
            raise InvalidInput(
                f"An evaluator of type {evaluator_type} cannot have mappings, a version or a filter in a "
                f"task, because REST has no task type for it. Set only evaluator_id."
            )


def create_hub_task(task: EvalTaskInput, kind: TaskType) -> RestCall[Task]:
    """POST /v2/tasks: returns the new task."""
    body = {"type": kind, **_fields(task, task.to_rest(), None)}
    return RestCall("create task", "POST", "/v2/tasks", Task.from_wire, body=body, repeatable=False)


def update_hub_task(
    task_id: str, wanted: EvalTaskInput | EvalTaskPatch, changed: Iterable[str], current: Task
) -> RestCall[Task]:
    """PATCH /v2/tasks/{task_id}: set the `changed` fields; see :func:`attachments`."""
    body = _fields(wanted, changed, current)
    return RestCall("update task", "PATCH", f"/v2/tasks/{_part(task_id)}", Task.from_wire, body=body)


def same_attachments(evaluators: Iterable[HubEvaluator], current: Task) -> bool:
    """Return whether a task has these evaluators with these fields. Their order is not documented."""
    wanted = {fields.pop("evaluator_id"): fields for fields in attachments(evaluators, current)}
    return wanted == _attached_fields(current)


def _fields(
    task: EvalTaskInput | EvalTaskPatch, names: Iterable[str], current: Task | None
) -> dict[str, Any]:
    written = task.to_rest()
    body = {_REST_NAMES.get(name, name): written.get(name) for name in names}
    if "evaluators" in body:
        body["evaluators"] = attachments(task.evaluators or (), current, is_patch=task.keeps_none)
    return body


def attachments(
    evaluators: Iterable[HubEvaluator], current: Task | None = None, *, is_patch: bool = False
) -> list[dict[str, Any]]:
    """Return the evaluators of a task after a change, by their position, which REST has no field for.

    In a patch, an evaluator keeps the fields that it has in the `current` task, except those that are set. In
    an update to match a DAG, only an evaluator with nothing but an ID keeps them.
    """
    attached = _attached_fields(current) if current else {}
    fields_of_all = []
    for evaluator in sorted(evaluators, key=lambda evaluator: evaluator.position or 0):
        fields = {name: value for name, value in evaluator.to_rest().items() if name != "position"}
        kept = attached.get(evaluator.evaluator_id, {}) if is_patch or not evaluator.needs_rest else {}
        left_out = evaluator.model_fields_set | set(evaluator.excluded_fields)
        fields_of_all.append({name: value for name, value in kept.items() if name not in left_out} | fields)
    return fields_of_all


def _attached_fields(task: Task) -> dict[str | None, dict[str, Any]]:
    """Return the fields of a task's evaluators by the evaluators' IDs, in REST's form."""
    return {
        evaluator.evaluator_id: {
            name: list(value) if isinstance(value, tuple) else value
            for name in ("evaluator_version_id", "query_filter", "column_mappings", "query_mappings")
            if (value := getattr(evaluator, name)) is not None
        }
        for evaluator in task.evaluators
    }


# Runs


def get_task_run(run_id: str) -> RestCall[TaskRun]:
    """GET /v2/task-runs/{run_id}."""
    return RestCall("get task run", "GET", f"/v2/task-runs/{_part(run_id)}", TaskRun.from_wire, about=run_id)


def list_task_runs(
    task_id: str,
    *,
    status: responses.RunStatus | None = None,
    limit: int = PAGE,
    cursor: str | None = None,
) -> RestCall[Page[TaskRun]]:
    """GET /v2/tasks/{task_id}/runs, in an undocumented order."""
    path, read = f"/v2/tasks/{_part(task_id)}/runs", read_page("task_runs", TaskRun.from_wire)
    return _list("task runs", path, read, cursor, limit, status=status.value if status else None)


def skim_task_runs(
    task_id: str,
    wanted: Container[str] | None,
    *,
    status: responses.RunStatus | None = None,
    cursor: str | None = None,
) -> RestCall[Page[TaskRun]]:
    """GET /v2/tasks/{task_id}/runs, and read only the runs with the `wanted` IDs; None for all.

    A run that cannot be read is left out, so that it does not hide the others. `wanted` is checked when the
    response arrives.
    """

    def read_wanted(item: object) -> TaskRun | None:
        if not isinstance(item, dict) or (wanted is not None and item.get("id") not in wanted):
            return None
        try:
            return TaskRun.from_wire(item)
        except (KeyError, TypeError, ValueError):
            return None

    def skim(value: dict[str, Any]) -> Page[TaskRun]:
        page = read_page("task_runs", read_wanted)(value)
        return Page(items=tuple(run for run in page.items if run is not None), next_cursor=page.next_cursor)

    return replace(list_task_runs(task_id, status=status, cursor=cursor), read=skim)


def go_back_beyond(runs: list[TaskRun], since: datetime) -> bool:
    """Return whether runs are newest first and the last one was created before a time."""
    created = [run.created_at for run in runs if run.created_at is not None]
    if len(created) < len(runs) or not created:
        return False
    # Runs with equal timestamps have no defined order, so they don't show that the list is newest first.
    is_newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
    return is_newest_first and created[-1] < since


def cancel_task_run(run_id: str) -> RestCall[TaskRun]:
    """POST /v2/task-runs/{run_id}/cancel, valid while the run is pending or running."""
    path = f"/v2/task-runs/{_part(run_id)}/cancel"
    return RestCall("cancel task run", "POST", path, TaskRun.from_wire, about=run_id)


# Evaluators of the Eval Hub


def get_evaluator(evaluator_id: str, *, version_id: str | None = None) -> RestCall[responses.Evaluator]:
    """GET /v2/evaluators/{evaluator_id}, with the template of a version, the newest by default."""
    path, read = f"/v2/evaluators/{_part(evaluator_id)}", responses.Evaluator.from_wire
    query = {} if version_id is None else {"version_id": version_id}
    return RestCall("get evaluator", "GET", path, read, query=query, about=evaluator_id)


def list_evaluators(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[responses.Evaluator]]:
    """GET /v2/evaluators; ``name`` matches a part of the name, case-insensitively."""
    read = read_page("evaluators", responses.Evaluator.from_wire)
    return _list("evaluators", "/v2/evaluators", read, cursor, name=name, space_id=space_id)


def create_evaluator(
    *,
    space_id: str,
    name: str,
    description: str | None,
    evaluator_type: responses.EvaluatorType,
    content: Mapping[str, Any],
    commit_message: str,
) -> RestCall[EvaluatorVersion]:
    """POST /v2/evaluators: returns the first version of the new evaluator."""
    version = {"commit_message": commit_message, **content}
    body = {"space_id": space_id, "name": name, "type": evaluator_type, "version": version}
    if description is not None:
        body["description"] = description

    def read(value: Mapping[str, Any]) -> EvaluatorVersion:
        version = value["version"]
        if isinstance(version, Mapping):
            version = {**version, "evaluator_id": value["id"]}
        return EvaluatorVersion.from_wire(version, "version")

    return RestCall("create evaluator", "POST", "/v2/evaluators", read, body=body, repeatable=False)


def list_evaluator_versions(
    evaluator_id: str, *, cursor: str | None = None
) -> RestCall[Page[EvaluatorVersion]]:
    """GET /v2/evaluators/{evaluator_id}/versions, in an undocumented order."""
    read = read_page("evaluator_versions", EvaluatorVersion.from_wire)
    return _list("evaluator versions", f"/v2/evaluators/{_part(evaluator_id)}/versions", read, cursor)


def create_evaluator_version(
    evaluator_id: str, *, content: Mapping[str, Any], commit_message: str
) -> RestCall[EvaluatorVersion]:
    """POST /v2/evaluators/{evaluator_id}/versions: returns the new version, which becomes the active one."""
    path, read = f"/v2/evaluators/{_part(evaluator_id)}/versions", EvaluatorVersion.from_wire
    body = {"commit_message": commit_message, **content}
    return RestCall("create evaluator version", "POST", path, read, body=body, repeatable=False)


def list_evaluator_templates() -> RestCall[tuple[responses.ArizeTemplate, ...]]:
    """GET /v2/evaluator-templates: Arize's own prompts for LLM judges."""
    read = read_page("evaluator_templates", responses.ArizeTemplate.from_wire)
    return RestCall(
        "list evaluator templates", "GET", "/v2/evaluator-templates", lambda value: read(value).items
    )


# Projects, spaces and organizations


def list_spaces() -> RestCall[Page[responses.Space]]:
    """GET /v2/spaces: the first spaces that the key can read."""
    return _list("spaces", "/v2/spaces", read_page("spaces", responses.Space.from_wire), None, SPACES_PAGE)


def read_viewer_spaces(data: Mapping[str, Any]) -> Page[responses.Space]:
    """Read the response to :data:`VIEWER_SPACES`. LookupError, TypeError, ValueError: it is malformed."""
    spaces = data["viewer"]["spaces"]
    more = spaces["pageInfo"]
    return Page(
        items=tuple(responses.Space.from_wire(edge["node"]) for edge in spaces["edges"]),
        next_cursor=str(more["endCursor"]) if more["hasNextPage"] else None,
    )


def list_projects(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[responses.Project]]:
    """GET /v2/projects; ``name`` matches a part of the name, case-insensitively."""
    read = read_page("projects", responses.Project.from_wire)
    return _list("projects", "/v2/projects", read, cursor, name=name, space_id=space_id)


def get_project_space(project_id: str) -> RestCall[str]:
    """GET /v2/projects/{project_id}: returns the ID of its space."""
    path = f"/v2/projects/{_part(project_id)}"
    return RestCall("get project", "GET", path, lambda value: _read_id(value, "space_id"), about=project_id)


def get_space_organization(space_id: str) -> RestCall[str]:
    """GET /v2/spaces/{space_id}: returns the ID of its organization, which older servers omit."""
    path = f"/v2/spaces/{_part(space_id)}"
    return RestCall(
        "get space", "GET", path, lambda value: _read_id(value, "organization_id"), about=space_id
    )


# Spans and their evaluations


SESSION_CHARACTERS = 200
"""Maximum length of the session IDs that are read."""
_QUOTABLE = re.compile(r"[^'\\]{1,200}")


def is_quotable(value: str) -> bool:
    """Return whether :func:`filter_by` can use a value. Others could change the filter."""
    return value.isprintable() and _QUOTABLE.fullmatch(value) is not None


def filter_by(path: str, values: Iterable[str]) -> str:
    """Return the filter of spans whose column has one of these values, which are quotable."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return f"{path} IN ({quoted})"


def list_spans(
    project_id: str,
    window: DataWindow,
    *,
    query_filter: str | None = None,
    evaluators: Sequence[str] = (),
    granularity: str = "span",
    annotations: Sequence[str] = (),
    attributes: Sequence[str] = (),
    explanations: bool = False,
    text_length: int | None = 1,
    columns: Sequence[str] = (),
    cursor: str | None = None,
    limit: int = SPANS_PAGE,
) -> RestCall[Page[responses.Span]]:
    """POST /v2/spans: the spans of a window, newest first, with as few fields as the API allows.

    :param evaluators: column names of the evaluators to read; empty for all.
    :param granularity: what those evaluators evaluate: ``span``, ``trace`` or ``session``.
    :param annotations: names of the annotation configs whose labels to read; needs ``evaluators``.
    :param attributes: dotted paths of attributes to read; needs ``evaluators``.
    :param explanations: whether to read the explanations of ``evaluators``, too.
    :param text_length: maximum number of characters of each text; None for the complete text.
    :param columns: the columns to read, instead of those of ``evaluators``.
    """
    body: dict[str, Any] = {"project_id": project_id, **_bounds(window)}
    if text_length is not None:
        body["truncate_string_length"] = text_length
    if query_filter:
        body["filter"] = query_filter
    if columns:
        body["included_columns"] = list(columns)
    elif evaluators:
        prefixed = [f"{EVAL_PREFIXES[granularity]}.{name}" for name in evaluators]
        parts = ["label", "score", "metadata", *(["explanation"] if explanations else [])]
        prefix = responses.ATTRIBUTES
        body["included_columns"] = [f"{column}.{part}" for column in prefixed for part in parts]
        # With the score, annotations without a label are listed, too.
        kind = ANNOTATION_PREFIXES.get(granularity)
        body["included_columns"] += [
            f"{kind}.{name}.{part}" for name in annotations for part in ("label", "score")
        ]
        body["included_columns"] += [prefix + path.removeprefix(prefix) for path in attributes]
    read = read_page("spans", responses.Span.from_wire)
    return RestCall("list spans", "POST", "/v2/spans", read, _paged(limit, cursor), body)


def _bounds(window: DataWindow) -> dict[str, str]:
    return {"start_time": wire_time(window.start), "end_time": wire_time(window.end)}


# Annotation queues and datasets: the destinations of spans for human review


def list_annotation_configs(
    name: str, space_id: str, *, cursor: str | None = None
) -> RestCall[Page[responses.AnnotationConfig]]:
    """GET /v2/annotation-configs; ``name`` matches a part of the name."""
    read = read_page("annotation_configs", responses.AnnotationConfig.from_wire)
    return _list("annotation configs", "/v2/annotation-configs", read, cursor, name=name, space_id=space_id)


def create_annotation_config(fields: Mapping[str, Any]) -> RestCall[responses.AnnotationConfig]:
    """POST /v2/annotation-configs: returns the new config."""
    path, read = "/v2/annotation-configs", responses.AnnotationConfig.from_wire
    return RestCall("create annotation config", "POST", path, read, body=fields, repeatable=False)


def list_annotation_queues(
    name: str, space_id: str, *, cursor: str | None = None
) -> RestCall[Page[responses.AnnotationQueue]]:
    """GET /v2/annotation-queues; ``name`` matches a part of the name."""
    read = read_page("annotation_queues", responses.AnnotationQueue.from_wire)
    return _list("annotation queues", "/v2/annotation-queues", read, cursor, name=name, space_id=space_id)


def create_annotation_queue(fields: Mapping[str, Any]) -> RestCall[responses.AnnotationQueue]:
    """POST /v2/annotation-queues: returns the new queue."""
    path, read = "/v2/annotation-queues", responses.AnnotationQueue.from_wire
    return RestCall("create annotation queue", "POST", path, read, body=fields, repeatable=False)


def list_queue_spans(queue_id: str, *, cursor: str | None = None) -> RestCall[Page[str | None]]:
    """GET /v2/annotation-queues/{id}/records: the span of each record; None for other records."""
    return _list_queue(queue_id, _span_of_record, cursor, REVIEW_PAGE)


def list_queue_records(
    queue_id: str, *, cursor: str | None = None, limit: int = REVIEW_PAGE
) -> RestCall[Page[responses.QueueRecord]]:
    """GET /v2/annotation-queues/{id}/records: the span of each record, and whether it is completed."""

    def read_record(record: Any) -> responses.QueueRecord:
        return responses.QueueRecord.from_wire({**record, "span_id": _span_of_record(record)})

    return _list_queue(queue_id, read_record, cursor, limit)


def _list_queue(
    queue_id: str, read_record: Callable[[Any], T], cursor: str | None, limit: int
) -> RestCall[Page[T]]:
    path, read = f"/v2/annotation-queues/{_part(queue_id)}/records", read_page("records", read_record)
    return _list("annotation queue records", path, read, cursor, limit)


def _span_of_record(record: Any) -> str | None:
    return _span_of(record.get("data")) if isinstance(record, Mapping) else None


def add_queue_records(
    queue_id: str, *, project_id: str, window: DataWindow, kind: Literal["span", "trace"], ids: Sequence[str]
) -> RestCall[None]:
    """POST /v2/annotation-queues/{id}/records: add spans or traces of a window of up to seven days.

    :param window: has the start of each span, or of the root span of each trace.
    """
    source = {
        "record_type": kind.upper(),
        "project_id": project_id,
        **_bounds(window),
        f"{kind}_ids": list(ids),
    }
    path, body = f"/v2/annotation-queues/{_part(queue_id)}/records", {"record_sources": [source]}
    name = "add annotation queue records"
    return RestCall(name, "POST", path, _read_added, body=body, repeatable=False)


def _read_added(value: Mapping[str, Any]) -> None:
    """Read the records that were added: none if the queue holds all of them."""
    if not isinstance(value["record_sources"], list):
        raise TypeError(f"record_sources is {shown(value['record_sources'])}, not a list")


def list_dataset_spans(dataset_id: str, *, cursor: str | None = None) -> RestCall[Page[str | None]]:
    """GET /v2/datasets/{id}/examples: the span of each example; None if it has none."""
    path = f"/v2/datasets/{_part(dataset_id)}/examples"
    return _list("dataset examples", path, read_page("examples", _span_of), cursor, REVIEW_PAGE)


def add_dataset_examples(dataset_id: str, examples: Sequence[Mapping[str, Any]]) -> RestCall[None]:
    """POST /v2/datasets/{id}/examples: add examples to the newest version."""
    path = f"/v2/datasets/{_part(dataset_id)}/examples"
    body = {"examples": [dict(example) for example in examples]}
    return RestCall("add dataset examples", "POST", path, _read_nothing, body=body, repeatable=False)


def _span_of(example: Any) -> str | None:
    if not isinstance(example, Mapping):
        return None
    try:
        return identifier(example.get(SPAN_ID) or example.get(f"context.{SPAN_ID}"))
    except ValueError:
        return None  # it has no span
