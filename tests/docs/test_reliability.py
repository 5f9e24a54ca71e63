"""Each statement of docs/reliability.md has a test.

The page marks a statement by an ID, `<!-- promise: lost-response -->`; a test that shows it is marked with
`@pytest.mark.promise("lost-response")`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.support.pages import DOCS

TESTS = DOCS.parent / "tests"
PROMISE = re.compile(r"<!-- promise: ([a-z0-9-]+) -->")


def promises() -> Counter[str]:
    """Return how often each ID occurs on the page."""
    return Counter(PROMISE.findall((DOCS / "reliability.md").read_text(encoding="utf-8")))


def marked_tests() -> Iterator[tuple[str, str]]:
    """Yield the ID and the name of each test that has the marker."""
    for module in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
                    assert decorator.args, f"{module}::{node.name}"
                    for argument in decorator.args:
                        yield ast.literal_eval(argument), f"{module.relative_to(TESTS)}::{node.name}"


def test_promise_ids_are_unique() -> None:
    assert [promise for promise, times in promises().items() if times > 1] == []


def test_reliability_statement_has_test() -> None:
    assert promises().keys() - {promise for promise, _ in marked_tests()} == set()


def test_marker_names_a_promise() -> None:
    assert {(promise, test) for promise, test in marked_tests() if promise not in promises()} == set()
