"""docs/reliability.md promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.pages import DOCS
from tests.support.promises import INTRODUCTIONS, NO_PROMISES, PROMISES

TESTS = DOCS.parent / "tests"


def statements() -> Iterator[tuple[str, str]]:
    """Yield what the page says, as pairs of a section and a row, a list's item or a paragraph."""
    section, tables = "", 0
    for block in (DOCS / "reliability.md").read_text(encoding="utf-8").split("\n\n"):
        if found := re.match(r"#+ (.*)", block):
            section = found[1]
        elif block.startswith("|"):
            # The first two lines are the head.
            tables += 1
            yield from ((section, line.split(" | ")[0].strip("| ")) for line in block.splitlines()[2:])
        else:
            for part in re.split(r"^- ", block, flags=re.MULTILINE):
                if part.strip():
                    yield section, " ".join(part.split())
    assert tables >= 5


def test_each_statement_has_a_test_and_each_test_a_statement() -> None:
    used = set()
    for section, text in statements():
        if section in NO_PROMISES or text.startswith(INTRODUCTIONS):
            continue
        starts = [start for start in PROMISES.get(section, {}) if text.startswith(start)]
        # Of two that fit, the longer is meant.
        assert starts, f"Which tests show this sentence of {section!r}? Name them in promises.py: {text}"
        used.add((section, max(starts, key=len)))

    assert {(section, start) for section, promises in PROMISES.items() for start in promises} == used


@cache
def functions(module: str) -> frozenset[str]:
    """Return the test functions of a module."""
    tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("section", PROMISES)
def test_the_tests_exist(section: str) -> None:
    for start, tests in PROMISES[section].items():
        assert tests, start
        for test in tests:
            module, _, name = test.partition("::")
            assert name in functions(module), f"{start}: {test}"
