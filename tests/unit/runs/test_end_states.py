"""Tests of the end states of a run, and of what a task does about them."""

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
from airflow_provider_online_tasks.api.responses import RunCounts, RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    InvalidInput,
    OnlineTaskRunCancelled,
    OnlineTaskRunErrorRateExceeded,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunUnsuccessful,
    OnlineTasksError,
)
from airflow_provider_online_tasks.runs.end_states import (
    EndRules,
    EndState,
    explain,
    read_end_state,
    says_already_labelled,
    says_no_data,
)
from tests.support.incomplete_changes import type_errors

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
    ("status", "counts", "reason", "max_error_rate", "end_state"),
    [
        ("COMPLETED", (10, 0, 0), None, None, EndState.SUCCEEDED),
        ("completed", (10, 0, 5), None, None, EndState.SUCCEEDED),
        ("COMPLETED", (1, 99, 0), None, None, EndState.SUCCEEDED),
        ("COMPLETED", (9, 1, 0), None, 0.1, EndState.SUCCEEDED),
        ("COMPLETED", (8, 2, 0), None, 0.1, EndState.ERROR_RATE_EXCEEDED),
        ("COMPLETED", (10, 0, 0), None, 0.0, EndState.SUCCEEDED),
        ("COMPLETED", (99, 1, 0), None, 0, EndState.ERROR_RATE_EXCEEDED),
        # Without a success it is a failure, with any threshold.
        ("COMPLETED", (0, 3, 0), None, 1.0, EndState.ONLY_ERRORS),
        ("COMPLETED", (0, 3, 0), None, None, EndState.ONLY_ERRORS),
        ("COMPLETED", (0, 0, 0), None, None, EndState.NOTHING_EVALUATED),
        ("COMPLETED", (0, 0, 7), None, 0.0, EndState.NOTHING_EVALUATED),
        ("CANCELLED", (0, 0, 0), LABELLED, None, EndState.NOTHING_TO_ADD),
        ("cancelled", (0, 0, 0), LABELLED.upper(), 0.0, EndState.NOTHING_TO_ADD),
        # Rejected LLM credentials and a broken evaluator end like this.
        ("CANCELLED", (0, 0, 0), "Invalid integration credentials", None, EndState.CANCELLED),
        ("CANCELLED", (0, 0, 0), None, None, EndState.CANCELLED),
        ("CANCELLED", (3, 0, 0), LABELLED, None, EndState.CANCELLED),
        ("FAILED", (5, 0, 0), "boom", None, EndState.FAILED),
    ],
)
def test_read_end_state_by_status_and_counts(
    status: str,
    counts: tuple[int, int, int],
    reason: str | None,
    max_error_rate: float | None,
    end_state: EndState,
) -> None:
    assert read_end_state(run(status, counts, reason), max_error_rate=max_error_rate) is end_state


@pytest.mark.parametrize("status", ["PENDING", "running", "QUEUED", "CANCELLING"])
def test_read_end_state_unfinished_run_raises(status: str) -> None:
    assert not run(status).is_over
    with pytest.raises(ValueError, match=status):
        read_end_state(run(status))


@pytest.mark.parametrize(
    ("counts", "end_state"),
    [
        ((0, 0, 7), EndState.NOTHING_TO_ADD),
        ((0, 0, 0), EndState.NOTHING_EVALUATED),
        ((0, 3, 7), EndState.ONLY_ERRORS),
        ((3, 0, 7), EndState.SUCCEEDED),
    ],
)
def test_read_end_state_skipped_spans_and_labels_is_nothing_to_add(
    counts: tuple[int, int, int], end_state: EndState
) -> None:
    assert read_end_state(run("COMPLETED", counts), labels_exist=True) is end_state


@given(st.text(min_size=1))
def test_status_unknown_word_counts_as_running(word: str) -> None:
    known = {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    status = RunStatus.read(word)
    assert status.value == (word.upper() if word.upper() in known else "UNKNOWN")
    assert status.is_over is (word.upper() in {"COMPLETED", "FAILED", "CANCELLED"})


@pytest.mark.parametrize(
    ("reason", "labelled"),
    [
        (LABELLED, True),
        ("Data already labeled; re-trigger with override evaluations", True),
        ("No new data. Re-trigger with override_evaluations to evaluate it again.", True),
        ("override_evaluations is not supported for this model", False),
        ("The key was already revoked", False),
        ("", False),
        (None, False),
    ],
)
def test_says_already_labelled_only_documented_wording(reason: str | None, labelled: bool) -> None:
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
def test_says_no_data_only_whole_words(code: str | None, reason: str, no_data: bool) -> None:
    assert says_no_data(code, reason) is no_data


def test_counts_attempted_done_and_error_rate() -> None:
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
            "a future field": st.integers(),
        },
    )
)
def test_summary_read_back_is_the_same_run(wire: dict[str, Any]) -> None:
    read = TaskRun.from_wire(wire)
    again = TaskRun.from_summary(read.summary())
    assert again.summary() == read.summary()
    assert (again.id, again.status, again.counts, again.task_id) == (
        read.id,
        read.status,
        read.counts,
        read.task_id,
    )


