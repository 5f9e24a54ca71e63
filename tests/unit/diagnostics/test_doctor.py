"""The doctor tells whether Arize is still what this version sends and reads, and changes nothing."""

from __future__ import annotations

import json

import pytest
from graphql import build_schema, graphql_sync

from airflow_provider_online_tasks import diagnostics as doctor
from airflow_provider_online_tasks.diagnostics.__main__ import main
from airflow_provider_online_tasks.diagnostics.schema import DOCUMENTED, Check, check_schema
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.emulator.server import graphql as graphql_schema

SDL = DOCUMENTED.read_text(encoding="utf-8")


@pytest.fixture
def examine(monkeypatch, tmp_path, capsys):
    """``examine((old, new), …)``: exit code and output for an Arize whose schema was changed so."""

    def run(*changes, arguments=("--all",), password=None):
        sdl = SDL
        for old, new in changes:
            assert old in sdl
            sdl = sdl.replace(old, new)
        path = tmp_path / "schema.graphql"
        path.write_text(sdl)
        monkeypatch.setattr(graphql_schema, "SCHEMA_PATH", path)
        graphql_schema.executable_schema.cache_clear()
        with Emulator(EmulatorSettings()) as arize:
            connection = {
                "conn_type": "arize_online_tasks",
                "host": arize.url,
                "password": password or arize.api_key,
            }
            monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(connection))
            code = main(list(arguments))
            requests = arize.requests()
        assert not any(
            one["operation"].startswith("graphql.") and one["operation"] != "graphql.query"
            for one in requests
        )
        assert {one["method"] for one in requests if one["operation"].startswith("rest.")} <= {"GET"}
        return code, capsys.readouterr().out

    yield run
    graphql_schema.executable_schema.cache_clear()


def lines(output, subject):
    return [line for line in output.splitlines() if f" {subject} " in f"{line} "]


def test_the_documented_schema_agrees(examine):
    code, output = examine()
    assert code == doctor.AGREES
    assert "0 differ so that calls fail, 0 differ in what is optional" in output
    assert lines(output, "runOnlineTask")[0].startswith("agrees")


def test_a_renamed_input_type_is_told_and_calls_adapt_to_it(examine):
    code, output = examine(("PatchEvalTaskMutationInput", "PatchTaskInput"))
    assert code == doctor.AGREES
    [line] = lines(output, "patchEvalTask(input:)")
    assert line.startswith("differs")
    assert "PatchTaskInput in place of PatchEvalTaskMutationInput" in line


def test_a_missing_field_makes_calls_fail(examine):
    code, output = examine(("  dataStartTime: DateTime\n", ""))
    assert code == doctor.DIFFERS
    assert all(line.startswith("DIFFERS") for line in lines(output, "runOnlineTask"))
    assert "dataStartTime" in output


def test_an_added_required_field_makes_calls_fail(examine):
    code, output = examine(
        ("input RunOnlineTaskMutationInput {", "input RunOnlineTaskMutationInput {\n  budget: Int!\n")
    )
    assert code == doctor.DIFFERS
    [line] = lines(output, "runOnlineTask")
    assert line.startswith("DIFFERS")
    assert "budget" in line


@pytest.mark.parametrize(
    ("mutation", "change"),
    [
        ("runOnlineTask", ("  runId: ID!\n", "  id: ID!\n")),
        ("runOnlineTask", ("= CreateTaskRunResponse | TaskError", "= CreateTaskRunResponse")),
        ("createEvalTask", ("  modelId: ID", "  projectId: ID")),
    ],
)
def test_what_this_version_needs_makes_calls_fail_where_it_is_gone(examine, mutation, change):
    code, output = examine(change)
    assert code == doctor.DIFFERS
    assert any(line.startswith("DIFFERS") for line in lines(output, mutation))


def test_a_missing_optional_field_does_not_make_calls_fail(examine):
    code, output = examine(("  overrideEvaluations: Boolean\n", ""))
    assert code == doctor.AGREES
    assert "1 differ in what is optional" in output


def test_without_all_only_the_summary_and_the_differences_are_shown(examine):
    _, output = examine(arguments=())
    assert len(output.splitlines()) < 12


def test_a_refused_key_is_said_in_one_line(examine):
    code, output = examine(password="wrong")
    assert code == doctor.UNREACHABLE
    assert "Check the connection's API key" in output
    assert len(output.splitlines()) == 1


def test_a_connection_that_does_not_exist_is_said_in_one_line(capsys):
    assert main(["--conn-id", "no_such_connection"]) == doctor.UNREACHABLE
    assert "no_such_connection" in capsys.readouterr().out


def checked(sdl: str) -> list[Check]:
    """What is found out about a schema that no emulator could serve."""
    schema = build_schema(sdl)
    return list(check_schema(lambda document: graphql_sync(schema, document).data or {}))


def test_a_missing_mutation_makes_calls_fail() -> None:
    [found] = [
        one
        for one in checked(SDL.replace("runOnlineTask(", "runAnotherTask("))
        if one.subject == "runOnlineTask"
    ]

    assert (found.agrees, found.matters) == (False, True)
    assert found.found == "there is no such mutation"


def test_a_schema_that_is_not_shown_is_no_difference() -> None:
    [found] = check_schema(lambda _: {})

    assert (found.agrees, found.matters) == (False, False)
    assert "does not show its schema" in found.found
