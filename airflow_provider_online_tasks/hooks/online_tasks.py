"""The hook: the calls to Arize with an Airflow connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_online_tasks._airflow import AirflowNotFoundException, BaseHook
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import Evaluator, Project, RunStatus, Task, TaskRun
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidConnection,
    InvalidInput,
    NotFound,
    OnlineTasksError,
)
from airflow_provider_online_tasks.inputs.arguments import read_name
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import HubEvaluator
from airflow_provider_online_tasks.inputs.runs import RunInput

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.costs.estimates import RunEstimate
    from airflow_provider_online_tasks.inputs.windows import DataWindow
    from airflow_provider_online_tasks.ui.links import Links

log = logging.getLogger(__name__)
CONN_TYPE = "arize_online_tasks"
MAX_LISTED = 10
"""Names that an error lists."""
Named = TypeVar("Named", Project, Task)


def read_settings(connection: Connection) -> Settings:
    """Return the settings of a connection, and mask its secrets in logs.

    :raises InvalidConnection: a field is missing or wrong.
    """
    from airflow.sdk.log import mask_secret

    if connection.conn_type not in (None, "", CONN_TYPE):
        raise InvalidConnection(
            f"Connection {connection.conn_id!r} has the type {connection.conn_type!r}, not {CONN_TYPE!r}. "
            f"Use another connection in conn_id, or change the type of this one."
        )
    settings = Settings.of_connection(
        host=connection.host,
        api_key=connection.password,
        scheme=connection.schema,
        port=connection.port,
        extra=_read_extra(connection),
        conn_id=connection.conn_id,
    )
    mask_secret(settings.api_key)
    if settings.proxy and (password := urlsplit(settings.proxy).password):
        mask_secret(password)
    for warning in settings.warnings:
        log.warning("%s", warning)
    return settings


def _read_extra(connection: Connection) -> dict[str, Any]:
    """Return the extra. Airflow reads broken JSON as empty, which would be the region us."""
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):  # not shown, because it may have a proxy's password
        raise InvalidConnection(
            f"Connection {connection.conn_id!r}: extra is not a JSON object. Write it such as "
            f'{{"region": "us"}}.'
        )
    return extra


class OnlineTasksHook(BaseHook):
    """Calls Arize AX with the endpoint and the API key of an Airflow connection.

    Use it as a context manager, or :meth:`close` it, to close its session. If a call fails, the method raises
    the subclass of :class:`~airflow_provider_online_tasks.CallError` that fits what happened.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. Default
        ``arize_online_tasks_default``.
    """

    conn_name_attr = "conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Arize online tasks"

    def __init__(self, conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.conn_id = conn_id

    def __enter__(self) -> OnlineTasksHook:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """Return an Airflow connection.

        :raises AirflowNotFoundException: it does not exist. Airflow retries the task, because a secrets
            backend that is unavailable has the same effect.
        """
        try:
            return super().get_connection(conn_id)
        except AirflowNotFoundException:
            raise AirflowNotFoundException(
                f"The connection {shown(conn_id)} doesn't exist. Create it: airflow connections add "
                f"{shown(conn_id)} --conn-type {CONN_TYPE} --conn-password YOUR_API_KEY"
            ) from None

    @cached_property
    def settings(self) -> Settings:
        """The settings in the connection.

        :raises InvalidConnection: a field is missing or wrong.
        """
        return read_settings(self.get_connection(self.conn_id))

    @cached_property
    def client(self) -> Client:
        """The client that sends all calls."""
        from airflow_provider_online_tasks.api.client import Client

        return Client(self.settings)

    def renew(self) -> bool:
        """Read the connection again, because its key may have been rotated.

        :return: whether it has changed. The next call then opens a session with the new settings.
        :raises InvalidConnection: a field is missing or wrong.
        """
        settings = read_settings(self.get_connection(self.conn_id))
        if settings == self.settings:
            return False
        self.close()
        self.settings = settings
        return True

    def sibling(self) -> OnlineTasksHook:
        """Return a hook with the same settings and a separate session."""
        sibling = type(self)(self.conn_id)
        sibling.settings = self.settings
        return sibling

    def get_conn(self) -> Client:
        """Return the client that sends all calls."""
        return self.client

    def close(self) -> None:
        """Close the session; a later call opens a new one."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()

    # Tasks

    def create_eval_task(self, task: EvalTaskInput | Mapping[str, Any]) -> str:
        """Create a task and return its ID.

        The request is not repeated if its response is lost, because that could create a second task. A task
        with fields that GraphQL does not document, such as column mappings, is created over REST.

        :param task: the task, or a dict with its fields.
        :raises InvalidInput: a field is wrong, the evaluators are of different types, or a variable of a
            template has no mapping.
        """
        task = EvalTaskInput.read(task)
        if not task.needs_rest:
            return self.client.send(calls.create_eval_task(task, self.settings.sampling_rate_unit))
        evaluators = self.check_mappings(calls.attachments(task.evaluators or ()))
        types = {calls.task_type(evaluator.type) for evaluator in evaluators}
        if len(types) != 1:
            raise InvalidInput(
                "A task has either template evaluators or code evaluators: "
                + ", ".join(f"{shown(evaluator.name)} is {evaluator.type}" for evaluator in evaluators)
            )
        return self.client.send(calls.create_hub_task(task, types.pop())).id

    def patch_eval_task(self, patch: EvalTaskPatch | Mapping[str, Any]) -> str:
        """Change the given fields of a task and return its ID.

        A patch with fields that GraphQL does not document, such as Eval Hub evaluators, is sent over REST.

        :param patch: the changes, or a dict with them.
        :raises InvalidInput: a field is wrong, or there is nothing to change.
        """
        patch = EvalTaskPatch.read(patch)
        if not patch.needs_rest:
            return self.client.send(calls.patch_eval_task(patch, self.settings.sampling_rate_unit))
        return self.update_hub_task(patch, patch.changes, self.get_task(patch.online_task_id))

    def update_hub_task(
        self, wanted: EvalTaskInput | EvalTaskPatch, changed: Iterable[str], current: Task
    ) -> str:
        """Change the given fields of a task over REST, and return its ID.

        :param wanted: the fields.
        :param changed: names of the fields to change.
        :param current: the task, whose evaluators keep what is left out.
        :raises InvalidInput: a variable of a template has no mapping.
        """
        call = calls.update_hub_task(current.id, wanted, changed, current)
        self.check_mappings((call.body or {}).get("evaluators") or ())
        return self.client.send(call).id

    def check_mappings(self, attachments: Iterable[Mapping[str, Any]]) -> list[Evaluator]:
        """Return the evaluators of a task, and check that it maps the variables of their templates.

        Arize's documentation has an example of an evaluator with only an ID, so that is only a warning.

        :param attachments: the evaluators of the task, in REST's form.
        :raises InvalidInput: the task doesn't map a variable.
        """
        evaluators = []
        for fields in attachments:
            evaluator, problem = self._read_attached(fields)
            evaluators.append(evaluator)
            if problem and len(fields) > 1:
                raise InvalidInput(problem)
            if problem:
                log.warning("%s", problem)
        return evaluators

    def explain_skipped_spans(self, online_task_id: str) -> str | None:
        """Return the variables that make Arize skip every span of a task; None if all are mapped."""
        task = self.get_task(online_task_id)
        attached = [HubEvaluator(evaluator_id=each) for each in task.evaluator_ids if each]
        problems = (self._read_attached(fields)[1] for fields in calls.attachments(attached, task))
        return next((problem for problem in problems if problem), None)

    def _read_attached(self, fields: Mapping[str, Any]) -> tuple[Evaluator, str | None]:
        """Return an evaluator of a task, and which variables of its template the task doesn't map."""
        call = calls.get_evaluator(fields["evaluator_id"], version_id=fields.get("evaluator_version_id"))
        evaluator = self.client.send(call)
        mapped = {mapping["variable_name"] for mapping in fields.get("query_mappings") or ()}
        unmapped = set(evaluator.variables) - mapped - set(fields.get("column_mappings") or ())
        if not unmapped:
            return evaluator, None
        return evaluator, (
            f"The task doesn't map the variables {shown(sorted(unmapped))} of evaluator "
            f"{shown(evaluator.name)}, so Arize skips every span. Add them to column_mappings, or to "
            f"query_mappings for traces and sessions."
        )

    def get_task(self, online_task_id: str) -> Task:
        """Return a task.

        :raises NotFound: it does not exist, or the key cannot read it.
        """
        return self.client.send(calls.get_task(online_task_id))

    def list_tasks(self, *, model_id: str | None = None, name: str | None = None) -> Iterator[Task]:
        """Yield tasks, page by page.

        :param model_id: only tasks of this project.
        :param name: only tasks whose name contains this text.
        """
        return calls.items(
            self.client.send,
            lambda cursor: calls.list_tasks(project_id=model_id, name=name, cursor=cursor),
        )

    def find_task(self, name: str) -> Task:
        """Return the task with exactly this name.

        :raises NotFound: the key can read no such task.
        :raises InvalidInput: several tasks have this name.
        """
        return _find_one(
            lambda: self.list_tasks(name=name),
            name,
            noun="task",
            describe=lambda task: f"{task.id} on project {task.project_id}",
            advice="Use online_task_id instead.",
        )

    def find_project(self, name: str) -> str:
        """Return the ID of the project with exactly this name, in the connection's space if it has one.

        :raises NotFound: the key can read no such project.
        :raises InvalidInput: several projects have this name.
        """
        space_id = self.settings.space_id
        return _find_one(
            lambda: calls.items(
                self.client.send,
                lambda cursor: calls.list_projects(name=name, space_id=space_id, cursor=cursor),
            ),
            name,
            noun="project",
            describe=lambda project: f"{project.id} in space {project.space_id}",
            advice="Use model_id instead, or set the connection's space_id.",
        ).id

    def find_space(self) -> str:
        """Return the ID of the connection's space, or of the space of the connection's project.

        :raises InvalidInput: the connection has neither.
        """
        if self.settings.space_id is not None:
            return self.settings.space_id
        if self.settings.model_id is not None:
            return self.client.send(calls.get_project_space(self.settings.model_id))
        raise InvalidInput(
            f"The space is unknown. Set space_id, or set space_id or model_id in the extra of connection "
            f"{self.conn_id}."
        )

    def delete_task(self, online_task_id: str) -> None:
        """Delete a task.

        :raises NotFound: it does not exist.
        """
        self.client.send(calls.delete_task(online_task_id))

    # Runs

    def run_online_task(self, run: RunInput | Mapping[str, Any]) -> str:
        """Start a run and return its ID.

        The request is not repeated if its response is lost, because that could start a second run;
        :class:`~airflow_provider_online_tasks.operators.runs.RunOnlineTaskOperator` searches for the run.

        :param run: the run, or a dict with its fields.
        :raises InvalidInput: a field is wrong.
        :raises TaskErrorReturned: the server did not start the run.
        """
        return self.client.send(calls.run_online_task(RunInput.read(run)))

    def get_task_run(self, run_id: str) -> TaskRun:
        """Return the current state of a run.

        :raises NotFound: it does not exist, or the key cannot read it.
        """
        return self.client.send(calls.get_task_run(run_id))

    def list_task_runs(
        self, online_task_id: str, *, status: RunStatus | str | None = None
    ) -> Iterator[TaskRun]:
        """Yield a task's runs, page by page, in the API's (undocumented) order.

        :param status: only runs with this status, such as ``COMPLETED``.
        :raises InvalidInput: the status is unknown.
        """
        wanted = None if status is None else RunStatus.read(status)
        if wanted is RunStatus.UNKNOWN:
            known = ", ".join(each.value for each in RunStatus if each is not RunStatus.UNKNOWN)
            raise InvalidInput(f"status must be one of {known}, not {shown(status)}.")
        return calls.items(
            self.client.send,
            lambda cursor: calls.list_task_runs(online_task_id, status=wanted, cursor=cursor),
        )

    def cancel_task_run(self, run_id: str) -> TaskRun:
        """Cancel a pending or running run, and return it.

        :raises BadRequest: it has finished.
        """
        return self.client.send(calls.cancel_task_run(run_id))

    def end_task_run(self, run_id: str) -> tuple[TaskRun, bool]:
        """Cancel a run unless it has finished; return it, and whether it had finished."""
        try:
            run = self.cancel_task_run(run_id)
        except BadRequest:
            # It finished by itself, or by a request whose response was lost.
            run = self.get_task_run(run_id)
            if not run.is_over:
                raise
            return run, True
        return run, run.is_over and run.status is not RunStatus.CANCELLED

    def estimate_run(
        self,
        online_task_id: str,
        *,
        data_start_time: datetime | str,
        data_end_time: datetime | str,
        max_spans: int | None = None,
        override_evaluations: bool = False,
        prices: Mapping[str, Any] | str | None = None,
        from_earlier_runs: bool = False,
    ) -> RunEstimate:
        """Estimate what a run would evaluate and cost, without starting it. Sends at most 21 requests
        (for up to 17 evaluators).

        :param online_task_id: global ID of the task.
        :param data_start_time: start of the window.
        :param data_end_time: end of the window.
        :param max_spans: maximum number of spans to evaluate. Default: the API's, 10,000.
        :param override_evaluations: whether spans that have a label are evaluated again. Default False.
        :param prices: ``{"gpt-4o": {"input": 2.5, "output": 10}}`` per million tokens, or JSON
            text with it. Default: the connection's ``prices``, else those of ``genai-prices`` if it is
            installed.
        :param from_earlier_runs: whether to send one request only, and to estimate evaluations, without
            tokens, from the task's completed runs. Default False.
        :raises InvalidInput: an argument is wrong, or the task has no runs to estimate from.
        """
        from airflow_provider_online_tasks.costs.estimates import estimate_run
        from airflow_provider_online_tasks.inputs.prices import read_prices

        run = RunInput.read(
            {
                "online_task_id": online_task_id,
                "data_start_time": data_start_time,
                "data_end_time": data_end_time,
                "max_spans": max_spans,
                "override_evaluations": override_evaluations,
            }
        )
        return estimate_run(
            self.client,
            run,
            prices=self.settings.prices if prices is None else read_prices(prices),
            from_earlier_runs=from_earlier_runs,
        )

    # Links and the connection test

    def links(self, online_task_id: str, window: DataWindow | None = None) -> Links:
        """Return links to a task's project, to its evaluator, and to its spans in a window.

        Sends up to three requests. If one fails, links are missing: they are not worth a failed task.
        """
        from airflow_provider_online_tasks.ui.links import links_of_task

        return links_of_task(self.client, online_task_id, window)

    def known_links(self, window: DataWindow | None = None) -> Links:
        """Return the links if the connection has the organization, space and project. Sends no request."""
        settings = self.settings
        is_known = settings.model_id and settings.space_id and settings.organization_id
        return self.links_of(project_id=settings.model_id if is_known else None, window=window)

    def links_of(
        self,
        *,
        project_id: str | None,
        evaluator_ids: Iterable[str | None] = (),
        window: DataWindow | None = None,
        query_filter: str | None = None,
    ) -> Links:
        """Return links to a project, to the first of its evaluators, and to its spans in a window.

        Sends one request each for the space and the organization, unless the connection has them.

        :param query_filter: which spans of the window to show. Default: all.
        """
        from airflow_provider_online_tasks.ui.links import links_of_project

        return links_of_project(
            self.client, project_id, evaluator_ids=evaluator_ids, window=window, query_filter=query_filter
        )

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and a sentence about it. Changes nothing."""
        from airflow_provider_online_tasks.api.reachability import examine

        try:
            with self:
                works, message = examine(self.client)
                return works, " ".join((message, *self.settings.warnings))
        except OnlineTasksError as error:
            return False, str(error)


def _find_one(
    search: Callable[[], Iterable[Named]],
    name: str,
    *,
    noun: str,
    describe: Callable[[Named], str],
    advice: str,
) -> Named:
    """Return the object with exactly this name: Arize's filters match a part of a name."""
    read_name(name, f"The name of the {noun}")
    same: list[Named] = []
    similar: list[str] = []
    for item in search():
        if item.name == name and len(same) <= MAX_LISTED:
            same.append(item)
        elif item.name != name and len(similar) < MAX_LISTED:
            similar.append(shown(item.name))
    if len(same) == 1:
        return same[0]
    if same:
        listed = ", ".join(describe(item) for item in same[:MAX_LISTED])
        raise InvalidInput(f"Several {noun}s are named {shown(name)}: {listed}. {advice}")
    hint = f"Similar names: {', '.join(similar)}." if similar else "No similar name exists."
    raise NotFound(f"This API key can read no {noun} named {shown(name)}. {hint}")
