"""The client of the control plane: what a test reads from an emulator and changes in it."""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.control.faults import Fault, RunFate

_TIMEOUT = 30.0


class EmulatorControlError(Exception):
    """The control plane rejected a request."""


class EmulatorControl:
    """Inspects and changes a running emulator. Rate limits and faults do not apply to it.

    :param url: the emulator's URL, as its banner shows it.
    :param api_key: its key.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url.rstrip("/")
        self.api_key = api_key

    @property
    def url(self) -> str:
        """The URL of both APIs and of the page."""
        return self._url

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks, including deleted ones."""
        return self._list("tasks")

    def runs(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return the runs of a task, or all runs, in the order they were created."""
        return self._list("runs", task_id=task_id)

    def evaluations(self, task_id: str | None = None, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the evaluations of a task or a run, or all evaluations."""
        return self._list("evaluations", task_id=task_id, run_id=run_id)

    def requests(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the API requests, oldest first.

        :param operation: a pattern such as ``graphql.*``; None for all.
        """
        return self._list("requests", operation=operation)

    def usage(self) -> Counter[str]:
        """Return ``calls``, ``input_tokens`` and ``output_tokens`` of the template evaluators."""
        return Counter(self._send("GET", "usage"))

    def clear_requests(self) -> None:
        """Forget the requests."""
        self._send("DELETE", "requests")

    def add_fault(self, fault: Fault) -> None:
        """Add a fault to the next requests."""
        self._send("POST", "faults", body=dataclasses.asdict(fault))

    def clear_faults(self) -> None:
        """Delete all faults."""
        self._send("DELETE", "faults")

    def next_run(self, fate: RunFate) -> None:
        """Set the fate of the next run."""
        self._send("POST", "fates", body=dataclasses.asdict(fate))

    def clear_fates(self) -> None:
        """Delete all fates."""
        self._send("DELETE", "fates")

    def set_run(self, run_id: str, **fields: Any) -> dict[str, Any]:
        """Change a run.

        Its fields are ``status``, ``failure_reason``, ``num_successes``, ``num_errors``, ``num_skipped`` and
        ``seconds`` (how long it still takes; None: it never finishes). A status that is not final stays
        until the next change.
        """
        run: dict[str, Any] = self._send("PATCH", f"runs/{quote(run_id, safe='')}", body=fields)
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
        """Create many runs that only change their status, and return their IDs.

        :param seconds: the shortest and the longest duration; the runs spread evenly between them.
        :param total: the number of spans that each run reports.
        :param fate: how all of them go; its ``seconds`` and ``times`` do not apply.
        """
        body = {
            "task_id": task_id,
            "count": count,
            "seconds": list(seconds),
            "total": total,
            "fate": dataclasses.asdict(fate) if fate is not None else {},
        }
        run_ids: list[str] = self._send("POST", "runs", body=body)
        return run_ids

    def label_records(
        self,
        annotation_queue_id: str,
        *,
        evaluator: str,
        annotation: str,
        positive: str,
        sensitivity: float = 1.0,
        specificity: float = 1.0,
        share: float = 1.0,
    ) -> int:
        """Annotate the pending records of a queue as people would, and return their number.

        :param evaluator: the evaluator that people agree or disagree with.
        :param annotation: the name of an annotation config of the queue.
        :param positive: the label of the evaluator that sensitivity is about.
        :param sensitivity: the share of truly positive spans that the evaluator labels so.
        :param specificity: the share of other spans that the evaluator labels otherwise.
        :param share: the share of the records that are completed.
        """
        body = {name: value for name, value in locals().items() if name != "self"}
        count: int = self._send("POST", "labels", body=body)
        return count

    def set_clock_offset(self, seconds: float) -> None:
        """Set the server's clock wrong: it affects all timestamps and what counts as now."""
        self._send("PUT", "clock", body={"offset": seconds})

    def advance(self, seconds: float) -> None:
        """Advance the clock: runs proceed, rate limits recover, indexes catch up."""
        self._send("PUT", "clock", body={"advance": seconds})

    def stop_clock(self) -> None:
        """Stop the clock until the next :meth:`reset`; only :meth:`advance` moves it."""
        self._send("PUT", "clock", body={"stop": True})

    def configure(self, **settings: Any) -> None:
        """Change settings while the emulator runs."""
        self._send("PATCH", "settings", body=settings)

    def reset(self) -> None:
        """Delete tasks, runs, evaluations, faults, fates and requests."""
        self._send("POST", "reset")

    def info(self) -> dict[str, Any]:
        """Return the IDs of the included objects, and the number and times of the spans."""
        info: dict[str, Any] = self._send("GET", "info")
        return info

    def _list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        given = {name: value for name, value in query.items() if value is not None}
        found: list[dict[str, Any]] = self._send("GET", path + (f"?{urlencode(given)}" if given else ""))
        return found

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            connection.request(
                method,
                f"/emulator/{path}",
                json.dumps(body) if body is not None else None,
                {"Authorization": f"Bearer {self.api_key}", "Connection": "close"},
            )
            response = connection.getresponse()
            document = json.loads(response.read() or b"null")
        finally:
            connection.close()
        if response.status >= 400:
            raise EmulatorControlError(
                f"The emulator at {self.url} rejected {method} {path}: {document['detail']}"
            )
        return document
