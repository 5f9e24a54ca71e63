"""The packages that the emulator needs besides those of the provider: the extra ``emulator``."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = ("ariadne", "regex", "sqlalchemy", "starlette", "uvicorn")


def check_packages() -> None:
    """Raise ImportError if a package is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The emulator needs {', '.join(missing)}. Install it with: "
            f"pip install 'airflow-provider-online-tasks[emulator]'"
        )
