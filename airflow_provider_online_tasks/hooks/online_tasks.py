"""The connection to Arize, and what can be asked of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_online_tasks._airflow import BaseHook
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidConnection,
    InvalidInput,
    NotFound,
    OnlineTasksError,
)

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_online_tasks.api.calls.hub_tasks import TaskType
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
    from airflow_provider_online_tasks.api.responses.tasks import Task
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.inputs import DataWindow, EvalTaskInput, EvalTaskPatch, RunInput
    from airflow_provider_online_tasks.ui.links import Links

log = logging.getLogger(__name__)
CONN_NAME_ATTR = "conn_id"
CONN_TYPE = "arize_online_tasks"


class OnlineTasksHook(BaseHook):
    """Calls Arize AX with the endpoint and the key of an Airflow connection.

    Use it as a context manager, or :meth:`close` it, so that its session ends with its use.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. Default
        ``arize_online_tasks_default``.
    """

    conn_name_attr = CONN_NAME_ATTR
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Arize online tasks"

    def __init__(self, conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.conn_id = conn_id

    def __enter__(self) -> OnlineTasksHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def settings(self) -> Settings:
        """What the connection says.

        :raises InvalidConnection: a field is missing or cannot be read.
        """
        return read_settings(self.get_connection(self.conn_id))

    @cached_property
    def client(self) -> Client:
        """The client all calls go through."""
        from airflow_provider_online_tasks.api.client import Client

        return Client(self.settings)

    def renew(self) -> bool:
        """Read the connection again, for a key that was rotated.

        :return: whether it has changed. The next call then opens a session with what it says now.
        :raises InvalidConnection: a field is missing or cannot be read.
        """
        settings = read_settings(self.get_connection(self.conn_id))
        if settings == self.settings:
            return False
        self.close()
        self.settings = settings
        return True

    def sibling(self) -> OnlineTasksHook:
        """Return a hook with a session of its own on the same connection, which is not read again."""
        sibling = type(self)(self.conn_id)
        sibling.settings = self.settings
        return sibling

    def get_conn(self) -> Client:
        """Return the client all calls go through."""
        return self.client

    def close(self) -> None:
        """Close the session; a later call opens a new one."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()

    def create_eval_task(self, task: EvalTaskInput | Mapping[str, Any]) -> str:
        """Create a task and return its ID.

        A lost answer is not repeated, since that could make a second task. A task that needs what GraphQL
        does not document, such as column mappings, is created over REST.

        :param task: the task, or a dict with its fields.
        :raises InvalidInput: a field is wrong, or its evaluators do not go together.
        :raises CallError: the subclass that fits what happened.
        """
        from airflow_provider_online_tasks.inputs import EvalTaskInput

        task = EvalTaskInput.read(task)
        if not task.needs_rest:
            return self.client.send(calls.create_eval_task(task, self.settings.sampling_rate_unit)).id
        from airflow_provider_online_tasks.api.calls import hub_tasks

        return self.client.send(hub_tasks.create_hub_task(task, self._task_type(task))).id

    def _task_type(self, task: EvalTaskInput) -> TaskType:
        """Return the type that REST wants for a task: it follows from its evaluators."""
        from airflow_provider_online_tasks.api.calls.evaluators import get_evaluator
        from airflow_provider_online_tasks.api.calls.hub_tasks import task_type

        evaluators = [self.client.send(get_evaluator(one.evaluator_id)) for one in task.evaluators or ()]
        kinds = {task_type(one.type) for one in evaluators}
        if len(kinds) != 1:
            raise InvalidInput(
                "A task has evaluators with a template or evaluators with code, not both: "
                + ", ".join(f"{shown(one.name)} is {one.type}" for one in evaluators)
            )
        return kinds.pop()

    def find_project(self, name: str) -> str:
        """Return the ID of the project with exactly this name.

        :raises NotFound: there is none that the key can read, in the connection's space if it names one.
        :raises InvalidInput: several have this name.
        :raises CallError: the subclass that fits what happened.
        """
        from airflow_provider_online_tasks.api.calls.spaces import list_projects
        from airflow_provider_online_tasks.inputs.values import read_name

        name = read_name(name, "The project's name")
        space_id = self.settings.space_id
        found = [
            project
            for page in calls.pages(
                self.client.send, lambda cursor: list_projects(name=name, space_id=space_id, cursor=cursor)
            )
            for project in page.items
        ]
        same = [project for project in found if project.name == name]
        if len(same) > 1:
            listed = ", ".join(f"{one.id} in space {one.space_id}" for one in same[:10])
            raise InvalidInput(
                f"{len(same)} projects are named {shown(name)}: {listed}. Give the model_id of one, or name "
                f"its space in the connection."
            )
        if not same:
            near = ", ".join(shown(one.name) for one in found[:10])
            raise NotFound(
                f"There is no project named {shown(name)} that this key can read. "
                + (f"Projects with a name like it: {near}." if near else "No project has a name like it.")
            )
        return same[0].id

    def patch_eval_task(self, patch: EvalTaskPatch | Mapping[str, Any]) -> str:
        """Change the given fields of a task and return its ID.

        A patch with what GraphQL does not document, such as evaluators of the Eval Hub, is sent over REST.

        :param patch: the changes, or a dict with them.
        :raises InvalidInput: a field is wrong, or there is nothing to change.
        :raises CallError: the subclass that fits what happened.
        """
        from airflow_provider_online_tasks.inputs import EvalTaskPatch

        patch = EvalTaskPatch.read(patch)
        if not patch.needs_rest:
            return self.client.send(calls.patch_eval_task(patch, self.settings.sampling_rate_unit)).id
        from airflow_provider_online_tasks.api.calls import hub_tasks

        task_id = patch.online_task_id
        found = self.get_task(task_id)
        return self.client.send(hub_tasks.update_hub_task(task_id, patch, patch.changes, found)).id

    def run_online_task(self, run: RunInput | Mapping[str, Any]) -> str:
        """Start a run and return its ID.

        A lost answer is not repeated, since that could start a second run;
        :class:`~airflow_provider_online_tasks.operators.runs.RunOnlineTaskOperator` looks for the run.

        :param run: the run, or a dict with its fields.
        :raises InvalidInput: a field is wrong.
        :raises TaskErrorReturned: the server did not start it, and says why.
        :raises CallError: the subclass that fits what happened.
        """
        from airflow_provider_online_tasks.inputs import RunInput

        return self.client.send(calls.run_online_task(RunInput.read(run)))

    def get_task_run(self, run_id: str) -> TaskRun:
        """Return a run as it is now.

        :raises NotFound: there is no such run, or the key cannot read it.
        :raises CallError: the subclass that fits what happened.
        """
        return self.client.send(calls.get_task_run(run_id))

    def list_task_runs(
        self, online_task_id: str, *, status: RunStatus | str | None = None
    ) -> Iterator[TaskRun]:
        """Yield a task's runs, page by page, in the API's own (undocumented) order.

        :param status: only runs in this state, such as ``COMPLETED``.
        :raises InvalidInput: there is no such state.
        :raises CallError: the subclass that fits what happened.
        """
        wanted = None if status is None else _read_status(status)
        for page in calls.pages(
            self.client.send,
            lambda cursor: calls.list_task_runs(online_task_id, status=wanted, cursor=cursor),
        ):
            yield from page.items

    def cancel_task_run(self, run_id: str) -> TaskRun:
        """Cancel a run that is pending or running, and return it.

        :raises BadRequest: it is over already.
        :raises CallError: the subclass that fits what happened.
        """
        return self.client.send(calls.cancel_task_run(run_id))

    def end_task_run(self, run_id: str) -> tuple[TaskRun, bool]:
        """Cancel a run unless it is over; return it, and whether it was over.

        :raises CallError: the subclass that fits what happened.
        """
        try:
            return self.cancel_task_run(run_id), False
        except BadRequest:
            # It has ended by itself, or by a request whose answer was lost.
            run = self.get_task_run(run_id)
            if not run.is_over:
                raise
            return run, True

    def get_task(self, online_task_id: str) -> Task:
        """Return a task.

        :raises NotFound: there is no such task, or the key cannot read it.
        :raises CallError: the subclass that fits what happened.
        """
        return self.client.send(calls.get_task(online_task_id))

    def list_tasks(self, *, model_id: str | None = None, name: str | None = None) -> Iterator[Task]:
        """Yield tasks, page by page.

        :param model_id: only tasks of this project.
        :param name: only tasks whose name holds this text.
        :raises CallError: the subclass that fits what happened.
        """
        for page in calls.pages(
            self.client.send,
            lambda cursor: calls.list_tasks(project_id=model_id, name=name, cursor=cursor),
        ):
            yield from page.items

    def find_task(self, name: str) -> Task:
        """Return the task with exactly this name.

        :raises NotFound: there is none that the key can read.
        :raises InvalidInput: several have this name.
        :raises CallError: the subclass that fits what happened.
        """
        from airflow_provider_online_tasks.inputs.values import read_name

        name = read_name(name, "The task's name")
        found = list(self.list_tasks(name=name))
        same = [task for task in found if task.name == name]
        if len(same) > 1:
            listed = ", ".join(f"{one.id} on project {one.project_id}" for one in same[:10])
            raise InvalidInput(
                f"{len(same)} tasks are named {shown(name)}: {listed}. Give the online_task_id of one."
            )
        if not same:
            near = ", ".join(shown(one.name) for one in found[:10])
            raise NotFound(
                f"There is no task named {shown(name)} that this key can read. "
                + (f"Tasks with a name like it: {near}." if near else "No task has a name like it.")
            )
        return same[0]

    def delete_task(self, online_task_id: str) -> None:
        """Delete a task.

        :raises NotFound: there is no such task.
        :raises CallError: the subclass that fits what happened.
        """
        self.client.send(calls.delete_task(online_task_id))

    def links(self, online_task_id: str, window: DataWindow | None = None) -> Links:
        """Return where the Arize UI shows a task's project, its evaluator, and its spans in a window.

        Takes up to three requests. If anything goes wrong there is no link: a link is not worth a failure.
        """
        from airflow_provider_online_tasks.ui.links import Links

        try:
            task = self.client.send(calls.get_task(online_task_id), retry=NO_RETRY)
        except OnlineTasksError as error:
            self.log.debug("No link into Arize: %s", error)
            return Links()
        links = self.links_of(
            project_id=task.project_id,
            evaluator_ids=task.evaluator_ids,
            window=window,
            query_filter=task.query_filter,
        )
        return replace(links, task=task.name)

    def known_links(self, window: DataWindow | None = None) -> Links:
        """Return the links if the connection names organisation, space and project.

        It sends nothing to Arize.
        """
        from airflow_provider_online_tasks.ui.links import Links

        settings = self.settings
        if settings.model_id and settings.space_id and settings.organization_id:
            return self.links_of(project_id=settings.model_id, window=window)
        return Links()

    def links_of(
        self,
        *,
        project_id: str | None,
        evaluator_ids: Iterable[str | None] = (),
        window: DataWindow | None = None,
        query_filter: str | None = None,
    ) -> Links:
        """Return where the Arize UI shows a project, the first of its evaluators, and its spans in a window.

        The space and the organisation are asked for, one request each, unless the connection names them.

        :param query_filter: of the spans in the window, shows those that it selects.
        """
        from airflow_provider_online_tasks.ui.links import Links, Place

        if project_id is None:
            return Links()
        settings, ask = self.settings, partial(self.client.send, retry=NO_RETRY)
        try:
            space_id = settings.space_id or ask(calls.get_project_space(project_id))
            place = Place(
                ui_url=settings.endpoint.ui_url,
                organization_id=settings.organization_id or ask(calls.get_space_organization(space_id)),
                space_id=space_id,
                project_id=project_id,
            )
            return Links.within(place, evaluator_ids=evaluator_ids, window=window, query_filter=query_filter)
        except (OnlineTasksError, UnicodeError) as error:  # a filter may hold what no address can
            self.log.debug("No link into Arize: %s", error)
            return Links(project_id=project_id)

    def test_connection(self) -> tuple[bool, str]:
        """Say in a sentence what works and what does not. Nothing is changed."""
        from airflow_provider_online_tasks.api.reachability import examine

        try:
            with self:
                works, found = examine(self.client)
                return works, " ".join((found, *map(unencrypted, self.settings.unencrypted_hosts)))
        except OnlineTasksError as error:
            return False, str(error)


