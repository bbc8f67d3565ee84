"""The page in a real Chromium, from disk, as a reader opens it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from harness.plan.row import Matrix
from harness.report import html

PATIENCE_MS = 60_000
"""For a busy computer of two cores; whatever is waited for comes within a second on an idle one."""


class OpenPage(Protocol):
    """Opens the report of a matrix; `address` is what follows the # of its address."""

    def __call__(self, matrix: Matrix, *, address: str = "", **context: Any) -> Page: ...


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module: while Playwright's loop runs, no other test can have a loop of its own."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if os.environ.get("HARNESS_CI") else pytest.skip)("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Pages are closed after the test, which fails if one of them logged an error or broke its own policy."""
    with opener(chromium, tmp_path) as open_it:
        yield open_it


@contextlib.contextmanager
def opener(chromium: Browser, folder: Path) -> Iterator[OpenPage]:
    """What `open_page` gives, for fixtures that several tests share."""
    troubles: list[str] = []
    contexts = []

    def open_it(matrix: Matrix, *, address: str = "", **context: Any) -> Page:
        file = folder / "index.html"
        file.write_text(html.render(matrix), encoding="utf-8")
        options = {"viewport": {"width": 1280, "height": 900}, **context}
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", _keep_errors(troubles))
        page.goto(file.as_uri() + (f"#{address}" if address else ""))
        page.wait_for_selector("html[data-state=ready]", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert troubles == []


def _keep_errors(troubles: list[str]) -> Callable[[ConsoleMessage], None]:
    def keep(message: ConsoleMessage) -> None:
        absent = message.location["url"].endswith(".png")  # a picture that is not beside the page, which is allowed
        if message.type == "error" and not absent:
            troubles.append(message.text)

    return keep


def serious_faults(page: Page, within: str | None = None, *, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds that is serious or critical, one line each.

    Args:
        page: that is looked at.
        within: selector of the part to look at; all of it by default.
        rules: the only ones to be held; all by default.
    """
    options = {"runOnly": rules} if rules else None
    found = Axe().run(page, within, options).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:4]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
