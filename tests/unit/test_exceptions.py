"""The tree in the docstring of the exceptions is the tree of the classes."""

from __future__ import annotations

import inspect
import re

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._airflow import AirflowFailException

LINE = re.compile(r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<final> \*)?(?:  .*)?$")


def _drawn() -> dict[str, tuple[str | None, bool]]:
    """Return each class of the drawing with the class above it, and whether it is marked as final."""
    drawn: dict[str, tuple[str | None, bool]] = {}
    above: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        if found := LINE.match(line):
            depth = len(found["branch"]) // 4
            del above[depth:]
            drawn[found["name"]] = (above[-1] if above else None, bool(found["final"]))
            above.append(found["name"])
    return drawn


def test_the_docstring_draws_every_class_under_its_base() -> None:
    ours = {
        name: value
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }
    real = {
        name: (
            next((base.__name__ for base in value.__bases__ if base.__name__ in ours), None),
            issubclass(value, AirflowFailException),
        )
        for name, value in ours.items()
    }

    assert _drawn() == real
