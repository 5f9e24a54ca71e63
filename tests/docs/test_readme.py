"""The README's first example runs as it is against the emulator, and passes on a good day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pages import PROJECT, blocks_of

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
