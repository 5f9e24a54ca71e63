"""An emulator that was killed continues with its stored state."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from pathlib import Path

import pytest
import requests

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings, RunFate
from tests.support.emulator_api import Api, eventually

UNLIMITED = {"queries_per_minute": None, "mutations_per_minute": None}


def test_tasks_runs_and_labels_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmulatorProcess(EmulatorSettings(run_seconds=3, api_key="ak-of-this-test", **UNLIMITED)) as emulator:
        api = Api(emulator)
        url, pid = emulator.url, emulator.pid
        assert pid
        # Other users of the machine can list arguments, so the key is none.
        assert b"ak-of-this-test" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        task_id = api.create()
        emulator.next_run(RunFate(seconds=0.1))
        done = api.run(task_id, maxSpans=10)
        eventually(lambda: api.read(done)["status"] == "COMPLETED")
        bulk = emulator.create_runs(task_id, 20, seconds=(0.5, 600))
        unfinished = api.run(task_id, overrideEvaluations=True)
        half = eventually(lambda: api.read(unfinished)["num_successes"] or None)
        finished = api.read(done)

        emulator.kill()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(requests.ConnectionError):
            api.read(done)

        emulator.start()
        assert emulator.url == url
        assert emulator.pid not in (None, pid)
        assert api.read(done) == finished
        assert [run["id"] for run in emulator.runs()] == [done, *bulk, unfinished]
        run = eventually(lambda: (run := api.read(unfinished))["status"] == "COMPLETED" and run)
        assert run["num_successes"] > half
        assert run["num_errors"] == 0
        labels = [each for each in emulator.evaluations() if each["run_id"] == unfinished]
        assert len(labels) == run["num_successes"]
        # New identifiers follow the old ones.
        assert api.run(task_id, overrideEvaluations=True) not in {each["id"] for each in emulator.runs()[:-1]}
        assert list(tmp_path.rglob("*.sqlite"))
    assert not list(tmp_path.rglob("*.sqlite"))
    assert emulator.pid is None


def test_process_has_the_settings_that_it_was_given() -> None:
    settings = EmulatorSettings(
        api_key="none", host_names="none", mutations_permitted=False, retry_after=True
    )
    with EmulatorProcess(settings) as emulator:
        answer = Api(emulator).graphql("mutation { runOnlineTask(input: {}) { result { __typename } } }")
    assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_given_database_is_kept(tmp_path: Path) -> None:
    settings = EmulatorSettings(run_seconds=0, database=tmp_path / "kept.sqlite", **UNLIMITED)
    with EmulatorProcess(settings) as emulator:
        task_id = Api(emulator).create()
        spans = emulator.info()["spans"]
    with sqlite3.connect(tmp_path / "kept.sqlite") as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM spans").fetchall()
    with EmulatorProcess(settings) as emulator:
        assert [task["id"] for task in emulator.tasks()] == [task_id]
        # The spans are those of the first start, not loaded once more.
        assert emulator.info()["spans"] == spans
    with sqlite3.connect(tmp_path / "kept.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM spans").fetchone() == (rows,)


def test_process_that_cannot_start_reports_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing.jsonl"
    with pytest.raises(RuntimeError, match="missing"):
        EmulatorProcess(EmulatorSettings(spans=missing)).start()


def test_stop_kills_a_process_that_ignores_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_online_tasks.emulator.handles._TIMEOUT", 0.5)
    emulator = EmulatorProcess(EmulatorSettings(**UNLIMITED))
    emulator.stop()
    monkeypatch.setattr("airflow_provider_online_tasks.emulator.handles._TIMEOUT", 60)
    emulator.start()
    pid = emulator.pid
    assert pid
    monkeypatch.setattr("airflow_provider_online_tasks.emulator.handles._TIMEOUT", 0.5)
    os.kill(pid, signal.SIGSTOP)
    emulator.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
