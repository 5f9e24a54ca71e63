"""The troubleshooting page has every exception class."""

from __future__ import annotations

import inspect
import re

from airflow_provider_online_tasks import exceptions
from tests.support.pages import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def test_every_exception_is_listed() -> None:
    ours = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }

    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE)) & ours
    assert named == ours - {exceptions.OnlineTasksError.__name__, exceptions.CallError.__name__}


def test_every_error_has_a_meaning_and_an_action() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[A-Z]", line)]

    assert len(rows) > 15
    for row in rows:
        _, _, meaning, action, _ = row.split("|")
        assert all(len(cell.strip()) > 10 for cell in (meaning, action)), row
