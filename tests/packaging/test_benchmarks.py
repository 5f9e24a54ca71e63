"""The measurements are run in a tiny size, so that they work when somebody wants the figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report

PROJECT = Path(__file__).resolve().parents[2]
FOUND = PROJECT / ".tmp" / "bench" / "tiny"


def measured(*names: str) -> dict[str, dict]:
    """Run measurements as ``make bench`` does, and return what each wrote."""
    for name in names:
        (FOUND / f"{name}.json").unlink(missing_ok=True)
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tiny", *names],
        cwd=PROJECT,
        env={name: text for name, text in os.environ.items() if not name.startswith("COVERAGE")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {name: json.loads((FOUND / f"{name}.json").read_text()) for name in names}


def page() -> str:
    return (FOUND / "performance.md").read_text()


def test_the_page_keeps_the_sections_that_are_not_measured_again(tmp_path: Path) -> None:
    """A fresh clone has the page, and may have no figures."""
    before = (PROJECT / "docs" / "performance.md").read_text()
    (tmp_path / "performance.md").write_text(before)
    found = tmp_path / "found"
    found.mkdir()
    sample = {
        "import_seconds": 0.012,
        "import_cpu_seconds": 0.011,
        "operators_seconds": 0.01,
        "airflow_seconds": 2.0,
        "loaded_besides": [],
        "loaded_by_airflow": [],
    }
    measured = {
        "command": "make bench ONLY=parse",
        "date": "2030-01-01",
        "machine": "a machine",
        "versions": {"Airflow": "9"},
        "data": {"samples": {"ours": [sample]}},
    }
    (found / "parse.json").write_text(json.dumps(measured))

    report.write(found, tmp_path)

    old, new = report.sections(before), report.sections((tmp_path / "performance.md").read_text())
    assert list(new) == list(old) == ["", *report.SECTIONS]
    assert "2030-01-01" in new["parse"]
    assert {name: text for name, text in new.items() if name != "parse"} == {
        name: text for name, text in old.items() if name != "parse"
    }


def test_the_pages_plots_are_small_pictures() -> None:
    text = (PROJECT / "docs" / "performance.md").read_text()
    shown = re.findall(r"\]\((images/performance/[^)]+)\)", text)
    assert len(shown) == 6
    for name in shown:
        picture = (PROJECT / "docs" / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 150_000


@pytest.mark.slow
def test_waits_are_counted() -> None:
    found = measured("waiting", "growth")
    rows = found["waiting"]["data"]["rows"]
    assert [(row["kind"], row["limited"], row["waits"]) for row in rows] == [
        ("ours", True, 4),
        ("yardstick", True, 4),
        ("ours", False, 4),
        ("yardstick", False, 4),
    ]
    for row in rows:
        assert row["not_noticed"] == row["refused"] == 0
        # A request for each run at least, or one for each task.
        assert row["requests"] >= (4 if row["kind"] == "yardstick" else 2)
        assert row["cpu_seconds"] > 0
        assert row["late_most"] >= row["late_p99"] >= row["late_median"] > 0
    [sensor] = found["waiting"]["data"]["sensors"]["ours"]
    assert sensor["requests"] >= 1
    assert [row["waits"] for row in found["growth"]["data"]["rows"]] == [2, 4, 6, 4]
    assert "## Waiting for many runs" in page()
    assert "## How it grows" in page()


@pytest.mark.slow
def test_calls_and_results_are_timed() -> None:
    found = measured("parse", "first_call", "warm_call", "results")
    [parsed] = found["parse"]["data"]["samples"]["ours"]
    assert parsed["import_seconds"] > 0
    assert parsed["loaded_besides"] == []
    [called] = found["first_call"]["data"]["samples"]["ours"]
    assert called["process_seconds"] > called["call_seconds"] > 0
    for samples in found["warm_call"]["data"]["samples"].values():
        assert set(samples["ours"][0]) == {"read", "bare read", "start", "bare start"}
    assert {(row["server"], row["how"], row["spans"]) for row in found["results"]["data"]["rows"]} == {
        (server, how, spans)
        for server, spans in (("emulator", 500), ("replay", 500), ("replay", 1_000))
        for how in ("operator", "requests")
    }
    written = page()
    for title in ("Parsing", "The first call of a task", "A warm call", "Reading results"):
        assert f"## {title}" in written
    # Whatever is written was measured: nothing in the page is empty or a hole.
    assert not re.search(r"\bNone\b|\bnan\b|\{", written)
