"""Starts an emulator from the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.handles import READY_LINE, SETTINGS, base_url, connection_fields
from airflow_provider_online_tasks.emulator.requirements import check_packages
from airflow_provider_online_tasks.emulator.settings import KEY_VARIABLES, EmulatorSettings, read_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_online_tasks.emulator.state import EmulatorState


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until it is stopped, or its time has passed."""
    try:
        check_packages()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    given = os.environ.get(SETTINGS)
    options = json.loads(given) if given else vars(_parser().parse_args(arguments))
    for_seconds = options.pop("for_seconds", None)
    from airflow_provider_online_tasks.emulator.errors import describe
    from airflow_provider_online_tasks.emulator.server.server import EmulatorServer
    from airflow_provider_online_tasks.emulator.spans.sample import SpanFileError

    try:
        settings = EmulatorSettings(**options)
    except ValidationError as error:
        sys.stderr.write(f"{describe(error)}\n")
        return 2

    def on_ready(state: EmulatorState) -> None:
        sys.stdout.write(banner(state, server.port))
        sys.stdout.flush()
        if for_seconds is not None:
            timer = threading.Timer(for_seconds, server.stop)
            timer.daemon = True
            timer.start()

    try:
        server = EmulatorServer(settings)
        server.serve(on_ready)
    except KeyboardInterrupt:
        pass
    except (OSError, SpanFileError) as error:
        sys.stderr.write(f"The emulator cannot start on {settings.host}:{settings.port}: {error}\n")
        return 1
    return 0


def banner(state: EmulatorState, port: int) -> str:
    """Return the text that the command line shows at the start."""
    from airflow_provider_online_tasks.emulator.server.page import judge_note

    settings = state.settings
    url = base_url(settings.host, port)
    count, first, last = state.spans.range()
    days = f"{(write_time(first) or '')[:10]} to {(write_time(last) or '')[:10]}"
    connection = json.dumps(connection_fields(url, settings.api_key))
    lines = [
        "Arize emulator for online tasks. Open the URL to watch it.",
        f"  API key  {settings.api_key}",
        f"  Spans    {count} from {days}",
        f"  Judge    {judge_note(settings)}",
        f"  {READY_LINE}      {url}",
        "",
        f"export AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT={shlex.quote(connection)}",
        "",
    ]
    if not settings.is_loopback:
        lines.insert(1, f"  WARNING  listening on {settings.host}: other machines can reach it.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    """Return a parser with an option for each setting; the help is that of the settings' docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_online_tasks.emulator",
        description="A local emulator of Arize's API for online tasks, with its own spans.",
    )
    helps = _descriptions()
    for field in dataclasses.fields(EmulatorSettings):
        # Python has no docstrings with -OO.
        options: dict[str, Any] = {"default": field.default, "help": helps.get(field.name, "")}
        variable = KEY_VARIABLES.get(field.name)
        if variable is not None:
            options["default"] = os.environ.get(variable, field.default)
            options["help"] += f" (environment variable: {variable})"
        if isinstance(field.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = partial(_read, field.name)
        parser.add_argument(f"--{field.name.replace('_', '-')}", **options)
    parser.add_argument("--for-seconds", type=float, default=None, help="stop after this many seconds")
    return parser


def _read(name: str, text: str) -> Any:
    try:
        return read_setting(name, text)
    except ValidationError as error:
        from airflow_provider_online_tasks.emulator.errors import describe

        raise argparse.ArgumentTypeError(describe(error)) from None


def _descriptions() -> dict[str, str]:
    descriptions = {}
    for part in (EmulatorSettings.__doc__ or "").split(":param ")[1:]:
        name, _, text = part.partition(": ")
        descriptions[name] = " ".join(text.split()).rstrip(".").replace("``", "").replace("%", "%%")
    return descriptions


if __name__ == "__main__":
    sys.exit(main())