def unencrypted(url: str) -> str:
    """Return a warning about a host to which the key is sent over plain HTTP."""
    return f"The API key is sent to {url} unencrypted, and anybody on the way can read it. Use https."


def read_settings(connection: Connection) -> Settings:
    """Read an Airflow connection, and keep its key out of logs.

    :raises InvalidConnection: a field is missing or cannot be read.
    """
    extra: dict[str, Any] = connection.extra_dejson
    return settings_of(connection, extra)


def settings_of(connection: Connection, extra: dict[str, Any]) -> Settings:
    """Read an Airflow connection whose extra has been read already, and keep its key out of logs."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_online_tasks.api.settings import Settings

    if connection.conn_type not in (None, "", CONN_TYPE):
        raise InvalidConnection(
            f"Connection {connection.conn_id!r} is of the type {connection.conn_type!r}, not {CONN_TYPE!r}. "
            f"Name another connection in conn_id, or change the type of this one."
        )
    settings = Settings.of_connection(
        host=connection.host,
        api_key=connection.password,
        scheme=connection.schema,
        port=connection.port,
        extra=extra,
        conn_id=connection.conn_id,
    )
    mask_secret(settings.api_key)
    for url in settings.unencrypted_hosts:
        log.warning("%s", unencrypted(url))
    if settings.proxy and (password := urlsplit(settings.proxy).password):
        mask_secret(password)
    return settings


def _read_status(word: RunStatus | str) -> RunStatus:
    from airflow_provider_online_tasks.api.responses.runs import RunStatus

    status = word if isinstance(word, RunStatus) else RunStatus.read(word)
    if status is RunStatus.UNKNOWN:
        known = ", ".join(one.value for one in RunStatus if one is not RunStatus.UNKNOWN)
        raise InvalidInput(f"status must be one of {known}, not {shown(word)}.")
    return status
