"""A local Arize for demos, tests and the CI of DAG authors: the documented API, on spans of its own.

Needs the extra ``emulator``. ``python -m airflow_provider_online_tasks.emulator --help`` starts one by hand.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.control.client import EmulatorControl
    from airflow_provider_online_tasks.emulator.control.faults import Fault, RunFate
    from airflow_provider_online_tasks.emulator.handles import Emulator, EmulatorProcess
    from airflow_provider_online_tasks.emulator.settings import DEFAULT_API_KEY, EmulatorSettings

__all__ = [
    "DEFAULT_API_KEY",
    "Emulator",
    "EmulatorControl",
    "EmulatorProcess",
    "EmulatorSettings",
    "Fault",
    "RunFate",
]

# pytest loads this package in every session where the distribution is installed: nothing else is loaded yet.
_MODULES = {
    "DEFAULT_API_KEY": "settings",
    "Emulator": "handles",
    "EmulatorControl": "control.client",
    "EmulatorProcess": "handles",
    "EmulatorSettings": "settings",
    "Fault": "control.faults",
    "RunFate": "control.faults",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
