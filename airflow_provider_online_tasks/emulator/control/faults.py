"""Faults of single responses, and fates of entire runs."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from airflow_provider_online_tasks.emulator.settings import STRICT, OneOrMore, Seconds

NotExecuted = Literal[
    "drop_before",
    "status_before",
    "rate_limited",
    "graphql_error",
    "task_error",
    "unauthorized",
    "forbidden",
    "not_found",
    "unknown_type",
]
Executed = Literal[
    "delay",
    "delay_after",
    "drop_after",
    "status_after",
    "truncated",
    "garbage",
    "not_object",
    "missing_field",
    "null_field",
    "partial",
]
BEFORE: frozenset[str] = frozenset(NotExecuted.__args__)  # type: ignore[attr-defined]
RunOutcome = Literal["complete", "hang", "fail", "cancel", "nothing"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Limited = TypeVar("Limited", "Fault", "RunFate")


@dataclass(frozen=True, config=STRICT)
class Fault:
    """A wrong response to the next requests of an operation.

    :param operation: the requests, as a pattern: ``graphql.runOnlineTask``, ``rest.*``, ``*``.
    :param kind: the kind of fault. ``drop_before``, ``status_before``, ``rate_limited``, ``graphql_error``,
        ``task_error``, ``unauthorized``, ``forbidden``, ``not_found`` and ``unknown_type`` prevent the
        execution of the request. ``delay`` (waits before the execution), ``delay_after`` (waits before the
        response), ``drop_after``, ``status_after``, ``truncated``, ``garbage``, ``not_object``,
        ``missing_field``, ``null_field`` and ``partial`` do not.
    :param times: the number of requests; None for all.
    :param skip: the number of requests that pass first.
    :param seconds: how long to wait before the response, for every kind.
    :param status: the HTTP status, if the kind has a choice.
    :param retry_after: the value of ``Retry-After`` for ``rate_limited`` and the ``status_…`` kinds.
    :param message: the message of the error.
    :param code: the code of the error.
    :param body: the body of ``garbage``.
    :param field: the dotted path of the field of ``missing_field`` and ``null_field``; None for the main
        field.
    """

    operation: str
    kind: NotExecuted | Executed
    times: OneOrMore | None = 1
    skip: Count = 0
    seconds: Seconds = 0.0
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    retry_after: int | float | str | None = None
    message: str | None = None
    code: str | None = None
    body: str | None = None
    field: str | None = None


@dataclass(frozen=True, config=STRICT)
class RunFate:
    """How the next runs go.

    :param outcome: ``complete``; ``hang`` (stays RUNNING); ``fail``; ``cancel`` (by the server); ``nothing``
        (COMPLETED with nothing evaluated).
    :param seconds: the duration of the run; None for the emulator's ``run_seconds``.
    :param pending_seconds: how long of that it is PENDING; None for a tenth.
    :param error_rate: the share of evaluated spans that end in an error.
    :param skipped: the number of skipped spans; None for the spans that already have labels.
    :param failure_reason: the failure reason of the run.
    :param share: the share of the matching spans that are evaluated; None for all, half before a failure or
        a hang, none before a cancellation.
    :param times: the number of runs; None for all.
    """

    outcome: RunOutcome = "complete"
    seconds: Seconds | None = None
    pending_seconds: Seconds | None = None
    error_rate: Share = 0.0
    skipped: Count | None = None
    failure_reason: str | None = None
    share: Share | None = None
    times: OneOrMore | None = 1

    @property
    def evaluated_share(self) -> float:
        """The share of the matching spans that are evaluated."""
        if self.share is not None:
            return self.share
        return {"complete": 1.0, "hang": 0.5, "fail": 0.5}.get(self.outcome, 0.0)


class FaultQueue:
    """The faults and fates of the next requests and runs, oldest first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.fates: list[RunFate] = []

    def take_fault(self, operation: str) -> Fault | None:
        """Return the fault of this request, or None."""
        for index, fault in enumerate(self.faults):
            if not fnmatch.fnmatchcase(operation, fault.operation):
                continue
            if fault.skip:
                self.faults[index] = dataclasses.replace(fault, skip=fault.skip - 1)
                continue
            self.faults[index : index + 1] = _left(fault)
            return fault
        return None

    def take_fate(self) -> RunFate:
        """Return the fate of a new run."""
        if not self.fates:
            return RunFate()
        fate = self.fates[0]
        self.fates[:1] = _left(fate)
        return fate


def _left(used: Limited) -> list[Limited]:
    """Return what is left of a fault or a fate after its use."""
    if used.times is None:
        return [used]
    return [dataclasses.replace(used, times=used.times - 1)] if used.times > 1 else []
