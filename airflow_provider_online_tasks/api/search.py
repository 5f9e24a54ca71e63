"""Find an object by its exact name: Arize's filters match a part of a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api.calls import Page, RestCall, list_projects, list_tasks, pages
from airflow_provider_online_tasks.api.responses import Project, Task
from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.inputs.arguments import read_name

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client

MAX_LISTED = 10
"""Names that an error lists."""


Named = TypeVar("Named", Project, Task)


def find_project(client: Client, name: str) -> str:
    """Return the ID of the project with exactly this name, in the connection's space if it has one.

    :raises NotFound: the key can read no such project.
    :raises InvalidInput: several projects have this name.
    :raises CallError: the subclass that fits what happened.
    """
    space_id = client.settings.space_id
    return _find_one(
        client,
        lambda cursor: list_projects(name=name, space_id=space_id, cursor=cursor),
        name,
        noun="project",
        describe=lambda project: f"{project.id} in space {project.space_id}",
        advice="Use model_id instead, or set the connection's space_id.",
    ).id


def find_task(client: Client, name: str) -> Task:
    """Return the task with exactly this name.

    :raises NotFound: the key can read no such task.
    :raises InvalidInput: several tasks have this name.
    :raises CallError: the subclass that fits what happened.
    """
    return _find_one(
        client,
        lambda cursor: list_tasks(name=name, cursor=cursor),
        name,
        noun="task",
        describe=lambda task: f"{task.id} on project {task.project_id}",
        advice="Use online_task_id instead.",
    )


def _find_one(
    client: Client,
    call_at: Callable[[str | None], RestCall[Page[Named]]],
    name: str,
    *,
    noun: str,
    describe: Callable[[Named], str],
    advice: str,
) -> Named:
    read_name(name, f"The name of the {noun}")
    same: list[Named] = []
    similar: list[str] = []
    for item in _items(client, call_at):
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


def _items(client: Client, call_at: Callable[[str | None], RestCall[Page[Named]]]) -> Iterator[Named]:
    for page in pages(client.send, call_at):
        yield from page.items
