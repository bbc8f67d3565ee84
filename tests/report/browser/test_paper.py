"""The page on paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.report import sample
from tests.report.browser.conftest import OpenPage


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page(sample.make_matrix())


def on_paper(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def test_what_does_not_pass_comes_before_the_whole_matrix(page: Page) -> None:
    on_paper(page)
    expect(page.locator("#paper td[data-cell]")).to_have_count(36)
    expect(page.locator("#not-passing tbody tr").first).to_be_visible()
    expect(page.locator("#interactive")).to_be_hidden()
    order = "(before, after) => before.compareDocumentPosition(after) & Node.DOCUMENT_POSITION_FOLLOWING"
    assert page.evaluate(f"({order})(document.getElementById('not-passing'), document.getElementById('paper'))")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#paper td")).to_have_count(0)
    expect(page.locator("#not-passing details").first).not_to_have_attribute("open", "")


def test_printing_fills_the_paper_and_makes_a_pdf(page: Page) -> None:
    page.evaluate("addEventListener('afterprint', () => { document.title = 'printed'; })")
    page.evaluate(
        "addEventListener('beforeprint', () => { window.fields = document.querySelectorAll('#paper td').length; })"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    assert page.evaluate("window.fields") == 36


def test_paper_shows_what_the_screen_shows(page: Page) -> None:
    page.get_by_role("radio", name="latency").check(force=True)
    page.locator("#filter").fill("yamnet")
    on_paper(page)
    expect(page.locator("#paper td[data-cell]")).to_have_count(6)
    expect(page.locator("#paper p")).to_contain_text("Shown: latency. 6 of 36 cells")


def test_a_wide_matrix_is_cut_into_tables_that_fit_a_sheet(open_page: OpenPage) -> None:
    rows = [sample.cell_row("m", f"device-{number}", name) for number in range(9) for name in sample.DELEGATES]
    page = open_page(sample.matrix_of(rows))
    on_paper(page)
    widths = page.locator("#paper table").evaluate_all(
        "tables => tables.map(table => table.tBodies[0].rows[0].cells.length - 1)"
    )
    assert widths == [12, 12, 3]
    expect(page.locator("#paper th.device")).to_have_count(9)


def test_dark_screens_print_black_on_white(open_page: OpenPage) -> None:
    page = open_page(sample.make_matrix(), color_scheme="dark")
    on_paper(page)
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
