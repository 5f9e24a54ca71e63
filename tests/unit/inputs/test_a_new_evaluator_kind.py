"""A new type of evaluator is added in two files of the package, and mypy names what is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.forgotten import forgotten

if TYPE_CHECKING:
    from pathlib import Path


def test_a_type_of_evaluator_that_is_forgotten_is_a_type_error(tmp_path: Path) -> None:
    # What Arize may name, and what a DAG may say: each has one other place that must know it.
    named, said = '"TEMPLATE", "CODE", "HARNESS", "REMOTE"', 'HubType = Literal["TEMPLATE", "CODE"'

    found = forgotten(
        tmp_path,
        [("api/responses/evaluators.py", named, ', "ORACLE"'), ("inputs/hub.py", said, ', "ORACLE"')],
        ["api/calls/hub_tasks.py", "inputs/hub.py", "evaluators/versions.py", "operators/evaluators.py"],
    )

    assert len(found) == 2, found
    assert [line.split(":")[0] for line in found] == ["inputs/hub.py", "api/calls/hub_tasks.py"]
    assert all("ORACLE" in line for line in found)
