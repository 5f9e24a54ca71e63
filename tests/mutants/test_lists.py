"""The lists of changes fit the code as it is: one that does not would be passed over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mistakes import PLANTED, Planted

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "airflow_provider_online_tasks"
SURVIVORS = Path(__file__).with_name("survivors.md").read_text(encoding="utf-8")
NAMED = re.findall(
    r"^- `(\S+?)`: `(.+?)` → `", " ".join(SURVIVORS.split()).replace(" - `", "\n- `"), re.MULTILINE
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.what)
def test_a_known_mistake_can_be_planted(planted: Planted) -> None:
    assert (PACKAGE / planted.file).read_text(encoding="utf-8").count(planted.old) == 1
    assert planted.new != planted.old
    assert all((PROJECT / test).exists() for test in planted.tests)


@pytest.mark.parametrize(("file", "line"), NAMED)
def test_a_change_that_nothing_can_notice_is_one_to_the_code_there_is(file: str, line: str) -> None:
    assert line in " ".join((PACKAGE / file).read_text(encoding="utf-8").split())


def test_each_of_them_is_read() -> None:
    assert len(NAMED) == SURVIVORS.count(" → `") > 0
