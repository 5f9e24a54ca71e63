"""Tests of the log lines about a run that a task waits for."""

from __future__ import annotations

import re

from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.runs.wait_policy import ProgressLog


def run(status: str = "RUNNING", **counts: int) -> TaskRun:
    return TaskRun(
        id="run-1",
        status=RunStatus.read(status),
        status_text=status,
        **{f"num_{name}": number for name, number in counts.items()},
    )


def test_line_has_status_counts_rate_and_errors() -> None:
    progress = ProgressLog("run-1")
    progress.line(run(), 100.0)

    line = str(progress.line(run(successes=96, errors=4, skipped=20), 160.0))

    for part in ("run-1", "RUNNING", "120", "96", "20", "2.0", "4.0%"):
        assert part in line


def test_line_slow_run_has_rate_per_minute() -> None:
    progress = ProgressLog("run-1")
    progress.line(run(), 0.0)

    assert "59.0" in str(progress.line(run(successes=59), 60.0))
    assert "1.0" in str(progress.line(run(successes=119), 120.0))


def test_line_decreasing_counts_have_no_rate() -> None:
    progress = ProgressLog("run-1")
    progress.line(run(successes=10), 0.0)

    assert not re.search(r"\d\.\d", str(progress.line(run(successes=4), 60.0)))


def test_line_first_poll_and_new_status_are_logged_at_once() -> None:
    progress = ProgressLog("run-1")

    assert progress.line(run("PENDING"), 0.0)
    assert progress.line(run("RUNNING"), 0.1)
    assert progress.line(run("COMPLETED", successes=1), 0.2)


def test_line_same_status_is_logged_once_per_minute() -> None:
    for counts in (lambda at: {"successes": at}, lambda at: {}):
        progress = ProgressLog("run-1")
        logged = []
        for at in range(0, 181, 5):
            has_news = progress.has_news(run(**counts(at)), at)
            assert bool(progress.line(run(**counts(at)), at)) is has_news
            logged += [at] * has_news
        assert logged == [0, 60, 120, 180]


def test_line_status_in_other_case_is_not_news() -> None:
    progress = ProgressLog("run-1")
    progress.line(run("RUNNING"), 0.0)

    assert progress.line(run("running"), 1.0) is None


def test_line_unknown_status_is_explained_once() -> None:
    progress = ProgressLog("run-1")

    first, later = progress.line(run("PAUSED"), 0.0), progress.line(run("PAUSED"), 60.0)

    assert first is not None
    assert later is not None
    assert "PAUSED" in first
    assert "PAUSED" in later
    assert len(first) > len(later)


def test_problem_line_same_problem_is_logged_once_per_minute() -> None:
    progress = ProgressLog("run-1")

    logged = [at for at in range(0, 121, 5) if progress.problem_line("no response", at)]

    assert logged == [0, 60, 120]


def test_problem_line_other_problem_is_logged_at_once() -> None:
    progress = ProgressLog("run-1")

    assert progress.problem_line("no response", 0.0)
    assert progress.problem_line("HTTP 503", 1.0)


def test_problem_line_after_recovery_is_logged_at_once() -> None:
    progress = ProgressLog("run-1")
    progress.line(run(), 0.0)
    progress.problem_line("no response", 1.0)

    assert progress.line(run(), 2.0)
    assert progress.line(run(), 3.0) is None
    assert progress.problem_line("no response", 4.0)


def test_problem_line_multiline_error_is_one_line() -> None:
    assert "\n" not in str(ProgressLog("run-1").problem_line("no\nresponse", 0.0))
