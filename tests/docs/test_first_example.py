"""The README's first example runs unchanged against the emulator, and its results look as documented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pages import DOCS, PROJECT, blocks_of

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.mark.dag
def test_first_example_passes_against_emulator(arize: Emulator, run_dag: Any) -> None:
    block = next(block for block in blocks_of(PROJECT / "README.md") if block.language == "python")
    names: dict[str, Any] = {"__name__": "documented"}
    exec(block.code.replace("catchup=False):", "catchup=False) as dag:"), names)

    result = run_dag(names["dag"])

    assert result.state == "success"
    assert result.returned("online_eval.gate")["passed"] is True
    [run] = arize.runs()
    assert run["status"] == "COMPLETED"

    (documented, *_) = [block.code for block in blocks_of(DOCS / "results.md") if block.language == "json"]
    summary = result.returned("online_eval.read_results")
    assert set(keys(json.loads(documented))) <= set(keys(summary))


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the keys of a JSON value; labels are replaced by ``*``."""
    if isinstance(value, list):
        for each in value:
            yield from keys(each, f"{path}[]")
    elif isinstance(value, dict):
        for key, each in value.items():
            if path.endswith(".score_quantiles"):
                return  # the example has no scores
            name = "*" if path.endswith(".labels") else key
            yield f"{path}.{name}"
            yield from keys(each, f"{path}.{name}")
