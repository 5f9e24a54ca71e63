"""What users of the package write: its classes, and what they take."""

from __future__ import annotations

import importlib
import inspect

import airflow_provider_online_tasks as package
from airflow_provider_online_tasks.get_provider_info import get_provider_info
from airflow_provider_online_tasks.inputs.base import WireInput

PACKAGE = "airflow_provider_online_tasks"
INPUTS = {
    name: value
    for name in package.__all__
    if inspect.isclass(value := getattr(package, name)) and value.__module__.startswith(f"{PACKAGE}.inputs.")
}


def public_classes() -> dict[str, type]:
    """The operators, sensors, triggers and hooks that are registered with Airflow, and the inputs."""
    found: dict[str, type] = {}
    for kind in ("operators", "sensors", "triggers", "hooks"):
        for listed in get_provider_info()[kind]:
            for name in listed["python-modules"]:
                module = importlib.import_module(name)
                found |= {
                    key: value
                    for key, value in vars(module).items()
                    if inspect.isclass(value) and value.__module__ == name and not key.startswith("_")
                }
    # In one order, as several processes collect the same tests.
    return found | dict(sorted(INPUTS.items()))


CLASSES = public_classes()


def arguments(cls: type) -> set[str]:
    """Return the arguments that this package's own classes take; Airflow's are documented by Airflow."""
    if issubclass(cls, WireInput):
        return set(cls.model_fields)
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith(PACKAGE) and "__init__" in vars(base):
            found |= {
                parameter.name
                for parameter in inspect.signature(base.__init__).parameters.values()
                if parameter.kind is not parameter.VAR_KEYWORD
            }
    return found - {"self"}


def public_path(cls: type) -> str:
    """Return where the documentation says that a class is."""
    return f"{cls.__module__}.{cls.__qualname__}"
