"""Handles of an emulator: in a thread of this process, or in a separate process."""

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
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.control.client import EmulatorControl
from airflow_provider_online_tasks.emulator.requirements import check_packages
from airflow_provider_online_tasks.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.server.server import EmulatorServer
    from airflow_provider_online_tasks.emulator.state import EmulatorState

CONNECTION_TYPE = "arize_online_tasks"
READY_LINE = "URL"
SETTINGS = "ONLINE_TASKS_EMULATOR_SETTINGS"  # the environment variable with the settings of a process
_TIMEOUT = 60.0


def base_url(host: str, port: int) -> str:
    """Return the URL of an emulator."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def connection_fields(url: str, api_key: str) -> dict[str, Any]:
    """Return the fields of the Airflow connection; its *Test* button needs the port as a separate field."""
    host, _, port = url.rpartition(":")
    return {
        "conn_type": CONNECTION_TYPE,
        "host": host,
        "port": int(port),
        "password": api_key,
        "extra": {"model_id": ids.PROJECT_ID, "index_delay_minutes": 0},
    }


class Emulator(EmulatorControl):
    """An emulator in a thread of this process.

    Use it in a ``with`` statement, or call :meth:`start` and :meth:`stop`.

    :param settings: its settings.
    """

    project_id = ids.PROJECT_ID
    space_id = ids.SPACE_ID
    organization_id = ids.ORGANIZATION_ID

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        self.settings = settings or EmulatorSettings()
        super().__init__("", self.settings.api_key)
        self._port = self.settings.port
        self._server: EmulatorServer | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url if self._port else 'not started'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of both APIs and of the page."""
        if not self._port:
            raise RuntimeError("The emulator has no URL yet; call start() or use it in a with statement")
        return base_url(self.settings.host, self._port)

    @property
    def evaluator_ids(self) -> dict[str, str]:
        """The IDs of the Eval Hub evaluators by name."""
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

    def start(self) -> None:
        """Start the emulator and return when it accepts requests."""
        check_packages()
        from airflow_provider_online_tasks.emulator.server.server import EmulatorServer

        # The port stays the same after a restart, as that of a real server.
        server = EmulatorServer(dataclasses.replace(self.settings, port=self._port))
        self._server, self._port = server, server.port
        ready: Future[EmulatorState] = Future()

        def run() -> None:
            try:
                server.serve(ready.set_result)
            except BaseException as error:  # noqa: BLE001 -- raised again in the thread that waits
                if not ready.done():
                    ready.set_exception(error)

        self._thread = threading.Thread(target=run, name="online-tasks-emulator", daemon=True)
        self._thread.start()
        ready.result(_TIMEOUT)

    def stop(self) -> None:
        """Stop the emulator at once, and return when it has stopped."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(_TIMEOUT)
            self._server = self._thread = None


class EmulatorProcess(Emulator):
    """An emulator in a separate process, which can be killed and continues after a restart.

    :param settings: its settings; without a ``database`` it gets a temporary one.
    """

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        super().__init__(settings)
        self._process: subprocess.Popen[str] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process ID, while the process runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the emulator and return when it accepts requests."""
        check_packages()
        database = self.settings.database
        if database is None:
            self._directory = self._directory or tempfile.TemporaryDirectory(prefix="online-tasks-emulator-")
            database = Path(self._directory.name) / "emulator.sqlite"
        settings = dataclasses.replace(self.settings, port=self._port, database=database)
        # Not in arguments: every user of the machine can list these, and the settings contain keys.
        options = json.dumps(dataclasses.asdict(settings), default=str)
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_online_tasks.emulator"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, SETTINGS: options, "PYTHONUNBUFFERED": "1"},
        )
        self._process = process
        assert process.stdout is not None  # noqa: S101  it is a pipe
        timer = threading.Timer(_TIMEOUT, process.kill)
        timer.daemon = True
        timer.start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.strip().startswith(READY_LINE):
                break
        else:
            self.kill()
            raise RuntimeError(f"The emulator did not start:\n{''.join(lines)}")
        timer.cancel()
        self._port = int(line.rpartition(":")[2])
        # Read to the end, so that the process never waits for a full pipe.
        threading.Thread(target=list, args=(process.stdout,), daemon=True).start()

    def stop(self) -> None:
        """Stop the emulator, return when it has stopped, and remove its temporary database."""
        self._end(signal.SIGTERM)
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def kill(self) -> None:
        """Kill the process; :meth:`start` continues with its database."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            with contextlib.suppress(OSError):
                process.stdout.close()
