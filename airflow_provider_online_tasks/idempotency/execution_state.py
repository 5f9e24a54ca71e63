"""What a task instance keeps between its tries, where Airflow has a place for it (3.3 and later)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context


class State:
    """One entry of a task instance's state store.

    :param context: the Airflow context.
    :param key: the entry's key.
    """

    def __init__(self, context: Context, key: str) -> None:
        self._store: Any = context.get("task_state_store")
        self._key = key
        self._ti = context["ti"]
        self._dag_run = context.get("dag_run")

    @property
    def is_kept(self) -> bool:
        """Whether anything is kept between tries."""
        return self._store is not None

    @property
    def try_number(self) -> int:
        """The number of this try, from 1."""
        return int(self._ti.try_number)

    @property
    def max_tries(self) -> int:
        """Airflow's bound on the tries: raised when the task is cleared, the same in a retry."""
        return int(getattr(self._ti, "max_tries", 0) or 0)

    @property
    def was_just_cleared(self) -> bool:
        """Whether a clear led to this try: it makes ``max_tries`` the tries so far and the retries."""
        retries = int(getattr(getattr(self._ti, "task", None), "retries", 0) or 0)
        return self.try_number > 1 and self.try_number == self.max_tries - retries + 1

    @property
    def due(self) -> datetime | None:
        """When the DAG run was due, which no clear changes."""
        return getattr(self._dag_run, "run_after", None)

    @property
    def dag_run_start(self) -> datetime | None:
        """When the DAG run started; clearing a DAG run that is over starts it again."""
        return getattr(self._dag_run, "start_date", None)

    def read(self) -> Any:
        """Return the entry, or None."""
        return self._store.get(self._key) if self._store is not None else None

    def write(self, value: dict[str, Any]) -> None:
        """Write the entry."""
        if self._store is not None:
            self._store.set(self._key, value)

    def delete(self) -> None:
        """Delete the entry."""
        if self._store is not None:
            self._store.delete(self._key)
