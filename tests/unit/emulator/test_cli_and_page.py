"""The command line, its banner, the page, and the handles' own words."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from pydantic import ValidationError

from airflow_provider_online_tasks import emulator as public
from airflow_provider_online_tasks.emulator import (
    DEFAULT_API_KEY,
    Emulator,
    EmulatorControl,
    EmulatorSettings,
    Fault,
    RunFate,
)
from airflow_provider_online_tasks.emulator.__main__ import main
from airflow_provider_online_tasks.emulator.settings import read_setting
from airflow_provider_online_tasks.emulator.spans.sample import SAMPLE_PATH
from tests.support.emulator_api import Api, template_evaluator

MODULE = "airflow_provider_online_tasks.emulator"


def test_banner_shows_url_key_and_connection(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONLINE_TASKS_EMULATOR_API_KEY", "ak-mine")
    assert main(["--for-seconds=0.2", "--run-seconds=0"]) == 0
    told, errors = capfd.readouterr()
    assert errors == ""
    export = next(line for line in told.splitlines() if line.startswith("export "))
    name, _, value = export.removeprefix("export ").partition("=")
    assert name == "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT"
    (pasted,) = shlex.split(value)
    connection = json.loads(pasted)
    assert connection["conn_type"] == "arize_online_tasks"
    assert connection["password"] == "ak-mine"
    assert connection["host"] == "http://127.0.0.1"
    assert f"http://127.0.0.1:{connection['port']}\n" in told
    spans = len(SAMPLE_PATH.read_text(encoding="utf-8").splitlines())
    assert f"Spans    {spans} from 20" in told
    assert "WARNING" not in told


def test_public_host_shows_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = {"name": "a", "start_time": -60, "end_time": -59, "attributes": {"input.value": "x"}}
    (tmp_path / "spans.jsonl").write_text(json.dumps(line) + "\n")
    spans = f"--spans={tmp_path / 'spans.jsonl'}"
    assert main(["--for-seconds=0.1", "--host=0.0.0.0", "--queries-per-minute=none", spans]) == 0
    told = capfd.readouterr().out
    assert "WARNING" in told
    assert "Spans    1 from" in told


def test_invalid_arguments_are_reported_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, code, name in ((["--spans=/nowhere.jsonl"], 1, "/nowhere.jsonl"),):
        assert main(arguments) == code
        errors = capfd.readouterr().err
        assert name in errors
        assert "Traceback" not in errors
    for argument in ("--run-seconds=-1", "--run-seconds=soon", "--queries-per-minute=0", "--api-key="):
        try:
            code = main([argument])
        except SystemExit as exit_:
            code = int(str(exit_))
        assert code == 2
        assert argument.partition("=")[0].removeprefix("--").replace("-", "_") in (
            capfd.readouterr().err.replace("-", "_")
        )


def test_unknown_choice_is_rejected_with_the_allowed_values(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--status-case=title"])
    assert caught.value.code == 2
    assert "upper" in capfd.readouterr().err


def test_port_in_use_is_reported(emulator: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    port = emulator.url.rpartition(":")[2]
    assert main([f"--port={port}"]) == 1
    assert f"127.0.0.1:{port}" in capfd.readouterr().err
    with pytest.raises(OSError) as caught:  # noqa: PT011 -- its number is checked
        Emulator(EmulatorSettings(port=int(port))).start()
    assert caught.value.errno == errno.EADDRINUSE


def test_help_describes_every_setting(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    told = capfd.readouterr().out
    for option in ("--run-seconds", "--no-retry-after", "--runs-order", "--for-seconds", "--index-delay"):
        assert option in told
    assert "older server" in " ".join(told.split())


def test_command_runs_without_docstrings() -> None:
    command = [sys.executable, "-OO", "-m", MODULE, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "--run-seconds" in shown.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_command_without_a_traceback(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    while not process.stdout.readline().startswith("export"):
        pass
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert errors == ""
    assert process.returncode in (0, -number)


@pytest.mark.online_tasks_emulator(run_seconds=0)
def test_page_shows_tasks_and_runs(api: Api, emulator: Emulator) -> None:
    empty = requests.get(emulator.url, timeout=60)
    assert empty.headers["content-type"].startswith("text/html")
    assert "None yet." in empty.text
    evil = template_evaluator("<script>quality")
    task_id = api.create(name="<b>nightly</b>", templateEvaluators=[evil])
    api.read(api.run(task_id))
    emulator.next_run(RunFate("fail", failure_reason="<i>broke</i>"))
    api.read(api.run(task_id, overrideEvaluations=True))
    api.rest("DELETE", f"tasks/{task_id}")
    page = requests.get(emulator.url, timeout=60).text
    for shown in ("&lt;b&gt;nightly&lt;/b&gt; (deleted)", "COMPLETED", "FAILED", "&lt;i&gt;broke&lt;/i&gt;"):
        assert shown in page
    assert "&lt;script&gt;quality" in page
    for never in ("<script", "<b>nightly", "http://", "https://", emulator.api_key):
        assert never not in page
    assert 'http-equiv="refresh"' in page


def test_connection_is_valid_for_airflow(emulator: Emulator) -> None:
    from airflow.sdk.definitions.connection import Connection

    host, _, port = emulator.url.rpartition(":")
    assert json.loads(emulator.connection_json) == {
        "conn_type": "arize_online_tasks",
        "host": host,
        "port": int(port),
        "password": emulator.api_key,
        "extra": {"model_id": emulator.project_id, "index_delay_minutes": 0},
    }
    for text in (emulator.connection_uri, emulator.connection_json):
        read = Connection.from_json if text.startswith("{") else Connection.from_uri
        connection = read(text, conn_id="x")
        assert (connection.conn_type, connection.host, connection.port, connection.password) == (
            "arize_online_tasks",
            host,
            int(port),
            emulator.api_key,
        )
        # An URI holds texts only.
        extra = {name: str(value) for name, value in connection.extra_dejson.items()}
        assert extra == {"model_id": emulator.project_id, "index_delay_minutes": "0"}


def test_handles_and_settings_show_no_key() -> None:
    settings = EmulatorSettings(api_key="ak-secret")
    emulator = Emulator(settings)
    control = EmulatorControl("http://127.0.0.1:1", "ak-secret")
    assert "secret" not in f"{settings!r} {emulator!r} {control!r}"
    assert repr(emulator) == "<Emulator not started>"
    with pytest.raises(RuntimeError):
        _ = emulator.url


def invalid_fields(make: Callable[..., object], fields: dict[str, object]) -> set[object]:
    """The fields that are rejected."""
    with pytest.raises(ValidationError) as caught:
        make(**fields)
    return {error["loc"][0] if error["loc"] else "" for error in caught.value.errors()}


def test_invalid_settings_are_rejected_by_name() -> None:
    settings: list[dict[str, object]] = [
        {"api_key": ""},
        {"queries_per_minute": 0},
        {"graphql_rate_limit_status": 500},
        {"runs_order": "none"},
        {"retry_after": "false"},
        {"run_seconds": "6"},
        {"run_seconds": -1},
        {"index_delay": float("nan")},
        {"queries_per_minute": True},
        {"port": 65_536},
        {"spans": 7},
    ]
    for fields in settings:
        assert invalid_fields(EmulatorSettings, fields) == set(fields), fields


def test_rejected_key_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        EmulatorSettings(api_key=b"ak-secret")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


def test_invalid_fates_and_faults_are_rejected_by_name() -> None:
    fates: list[dict[str, object]] = [
        {"outcome": "wins"},
        {"error_rate": "all"},
        {"error_rate": 1.5},
        {"share": -0.1},
        {"seconds": -1},
        {"skipped": 1.5},
        {"times": 0},
    ]
    for fields in fates:
        assert invalid_fields(RunFate, fields) == set(fields), fields
    faults: list[dict[str, object]] = [
        {"kind": "explode"},
        {"times": 0},
        {"skip": -1},
        {"seconds": "2"},
        {"status": "503"},
        {"status": 99},
        {"colour": "red"},
    ]
    for fields in faults:
        given = {"operation": "*", "kind": "delay", **fields}
        assert invalid_fields(Fault, given) == set(fields), fields


def test_setting_is_read_from_text() -> None:
    for name, text, value in (
        ("run_seconds", "1.5", 1.5),
        ("queries_per_minute", "none", None),
        ("queries_per_minute", "7", 7),
        ("graphql_rate_limit_status", "429", 429),
        ("retry_after", "true", True),
        ("api_key", "1234", "1234"),
        ("status_case", "lower", "lower"),
    ):
        assert read_setting(name, text) == value
    for name, text in (("run_seconds", "soon"), ("status_case", "title"), ("port", "70000")):
        with pytest.raises(ValidationError):
            read_setting(name, text)
    with pytest.raises(ValueError, match="colour"):
        read_setting("colour", "red")


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("::1", True), ("example.org", False)])
def test_loopback_hosts_are_recognized(host: str, loopback: bool) -> None:
    assert EmulatorSettings(host=host).is_loopback is loopback


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6_host_is_bracketed_in_the_url() -> None:
    with Emulator(EmulatorSettings(host="::1", run_seconds=0)) as emulator:
        assert emulator.url.startswith("http://[::1]:")
        assert Api(emulator).rest("GET", "spaces").status_code == 200


def test_restart_keeps_the_port_and_second_stop_does_nothing() -> None:
    emulator = Emulator()
    emulator.start()
    url = emulator.url
    emulator.stop()
    emulator.stop()
    with pytest.raises(ConnectionError):
        emulator.info()
    with emulator:
        assert emulator.url == url
        control = EmulatorControl(url + "/", DEFAULT_API_KEY)
        assert control.info()["project_id"] == emulator.project_id


def test_stop_does_not_wait_for_a_slow_request(api: Api, emulator: Emulator) -> None:
    emulator.add_fault(public.Fault("*", "delay", seconds=300))
    with pytest.raises(requests.ReadTimeout):
        requests.get(
            f"{emulator.url}/v2/tasks", headers={"Authorization": f"Bearer {emulator.api_key}"}, timeout=0.2
        )
    began = time.monotonic()
    emulator.stop()
    assert time.monotonic() - began < 20


def test_stop_is_immediate() -> None:
    durations = []
    for _ in range(5):
        emulator = Emulator()
        emulator.start()
        emulator.info()
        began = time.monotonic()
        emulator.stop()
        durations.append(time.monotonic() - began)
    assert min(durations) < 0.05


def test_public_names_are_loaded_when_they_are_used() -> None:
    code = f"""
import sys, {MODULE} as emulator
heavy = {{"starlette", "uvicorn", "ariadne", "sqlalchemy", "airflow"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for name in emulator.__all__:
    getattr(emulator, name)
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert not hasattr(public, "Nothing")
