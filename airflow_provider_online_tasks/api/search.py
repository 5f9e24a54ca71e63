"""Find an object by its exact name: Arize's filters match a part of a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api.responses import Project, Task
from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.inputs.arguments import read_name

MAX_LISTED = 10
"""Names that an error lists."""
Named = TypeVar("Named", Project, Task)


def find_one(
    search: Callable[[], Iterable[Named]],
    name: str,
    *,
    noun: str,
    describe: Callable[[Named], str],
    advice: str,
) -> Named:
    """Return the object with exactly this name.

    :param search: returns the objects whose name contains it.
    :param describe: describes one of several objects with this name.
    :param advice: what to do if there are several.
    :raises NotFound: the key can read no such object.
    :raises InvalidInput: several objects have this name.
    """
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
