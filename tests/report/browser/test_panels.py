"""The panels below the matrix: changes, what was not measured, waivers, operations, health."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.report import sample, sample_explained
from tests.report.browser.conftest import OpenPage, opener, serious_faults
from tests.report.sample_explained import EXPLAINED, TWINS

PANELS = ["changes", "not-run", "waivers", "health", "conformance"]


def finished(page: Page) -> Page:
    """Panels come when the browser has time for them."""
    page.wait_for_selector("html[data-panels=ready]", state="attached")
    return page


def panel(page: Page, name: str) -> Locator:
    return page.locator(f"#panels > section#{name}")


@pytest.fixture(scope="module")
def read(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opener(chromium, tmp_path_factory.mktemp("read")) as open_it:
        yield finished(open_it(sample_explained.explained()))


def test_a_panel_is_there_only_if_it_has_something_to_say(read: Page, open_page: OpenPage) -> None:
    shown = "[...document.querySelectorAll('#panels > section')].map((one) => one.id)"
    assert read.evaluate(shown) == PANELS
    clean = finished(open_page(sample.matrix_of([sample.cell_row()])))
    assert clean.evaluate(shown) == []


def test_changes_have_before_now_and_how_many_times(read: Page) -> None:
    worse = panel(read, "changes").get_by_role("table", name="cells that are worse").locator("tbody tr")
    expect(worse).to_have_count(2)
    # The worst outcome is first.
    for text in ("blazeface_mlkit_v1", "PASS", "FAIL", "1.31×", "1.31 times as slow"):  # noqa: RUF001
        expect(worse.first).to_contain_text(text)
    for text in ("Better 1", "New (1)", "Gone (1)"):
        expect(panel(read, "changes")).to_contain_text(text)


def test_what_was_not_measured_is_grouped_by_its_reason(open_page: OpenPage) -> None:
    lost = [
        sample.cell_row(model, "pixel-8", delegate, outcome="NOT_RUN", reason="pixel-8 was lost", median_us=None)
        for model in sample.MODELS
        for delegate in sample.DELEGATES
    ]
    other = sample.cell_row("yamnet", "this-machine", "cpu", outcome="TIMEOUT", reason="no result", median_us=None)
    page = finished(open_page(sample.matrix_of([other, *lost])))
    rows = panel(page, "not-run").locator(".scroll > table > tbody > tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="pixel-8 was lost")).to_contain_text("18")
    # A long list shows its first cells, and the others on demand.
    group = rows.filter(has_text="pixel-8 was lost")
    expect(group.locator("li")).to_have_count(6)
    group.get_by_role("button", name="Show all 18").click()
    expect(group.locator("li")).to_have_count(18)


def test_waivers_show_their_status_owner_scope_and_cells(read: Page) -> None:
    rows = panel(read, "waivers").locator("tbody tr")
    assert [row.locator("td").first.inner_text() for row in rows.all()] == [
        "expired",
        "matches nothing",
        "used",
        "not needed",
    ]
    used = rows.filter(has_text="W-12")
    for text in ("vision team", "VIS-12", "2026-12-31", "model *blazeface*, delegate gpu-fp16", "waivers.yaml:3"):
        expect(used).to_contain_text(text)
    expect(used.get_by_role("link")).to_contain_text("blazeface_mlkit_v1[pixel-8-a:gpu-fp16]")


def test_operations_show_the_worst_case_and_open_the_others(open_page: OpenPage) -> None:
    page = finished(open_page(sample_explained.explained()))
    table = panel(page, "conformance").locator("table.conformance")
    names = table.locator("> tbody > tr > th").all_inner_texts()
    assert names == ["CONV_2D", "GATHER", "SOFTMAX", "ADD"]
    field = table.get_by_role("button", name=f"CONV_2D on {TWINS[2]}, gpu-fp16: wrong, 1 of 2 cases")
    field.press("Enter")
    expect(field).to_have_attribute("aria-expanded", "true")
    cases = table.get_by_role("table", name="cases of this operation").locator("tbody tr")
    expect(cases).to_have_count(2)
    expect(cases.first).to_contain_text("large")
    cases.first.get_by_role("link", name="open").click()
    expect(page.get_by_role("dialog")).to_have_accessible_name("blazeface_mlkit_v1")
    page.keyboard.press("Escape")
    field.press("Enter")
    expect(cases).to_have_count(0)  # what is hidden has no role


def test_many_devices_show_those_in_trouble_first(open_page: OpenPage) -> None:
    matrix = sample_explained.explained()
    entry = matrix["conformance"][0]
    matrix["conformance"] = [
        {**entry, "device": f"unit-{number}", "verdict": "crashes" if number == 39 else "exact"} for number in range(40)
    ]
    page = finished(open_page(matrix))
    heads = panel(page, "conformance").locator("table.conformance > thead th")
    expect(heads).to_have_count(1 + 24)
    expect(heads.nth(1)).to_contain_text("unit-39")


def test_every_cell_of_a_panel_opens_its_drawer(open_page: OpenPage) -> None:
    page = finished(open_page(sample_explained.explained()))
    panel(page, "changes").get_by_role("link", name="blazeface_mlkit_v1").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(EXPLAINED)


def test_axe_finds_no_serious_fault_in_the_panels(open_page: OpenPage) -> None:
    page = finished(open_page(sample_explained.explained()))
    panel(page, "conformance").get_by_role("button").first.click()
    assert serious_faults(page, "#panels") == []
    page.emulate_media(color_scheme="dark")
    assert serious_faults(page, "#panels", rules=["color-contrast"]) == []


def test_text_in_panels_stays_text(open_page: OpenPage) -> None:
    page = finished(open_page(sample_explained.hostile()))
    panels = page.locator("#panels")
    expect(panels).to_contain_text("<script>document.title")
    assert panels.locator("script, img").count() == 0
    assert "harmed" not in page.title()
