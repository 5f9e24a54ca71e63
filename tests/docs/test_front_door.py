"""Every public name can be imported from the package, and its module is loaded only when it is used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_online_tasks as front_door
from airflow_provider_online_tasks import exceptions
from tests.support.pages import PROJECT, blocks
from tests.support.public_api import CLASSES, PACKAGE

SOURCE = Path(front_door.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(front_door.__all__) - {"__version__"}))
def test_name_is_the_object_of_its_module(name: str) -> None:
    module = front_door._PLACES[name]
    assert getattr(front_door, name) is getattr(sys.modules[f"{PACKAGE}.{module}"], name)


def test_package_exports_documented_classes() -> None:
    assert set(CLASSES) <= set(front_door.__all__)


def test_package_exports_exceptions() -> None:
    errors = {name for name, value in vars(exceptions).items() if isinstance(value, type)}
    own = {name for name in errors if getattr(exceptions, name).__module__ == exceptions.__name__}
    # The sensor raises Final… subclasses; users catch their bases.
    assert {name for name in own if not name.startswith("Final")} <= set(front_door.__all__)


def test_type_checkers_see_the_same_names() -> None:
    (block,) = [
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        module = str(node.module).removeprefix(f"{PACKAGE}.")
        for alias in node.names:
            if alias.name == "*":  # type checkers export every class that the module defines
                members = vars(importlib.import_module(str(node.module))).items()
                names = [
                    name
                    for name, value in members
                    if inspect.isclass(value) and value.__module__ == node.module and not name.startswith("_")
                ]
            else:
                assert alias.asname == alias.name, "without `as` it is private to type checkers"
                names = [alias.name]
            seen |= dict.fromkeys(names, module)
    assert seen == front_door._PLACES


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = front_door.RunOnlineTaskOperators  # type: ignore[attr-defined]
    assert set(front_door.__all__) <= set(dir(front_door))


def test_import_loads_no_module() -> None:
    code = f"import {PACKAGE} as p, sys; print(*[m for m in sys.modules if m.startswith(p.__name__ + '.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


EXAMPLES = {block.name: block.code for block in blocks("python")} | {
    file.name: file.read_text(encoding="utf-8") for file in (PROJECT / "example_dags").glob("*.py")
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_imports_public_names_from_the_package(name: str) -> None:
    for node in ast.walk(ast.parse(EXAMPLES[name])):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{PACKAGE}."):
            assert {alias.name for alias in node.names} & set(front_door.__all__) == set()
