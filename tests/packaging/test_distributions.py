"""What a release holds: all that a user needs, and nothing that is only ours."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet

from tests.support.pages import PROJECT
from tests.support.uv_runner import CONSTRAINTS, Built, uv

if TYPE_CHECKING:
    from email.message import Message


PACKAGE = PROJECT / "airflow_provider_online_tasks"
DATA = {"api/schema.graphql", "emulator/spans/sample_spans.jsonl"}
TEST_SECONDS = 900


@pytest.fixture(scope="module")
def in_wheel(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(name))


@pytest.fixture
def sdist(built: Built, tmp_path: Path) -> Path:
    """The unpacked sdist."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    return folder


def test_wheel_contains_the_package_and_its_metadata(in_wheel: set[str]) -> None:
    ours = {
        str(file.relative_to(PROJECT))
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    kinds = {Path(name).suffix for name in ours}
    page = {".html", ".js", ".css", ".svg", ".LICENSE"}  # of the Evals page
    assert kinds == {".py", ".typed", ".graphql", ".json", ".jsonl", ".md"} | page
    assert {f"{PACKAGE.name}/{name}" for name in DATA} < ours
    about = {name for name in in_wheel if ".dist-info/" in name}
    assert in_wheel - about == ours
    assert {name.partition(".dist-info/")[2] for name in about} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE",
        "licenses/airflow_provider_online_tasks/ui/evals/www/uPlot.LICENSE",
    }  # fmt: skip


def test_wheel_is_typed_and_pure(in_wheel: set[str], built: Built) -> None:
    assert f"{PACKAGE.name}/py.typed" in in_wheel
    assert built.wheel.name.endswith("-py3-none-any.whl")


def test_metadata_lists_supported_versions(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier", [])
    assert {"Framework :: Apache Airflow", "Framework :: Apache Airflow :: Provider", "Typing :: Typed"} <= {
        *classifiers
    }
    python = "Programming Language :: Python :: "
    versions = [one.removeprefix(python) for one in classifiers if one.startswith(f"{python}3.")]
    assert versions == ["3.11", "3.12", "3.13"]
    assert all(version in SpecifierSet(metadata["Requires-Python"]) for version in versions)
    # With the license of uPlot, which the Evals page contains.
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    assert len(metadata.get_all("License-File", [])) == 2
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_project_urls_appear_in_the_code(metadata: Message) -> None:
    urls = [url.partition(", ")[2] for url in metadata.get_all("Project-URL", [])]
    assert urls
    code = "".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    assert all(url in code for url in urls)


@pytest.mark.slow
def test_sdist_contains_what_its_tests_need(sdist: Path) -> None:
    """The wheel under test was built from the sdist; so its tests can be run from it as well."""
    quick = [
        "tests/docs/test_arguments.py",
        "tests/docs/test_code_blocks.py",
        "tests/unit/inputs/test_seed_page.py",
    ]
    assert not list(sdist.rglob("*.pyc"))
    collected = run_pytest(sdist, "--collect-only", "-q")
    assert "error" not in collected.splitlines()[-1], collected
    assert "failed" not in run_pytest(sdist, "-q", *quick).splitlines()[-1]


def run_pytest(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return result.stdout


def test_long_description_renders(built: Built) -> None:
    uv(
        "tool", "run", "--python", sys.executable, "--constraints", CONSTRAINTS,
        "twine", "check", "--strict", built.wheel, built.sdist,
        timeout=TEST_SECONDS,
    )  # fmt: skip
