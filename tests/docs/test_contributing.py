"""The pages for contributors name files, tests and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_online_tasks import __file__ as front_door
from tests.support.pages import DOCS, PROJECT

PAGES = (
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "SECURITY.md",
    DOCS / "architecture.md",
    DOCS / "releasing.md",
)
PACKAGE = Path(front_door).parent
FILE = re.compile(r"`([\w./-]+(?:/|\.py|\.md|\.toml|\.yml|\.graphql))`")
PLACEHOLDERS = {"docs/NAME.md", "dist/"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8"))) - PLACEHOLDERS
    assert {name for name in named if not any((root / name).exists() for root in (PROJECT, PACKAGE))} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert {target for target in targets if not (page.parent / target).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = re.findall(
        r"(?:`|^)make ([a-z -]+?)(?:`| +#|$)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {word for command in commands for word in command.split()} <= targets
