"""The doctor compares Arize's schema with what this version sends and reads, and changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from graphql import build_schema, graphql_sync

from airflow_provider_online_tasks import diagnostics
from airflow_provider_online_tasks.diagnostics import DOCUMENTED, Check, Status, check_schema, main
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.servers import RecordingServer, Reply, closed_port

if TYPE_CHECKING:
    from pathlib import Path

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


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    connection = {"conn_type": "arize_online_tasks", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(connection))


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the subjects of the errors that were printed."""
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return [subject for status, subject, *_ in lines if status == Status.ERROR.value]


@pytest.fixture(autouse=True)
def _restore_process_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command changes this variable of its process."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")


def test_rejected_key_is_reported_for_each_api_without_key(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(monkeypatch, host=arize.url, password="a-wrong-key")
    assert main([]) == diagnostics.KEY_REJECTED
    output = capsys.readouterr()
    assert [line.split()[1] for line in output.out.splitlines()[:-1]] == ["REST", "GraphQL"]
    assert "a-wrong-key" not in output.out + output.err


@pytest.mark.parametrize(
    "fields",
    [{"password": None}, {"password": "ak", "host": "exa\nmple"}, {"password": "ak", "extra": "region=us"}],
)
def test_wrong_connection_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fields: dict[str, Any]
) -> None:
    connect(monkeypatch, **fields)
    assert main([]) == diagnostics.CONNECTION_WRONG
    assert errors(capsys) == ["connection"]


def test_unreadable_certificates_have_the_exit_code_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    connect(monkeypatch, password="ak", extra={"ca_bundle": str(bundle)})
    assert main([]) == diagnostics.CONNECTION_WRONG
    assert errors(capsys) == ["connection"]


@pytest.mark.dag
def test_missing_connection_has_the_exit_code_of_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--conn-id", "no_such_connection"]) == diagnostics.CONNECTION_WRONG
    assert errors(capsys) == ["connection"]


@pytest.mark.parametrize("down", ["REST", "GraphQL"])
def test_api_that_cannot_be_reached_does_not_hide_the_other_one(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], down: str
) -> None:
    with closed_port() as nowhere:
        hosts = {"host": arize.url, "extra": {"rest_host": nowhere}}
        if down == "GraphQL":
            hosts = {"host": nowhere, "extra": {"rest_host": arize.url}}
        connect(monkeypatch, password=arize.api_key, **hosts)
        assert main(["--all"]) == diagnostics.UNREACHABLE
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:-1]]
    other = "GraphQL" if down == "REST" else "REST"
    assert ["error", down] in lines
    assert ["ok", other] in lines
    assert (["ok", "runOnlineTask"] in lines) is (down == "REST")


def test_two_problems_give_the_larger_exit_code(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_port() as nowhere:
        connect(monkeypatch, password="wrong", host=arize.url, extra={"rest_host": nowhere})
        assert main([]) == max(diagnostics.UNREACHABLE, diagnostics.KEY_REJECTED)
    assert errors(capsys) == ["REST", "GraphQL"]


def test_host_that_is_not_arize_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with RecordingServer(lambda _: Reply(404, b"<html>", (("Content-Type", "text/html"),))) as other:
        connect(monkeypatch, password="ak", host=other.url)
        assert main([]) == diagnostics.UNREACHABLE
    assert errors(capsys) == ["REST", "GraphQL"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("graphql.*", "graphql_error", skip=1, times=None, code="GRAPHQL_VALIDATION_FAILED"),
        Fault("graphql.*", "forbidden", skip=1, times=None),
        Fault("graphql.*", "garbage", skip=1, times=None, body=" " * 4 * 2**20),
    ],
    ids=["rejected", "forbidden", "too large"],
)
def test_schema_that_arize_hides_or_that_is_too_large_is_a_warning(
    arize: Emulator, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    arize.add_fault(fault)
    assert main([]) == diagnostics.NO_PROBLEM
    assert capsys.readouterr().out.split()[:2] == [Status.WARNING.value, "schema"]


UNUSABLE = [
    (Fault("*", "status_before", status=503, times=None), "UNREACHABLE"),
    (Fault("*", "rate_limited", times=None), "UNREACHABLE"),
    (Fault("*", "drop_before", times=None), "UNREACHABLE"),
    (Fault("*", "garbage", times=None), "UNREACHABLE"),
    (Fault("*", "unauthorized", times=None), "KEY_REJECTED"),
]


@pytest.mark.parametrize(("fault", "code"), UNUSABLE, ids=lambda value: getattr(value, "kind", value))
def test_schema_that_is_not_read_has_the_exit_code_of_the_reason(
    arize: Emulator, capsys: pytest.CaptureFixture[str], fault: Fault, code: str
) -> None:
    arize.add_fault(replace(fault, operation="graphql.*", skip=1))
    assert main([]) == getattr(diagnostics, code)
    assert errors(capsys) == ["schema"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [*UNUSABLE, (Fault("*", "forbidden", times=None), "KEY_REJECTED")],
    ids=lambda value: getattr(value, "kind", value),
)
def test_project_that_is_not_read_has_the_exit_code_of_the_reason(
    arize: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
    code: str,
) -> None:
    connection = json.loads(arize.connection_json)
    connection["extra"] = {"model_id": arize.project_id}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(connection))
    arize.add_fault(replace(fault, operation="rest.get_project"))
    assert main([]) == getattr(diagnostics, code)
    assert errors(capsys) == ["model_id"]


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
    assert main(["--conn-id", "other"]) == diagnostics.KEY_REJECTED
    assert main([]) == diagnostics.NO_PROBLEM


def test_hook_is_closed_after_checks(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    close = OnlineTasksHook.close
    monkeypatch.setattr(OnlineTasksHook, "close", lambda hook: (closed.append(True), close(hook))[1])
    main([])
    assert closed
