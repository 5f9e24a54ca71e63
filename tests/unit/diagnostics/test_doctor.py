"""The doctor compares Arize's schema with what this version sends and reads, and changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from graphql import build_schema, graphql_sync

from airflow_provider_online_tasks import diagnostics
from airflow_provider_online_tasks.diagnostics import DOCUMENTED, Check, Status, check_schema, main
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

SDL = DOCUMENTED.read_text(encoding="utf-8")


def changed(*changes: tuple[str, str]) -> str:
    """Return the documented schema with some texts replaced."""
    sdl = SDL
    for old, new in changes:
        assert old in sdl
        sdl = sdl.replace(old, new)
    return sdl


def check(sdl: str) -> list[Check]:
    """Check an Arize with this schema."""
    schema = build_schema(sdl)
    return list(check_schema(lambda document: graphql_sync(schema, document).data or {}))


def subjects(checks: list[Check], status: Status) -> set[str]:
    return {check.subject for check in checks if check.status is status}


def test_documented_schema_has_no_problem() -> None:
    checks = check(SDL)
    assert subjects(checks, Status.ERROR) == subjects(checks, Status.WARNING) == set()
    assert subjects(checks, Status.OK) == {"createEvalTask", "patchEvalTask", "runOnlineTask", "documented"}


def test_renamed_input_type_is_warning() -> None:
    checks = check(changed(("PatchEvalTaskMutationInput", "PatchTaskInput")))
    assert subjects(checks, Status.ERROR) == set()
    [renamed] = [check for check in checks if check.subject == "patchEvalTask(input:)"]
    assert renamed.status is Status.WARNING
    assert "PatchTaskInput" in renamed.detail
    assert "patchEvalTask" in subjects(checks, Status.OK)


@pytest.mark.parametrize(
    ("mutation", "change", "named"),
    [
        ("runOnlineTask", ("  dataStartTime: DateTime\n", ""), "dataStartTime"),
        (
            "runOnlineTask",
            ("input RunOnlineTaskMutationInput {", "input RunOnlineTaskMutationInput {\n  budget: Int!\n"),
            "budget",
        ),
        ("runOnlineTask", ("  runId: ID!\n", "  id: ID!\n"), "runId"),
        ("runOnlineTask", ("= CreateTaskRunResponse | TaskError", "= CreateTaskRunResponse"), "TaskError"),
        ("createEvalTask", ("  modelId: ID", "  projectId: ID"), "modelId"),
        ("runOnlineTask", ("runOnlineTask(", "runAnotherTask("), ""),
        ("patchEvalTask", ("patchEvalTask(input:", "patchEvalTask(patch:"), ""),
    ],
)
def test_change_that_breaks_calls_is_error_of_its_mutation(
    mutation: str, change: tuple[str, str], named: str
) -> None:
    checks = check(changed(change))
    assert subjects(checks, Status.ERROR) == {mutation}
    assert any(named in check.detail for check in checks if check.status is Status.ERROR)


def test_missing_optional_field_is_warning() -> None:
    checks = check(changed(("  overrideEvaluations: Boolean\n", "")))
    assert subjects(checks, Status.ERROR) == set()
    assert subjects(checks, Status.WARNING) == {"documented"}


@pytest.mark.parametrize("data", [{}, {"__schema": None}, {"__schema": {"types": 3}}])
def test_schema_that_is_not_shown_is_warning(data: dict[str, Any]) -> None:
    [only] = check_schema(lambda _: data)
    assert (only.subject, only.status) == ("schema", Status.WARNING)


# The command


def test_command_prints_each_check_and_changes_nothing(
    arize: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--all"]) == diagnostics.NO_PROBLEM
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("ok ")]) == 6
    requests = arize.requests()
    assert {request["operation"] for request in requests} == {
        *("rest.list_tasks", "rest.get_project", "graphql.query")
    }
    assert {each["method"] for each in requests if each["operation"].startswith("rest.")} == {"GET"}


def test_command_without_all_prints_summary_only_if_nothing_differs(
    arize: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == diagnostics.NO_PROBLEM
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (("  dataStartTime: DateTime\n", ""), diagnostics.CALLS_FAIL, "error"),
        (("  overrideEvaluations: Boolean\n", ""), diagnostics.NO_PROBLEM, "warning"),
    ],
)
def test_exit_code_is_one_only_if_calls_fail(
    arize: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    code: int,
    word: str,
) -> None:
    checks = check(changed(change))
    monkeypatch.setattr(diagnostics, "check_schema", lambda _: checks)
    assert main([]) == code
    *shown, _ = capsys.readouterr().out.splitlines()
    assert any(line.startswith(word) for line in shown)
    assert not any(line.startswith("ok") for line in shown)


def test_rejected_key_is_reported_in_one_line_without_key(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = {"conn_type": "arize_online_tasks", "host": arize.url, "password": "a-wrong-key"}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(connection))
    assert main([]) == diagnostics.UNREACHABLE
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 1
    assert "a-wrong-key" not in output


def test_missing_connection_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--conn-id", "no_such_connection"]) == diagnostics.UNREACHABLE
    output = capsys.readouterr().out
    assert "no_such_connection" in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("model_id", ["TW9kZWw6OTk5OnFSd1g=", "an-unknown-id"])
def test_project_that_does_not_exist_is_error(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model_id: str
) -> None:
    connection = json.loads(arize.connection_json)
    connection["extra"] = {"model_id": model_id}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(connection))
    assert main([]) == diagnostics.CALLS_FAIL
    words = capsys.readouterr().out.split()
    assert words[:2] == [Status.ERROR.value, "model_id"]


def test_two_connections_are_checked_separately(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", arize.connection_json.replace(arize.api_key, "a-wrong-key"))
    assert main(["--conn-id", "other"]) == diagnostics.UNREACHABLE
    assert main([]) == diagnostics.NO_PROBLEM


def test_graphql_that_fails_is_unreachable_though_rest_works(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow_provider_online_tasks.emulator import Fault

    arize.add_fault(Fault("graphql.*", "unauthorized", times=None))
    assert main([]) == diagnostics.UNREACHABLE


def test_hook_is_closed_after_checks(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    close = OnlineTasksHook.close
    monkeypatch.setattr(OnlineTasksHook, "close", lambda hook: (closed.append(True), close(hook))[1])
    main([])
    assert closed
