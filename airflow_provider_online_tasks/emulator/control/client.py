"""The client of the control plane: what a test reads from an emulator and sets in it."""

from __future__ import annotations

import dataclasses
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.control.faults import Fault, RunFate

_TIMEOUT = 30.0


class EmulatorControlError(Exception):
    """The emulator refused what its control plane was asked."""


class EmulatorControl:
    """Looks into a running emulator and changes how it behaves; neither limited nor spoilt by faults.

    :param url: the emulator's URL, as its banner shows it.
    :param api_key: its key.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url.rstrip("/")
        self.api_key = api_key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"

    @property
    def url(self) -> str:
        """The one URL of everything."""
        return self._url

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks ever created, deleted ones marked."""
        return self._list("GET", "tasks")

    def runs(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return all runs in the order they were created, or those of a task."""
        return self._list("GET", "runs", {"task_id": task_id})

    def evaluations(self, task_id: str | None = None, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the evaluations made, all or those of a task or a run."""
        return self._list("GET", "evaluations", {"task_id": task_id, "run_id": run_id})

    def requests(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the API requests seen, oldest first.

        :param operation: a pattern such as ``graphql.*``; None for all.
        """
        return self._list("GET", "requests", {"operation": operation})

    def clear_requests(self) -> None:
        """Forget the requests seen."""
        self._ask("DELETE", "requests")

    def add_fault(self, fault: Fault) -> None:
        """Spoil requests to come."""
        self._ask("POST", "faults", body=dataclasses.asdict(fault))

    def clear_faults(self) -> None:
        """Let all requests pass again."""
        self._ask("DELETE", "faults")

    def next_run(self, fate: RunFate) -> None:
        """Decide how the next run created shall go."""
        self._ask("POST", "fates", body=dataclasses.asdict(fate))

    def clear_fates(self) -> None:
        """Let runs go their usual way again."""
        self._ask("DELETE", "fates")

    def set_run(self, run_id: str, **fields: Any) -> dict[str, Any]:
        """Change a run that exists.

        Its fields are ``status``, ``failure_reason``, ``num_successes``, ``num_errors``, ``num_skipped`` and
        ``seconds``, which is how long from now it still takes, None for ever. A status that is no end
        stays until it is set again.
        """
        run: dict[str, Any] = self._ask("PATCH", f"runs/{quote(run_id, safe='')}", body=fields)
        return run

    def create_runs(
        self,
        task_id: str,
        count: int,
        seconds: tuple[float, float] = (30.0, 120.0),
        *,
        total: int = 100,
        fate: RunFate | None = None,
    ) -> list[str]:
        """Make many runs that only pass through their states, and return their identifiers.

        :param seconds: the shortest and the longest time a run takes; they spread evenly between.
        :param total: how many spans each seems to evaluate.
        :param fate: how all of them go; its ``seconds`` and ``times`` do not count here.
        """
        body = {
            "task_id": task_id,
            "count": count,
            "seconds": list(seconds),
            "total": total,
            "fate": dataclasses.asdict(fate) if fate is not None else {},
        }
        run_ids: list[str] = self._ask("POST", "runs", body=body)
        return run_ids

    def set_clock_offset(self, seconds: float) -> None:
        """Set the server's clock wrong: all times in its answers, and its idea of now."""
        self._ask("PUT", "clock", body={"offset": seconds})

    def advance(self, seconds: float) -> None:
        """Let time pass at once: runs proceed, rate limits recover, indexes catch up."""
        self._ask("PUT", "clock", body={"advance": seconds})

    def stop_clock(self) -> None:
        """Let time pass by :meth:`advance` alone until the next :meth:`reset`, for tests of any speed."""
        self._ask("PUT", "clock", body={"stop": True})

    def configure(self, **settings: Any) -> None:
        """Change settings while the emulator runs."""
        self._ask("PATCH", "settings", body=settings)

    def reset(self) -> None:
        """Forget tasks, runs, evaluations, faults, fates and requests."""
        self._ask("POST", "reset")

    def info(self) -> dict[str, Any]:
        """Return the identifiers and the spans the emulator came with."""
        info: dict[str, Any] = self._ask("GET", "info")
        return info

    def _list(self, method: str, path: str, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(method, path, query)
        return found

    def _ask(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> Any:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            connection.request(
                method,
                f"/emulator/{path}" + (f"?{urlencode(given)}" if given else ""),
                json.dumps(body) if body is not None else None,
                {"Authorization": f"Bearer {self.api_key}", "Connection": "close"},
            )
            response = connection.getresponse()
            answer = json.loads(response.read() or b"null")
        finally:
            connection.close()
        if response.status >= 400:
            raise EmulatorControlError(
                f"The emulator at {self.url} refused {method} {path}: {answer['detail']}"
            )
        return answer
