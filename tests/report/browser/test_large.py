"""A large lab: the page holds what is in view, and everything can be found. benchmarks/report.py times 60,000 cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.report import html
from tests.report.browser.conftest import PATIENCE_MS
from tests.report.large import make_large

MOST_NODES = 20_000
DEVICES = 60
CELLS = 100 * DEVICES * 3
FAR = 10_000
"""Pixels to the right: beyond the first screen, before the last one."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "index.html"
    file.write_text(html.render(make_large(devices=DEVICES, samples=10)), encoding="utf-8")
    return file


@pytest.fixture
def page(chromium: Browser, report: Path) -> Iterator[Page]:
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-panels=ready]", state="attached")
        yield page


def nodes(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('*').length"))


def test_only_what_is_in_view_is_drawn_and_the_table_says_how_large_it_is(page: Page) -> None:
    expect(page.locator("#shown")).to_have_text(f"{CELLS:,} cells, 100 models on {DEVICES} devices")
    expect(page.locator("#grid")).to_have_attribute("aria-colcount", str(1 + DEVICES * 3))
    expect(page.locator("#grid")).to_have_attribute("aria-rowcount", str(3 + 10 + 100))
    assert nodes(page) < MOST_NODES
    assert 100 < page.locator("#grid td[data-cell]").count() < 2000


def test_scrolling_draws_what_comes_into_view_and_drops_what_leaves(page: Page) -> None:
    page.evaluate(f"document.getElementById('scroller').scrollTo({FAR}, 1500)")
    column = page.evaluate(f"Math.ceil({FAR} / H.grid.size.column)")
    expect(page.locator(f"#grid td[data-column='{column}']").first).to_be_attached()
    expect(page.locator("#grid td[aria-colindex='2']")).to_have_count(0)
    assert nodes(page) < MOST_NODES
    widths = page.evaluate(
        "[document.getElementById('grid').offsetWidth, document.getElementById('scroller').scrollWidth]"
    )
    assert widths[0] == widths[1]


def test_headings_stand_over_their_columns(page: Page) -> None:
    page.evaluate(f"document.getElementById('scroller').scrollTo({FAR}, 1500)")
    expect(page.locator("#grid td[data-column='2']")).to_have_count(0)
    script = """() => {
        const left = (element) => Math.round(element.getBoundingClientRect().left);
        return [...document.querySelectorAll('#grid th.device, #grid th.delegate')].map((heading) => {
            const column = heading.getAttribute('aria-colindex');
            return left(heading) - left(document.querySelector(`#grid td[aria-colindex="${column}"]`));
        });
    }"""
    assert set(page.evaluate(script)) == {0}


def test_keys_reach_the_last_cell(page: Page) -> None:
    page.locator('#grid [tabindex="0"]').focus()
    page.keyboard.press("Control+End")
    last = page.locator(f"#grid td[aria-colindex='{1 + DEVICES * 3}']:focus")
    expect(last).to_have_count(1)
    page.keyboard.press("Control+Home")
    expect(page.locator("#grid tr[data-row='0'] :focus, #grid tr[data-row='0'] th:focus")).to_have_count(1)


def test_focus_survives_scrolling_away_and_keys_lead_back(page: Page) -> None:
    page.locator("#grid td[data-column='1']").first.focus()
    page.evaluate(f"document.getElementById('scroller').scrollTo({FAR}, 1500)")
    expect(page.locator("#grid td[data-column='1']")).to_have_count(0)
    expect(page.locator("#scroller")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#grid td[data-column='2']:focus")).to_have_count(1)


def test_a_filter_finds_one_device_of_many(page: Page) -> None:
    page.locator("#filter").fill("phone-b-0009 gpu-fp16")
    expect(page.locator("#shown")).to_have_text(f"100 of {CELLS:,} cells, 100 models on 1 device")
    assert page.locator("#grid td[data-cell]").count() == 100
    page.locator("#filter").fill("")
    expect(page.locator("#shown")).to_have_text(f"{CELLS:,} cells, 100 models on {DEVICES} devices")
    assert nodes(page) < MOST_NODES


def test_a_cell_of_the_last_chunk_is_unpacked_on_demand(page: Page) -> None:
    row = page.evaluate(f"H.cell({CELLS - 1})")
    assert row["id"] == page.evaluate(f"H.id({CELLS - 1})")
    assert "unet_v10" in row["model"]


def test_too_large_a_matrix_is_not_printed_and_that_is_said(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#paper")).to_contain_text("up to 4000 are printed")
    expect(page.locator("#paper td")).to_have_count(0)
