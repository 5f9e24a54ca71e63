"""PostgreSQL and Redis servers for the tests, if they are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from tests.support.deployment import free_port, until

START_SECONDS, STOP_SECONDS = 60.0, 20.0
# Debian installs the server outside of PATH, in a folder per version.
POSTGRES_FOLDERS = "usr/lib/postgresql/*/bin"
# The account of Debian's package; the server does not run as root.
POSTGRES_USER = "postgres"
# Each worker process, scheduler and request has separate connections.
MOST_CONNECTIONS = 300


class NotInstalledError(Exception):
    """The service is not installed."""


class Service:
    """A server process on loopback and a free port.

    :param home: a folder for its log.
    """

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._log = home / f"{type(self).__name__.lower()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _responds(self) -> bool:
        raise NotImplementedError

    def _account(self) -> dict[str, Any]:
        """Return the arguments of ``Popen`` for the account to use."""
        return {}

    def start(self) -> None:
        """Start the server and wait until it responds."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._account(),
            )
        until(f"{type(self).__name__} responds", self._responds, seconds=START_SECONDS, show=self.log)

    def end(self, number: signal.Signals) -> None:
        """Send the process a signal and wait until it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Stop the server."""
        self.end(signal.SIGTERM)

    def log(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


class Postgres(Service):
    """PostgreSQL, with an empty database for Airflow.

    :raises NotInstalledError: it is not installed, or there is no account to run it as.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._programs = _postgres_programs()
        self._owner = _unprivileged_account()
        # The account of the server may not look into the folders of another user, such as a checkout's.
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp" if self._owner else home))
        if self._owner:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        return f"postgresql+psycopg2://{POSTGRES_USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Make the database when it is first started, and start it."""
        if not any(self._folder.iterdir()):
            command = [str(self._programs / "initdb"), "--auth=trust", f"--username={POSTGRES_USER}"]
            made = subprocess.run(
                [*command, "--encoding=UTF8", "--no-sync", f"--pgdata={self._folder}"],
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
                **self._account(),
            )
            if made.returncode:
                raise RuntimeError(f"initdb failed:\n{made.stdout}\n{made.stderr}")
        super().start()

    def stop(self) -> None:
        """Stop the server, close its connections, and remove the database."""
        self.end(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """End it at once, as losing its machine does, and start it again."""
        self.end(signal.SIGQUIT)
        self.start()

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": MOST_CONNECTIONS,
            # What a power cut would lose does not matter here; a killed process loses nothing.
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._folder), *options]

    def _responds(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.url.replace("+psycopg2", ""), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _account(self) -> dict[str, Any]:
        # The folder it starts in has to be one that it may see, too.
        account: dict[str, Any] = {"cwd": self._folder}
        if self._owner:
            account |= {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        return account


class Redis(Service):
    """Redis, which keeps nothing on disk.

    :raises NotInstalledError: it is not installed.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        program = shutil.which("redis-server")
        if program is None:
            raise NotInstalledError("There is no redis-server (on Debian: the package redis-server).")
        self._program = program

    @property
    def url(self) -> str:
        """The database's Celery URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        return [self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]

    def _responds(self) -> bool:
        import redis

        try:
            with redis.Redis(port=self.port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def _postgres_programs() -> Path:
    found = sorted(Path("/").glob(POSTGRES_FOLDERS), key=lambda folder: float(folder.parent.name))
    if (in_path := shutil.which("postgres")) is not None:
        found.insert(0, Path(in_path).parent)
    usable = [folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()]
    if not usable:
        raise NotInstalledError("There is no PostgreSQL server (on Debian: the package postgresql).")
    return usable[-1]


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account that PostgreSQL has to run as; None for that of this process."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(POSTGRES_USER)
    except KeyError:
        raise NotInstalledError(f"There is no user {POSTGRES_USER} for PostgreSQL to run as.") from None
