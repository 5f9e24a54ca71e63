"""What can be made to go wrong: single answers (faults) and whole runs (fates)."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Annotated, Any, Literal

from pydantic import Field

from airflow_provider_online_tasks.emulator.checked import Count, OneOrMore, Seconds, Share, check_types

BEFORE = frozenset(
    {
        "drop_before",
        "status_before",
        "rate_limited",
        "graphql_error",
        "task_error",
        "unauthorized",
        "forbidden",
        "not_found",
        "unknown_type",
    }
)
AFTER = frozenset(
    {
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
    }
)
RunOutcome = Literal["complete", "hang", "fail", "cancel", "nothing"]
HttpStatus = Annotated[int, Field(ge=100, le=599)]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A wrong answer, given to the next requests for an operation.

    :param operation: which requests, as a pattern: ``graphql.runOnlineTask``, ``rest.*``, ``*``.
    :param kind: what happens. The request is not executed by ``drop_before``, ``status_before``,
        ``rate_limited``, ``graphql_error``, ``task_error``, ``unauthorized``, ``forbidden``,
        ``not_found`` or ``unknown_type``; it is executed by ``delay`` (waits first), ``delay_after``
        (waits before it answers), ``drop_after``, ``status_after``, ``truncated``, ``garbage``,
        ``not_object``, ``missing_field``,
        ``null_field`` and ``partial``.
    :param times: how many requests it spoils; None for all.
    :param skip: how many requests pass unspoiled first.
    :param seconds: how long to wait: before answering, for every kind.
    :param status: the HTTP status, where the kind has a choice.
    :param retry_after: the value of ``Retry-After`` for ``rate_limited`` and the ``status_…`` kinds.
    :param message: the text of the error.
    :param code: the code of the error.
    :param body: the body of ``garbage``.
    :param field: for ``missing_field`` and ``null_field``, its dotted path; None for the main field.
    """

    operation: str
    kind: str
    times: OneOrMore | None = 1
    skip: Count = 0
    seconds: Seconds = 0.0
    status: HttpStatus | None = None
    retry_after: float | str | None = None
    message: str | None = None
    code: str | None = None
    body: str | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in BEFORE | AFTER:
            raise ValueError(
                f"There is no fault {self.kind!r}; the kinds are {', '.join(sorted(BEFORE | AFTER))}."
            )
        check_types(self)


@dataclasses.dataclass(frozen=True)
class RunFate:
    """How the next runs go.

    :param outcome: ``complete``; ``hang`` (RUNNING for ever); ``fail``; ``cancel`` (by the server itself);
        ``nothing`` (COMPLETED with nothing evaluated).
    :param seconds: how long the run takes altogether; None for the emulator's ``run_seconds``.
    :param pending_seconds: how long of that it is PENDING; None for a tenth.
    :param error_rate: the share of evaluated spans that end in an error.
    :param skipped: how many spans are reported as skipped; None for those that have labels already.
    :param failure_reason: the server's words for why it ended so.
    :param share: the share of the matching spans that are evaluated before the end; None for all, half
        before a failure or a hang, none before a cancellation.
    :param times: how many runs it befalls; None for all.
    """

    outcome: RunOutcome = "complete"
    seconds: Seconds | None = None
    pending_seconds: Seconds | None = None
    error_rate: Share = 0.0
    skipped: Count | None = None
    failure_reason: str | None = None
    share: Share | None = None
    times: OneOrMore | None = 1

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def evaluated_share(self) -> float:
        """The share of the matching spans that get evaluated."""
        if self.share is not None:
            return self.share
        return {"complete": 1.0, "hang": 0.5, "fail": 0.5}.get(self.outcome, 0.0)


class _Pending:
    """A fault or fate with what is left of it."""

    def __init__(self, item: Any, skip: int) -> None:
        self.item = item
        self.skip = skip
        self.times: int | None = item.times

    def take(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    @property
    def spent(self) -> bool:
        return self.times == 0


class FaultBox:
    """The faults and fates that are still to come, oldest first."""

    def __init__(self) -> None:
        self._faults: list[_Pending] = []
        self._fates: list[_Pending] = []

    def add_fault(self, fault: Fault) -> None:
        """Queue a fault."""
        self._faults.append(_Pending(fault, fault.skip))

    def add_fate(self, fate: RunFate) -> None:
        """Queue a fate."""
        self._fates.append(_Pending(fate, 0))

    def clear(self) -> None:
        """Forget the faults."""
        self._faults.clear()

    def clear_fates(self) -> None:
        """Forget the fates."""
        self._fates.clear()

    def take_fault(self, operation: str) -> Fault | None:
        """Return the fault that meets this request, if one does."""
        for pending in self._faults:
            if fnmatch.fnmatchcase(operation, pending.item.operation) and pending.take():
                self._faults = [each for each in self._faults if not each.spent]
                fault: Fault = pending.item
                return fault
        return None

    def take_fate(self) -> RunFate:
        """Return the fate of a run that is being created."""
        if not self._fates:
            return RunFate()
        pending = self._fates[0]
        pending.take()
        if pending.spent:
            del self._fates[0]
        fate: RunFate = pending.item
        return fate
