"""The log lines of a wait: news at once, and never a flood."""

from __future__ import annotations

from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.runs.progress import ProgressLog


def run(status: str = "RUNNING", **counts: int) -> TaskRun:
    return TaskRun(
        id="run-1",
        status=RunStatus.read(status),
        status_text=status,
        **{f"num_{name}": number for name, number in counts.items()},
    )


def test_a_line_says_status_counts_rate_and_errors() -> None:
    progress = ProgressLog(max_spans=500)
    progress.line(run(), 100.0)

    line = progress.line(run(successes=96, errors=4, skipped=20), 160.0)

    assert line == (
        "Run run-1 is RUNNING, 120 of at most 500 spans done (96 evaluated, 4 errors, 20 skipped), "
        "2.0 spans a second, 4.0% errors."
    )


def test_a_slow_run_has_its_pace_by_the_minute() -> None:
    progress = ProgressLog()
    progress.line(run(), 0.0)

    assert "), 59.0 spans a minute." in str(progress.line(run(successes=59), 60.0))
    assert "), 1.0 spans a second." in str(progress.line(run(successes=119), 120.0))


def test_counts_that_fall_have_no_pace() -> None:
    progress = ProgressLog()
    progress.line(run(successes=10), 0.0)

    assert progress.line(run(successes=4), 60.0) == (
        "Run run-1 is RUNNING, 4 spans done (4 evaluated, 0 errors, 0 skipped)."
    )


def test_the_first_look_and_each_new_status_are_told_at_once() -> None:
    progress = ProgressLog()

    assert progress.line(run("PENDING"), 0.0) == (
        "Run run-1 is PENDING, 0 spans done (0 evaluated, 0 errors, 0 skipped)."
    )
    assert progress.line(run("RUNNING"), 0.1)
    assert progress.line(run("COMPLETED", successes=1), 0.2)


def test_growing_counts_are_told_once_a_minute() -> None:
    progress = ProgressLog()

    told = [at for at in range(121) if progress.line(run(successes=at), at)]

    assert told == [0, 60, 120]


def test_no_news_is_told_once_a_minute() -> None:
    progress = ProgressLog()

    told = [at for at in range(0, 181, 5) if progress.line(run(), at)]

    assert told == [0, 60, 120, 180]


def test_one_status_in_two_spellings_is_no_news() -> None:
    progress = ProgressLog()
    progress.line(run("RUNNING"), 0.0)

    assert progress.line(run("running"), 1.0) is None


def test_an_unknown_status_is_explained_once() -> None:
    progress = ProgressLog()

    first, later = progress.line(run("PAUSED"), 0.0), progress.line(run("PAUSED"), 60.0)

    assert first is not None
    assert "'PAUSED', a status this version does not know and takes for still running" in first
    assert later == "Run run-1 is 'PAUSED', 0 spans done (0 evaluated, 0 errors, 0 skipped)."
