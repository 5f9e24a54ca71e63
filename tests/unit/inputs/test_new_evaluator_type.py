"""A new evaluator type is added in two files, and mypy names the places that still miss it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.incomplete_changes import type_errors

if TYPE_CHECKING:
    from pathlib import Path


def test_unhandled_evaluator_type_is_a_type_error(tmp_path: Path) -> None:
    returned, accepted = '"TEMPLATE", "CODE", "HARNESS", "REMOTE"', 'HubType = Literal["TEMPLATE", "CODE"'

    errors = type_errors(
        tmp_path,
        [("api/responses.py", returned, ', "ORACLE"'), ("inputs/evaluators.py", accepted, ', "ORACLE"')],
        ["api/calls.py", "inputs/evaluators.py", "evaluators/versions.py", "operators/evaluators.py"],
    )

    assert len(errors) == 2, errors
    assert [line.split(":")[0] for line in errors] == ["inputs/evaluators.py", "api/calls.py"]
    assert all("ORACLE" in line for line in errors)
