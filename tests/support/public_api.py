"""What users of the package write: its classes, and what they take."""

from __future__ import annotations

import importlib
import inspect

from airflow_provider_online_tasks import inputs
from airflow_provider_online_tasks.get_provider_info import get_provider_info

PACKAGE = "airflow_provider_online_tasks"
INPUTS = {
    name
    for name in inputs.__all__
    if inspect.isclass(value := getattr(inputs, name))
    and (
        value is inputs.DataWindow or (issubclass(value, inputs.WireInput) and value is not inputs.WireInput)
    )
}


def public_classes() -> dict[str, type]:
    """The operators, sensors, triggers and hooks that Airflow is told of, and the inputs."""
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
    return found | {name: getattr(inputs, name) for name in sorted(INPUTS)}


CLASSES = public_classes()


def arguments(cls: type) -> set[str]:
    """Return the arguments that this package's own classes take; Airflow's are documented by Airflow."""
    if issubclass(cls, inputs.WireInput):
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
    module = inputs.__name__ if cls.__name__ in INPUTS else cls.__module__
    return f"{module}.{cls.__qualname__}"
