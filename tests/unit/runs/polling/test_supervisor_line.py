"""All triggers of a triggerer share one line to its supervisor, which no trigger may break."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING

import msgspec
from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import MaskSecret, _ResponseFrame

from airflow_provider_online_tasks.triggers.events import FINISHED
from tests.support.waits import create_task, event_of, trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from airflow_provider_online_tasks.emulator import Emulator


def supervise(line: socket.socket, heard: list[str]) -> None:
    """Reply to a triggerer as its supervisor does: in order, with a delay."""
    with line, line.makefile("rwb") as stream:
        while length := int.from_bytes(stream.read(4), "big"):
            number, body, *_ = msgspec.msgpack.decode(stream.read(length))
            heard.append(body["value"])
            time.sleep(0.1)
            stream.write(_ResponseFrame(id=number, body=None, error=None).as_bytes())
            stream.flush()


def test_trigger_reads_its_connection_leaves_the_line_usable(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize)
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.0, 0.0))
    here, there = socket.socketpair()
    heard: list[str] = []
    supervisor = threading.Thread(target=supervise, args=(there, heard))
    supervisor.start()

    async def triggerer() -> None:
        reader, writer = await asyncio.open_connection(sock=here)
        line = TriggerCommsDecoder(async_reader=reader, async_writer=writer, socket=here)
        if hasattr(line, "start_reader"):  # Airflow 3.2 and later
            await line.start_reader()
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", line, raising=False)

        assert (await event_of(trigger(run, task))).outcome == FINISHED
        assert arize.api_key in heard

        async with asyncio.timeout(60):
            await line.asend(MaskSecret(value="of another trigger", name=None))
        writer.close()

    try:
        asyncio.run(triggerer())
    finally:
        here.close()
        supervisor.join(60)
    assert heard[-1] == "of another trigger"
