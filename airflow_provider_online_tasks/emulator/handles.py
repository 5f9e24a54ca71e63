"""Handles on an emulator: one in a thread of this process, one in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.control.client import EmulatorControl
from airflow_provider_online_tasks.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_online_tasks.emulator.server import EmulatorServer
    from airflow_provider_online_tasks.emulator.state import EmulatorState

CONNECTION_TYPE = "arize_online_tasks"
READY_LINE = "URL"
_PATIENCE = 60.0


def connection_fields(url: str, api_key: str) -> dict[str, Any]:
    """Return the fields of the Airflow connection: a host with a scheme serves both APIs.

    The port is a field of its own, since Airflow's *Test* button needs one. The emulator has indexed its
    spans, so no run waits for that.
    """
    host, _, port = url.rpartition(":")
    return {
        "conn_type": CONNECTION_TYPE,
        "host": host,
        "port": int(port),
        "password": api_key,
        "extra": {"model_id": ids.PROJECT_ID, "index_delay_minutes": 0},
    }


class _Handle(EmulatorControl):
    """What both handles have in common."""

    project_id = ids.PROJECT_ID
    space_id = ids.SPACE_ID
    organization_id = ids.ORGANIZATION_ID

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        self.settings = settings or EmulatorSettings()
        super().__init__("", self.settings.api_key)
        self._port = self.settings.port

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url if self._port else 'not started'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator and return when it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the emulator and return when it has gone."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The one URL of everything."""
        if not self._port:
            raise RuntimeError(
                "The emulator has no URL before it is started; call start() or use it in a with statement"
            )
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self._port}"

    @property
    def evaluator_ids(self) -> dict[str, str]:
        """The identifiers of the built-in Eval Hub evaluators by name."""
        ids_by_name: dict[str, str] = self.info()["evaluator_ids"]
        return ids_by_name

    @property
    def connection_json(self) -> str:
        """The Airflow connection as JSON, for ``AIRFLOW_CONN_…``."""
        return json.dumps(connection_fields(self.url, self.api_key))

    @property
    def connection_uri(self) -> str:
        """The Airflow connection as a URI."""
        fields = connection_fields(self.url, self.api_key)
        scheme = fields["conn_type"].replace("_", "-")
        key, host = (quote(fields[name], safe="") for name in ("password", "host"))
        return f"{scheme}://:{key}@{host}:{fields['port']}/?{urlencode(fields['extra'])}"


class Emulator(_Handle):
    """An emulator in a thread of this process.

    :param settings: how it behaves.

    Use it in a ``with`` statement, or call :meth:`start` and :meth:`stop`.
    """

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        super().__init__(settings)
        self._server: EmulatorServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the emulator and return when it answers."""
        from airflow_provider_online_tasks.emulator.server import EmulatorServer, silence_uvicorn

        silence_uvicorn()
        # The port stays the same when it is started again, as that of a real server would.
        server = EmulatorServer(dataclasses.replace(self.settings, port=self._port))
        self._server, self._port = server, server.port
        ready = threading.Event()
        failures: list[BaseException] = []

        def on_ready(_: EmulatorState) -> None:
            ready.set()

        def run() -> None:
            try:
                server.serve(on_ready)
            except BaseException as error:  # noqa: BLE001 -- raised again in the thread that waits
                failures.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="online-tasks-emulator", daemon=True)
        self._thread.start()
        if not ready.wait(_PATIENCE):
            raise RuntimeError(f"The emulator did not start within {_PATIENCE:.0f} seconds")
        if failures:
            raise failures[0]

    def stop(self) -> None:
        """Stop the emulator and return when it has gone."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(_PATIENCE)
            self._server = self._thread = None


class EmulatorProcess(_Handle):
    """An emulator in a process of its own, which can be killed and started again on what it left.

    :param settings: how it behaves; without a database of its own it gets a temporary one.
    """

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        super().__init__(settings)
        self._process: subprocess.Popen[str] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the emulator and return when it answers."""
        database = self.settings.database
        if database is None:
            self._directory = self._directory or tempfile.TemporaryDirectory(prefix="online-tasks-emulator-")
            database = Path(self._directory.name) / "emulator.sqlite"
        settings = dataclasses.replace(self.settings, port=self._port, database=database)
        process = subprocess.Popen(  # noqa: S603 -- this interpreter, this package
            [sys.executable, "-m", "airflow_provider_online_tasks.emulator", *command_line(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The keys travel here and not among the arguments, which every user of the machine can list.
            env=os.environ | key_variables(settings) | {"PYTHONUNBUFFERED": "1"},
        )
        self._process = process
        lines: list[str] = []
        ready = threading.Event()

        def read() -> None:
            # Reading goes on to the end, so that the process never waits for room in the pipe.
            for line in process.stdout or ():
                lines.append(line)
                if line.strip().startswith(READY_LINE):
                    self._port = int(line.rpartition(":")[2])
                    ready.set()
            ready.set()

        threading.Thread(target=read, name="online-tasks-emulator-output", daemon=True).start()
        ready.wait(_PATIENCE)
        if not any(line.strip().startswith(READY_LINE) for line in lines):
            self.kill()
            raise RuntimeError(f"The emulator did not start:\n{''.join(lines)}")

    def stop(self) -> None:
        """Stop the emulator, return when it has gone, and remove its temporary database."""
        self._end(signal.SIGTERM)
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def kill(self) -> None:
        """End the process at once, as a power cut would; :meth:`start` takes up what it left."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            with contextlib.suppress(OSError):
                process.stdout.close()


API_KEY_VARIABLE = "ONLINE_TASKS_EMULATOR_API_KEY"
JUDGE_KEY_VARIABLE = "ONLINE_TASKS_EMULATOR_JUDGE_KEY"
_KEY_VARIABLES = {"api_key": API_KEY_VARIABLE, "judge_key": JUDGE_KEY_VARIABLE}


def key_variables(settings: EmulatorSettings) -> dict[str, str]:
    """Return the environment that hands the settings' keys to a process."""
    given = {variable: getattr(settings, name) for name, variable in _KEY_VARIABLES.items()}
    return {variable: value for variable, value in given.items() if value is not None}


def command_line(settings: EmulatorSettings) -> list[str]:
    """Return the options that give a process these settings, the keys apart."""
    arguments: list[str] = []
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        if field.name in _KEY_VARIABLES or value == field.default:
            continue
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{option.removeprefix('--')}")
        else:
            arguments.append(f"{option}={'none' if value is None else value}")
    return arguments
