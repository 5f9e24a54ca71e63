"""Reading the evaluations of many spans: spans per second and memory."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import SPANS_PAGE, list_spans
from airflow_provider_online_tasks.inputs.runs import RunInput
from benchmarks.environments import OUTPUT
from benchmarks.measuring import API_KEY, CONN_ID, Bench, client, create_task, emulator, probe
from benchmarks.replay import replay


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Read spans from the emulator, and more of them from a replay of its first page."""
    with tempfile.TemporaryDirectory(prefix="spans-", dir=OUTPUT) as folder:
        return read_all(bench, Path(folder))


def read_all(bench: Bench, folder: Path) -> list[dict[str, Any]]:
    """Return a row per read.

    :param folder: a folder for the spans and the stored responses.
    """
    count = bench.sizes.emulated_spans
    now = datetime.now(UTC)
    window = {"data_start_time": now - timedelta(days=1), "data_end_time": now - timedelta(minutes=1)}
    with (
        emulator(spans=write_spans(folder / "spans.jsonl", count), run_seconds=0) as arize,
        client(arize) as sending,
    ):
        task_id = create_task(arize)
        run = RunInput.read({"online_task_id": task_id, "max_spans": count, **window})
        run_id = sending.send(calls.run_online_task(run))
        while not sending.send(calls.get_task_run(run_id)).is_over:
            time.sleep(0.5)
        call = list_spans(arize.project_id, run.window)
        arguments = {"run_id": run_id, "conn_id": CONN_ID, "key": API_KEY, "body": dict(call.body or {})}
        rows = read(bench, "emulator", count, arize.url, arguments)
        stored: list[Any] = [calls.get_task_run(run_id), calls.get_task(task_id)]
        responses = {f"GET {one.path}": sending.exchange(one)[1].body.decode() for one in stored}
        page = json.loads(sending.exchange(call)[1].body)
    for spans in bench.sizes.spans:
        with replay(folder, responses | pages(call.path, page, spans)) as url:
            rows += read(bench, "replay", spans, url, arguments)
    return rows


def pages(path: str, page: dict[str, Any], spans: int) -> dict[str, str]:
    """Return the responses of as many pages as the spans need, each with other spans than the first."""
    responses = {}
    for number in range(spans // SPANS_PAGE):
        is_last = (number + 1) * SPANS_PAGE >= spans
        next_page = {} if is_last else {"next_cursor": f"page{number + 1}"}
        body = {
            "spans": [moved(span, number) for span in page["spans"]],
            "pagination": {"has_more": not is_last, **next_page},
        }
        cursor = f"&cursor=page{number}" if number else ""
        responses[f"POST {path}?limit={SPANS_PAGE}{cursor}"] = json.dumps({**page, **body})
    return responses


def moved(span: dict[str, Any], days: int) -> dict[str, Any]:
    """Return a copy of a span some days earlier, with another ID."""
    start = datetime.fromisoformat(span["start_time"]) - timedelta(days=days)
    context = {**span["context"], "span_id": f"{span['context']['span_id']}-{days}"}
    return {**span, "context": context, "start_time": start.isoformat().replace("+00:00", "Z")}


def read(bench: Bench, server: str, spans: int, url: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the spans with the operator and with bare ``requests``, in alternation."""
    rows = []
    for _ in range(bench.sizes.reads):
        for reader in ("operator", "requests"):
            found = probe(
                bench.sides["ours"], "read_results", url=url, reader=reader, **arguments, base_url=url
            )
            if found["spans"] != spans:
                raise SystemExit(f"Read {found['spans']} spans instead of {spans}.")
            rows.append({"server": server, "reader": reader, **found})
    return rows


def write_spans(file: Path, count: int) -> Path:
    """Write spans of the last day; the emulator evaluates a third of them as rude."""
    with file.open("w") as lines:
        for number in range(count):
            start = -86_000 + 85_000 * number / count
            answer = "You fool, go away." if number % 3 == 0 else "Thank you, with pleasure."
            attributes = {"input.value": f"Question {number}", "output.value": answer}
            span = {"name": "answer", "kind": "LLM", "start_time": start, "end_time": start + 1}
            lines.write(json.dumps({**span, "attributes": attributes}) + "\n")
    return file
