"""The matrix as a person uses it: views, filters, sorting, keyboard, screen reader, paper."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from harness.plan.row import Matrix
from harness.report import html
from harness.report.page import assets
from tests.report import sample, sample_explained
from tests.report.browser.conftest import OpenPage, serious_faults

FACE = "face_detection_full_range_sparse"


def grid(page: Page) -> Locator:
    return page.locator("#grid")


def cells(page: Page) -> Locator:
    return page.locator("#grid td[data-cell]")


def lines(page: Page) -> list[str]:
    """Models from top to bottom."""
    return page.locator("#grid tbody th a").all_inner_texts()


def cell(page: Page, model: str, column: int) -> Locator:
    row = page.locator("#grid tbody tr").filter(has=page.get_by_role("link", name=model, exact=True))
    return row.locator(f'td[data-column="{column}"]')


def address(page: Page) -> str:
    return str(page.evaluate("location.hash"))


def hostile_matrix() -> Matrix:
    hostile = sample_explained.HOSTILE
    matrix = sample.make_matrix()
    for row in matrix["cells"]:
        if row["device"] == "pixel-8":
            row |= {"device": hostile, "id": f"release::{row['model']}[{hostile}:{row['delegate']}]"}
        if row["model"] == "yamnet":
            row |= {"model": hostile, "reason": hostile}
    matrix["devices"][1] |= {"name": hostile, "adapter": hostile, "facts": {"model": hostile, hostile: hostile}}
    matrix["models"][-1]["name"] = hostile
    return matrix


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page(sample.make_matrix())


def test_every_cell_is_in_a_real_table(page: Page) -> None:
    expect(cells(page)).to_have_count(36)
    expect(grid(page)).to_have_attribute("aria-rowcount", str(2 + 2 + 6))
    expect(grid(page)).to_have_attribute("aria-colcount", "7")
    expect(page.get_by_role("grid", name="Matrix")).to_be_visible()
    expect(page.get_by_role("columnheader", name="gpu-fp16")).to_have_count(2)
    expect(page.get_by_role("rowheader", name="yamnet")).to_be_visible()
    positions = page.locator("#grid tr").evaluate_all(
        "rows => rows.filter(row => !row.ariaHidden).map(row => row.getAttribute('aria-rowindex'))"
    )
    assert positions == [str(number) for number in range(1, 11)]


def test_an_outcome_is_a_word_and_a_letter_in_every_view(page: Page) -> None:
    for view in ("outcome", "speed-up", "latency", "accuracy"):
        page.get_by_role("radio", name=view).check(force=True)
        failed = cell(page, FACE, 4)
        expect(failed).to_contain_text("FAIL")
        expect(failed.locator(".letter")).to_have_text("F")
        expect(cell(page, "yamnet", 1)).to_contain_text("ERROR")


def test_a_view_shows_its_figure_and_a_step_of_its_scale(page: Page) -> None:
    expect(cell(page, FACE, 1).locator(".value")).to_have_text("PASS")
    for view, text, step in (("speed-up", "0.016×", "d0"), ("latency", "234", "q4"), ("accuracy", "0.00011%", "q0")):  # noqa: RUF001
        page.get_by_role("radio", name=view).check(force=True)
        found = cell(page, FACE, 1)
        expect(found.locator(".value")).to_have_text(re.compile(re.escape(text[:3])))
        expect(found).to_have_class(re.compile(rf"\b{step}\b"))
    expect(cell(page, FACE, 4).locator(".value")).to_have_text("NaN/Inf")
    assert "view=accuracy" in address(page)


def test_a_cell_under_the_pointer_says_all_of_it(page: Page) -> None:
    cell(page, FACE, 4).hover()
    expect(cell(page, FACE, 4)).to_have_attribute(
        "title", re.compile("pixel-8, gpu-fp16\nFAIL\n.*NaN/Inf\n1240 output")
    )


def test_the_filter_takes_words_that_must_all_match(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("face pixel")
    expect(page.locator("#shown")).to_have_text("6 of 36 cells, 2 models on 1 device")
    assert lines(page) == ["blazeface_mlkit_v1", FACE]
    page.keyboard.press("Escape")
    expect(page.locator("#shown")).to_have_text("36 cells, 6 models on 2 devices")


def test_a_reason_and_a_mark_can_be_searched(page: Page) -> None:
    page.locator("#filter").fill("sigabrt")
    expect(page.locator("#shown")).to_have_text(re.compile("^2 of 36 cells"))
    page.locator("#filter").fill("waived")
    assert lines(page) == ["blazeface_mlkit_v1"]
    page.locator("#filter").fill("no such thing")
    expect(page.locator("#empty")).to_be_visible()
    page.locator("#empty button").click()
    expect(cells(page)).to_have_count(36)


def test_only_what_does_not_pass(page: Page) -> None:
    page.get_by_label("only not passing").check()
    expect(page.locator("#shown")).to_have_text("9 of 36 cells, 5 models on 2 devices")
    expect(page.locator("#grid td[data-cell]:not(.filtered)")).to_have_count(9)


def test_filters_by_outcome_device_delegate_kind_and_model(page: Page) -> None:
    page.get_by_text("More filters, sorting").click()
    page.locator("input[data-outcome=ERROR]").check()
    expect(page.locator("#shown")).to_have_text(re.compile("^2 of"))
    page.locator("input[data-outcome=TIMEOUT]").check()
    expect(page.locator("#shown")).to_have_text(re.compile("^3 of"))
    page.get_by_role("button", name="show all").first.click()
    page.locator("#choose-on").select_option("pixel-8")
    page.locator("#choose-by").select_option("gpu-fp32")
    expect(page.locator("#shown")).to_have_text("6 of 36 cells, 6 models on 1 device")
    page.locator("#choose-of").select_option("yamnet")
    expect(page.locator("#shown")).to_have_text("1 of 36 cells, 1 model on 1 device")
    page.get_by_role("button", name="show all").first.click()
    page.locator("#choose-kind").select_option("local")
    expect(page.locator("#shown")).to_have_text("18 of 36 cells, 6 models on 1 device")


def test_only_what_changed(open_page: OpenPage) -> None:
    page = open_page(sample_explained.explained())
    page.get_by_label("only changed").check()
    expect(page.locator("#shown")).to_have_text(re.compile("^4 of 56 cells"))
    page.locator("#since a[data-filter]").first.click()
    expect(page.locator("#shown")).to_have_text(re.compile("^2 of 56 cells"))
    expect(page.locator("#grid td:not(.filtered) .sign").first).to_contain_text("worse than in the baseline")


def test_a_number_of_the_banner_shows_its_cells(page: Page) -> None:
    page.locator(".counts .fail a").click()
    expect(page.locator("#shown")).to_have_text(re.compile("^3 of 36"))
    page.go_back()
    expect(page.locator("#shown")).to_have_text("36 cells, 6 models on 2 devices")


def test_a_heading_sorts_up_down_and_not_at_all(page: Page) -> None:
    page.get_by_label("group by family").evaluate("box => box.click()")
    page.get_by_role("radio", name="latency").check(force=True)
    heading = page.locator('#grid th[data-column="0"]')
    planned = lines(page)
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    figures = [float(text) for text in page.locator('#grid td[data-column="0"] .value').all_inner_texts()]
    assert figures == sorted(figures)
    expect(heading.get_by_role("button")).to_be_focused()
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert lines(page)[0] == "deeplabv3_257_mv_gpu"
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "none")
    assert lines(page) == planned


def test_models_are_sorted_by_name_and_by_trouble(page: Page) -> None:
    page.get_by_text("More filters, sorting").click()
    page.get_by_label("group by family").uncheck()
    page.locator("#choose-sort").select_option("-model")
    assert lines(page) == sorted(lines(page), reverse=True)
    page.locator("#choose-sort").select_option("worst")
    assert lines(page)[0] == FACE
    page.locator("#choose-cols").select_option("worst")
    expect(page.locator("#grid th.device").first).to_contain_text("pixel-8")


def test_models_of_a_family_stand_together(page: Page) -> None:
    families = page.locator("#grid tr.family th")
    assert families.all_inner_texts() == [
        "mobilenet 2 models, 1 cell not passing",
        "other models 4 models, 8 cells not passing",
    ]
    assert lines(page)[:2] == ["mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224_quant"]


def test_twins_stand_together_under_their_model(open_page: OpenPage) -> None:
    rows = [sample.cell_row("m", device, "cpu") for device in ("a1", "b1", "a2", "b2")]
    matrix = sample.matrix_of(rows)
    for device in matrix["devices"]:
        device["facts"] = {"model": f"Phone {device['name'][0].upper()}"}
    page = open_page(matrix)
    assert page.locator("#grid th.group").all_inner_texts() == ["android, Phone A", "android, Phone B"]
    assert page.locator("#grid th.device a").all_inner_texts() == ["a1", "a2", "b1", "b2"]


def test_the_matrix_is_one_tab_stop_with_arrow_keys_inside(page: Page) -> None:
    expect(page.locator('#grid [tabindex="0"]')).to_have_count(1)
    page.locator('#grid [tabindex="0"]').focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowDown")
    expect(cell(page, "mobilenet_v1_1.0_224", 0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(cell(page, "mobilenet_v2_1.0_224_quant", 1)).to_be_focused()
    page.keyboard.press("End")
    expect(cell(page, "mobilenet_v2_1.0_224_quant", 5)).to_be_focused()
    page.keyboard.press("Home")
    expect(grid(page).get_by_role("link", name="mobilenet_v2_1.0_224_quant")).to_be_focused()
    page.keyboard.press("Control+End")
    expect(cell(page, "yamnet", 5)).to_be_focused()
    expect(page.locator('#grid [tabindex="0"]')).to_have_count(1)


def test_enter_opens_a_cell_escape_leads_back_to_it(page: Page) -> None:
    cell(page, FACE, 2).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert "cell=" in address(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(cell(page, FACE, 2)).to_be_focused()
    assert "cell=" not in address(page)


def test_an_address_brings_back_view_filter_sorting_and_cell(open_page: OpenPage) -> None:
    wanted = "view=latency&only=failing&sort=-model&group=off&cell=release%3A%3Ayamnet%5Bpixel-8%3Agpu-fp16%5D"
    page = open_page(sample.make_matrix(), address=wanted)
    expect(page.get_by_role("dialog")).to_contain_text("10 of 47 operations do not run on the GPU")
    expect(page.get_by_role("radio", name="latency", include_hidden=True)).to_be_checked()
    assert lines(page) == sorted(lines(page), reverse=True)
    expect(page.locator("#grid td[data-cell]:not(.filtered)")).to_have_count(9)


def test_filter_results_are_announced(page: Page) -> None:
    expect(page.locator("#shown")).to_have_attribute("role", "status")
    page.locator("#filter").fill("yamnet")
    expect(page.get_by_role("status").filter(has_text="6 of 36 cells")).to_be_attached()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["outcome", "speedup", "latency", "accuracy"])
def test_axe_finds_no_serious_fault(open_page: OpenPage, scheme: str, view: str) -> None:
    page = open_page(sample_explained.explained(), address=f"view={view}", color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    assert serious_faults(page) == []


def test_a_phone_s_screen_is_not_scrolled_sideways(open_page: OpenPage) -> None:
    page = open_page(sample.make_matrix(), viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_text(open_page: OpenPage) -> None:
    page = open_page(hostile_matrix())
    title = page.title()
    for view in ("speed-up", "latency", "accuracy"):
        page.get_by_role("radio", name=view).check(force=True)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.locator("#filter").fill("<script>")
    expect(page.locator("#grid th.device", has_text="<script>")).to_have_count(1)
    cells(page).last.click()
    expect(page.get_by_role("dialog")).to_contain_text("<script>")
    assert page.title() == title
    assert page.locator("img, script[src]").count() == 0


def test_a_browser_that_cannot_unpack_says_where_the_data_are(chromium: Browser, tmp_path: Any) -> None:
    file = tmp_path / "index.html"
    file.write_text(html.render(sample.make_matrix()), encoding="utf-8")
    with chromium.new_context() as context:
        context.add_init_script("delete window.DecompressionStream")
        page = context.new_page()
        page.goto(file.as_uri())
        expect(page.locator("#trouble")).to_contain_text("matrix.csv")
        expect(page.get_by_role("heading", level=1)).to_have_text("FAIL")


def test_a_browser_without_registered_properties_measures_the_matrix(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = open_page(sample.make_matrix()).evaluate("H.grid.size")
    style = re.sub(r"@property[^}]*}", "", assets.style())
    monkeypatch.setattr(assets, "style", lambda: style)
    assert open_page(sample.make_matrix()).evaluate("H.grid.size") == pytest.approx(usual, abs=0.1)


def test_without_javascript_the_verdict_and_what_does_not_pass_are_there(chromium: Browser, tmp_path: Any) -> None:
    file = tmp_path / "index.html"
    file.write_text(html.render(sample.make_matrix()), encoding="utf-8")
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(file.as_uri())
        expect(page.get_by_role("heading", level=1)).to_have_text("FAIL")
        expect(page.locator("#interactive")).to_be_hidden()
        page.locator("#not-passing summary").first.click()
        expect(page.locator("#not-passing tbody tr").first).to_be_visible()
        expect(page.get_by_text("need JavaScript")).to_be_visible()
