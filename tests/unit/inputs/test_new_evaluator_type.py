"""A new evaluator type is added in one file, and mypy names the place that still misses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.incomplete_changes import type_errors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_unhandled_evaluator_type_is_a_type_error(tmp_path: Path) -> None:
    accepted = 'HubType = Literal["TEMPLATE", "CODE"'

    (error,) = type_errors(
        tmp_path,
        [("inputs/evaluators.py", accepted, ', "ORACLE"')],
        ["api/calls.py", "inputs/evaluators.py", "evaluators/versions.py", "operators/evaluators.py"],
    )

    assert error.startswith("inputs/evaluators.py:")
    assert "ORACLE" in error
