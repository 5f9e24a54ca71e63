"""How a run that is over is read, and what its end does to a task."""

from __future__ import annotations

import logging
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._airflow import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow_provider_online_tasks.api.responses.runs import RunCounts, RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    FINAL,
    InvalidInput,
    OnlineTaskRunCancelled,
    OnlineTaskRunErrorRateExceeded,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunUnsuccessful,
    OnlineTasksError,
)
from airflow_provider_online_tasks.runs.end_states import (
    Ending,
    EndingRules,
    explain,
    probably_cut,
    read_ending,
    says_already_labelled,
    says_no_data,
)
from tests.support.forgotten import forgotten

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
LABELLED = (
    "All matching data already has evaluation labels. Trigger the run again with override_evaluations set."
)
URL = "https://app.arize.com/organizations/o"


def run(
    status: str = "COMPLETED", counts: tuple[int, int, int] = (0, 0, 0), reason: str | None = None
) -> TaskRun:
    successes, errors, skipped = counts
    return TaskRun.from_wire(
        {
            "id": "VGFza1J1bjo5OTpxUndY",
            "task_id": "T25saW5lVGFzazo0NTpxUndY",
            "status": status,
            "num_successes": successes,
            "num_errors": errors,
            "num_skipped": skipped,
            "failure_reason": reason,
            "run_started_at": "2024-10-08T00:00:00Z",
        }
    )


@pytest.mark.parametrize(
    ("status", "counts", "reason", "max_error_rate", "ending"),
    [
        ("COMPLETED", (10, 0, 0), None, None, Ending.SUCCEEDED),
        ("completed", (10, 0, 5), None, None, Ending.SUCCEEDED),
        ("COMPLETED", (1, 99, 0), None, None, Ending.SUCCEEDED),
        ("COMPLETED", (9, 1, 0), None, 0.1, Ending.SUCCEEDED),
        ("COMPLETED", (8, 2, 0), None, 0.1, Ending.ERROR_RATE_EXCEEDED),
        ("COMPLETED", (10, 0, 0), None, 0.0, Ending.SUCCEEDED),
        ("COMPLETED", (99, 1, 0), None, 0, Ending.ERROR_RATE_EXCEEDED),
        # Without one success it is a failure, whatever the threshold.
        ("COMPLETED", (0, 3, 0), None, 1.0, Ending.ONLY_ERRORS),
        ("COMPLETED", (0, 3, 0), None, None, Ending.ONLY_ERRORS),
        ("COMPLETED", (0, 0, 0), None, None, Ending.NOTHING_EVALUATED),
        ("COMPLETED", (0, 0, 7), None, 0.0, Ending.NOTHING_EVALUATED),
        ("CANCELLED", (0, 0, 0), LABELLED, None, Ending.NOTHING_EVALUATED),
        ("cancelled", (0, 0, 0), LABELLED.upper(), None, Ending.NOTHING_EVALUATED),
        # Refused LLM credentials and a broken evaluator end exactly so.
        ("CANCELLED", (0, 0, 0), "Invalid integration credentials", None, Ending.CANCELLED),
        ("CANCELLED", (0, 0, 0), None, None, Ending.CANCELLED),
        ("CANCELLED", (3, 0, 0), LABELLED, None, Ending.CANCELLED),
        ("FAILED", (5, 0, 0), "boom", None, Ending.FAILED),
    ],
)
def test_how_a_run_ended(
    status: str,
    counts: tuple[int, int, int],
    reason: str | None,
    max_error_rate: float | None,
    ending: Ending,
) -> None:
    assert read_ending(run(status, counts, reason), max_error_rate=max_error_rate) is ending


@pytest.mark.parametrize("status", ["PENDING", "running", "QUEUED", "CANCELLING"])
def test_a_run_that_goes_on_has_no_ending(status: str) -> None:
    assert not run(status).is_over
    with pytest.raises(ValueError, match=f"is not over: {status}"):
        read_ending(run(status))


