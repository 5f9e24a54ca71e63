"""The troubleshooting page has every error that a DAG author can meet."""

from __future__ import annotations

import inspect
import re

from airflow_provider_online_tasks import exceptions
from tests.support.pages import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def test_each_error_class_is_there() -> None:
    ours = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }

    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE)) & ours
    assert named == ours - {exceptions.OnlineTasksError.__name__, exceptions.CallError.__name__}


def test_each_row_of_the_errors_says_what_to_do() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[A-Z]", line)]

    assert len(rows) > 15
    for row in rows:
        _, _, meaning, action, _ = row.split("|")
        assert all(len(cell.strip()) > 10 for cell in (meaning, action)), row
