"""What the package imports is what pyproject.toml declares, for the package and for each extra."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.pages import PROJECT

PACKAGE = PROJECT / "airflow_provider_online_tasks"
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Packages that share the namespace `airflow`.
AIRFLOW = {
    "airflow.providers.openlineage": "apache-airflow-providers-openlineage",
    "airflow": "apache-airflow",
    "openlineage": "openlineage-python",
}
# The part of the package that needs an extra.
EXTRA_OF = {"emulator": "emulator/", "openlineage": "lineage.py"}
# Imports of packages that the user of that part has installed.
BROUGHT = {
    ("emulator/pytest_plugin.py", "pytest"),
    ("results/rows.py", "pyarrow"),
    ("emulator/spans/sample.py", "pyarrow"),
    # Airflow depends on these packages.
    ("runs/orphaned_runs.py", "sqlalchemy"),
    ("runs/window.py", "pendulum"),
    ("ui/evals/app.py", "fastapi"),
    ("ui/evals/reads.py", "sqlalchemy"),
}


def imported() -> set[tuple[str, str]]:
    """Return each file of the package with each distribution it imports."""
    found = set()
    distributions = packages_distributions()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file} imports relatively"
                names = [str(node.module)]
            for name in names:
                top = name.partition(".")[0]
                if top in sys.stdlib_module_names or top == PACKAGE.name:
                    continue
                owner = next(
                    (AIRFLOW[prefix] for prefix in AIRFLOW if f"{name}.".startswith(f"{prefix}.")), None
                )
                (owner,) = [owner] if owner else set(distributions[top])
                found.add((str(file.relative_to(PACKAGE)), canonicalize_name(owner)))
    return found - BROUGHT


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def extra_of(file: str) -> str | None:
    return next((extra for extra, part in EXTRA_OF.items() if file.startswith(part)), None)


def test_every_dependency_is_imported_and_every_import_is_declared() -> None:
    assert names(DECLARED["dependencies"]) == {owner for file, owner in imported() if extra_of(file) is None}


@pytest.mark.parametrize("extra", EXTRA_OF)
def test_every_dependency_of_an_extra_is_imported_and_declared(extra: str) -> None:
    needed = {owner for file, owner in imported() if extra_of(file) == extra}
    assert names(DECLARED["optional-dependencies"][extra]) == needed - names(DECLARED["dependencies"])


def test_only_the_emulator_imports_its_extra() -> None:
    for file in PACKAGE.rglob("*.py"):
        if not file.is_relative_to(PACKAGE / "emulator"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    assert not (node.module or "").startswith(f"{PACKAGE.name}.emulator"), file


def test_undeclared_imports_are_still_used() -> None:
    for file, name in BROUGHT:
        assert name in (PACKAGE / file).read_text(encoding="utf-8")


def test_every_dependency_is_pinned() -> None:
    pinned = names((PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    extras = DECLARED["optional-dependencies"].values()
    wanted = names([*DECLARED["dependencies"], *(one for extra in extras for one in extra)])
    assert wanted - {DECLARED["name"]} <= pinned


def test_installed_package_is_this_checkout() -> None:
    assert len(list(Path(PACKAGE).rglob("*.py"))) > 50
