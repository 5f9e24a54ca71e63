"""A local emulator of Arize for demos, tests and CI: the documented API, with its own spans.

It needs the extra ``emulator``. ``python -m airflow_provider_online_tasks.emulator`` starts it.
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

# pytest loads this package in every session, so it imports nothing else at the top.
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
