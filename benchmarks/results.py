"""How fast the evaluations of many spans are read and summarised, and in how much memory."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls.spans import SPANS_PAGE, list_spans
from airflow_provider_online_tasks.inputs import RunInput
from benchmarks.environments import OUTPUT
from benchmarks.measuring import API_KEY, CONN_ID, Bench, client, create_task, emulator, probe
from benchmarks.replay import replay


def measure(bench: Bench) -> dict[str, Any]:
    """Read spans from the emulator, and more of them from a replay of its first page."""
    with tempfile.TemporaryDirectory(prefix="spans-", dir=OUTPUT) as folder:
        return {"rows": rows_of(bench, Path(folder))}


def rows_of(bench: Bench, folder: Path) -> list[dict[str, Any]]:
    """Return what each read has taken.

    :param folder: for the spans, and the answers that are replayed.
    """
    count = bench.sizes.emulated_spans
    now = datetime.now(UTC)
    window = {"data_start_time": now - timedelta(days=1), "data_end_time": now - timedelta(minutes=1)}
    rows = []
    with (
        emulator(spans=spans_file(folder / "spans.jsonl", count), run_seconds=0) as arize,
        client(arize) as asking,
    ):
        task_id = create_task(arize)
        run = RunInput.read({"online_task_id": task_id, "max_spans": count, **window})
        run_id = asking.send(calls.run_online_task(run))
        while not asking.send(calls.get_task_run(run_id)).is_over:
            time.sleep(0.5)
        call = list_spans(arize.project_id, run.window)
        told = {"run_id": run_id, "conn_id": CONN_ID, "key": API_KEY, "body": dict(call.body or {})}
        rows += read(bench, "emulator", count, arize.url, told)
        wanted: list[Any] = [calls.get_task_run(run_id), calls.get_task(task_id)]
        answers = {f"GET {one.path}": asking.exchange(one)[1].body.decode() for one in wanted}
        page = json.loads(asking.exchange(call)[1].body)
    for spans in bench.sizes.spans:
        pages = {
            f"POST {call.path}?limit={SPANS_PAGE}" + (f"&cursor=page{number}" if number else ""): json.dumps(
                {
                    **page,
                    "spans": [moved(span, number) for span in page["spans"]],
                    "pagination": {"has_more": True, "next_cursor": f"page{number + 1}"}
                    if (number + 1) * SPANS_PAGE < spans
                    else {"has_more": False},
                }
            )
            for number in range(spans // SPANS_PAGE)
        }
        with replay(folder, answers | pages) as url:
            rows += read(bench, "replay", spans, url, told)
    return rows


def moved(span: dict[str, Any], days: int) -> dict[str, Any]:
    """Return a span as another one, some days earlier: a span that is listed twice counts once."""
    at = parse_time(span["start_time"], "start_time") - timedelta(days=days)
    context = {**span["context"], "span_id": f"{span['context']['span_id']}-{days}"}
    return {**span, "context": context, "start_time": wire_time(at)}


def read(bench: Bench, server: str, spans: int, url: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Read them with the operator and with bare ``requests``, by turns."""
    rows = []
    for _ in range(bench.sizes.reads):
        for how in ("operator", "requests"):
            found = probe(bench.ours, "read_results", arize=url, url=url, how=how, **told)
            if found["spans"] != spans:
                raise SystemExit(f"{found['spans']} spans were read, not {spans}.")
            rows.append({"server": server, "how": how, **found})
    return rows


def spans_file(file: Path, count: int) -> Path:
    """Write spans of the last day, a third of which the judge finds rude."""
    with file.open("w") as lines:
        for number in range(count):
            begin = -86_000 + 85_000 * number / count
            answer = "You fool, go away." if number % 3 == 0 else "Thank you, with pleasure."
            attributes = {"input.value": f"Question {number}", "output.value": answer}
            span = {"name": "answer", "kind": "LLM", "start_time": begin, "end_time": begin + 1}
            lines.write(json.dumps({**span, "attributes": attributes}) + "\n")
    return file
