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

from airflow_provider_online_tasks.emulator.checked import read_text
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.handles import (
    API_KEY_VARIABLE,
    JUDGE_KEY_VARIABLE,
    READY_LINE,
    connection_fields,
)
from airflow_provider_online_tasks.emulator.settings import CHOICES, EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_online_tasks.emulator.state import EmulatorState

_ENVIRONMENT = {"api_key": API_KEY_VARIABLE, "judge_key": JUDGE_KEY_VARIABLE}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until it is stopped, or its time is up."""
    options = vars(_parser().parse_args(arguments))
    for_seconds = options.pop("for_seconds")
    try:
        settings = EmulatorSettings(**options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    from airflow_provider_online_tasks.emulator.server import EmulatorServer, silence_uvicorn
    from airflow_provider_online_tasks.emulator.spans.sample import SpanFileError

    silence_uvicorn()

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
    """Write what somebody who starts an emulator needs next."""
    from airflow_provider_online_tasks.emulator.page.page import judge_note

    settings = state.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    count, first, last = state.store.span_range()
    days = f"{(write_time(first) or '')[:10]} to {(write_time(last) or '')[:10]}"
    connection = json.dumps(connection_fields(url, settings.api_key))
    lines = [
        "Online tasks emulator: a local Arize; open its URL to watch it.",
        f"  API key  {settings.api_key}",
        f"  Spans    {count} from {days}",
        f"  Judge    {judge_note(state)}",
        f"  {READY_LINE}      {url}",
        "",
        f"export AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT={shlex.quote(connection)}",
        "",
    ]
    if not settings.is_loopback:
        lines.insert(1, f"  WARNING  listening on {settings.host}: other machines can reach it.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    """Return a parser with an option for each setting, described as the settings describe themselves."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_online_tasks.emulator",
        description="A local Arize: the API of online tasks, on spans of its own.",
    )
    helps = _descriptions()
    for field in dataclasses.fields(EmulatorSettings):
        default = os.environ.get(_ENVIRONMENT.get(field.name, ""), field.default)
        options: dict[str, Any] = {"default": default, "help": helps[field.name]}
        if field.name in _ENVIRONMENT:
            options["help"] += f" (also from {_ENVIRONMENT[field.name]})"
        if isinstance(field.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        elif field.name in CHOICES:
            options["choices"] = CHOICES[field.name]
        else:
            options["type"] = partial(read_text, EmulatorSettings, field.name)
        parser.add_argument(f"--{field.name.replace('_', '-')}", **options)
    parser.add_argument("--for-seconds", type=float, default=None, help="stop after that many seconds")
    return parser


def _descriptions() -> dict[str, str]:
    descriptions = {}
    for part in (EmulatorSettings.__doc__ or "").split(":param ")[1:]:
        name, _, text = part.partition(": ")
        descriptions[name] = " ".join(text.split()).rstrip(".").replace("``", "").replace("%", "%%")
    return descriptions


if __name__ == "__main__":
    sys.exit(main())
