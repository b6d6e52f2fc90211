"""A real Chromium for the tests of the pages, and what every page must hold: no console error, nothing blocked.

What is decided here: one browser per module, one context per test; screenshots are kept under `.artefacts/`, which
git ignores, because a person has to look at them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import engine

ARTEFACTS = Path(__file__).parents[2] / ".artefacts"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; skips (in CI: fails) where it can't be installed."""
    engine.need("chromium")
    path = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page and what its console said. `clean` must be empty at the end of every test."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.base = base
        self.said: list[str] = []
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.said.append(f"exception: {error}"))
        self.page.on(
            "dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.said.append(f"{kind}: {text}")

    def open(self, path: str) -> Page:
        """Go there."""
        self.page.goto(self.base + path)
        return self.page

    def keep(self, name: str, *, full: bool = True) -> Path:
        """A screenshot, kept for people to look at."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=full)
        return path


@contextmanager
def watched(browser: Browser, base: str, **options: Any) -> Iterator[Watched]:
    """A page in a context of its own, in which nothing may have been complained about at the end."""
    options = {
        "viewport": DESKTOP,
        "reduced_motion": "reduce",
        "timezone_id": "UTC",
        "locale": "en-GB",
        **options,
    }
    context = browser.new_context(**options)
    try:
        found = Watched(context, base)
        yield found
        assert found.said == []
    finally:
        context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser. Not for the session: Playwright keeps an event loop running, which tests of coroutines can't have."""
    with chromium() as found:
        yield found