@given(st.text(min_size=1))
def test_a_status_nobody_knows_is_taken_for_still_going(word: str) -> None:
    known = {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    status = RunStatus.read(word)
    assert status.value == (word.upper() if word.upper() in known else "UNKNOWN")
    assert status.is_over is (word.upper() in {"COMPLETED", "FAILED", "CANCELLED"})


@pytest.mark.parametrize(
    ("reason", "labelled"),
    [
        (LABELLED, True),
        ("Data already labeled; re-trigger with override evaluations", True),
        ("override_evaluations is not supported for this model", False),
        ("The key was already revoked", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_reason_that_is_understood_is_no_failure(reason: str | None, labelled: bool) -> None:
    assert says_already_labelled(reason) is labelled


@pytest.mark.parametrize(
    ("code", "reason", "no_data"),
    [
        ("NO_DATA", "", True),
        (None, "There is no data to evaluate in this window", True),
        (None, "No matching spans found", True),
        (None, "no spans in range", True),
        (None, "No database connection", False),
        (None, "No matching integration for provider openAI", False),
        ("NO_DATABASE", "try later", False),
        (None, "Task not found", False),
    ],
)
def test_only_a_task_error_that_says_so_means_that_there_is_no_data(
    code: str | None, reason: str, no_data: bool
) -> None:
    assert says_no_data(code, reason) is no_data


def test_a_window_was_probably_cut_if_the_cap_was_reached() -> None:
    assert probably_cut(run(counts=(90, 10, 0)), 100)
    assert not probably_cut(run(counts=(90, 9, 50)), 100)
    assert probably_cut(run(counts=(10_000, 0, 0)), None)
    assert not probably_cut(run(counts=(9_999, 0, 0)), None)


def test_counts() -> None:
    counts = RunCounts(successes=3, errors=1, skipped=4)
    assert (counts.attempted, counts.done, counts.error_rate) == (4, 8, 0.25)
    assert str(counts) == "3 evaluated, 1 errors, 4 skipped"
    assert RunCounts().error_rate == 0.0


IDS = st.text(string.ascii_letters + string.digits + "=", min_size=1, max_size=80)


@given(
    st.fixed_dictionaries(
        {
            "id": IDS,
            "status": st.sampled_from(["PENDING", "completed", "Failed", "CANCELLED"]),
        },
        optional={
            "task_id": st.none() | IDS,
            "num_successes": st.none() | st.integers(0, 2**53),
            "num_errors": st.none() | st.integers(0, 2**53),
            "num_skipped": st.integers(0, 2**53),
            "failure_reason": st.none() | st.text(),
            "created_at": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
            "data_start_time": st.none() | st.datetimes().map(datetime.isoformat),
            "a field of next year": st.integers(),
        },
    )
)
def test_a_summary_reads_back_as_the_same_run(wire: dict[str, Any]) -> None:
    read = TaskRun.from_wire(wire)
    again = TaskRun.from_summary(read.summary())
    assert again.summary() == read.summary()
    assert (again.id, again.status, again.counts, again.task_id) == (
        read.id,
        read.status,
        read.counts,
        read.task_id,
    )


# What it does to a task ----------------------------------------------------------------------------------


def settle(ended: TaskRun, *, final: bool = False, url: str | None = URL, **rules: Any) -> None:
    EndingRules(**rules).settle(ended, log=log, url=url, final=final)


def test_a_success_says_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settle(run(counts=(5, 1, 2)))
    assert caplog.messages == [
        f"Run VGFza1J1bjo5OTpxUndY is completed: 5 evaluated, 1 errors, 2 skipped. See {URL}"
    ]


def test_a_window_that_was_probably_cut_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    settle(run(counts=(100, 0, 0)), max_spans=100)
    assert "attempted 100 spans, as many as it may (100): the window was probably cut" in caplog.text
    assert "Raise max_spans, or cut the window with split_window()" in caplog.text


@pytest.mark.parametrize(
    ("ended", "rules", "kind", "said"),
    [
        (
            run("FAILED", (2, 0, 0), "The LLM is gone"),
            {},
            OnlineTaskRunFailed,
            "failed: 2 evaluated, 0 errors, 0 skipped. Arize says: The LLM is gone. The labels that",
        ),
        (
            run("COMPLETED", (0, 4, 0)),
            {},
            OnlineTaskRunFailed,
            "is completed without one success: 0 evaluated, 4 errors, 0 skipped. Arize gives no reason. E",
        ),
        (
            run("COMPLETED", (1, 1, 0)),
            {"max_error_rate": 0.25},
            OnlineTaskRunErrorRateExceeded,
            "50.0% of the attempted spans could not be judged, more than max_error_rate (25.0%)",
        ),
        (
            run("CANCELLED", (0, 0, 0), "401 from the LLM"),
            {},
            OnlineTaskRunCancelled,
            "was cancelled: 0 evaluated, 0 errors, 0 skipped. Arize says: 401 from the LLM. It stopped",
        ),
        (
            run("CANCELLED", (7, 0, 0)),
            {},
            OnlineTaskRunCancelled,
            "was cancelled: 7 evaluated, 0 errors, 0 skipped. Arize gives no reason. Its labels cover a part",
        ),
        (
            run("COMPLETED", (0, 0, 0)),
            {"on_nothing_evaluated": "fail"},
            OnlineTaskRunNothingEvaluated,
            "evaluated nothing. No span in the window matches the task's filter and sampling. Check",
        ),
        (
            run("COMPLETED", (0, 0, 9), "see docs"),
            {"on_nothing_evaluated": "fail"},
            OnlineTaskRunNothingEvaluated,
            "evaluated nothing. Arize says: see docs. All 9 spans were skipped, as spans that are labelled "
            "already are. Set override_evaluations=True",
        ),
        (
            run("CANCELLED", (0, 0, 0), LABELLED),
            {"on_nothing_evaluated": "fail"},
            OnlineTaskRunNothingEvaluated,
            f"Arize says: {LABELLED} All matching spans are labelled already. Set override_evaluations=True",
        ),
    ],
)
def test_a_bad_end_says_what_happened_what_it_means_and_what_to_do(
    ended: TaskRun, rules: dict[str, Any], kind: type[OnlineTaskRunUnsuccessful], said: str
) -> None:
    for final in (False, True):
        with pytest.raises(kind) as caught:
            settle(ended, final=final, **rules)
        message = str(caught.value)
        assert message.startswith(f"Run {ended.id} ")
        assert said in message
        assert message.endswith(f"See {URL}")
        assert caught.value.run == ended.summary()
        # Where no retry can change the run, none is wasted on it.
        assert isinstance(caught.value, AirflowFailException) is final
        assert type(caught.value) is (FINAL[kind] if final else kind)


def test_nothing_to_evaluate_skips_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    for ended in (run(), run(counts=(0, 0, 3)), run("CANCELLED", reason=LABELLED)):
        with pytest.raises(AirflowSkipException, match="evaluated nothing"):
            settle(ended)
        caplog.clear()
        settle(ended, on_nothing_evaluated="succeed")
        assert "evaluated nothing" in caplog.text


@pytest.mark.parametrize("value", ["ignore", "", None, ["skip"]])
def test_a_reaction_that_is_none(value: Any) -> None:
    with pytest.raises(InvalidInput, match="on_nothing_evaluated must be one of fail, skip, succeed, not "):
        EndingRules(on_nothing_evaluated=value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", 50])
def test_an_error_rate_that_is_no_share(value: Any) -> None:
    with pytest.raises(InvalidInput, match="max_error_rate must be a share from 0 to 1, not "):
        EndingRules(max_error_rate=value)


@pytest.mark.parametrize("url", [None, URL])
@pytest.mark.parametrize(
    ("ended", "rules", "level", "said"),
    [
        (
            run("FAILED", (2, 0, 0), "It broke"),
            {},
            logging.ERROR,
            [
                "Run VGFza1J1bjo5OTpxUndY failed: 2 evaluated, 0 errors, 0 skipped. Arize says: It broke.",
                "The labels that it made stay; the rest of the window is not judged.",
                "Fix the cause, then clear the task to start a new run.",
            ],
        ),
        (
            run(),
            {},
            logging.WARNING,
            [
                "Run VGFza1J1bjo5OTpxUndY evaluated nothing.",
                "No span in the window matches the task's filter and sampling.",
                "Check the window, the query filter, and whether the application sent spans.",
            ],
        ),
    ],
)
def test_the_log_says_what_happened_what_it_means_and_what_to_do_line_by_line(
    caplog: pytest.LogCaptureFixture,
    ended: TaskRun,
    rules: dict[str, Any],
    level: int,
    said: list[str],
    url: str | None,
) -> None:
    with pytest.raises((OnlineTaskRunUnsuccessful, AirflowSkipException)):
        settle(ended, url=url, **rules)
    assert [record.getMessage() for record in caplog.records if record.levelno == level] == said
    assert (URL in caplog.text) is bool(url)


@pytest.mark.parametrize(
    ("task", "task_id", "is_said"), [("quality", "T", True), (None, "T", False), ("quality", None, False)]
)
def test_the_log_names_the_runs_task_where_it_is_known(
    caplog: pytest.LogCaptureFixture, task: str | None, task_id: str | None, is_said: bool
) -> None:
    caplog.set_level(logging.INFO)
    ended = TaskRun(
        id="R", task_id=task_id, status=RunStatus.COMPLETED, status_text="COMPLETED", num_successes=5
    )
    EndingRules().settle(ended, log=log, url=URL, task=task)
    assert (f"Run {ended.id} is of the task 'quality' (T)." in caplog.messages) is is_said
    assert len(caplog.messages) == 1 + is_said


def test_long_reasons_are_wrapped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OnlineTaskRunFailed):
        settle(run("FAILED", (2, 0, 0), "it is broken " * 30))
    assert len(caplog.messages) > 4
    assert max(map(len, caplog.messages)) <= 100


def test_what_can_be_copied_is_not_broken_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    address = "https://arize.example/a-very-long-address-of-a-help-page-about-evaluators-that-ends-late"
    with pytest.raises(OnlineTaskRunFailed):
        settle(run("FAILED", (2, 0, 0), f"the evaluator is broken, see {address}"))
    assert any(address in message for message in caplog.messages)


def test_no_error_may_be_permitted_and_all_may_be() -> None:
    with pytest.raises(OnlineTaskRunErrorRateExceeded, match=r"more than max_error_rate \(0\.0%\) permits"):
        settle(run(counts=(9, 1, 0)), max_error_rate=0.0)
    for most in (1, 1.0):
        settle(run(counts=(1, 9, 0)), max_error_rate=most)


@pytest.mark.parametrize("status", RunStatus)
def test_every_status_that_ends_a_run_is_an_ending(status: RunStatus) -> None:
    if status.is_over:
        assert isinstance(read_ending(run(status.value, (1, 0, 0))), Ending)
    else:
        with pytest.raises(ValueError, match="is not over"):
            read_ending(run(status.value))


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_says_what_happened_and_a_bad_one_has_an_exception_and_a_hint(ending: Ending) -> None:
    said = explain(ending, run(counts=(1, 1, 0)), max_error_rate=0.1)
    assert said.happened.startswith("Run VGFza1J1bjo5OTpxUndY ")
    if ending is Ending.SUCCEEDED:
        assert said.kind is None
    else:
        assert said.kind in FINAL
        assert said.means.endswith(".")
        assert said.do.endswith(".")


def test_a_status_or_an_ending_that_is_forgotten_is_a_type_error(tmp_path: Path) -> None:
    status, ending = '    CANCELLED = "CANCELLED"\n', '    CANCELLED = "cancelled"\n'
    another = '    TIMED_OUT = "TIMED_OUT"\n'

    found = forgotten(
        tmp_path,
        [("api/responses/runs.py", status, another), ("runs/end_states.py", ending, another)],
        ["runs/end_states.py"],
    )

    assert ["TIMED_OUT" in line for line in found] == [True, True], found


# Exceptions ----------------------------------------------------------------------------------------------

KINDS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and kind.__module__ == exceptions.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_can_be_caught_as_the_providers_and_as_airflows(kind: type[Exception]) -> None:
    assert issubclass(kind, OnlineTasksError)
    assert issubclass(kind, AirflowException)
    assert kind.__doc__


@pytest.mark.promise("permanent-error")
@pytest.mark.parametrize(
    ("name", "retried"),
    [
        ("InvalidInput", False),
        ("InvalidConnection", False),
        ("AuthenticationFailed", False),
        ("PermissionDenied", False),
        ("NotFound", False),
        ("BadRequest", False),
        ("WindowTooLong", False),
        ("TaskErrorReturned", True),
        ("RateLimited", True),
        ("Unavailable", True),
        ("UnexpectedResponse", True),
        ("OnlineTaskRunFailed", True),
        ("OnlineTaskRunTimeout", True),
        ("OnlineTaskRunUnreachable", True),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(name: str, retried: bool) -> None:
    assert issubclass(getattr(exceptions, name), AirflowFailException) is not retried


@pytest.mark.promise("sensor")
def test_every_bad_end_has_a_final_form() -> None:
    bad = {kind for kind in KINDS if issubclass(kind, OnlineTaskRunUnsuccessful)} - {
        OnlineTaskRunUnsuccessful
    }
    assert set(FINAL) | set(FINAL.values()) == bad
