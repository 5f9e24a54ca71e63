"""A headless Chromium."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # Chromium has no sandbox as root; the tests only visit loopback addresses
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 90_000  # milliseconds: longer than a page takes on a busy machine


def find_chromium() -> str:
    """Return the path of a browser, or skip the test."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(f"None of {', '.join(CHROMIUM)} is installed.")
    return found


@contextmanager
def open_page(chromium: str, profile: Path, **context: Any) -> Iterator[Page]:
    """Start the browser and yield its page."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=FLAGS,
            **{"locale": "en-GB", "timezone_id": "UTC", **context},
        )
        opened.set_default_timeout(PATIENCE)
        yield opened.pages[0]
        opened.close()
