"""The measurements work in a tiny size, and the table contains what they measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import table
from tests.support.pages import PROJECT

FOUND = PROJECT / ".tmp" / "bench" / "tiny"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """The data of each measurement, in a tiny size."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tiny"],
        cwd=PROJECT,
        env={name: text for name, text in os.environ.items() if not name.startswith("COVERAGE")},
        stdout=subprocess.DEVNULL,
        timeout=900,
        check=True,
    )
    return {file.stem: json.loads(file.read_text())["data"] for file in FOUND.glob("*.json")}


@pytest.mark.slow
def test_waits_count_requests_and_cpu(figures: dict[str, Any]) -> None:
    rows = figures["waiting"]
    assert [(row["kind"], row["limited"], row["waits"]) for row in rows] == [
        ("ours", True, 4),
        ("yardstick", True, 4),
        ("ours", False, 4),
        ("yardstick", False, 4),
    ]
    for row in rows:
        assert row["not_noticed"] == row["rejected"] == 0
        # At least one request per run, or one per task.
        assert row["requests"] >= (4 if row["kind"] == "yardstick" else 2)
        assert row["cpu_seconds"] > 0
        assert row["delay_p99"] >= row["delay_median"] > 0
    assert rows[2]["floor_cpu_seconds"] > 0
    assert [row["waits"] for row in figures["growth"]] == [2, 4]


@pytest.mark.slow
def test_parsing_calls_and_results_are_measured(figures: dict[str, Any]) -> None:
    [parse] = figures["parse"]["ours"]
    assert parse["import_seconds"] > 0
    [call] = figures["first_call"]["ours"]
    assert call["seconds"] > 0
    assert {(row["server"], row["reader"], row["spans"]) for row in figures["results"]} == {
        (server, reader, spans)
        for server, spans in (("emulator", 500), ("replay", 500), ("replay", 1_000))
        for reader in ("operator", "requests")
    }


@pytest.mark.slow
def test_table_has_rows_of_every_measurement(figures: dict[str, Any]) -> None:
    lines = table.render(FOUND).splitlines()
    commands = [line for line in lines if line.startswith("`make bench")]
    assert len(commands) == len(table.ROWS) == len(figures)
    assert {len(line.split("|")) for line in lines if line.startswith("|")} == {7}


def test_page_shows_the_stored_figures(tmp_path: Path) -> None:
    page = PROJECT / "docs" / "performance.md"
    copy = tmp_path / "performance.md"
    copy.write_text(page.read_text())

    table.update(copy, table.render(PROJECT / "benchmarks" / "found"))

    assert copy.read_text() == page.read_text()


def test_update_keeps_the_text_around_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before\n{table.BEGIN}\nold\n{table.END}\nAfter\n")

    table.update(page, "new")

    assert page.read_text() == f"Before\n{table.BEGIN}\n\nnew\n\n{table.END}\nAfter\n"


def test_update_without_markers_fails_and_keeps_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("No figures here\n")

    with pytest.raises(SystemExit):
        table.update(page, "new")

    assert page.read_text() == "No figures here\n"
