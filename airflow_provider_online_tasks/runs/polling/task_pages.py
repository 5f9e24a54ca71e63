"""Decide which pages of a task's runs are worth a request.

A page shows up to 100 runs, in an order that Arize doesn't document. A round reads pages until it has shown
the runs that are due. It stops early when reading the missing runs by their IDs costs less. If the pages of a
round show about as few waited-for runs as requests, the runs of the task are read by their IDs for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_online_tasks.runs.polling.schedule import PolledRun, Scheduled

# A round includes runs that are due within this part of their interval, so that they become due together.
AHEAD = 0.25
# For how many poll intervals the runs of a task are read by their IDs if its pages are not worth it.
BY_ID_INTERVALS = 8


@dataclass(slots=True, eq=False, kw_only=True)
class TaskPages(Scheduled):
    """The waited-for runs of one task, and the round of pages that reads them.

    :param missing: IDs of the runs that this round has yet to show; None between rounds.
    :param cursor: start of the next page; None for the first one.
    :param by_id_until: until when the runs are read by their IDs.
    :param failing_since: when the first of the last pages failed; None if the last page could be read.
    """

    task_id: str
    runs: dict[str, PolledRun] = field(default_factory=dict)
    missing: set[str] | None = None
    cursor: str | None = None
    by_id_until: float = float("-inf")
    failing_since: float | None = None
    _cursors: set[str | None] = field(default_factory=set)
    _pages: int = 0
    _shown: int = 0
    _fruitless_pages: int = 0

    def listed(self) -> list[PolledRun]:
        """Return the runs that are read by pages."""
        return [run for run in self.runs.values() if not run.by_id]

    def prefers_ids(self, now: float) -> bool:
        """Return whether the runs are read by their IDs at present."""
        return len(self.runs) == 1 or now < self.by_id_until

    def begin_round(self, now: float) -> None:
        """Start with the first page, to read all runs that are due soon."""
        self.missing = {run.run_id for run in self.listed() if run.due <= now + AHEAD * run.interval}
        self.cursor = None
        self._cursors = {None}
        self._pages = self._shown = self._fruitless_pages = 0

    def add_page(self, shown: set[str], next_cursor: str | None) -> bool:
        """Record a page of the round.

        :param shown: IDs of the waited-for runs on the page.
        :param next_cursor: start of the next page; None after the last one.
        :return: whether the next page is worth a request.
        """
        missing = self.missing or set()
        self._fruitless_pages = 0 if missing & shown else self._fruitless_pages + 1
        missing -= shown
        self.failing_since = None
        self._pages += 1
        self._shown += len(shown)
        self.cursor = next_cursor
        is_new = next_cursor not in self._cursors
        self._cursors.add(next_cursor)
        # A page costs as much as one run by its ID. So at most as many fruitless pages as missing runs.
        return is_new and len(missing) > 1 + self._fruitless_pages

    def end_round(self, now: float, *, use_ids: bool = False) -> set[str]:
        """End the round, and return the IDs of the runs that it has not shown.

        :param use_ids: read the runs by their IDs for a while in any case.
        """
        missing, self.missing = self.missing or set(), None
        if self.runs and (use_ids or (missing and self._shown <= self._pages)):
            self.by_id_until = now + BY_ID_INTERVALS * min(run.interval for run in self.runs.values())
        return missing

    def remove(self, run: PolledRun) -> None:
        """Forget a run."""
        del self.runs[run.run_id]
        if self.missing is not None:
            self.missing.discard(run.run_id)