# What a task does about it ---------------------------------------------------------------------------------


def conclude(ended: TaskRun, *, url: str | None = URL, max_spans: int | None = None, **rules: Any) -> None:
    EndRules(**rules).conclude(ended, log=log, url=url, max_spans=max_spans)


def levels(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_conclude_success_logs_counts_and_link(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ended = run(counts=(5, 1, 2))
    conclude(ended)
    (line,) = caplog.messages
    assert all(part in line for part in (ended.id, str(ended.counts), URL))


@pytest.mark.parametrize(
    ("counts", "max_spans", "warns"),
    [
        ((100, 0, 0), 100, True),
        ((90, 10, 0), 100, True),
        ((90, 9, 50), 100, False),
        ((9_999, 0, 0), None, False),
        ((10_000, 0, 0), None, True),
        ((5, 0, 0), None, False),
    ],
)
def test_conclude_max_spans_reached_warns(
    caplog: pytest.LogCaptureFixture, counts: tuple[int, int, int], max_spans: int | None, warns: bool
) -> None:
    conclude(run(counts=counts), max_spans=max_spans)
    assert bool(levels(caplog, logging.WARNING)) is warns


UNSUCCESSFUL: list[tuple[TaskRun, dict[str, Any], type[OnlineTaskRunUnsuccessful]]] = [
    (run("FAILED", (2, 0, 0), "The LLM is down"), {}, OnlineTaskRunFailed),
    (run("COMPLETED", (0, 4, 0)), {}, OnlineTaskRunFailed),
    (run("COMPLETED", (1, 1, 0)), {"max_error_rate": 0.25}, OnlineTaskRunErrorRateExceeded),
    (run("CANCELLED", (0, 0, 0), "401 from the LLM"), {}, OnlineTaskRunCancelled),
    (run("CANCELLED", (7, 0, 0)), {}, OnlineTaskRunCancelled),
    (run("COMPLETED", (0, 0, 0)), {"on_nothing_evaluated": "fail"}, OnlineTaskRunNothingEvaluated),
    (
        run("COMPLETED", (0, 0, 9), "see docs"),
        {"on_nothing_evaluated": "fail"},
        OnlineTaskRunNothingEvaluated,
    ),
]


@pytest.mark.parametrize("url", [None, URL])
@pytest.mark.parametrize(("ended", "rules", "kind"), UNSUCCESSFUL)
def test_conclude_unsuccessful_run_raises_and_logs_reason(
    caplog: pytest.LogCaptureFixture,
    ended: TaskRun,
    rules: dict[str, Any],
    kind: type[OnlineTaskRunUnsuccessful],
    url: str | None,
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(kind) as caught:
        conclude(ended, url=url, **rules)
    assert type(caught.value) is kind
    assert caught.value.run == ended.summary()
    assert str(caught.value).count(ended.id) == 1
    assert str(caught.value).endswith(f"See {url}" if url else ".")
    assert (URL in caplog.text) is bool(url)
    logged = " ".join(levels(caplog, logging.ERROR))
    assert str(caught.value).startswith(logged)
    assert (ended.failure_reason or "").removesuffix(".") in logged


@pytest.mark.promise("sensor")
def test_without_retry_keeps_class_message_and_run() -> None:
    for kind in (OnlineTaskRunFailed, OnlineTaskRunNothingEvaluated, OnlineTaskRunUnsuccessful):
        error = kind("it failed", run={"run_id": "run-1"})
        final = error.without_retry()
        assert isinstance(final, kind)
        assert isinstance(final, AirflowFailException)
        assert not isinstance(error, AirflowFailException)
        assert (str(final), final.run) == ("it failed", {"run_id": "run-1"})
        assert type(final).__name__ == kind.__name__


def test_conclude_nothing_evaluated_skips_or_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    for ended in (run(), run(counts=(0, 0, 3))):
        with pytest.raises(AirflowSkipException):
            conclude(ended)
        caplog.clear()
        conclude(ended, on_nothing_evaluated="succeed")
        assert ended.id in levels(caplog, logging.WARNING)[0]


@pytest.mark.parametrize("reaction", ["fail", "skip", "succeed"])
def test_conclude_nothing_to_add_succeeds(reaction: Any) -> None:
    ended = run("CANCELLED", reason=LABELLED)
    conclude(ended, on_nothing_evaluated=reaction, max_error_rate=0.0)
    assert EndRules(on_nothing_evaluated=reaction).accept(ended)


def test_conclude_without_run_reacts_as_configured() -> None:
    def react(reaction: Any) -> None:
        EndRules(on_nothing_evaluated=reaction).conclude_without_run("no data", "the window", log=log)

    react("succeed")
    with pytest.raises(AirflowSkipException):
        react("skip")
    with pytest.raises(OnlineTaskRunNothingEvaluated) as caught:
        react("fail")
    assert caught.value.run == {}


@pytest.mark.parametrize("value", ["ignore", "", None, ["skip"]])
def test_rules_unknown_reaction_raises(value: Any) -> None:
    with pytest.raises(InvalidInput, match="on_nothing_evaluated"):
        EndRules(on_nothing_evaluated=value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", 50])
def test_rules_max_error_rate_out_of_range_raises(value: Any) -> None:
    with pytest.raises(InvalidInput, match="max_error_rate"):
        EndRules(max_error_rate=value)


def test_rules_max_error_rate_bounds_are_allowed() -> None:
    with pytest.raises(OnlineTaskRunErrorRateExceeded):
        conclude(run(counts=(9, 1, 0)), max_error_rate=0.0)
    for most in (1, 1.0):
        conclude(run(counts=(1, 9, 0)), max_error_rate=most)


@pytest.mark.parametrize(
    ("task", "task_id", "is_logged"),
    [("quality", "T", True), (None, "T", False), ("quality", None, False)],
)
def test_conclude_known_task_is_logged(
    caplog: pytest.LogCaptureFixture, task: str | None, task_id: str | None, is_logged: bool
) -> None:
    caplog.set_level(logging.INFO)
    ended = TaskRun(
        id="R", task_id=task_id, status=RunStatus.COMPLETED, status_text="COMPLETED", num_successes=5
    )
    EndRules().conclude(ended, log=log, url=URL, task=task)
    assert any("'quality'" in line for line in caplog.messages) is is_logged


def test_conclude_long_reason_is_wrapped_in_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OnlineTaskRunFailed):
        conclude(run("FAILED", (2, 0, 0), "it is broken " * 30))
    assert len(caplog.messages) > 4
    assert max(map(len, caplog.messages)) <= 100


def test_conclude_address_in_reason_is_not_broken_in_log(caplog: pytest.LogCaptureFixture) -> None:
    address = "https://arize.example/a-very-long-address-of-a-help-page-about-evaluators-that-ends-late"
    with pytest.raises(OnlineTaskRunFailed):
        conclude(run("FAILED", (2, 0, 0), f"the evaluator is broken, see {address}"))
    assert any(address in message for message in caplog.messages)


@pytest.mark.parametrize("status", RunStatus)
def test_every_finished_status_has_an_end_state(status: RunStatus) -> None:
    if status.is_over:
        assert isinstance(read_end_state(run(status.value, (1, 0, 0))), EndState)
    else:
        with pytest.raises(ValueError, match=status.value):
            read_end_state(run(status.value))


@pytest.mark.parametrize("end_state", EndState)
def test_every_end_state_has_exception_text_and_advice(end_state: EndState) -> None:
    explanation = explain(end_state, run(counts=(1, 1, 0)), max_error_rate=0.1)
    assert explanation.happened.startswith("Run VGFza1J1bjo5OTpxUndY ")
    if end_state in (EndState.SUCCEEDED, EndState.NOTHING_TO_ADD):
        assert explanation.exception is None
    else:
        assert explanation.exception is not None
        assert explanation.exception is not OnlineTaskRunUnsuccessful
        assert explanation.meaning.endswith(".")
        assert explanation.advice.endswith(".")


@pytest.mark.slow
def test_forgotten_status_or_end_state_is_type_error(tmp_path: Path) -> None:
    status, end_state = '    CANCELLED = "CANCELLED"\n', '    CANCELLED = "cancelled"\n'
    another = '    TIMED_OUT = "TIMED_OUT"\n'

    found = type_errors(
        tmp_path,
        [("api/responses.py", status, another), ("runs/end_states.py", end_state, another)],
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
def test_exceptions_are_the_providers_and_airflows(kind: type[Exception]) -> None:
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
def test_exceptions_permanent_errors_are_not_retried(name: str, retried: bool) -> None:
    assert issubclass(getattr(exceptions, name), AirflowFailException) is not retried
