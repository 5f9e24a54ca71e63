"""The site that `make docs` builds."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.browsers import find_chromium, open_page
from tests.support.pages import PAGES, PROJECT
from tests.support.public_api import CLASSES, arguments

BUILD_SECONDS = 240
VENV = Path(sys.executable).parents[1]

# Markup that was not rendered.
RAW = re.compile(
    r":(?:param|raises|return|class|data|meth|mod|func)\b[^`\n]{0,40}:|``|_input\(|DEFAULT_[A-Z]|\bFORMATS\b"
)
FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"([^\"]+)\"|<link[^>]+href=\"([^\"]+)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (VENV / "bin" / "uv").exists():
        pytest.skip("needs the environment of `make venv`")
    folder = tmp_path_factory.mktemp("site")
    stamp = f"{VENV}/.installed"
    result = subprocess.run(
        ["make", "--old-file", stamp, f"VENV={VENV}", f"SITE={folder}", "docs"],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def texts(site: Path) -> dict[str, str]:
    """Return the text of each page without its code blocks."""
    found = {}
    for page in site.rglob("*.html"):
        shown = re.sub(
            r"<(script|style|pre)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        found[str(page.relative_to(site))] = html.unescape(re.sub(r"<[^>]+>", "", shown))
    return found


@pytest.mark.slow
def test_site_has_every_page(site: Path) -> None:
    pages = {page.relative_to(PROJECT / "docs").with_suffix(".html") for page in PAGES[1:]}
    assert pages | {Path("404.html")} == {page.relative_to(site) for page in site.rglob("*.html")}
    navigation = (site / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{page}"' in navigation for page in pages)


@pytest.mark.slow
def test_site_has_no_unrendered_markup(site: Path) -> None:
    for page, text in texts(site).items():
        assert not RAW.findall(text), page


@pytest.mark.slow
def test_site_loads_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        for found in FETCHED.findall(page.read_text(encoding="utf-8")):
            assert not any(re.match(r"(https?:)?//", url) for url in found), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.slow
def test_search_works_from_the_disk(site: Path, tmp_path: Path) -> None:
    with open_page(find_chromium(), tmp_path) as page:
        page.goto((site / "index.html").as_uri())
        # Typed key by key: the search ignores a value that is set at once.
        page.get_by_placeholder("Search").press_sequentially("requests_per_minute")
        page.locator(".md-search-result__item a[href*='connection.html']").first.click()
        page.wait_for_url(lambda url: urlsplit(url).path == f"{site}/connection.html")


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_reference_shows_every_argument_with_its_type(site: Path, name: str) -> None:
    sections = "".join(
        page.read_text(encoding="utf-8") for page in sorted((site / "reference").glob("*.html"))
    ).split('<h2 id="airflow_provider')
    (section,) = [one for one in sections if re.match(rf'[\w.]+\.{name}"', one)]
    listed = html.unescape(re.sub(r"<[^>]+>", "", section))
    for argument in arguments(CLASSES[name]):
        # Arguments that a base describes are not listed again.
        if f":param {argument}:" in str(CLASSES[name].__doc__):
            assert re.search(rf"^\s*{argument}\s+\(\S", listed, re.MULTILINE), argument
