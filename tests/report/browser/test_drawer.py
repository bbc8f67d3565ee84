"""The drawer of a cell, a device and a model, as a person uses it: mouse, keyboard, screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from harness.plan.row import HistoryRow, LatencySummaryRow
from harness.report import reasons
from tests.report import sample, sample_explained
from tests.report.browser.conftest import OpenPage, opener, serious_faults
from tests.report.sample_explained import EXPLAINED, TWINS

STATED = LatencySummaryRow(
    count=50, min_us=1_100, max_us=1_900, mean_us=1_240, stdev_us=40, median_us=1_230, p5_us=1_110, p95_us=1_500
)
CELL = urlencode({"cell": EXPLAINED})


def drawer(page: Page) -> Locator:
    return page.get_by_role("dialog")


def part(page: Page, title: str) -> Locator:
    heading = page.get_by_role("heading", name=title, exact=False)
    return drawer(page).locator("section.part").filter(has=heading).first


@pytest.fixture(scope="module")
def read(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The same cell for all tests that only read it."""
    with opener(chromium, tmp_path_factory.mktemp("read")) as open_it:
        page = open_it(sample_explained.explained(), address=CELL)
        expect(drawer(page)).to_be_visible()
        yield page


@pytest.fixture
def cell(open_page: OpenPage) -> Page:
    page = open_page(sample_explained.explained(), address=CELL)
    expect(drawer(page)).to_be_visible()
    return page


def test_a_link_opens_the_cell_and_its_drawer_says_why(read: Page) -> None:
    expect(drawer(read)).to_have_accessible_name("blazeface_mlkit_v1")
    matrix = sample_explained.explained()
    (row,) = (row for row in matrix["cells"] if row["id"] == EXPLAINED)
    text = drawer(read).inner_text()
    for words in (
        "off by 3.4% of the output's range",
        f"Next: {reasons.advice(row, matrix['delegates'])}",
        "Waiver W-12, vision team, until 2026-12-31",
        "the outputs look like those of an earlier cell",
    ):
        assert words in text


def test_gates_have_limits_values_and_bars(read: Page) -> None:
    rows = part(read, "Gates").locator("tbody tr")
    expect(rows).to_have_count(4)
    failing = rows.filter(has_text="max_abs_of_range")
    for text in ("≤ 0.02", "0.034", "FAIL", "waived by W-12"):
        expect(failing).to_contain_text(text)
    expect(failing.get_by_role("img")).to_have_accessible_name("0.034, at most 0.02 allowed")
    expect(rows.filter(has_text="speedup")).to_contain_text("≥ 1.5")


def test_charts_are_drawn_and_have_their_figures_as_text(read: Page) -> None:
    latency = part(read, "Latency")
    charts = latency.get_by_role("img")
    expect(charts).to_have_count(3)
    names = [str(chart.get_attribute("aria-label")) for chart in charts.all()]
    assert names[0].startswith("Distribution of 150 timed runs from ")
    assert "30.5 °C at the start, 38 °C at the end" in names[1]
    assert names[2].startswith("Median latency over 2 runs")
    for number in range(3):
        charts.nth(number).scroll_into_view_if_needed()
        read.wait_for_function(f"Chart.getChart(document.querySelectorAll('.drawer canvas')[{number}]) !== undefined")
    latency.get_by_text("Figures as a table").nth(1).click()
    rounds = latency.get_by_role("table", name="Run by run").locator("tbody tr")
    expect(rounds).to_have_count(3)
    expect(rounds.nth(2)).to_contain_text("36.5 °C")


def test_accuracy_has_outputs_samples_references_and_what_is_not_finite(read: Page) -> None:
    judged = drawer(read).locator("section.part").filter(has_text="against golden")
    expect(judged.get_by_role("table").first.locator("tbody tr")).to_have_count(3)
    expect(judged).to_contain_text("measured 2 NaN, 0 infinite; reference 0 NaN, 0 infinite")
    expect(judged).to_contain_text("sample 1 [0, 1, 1]; sample 1 [0, 895, 15]")
    judged.get_by_text("Each sample (3)").click()
    expect(judged.get_by_role("table", name="accuracy of each sample").locator("tbody tr")).to_have_count(6)
    beside = drawer(read).locator("section.part").filter(has_text="against the CPU of the same device")
    expect(beside).to_contain_text("not judged, for comparison")
    expect(part(read, "Whose error")).to_contain_text("the delegate's error: the device's CPU agrees")


def test_delegation_has_the_prediction_beside_what_happened(read: Page) -> None:
    delegation = part(read, "Delegation")
    for text in (
        "GPU 160/164 nodes, 3 partitions",
        "not as predicted",
        "162 of 164",
        "indices are not constant",
        "PAD",
    ):
        expect(delegation).to_contain_text(text)


def test_localisation_names_the_culprit_and_links_its_reproduction(read: Page) -> None:
    found = part(read, "Where it goes wrong")
    for text in ("One operation is the culprit", "#57 DEPTHWISE_CONV_2D", "0.041%", "3.1%", "11 invocations"):
        expect(found).to_contain_text(text)
    assert str(found.get_by_role("link").get_attribute("href")).endswith("bundle.zip")
    found.get_by_text("Figures as a table").click()
    expect(found.locator("tbody tr")).to_have_count(7)


def test_pictures_come_from_the_folder_beside_the_page(open_page: OpenPage, tmp_path: Path) -> None:
    matrix = sample_explained.explained()
    for row in matrix["cells"]:
        for path in row["artifacts"]:
            if path.endswith("reference.png"):
                (tmp_path / path).parent.mkdir(parents=True)
                Image.new("RGB", (8, 6)).save(tmp_path / path)
    page = open_page(matrix, address=CELL)
    pictures = part(page, "Pictures")
    pictures.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.pictures img')?.naturalWidth === 8")
    # The two others are absent, as in a page that was sent alone.
    expect(pictures.get_by_text("not beside this page")).to_have_count(2)


def test_the_command_is_copied(cell: Page) -> None:
    cell.context.grant_permissions(["clipboard-read", "clipboard-write"])
    drawer(cell).get_by_role("button", name="Copy the command").click()
    expect(drawer(cell).get_by_text("copied", exact=True)).to_be_visible()
    assert cell.evaluate("navigator.clipboard.readText()").startswith("./delegate_bench --model blazeface")


def test_the_command_is_copied_where_the_clipboard_is_refused(cell: Page) -> None:
    cell.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    button = drawer(cell).get_by_role("button", name="Copy the command")
    button.click()
    expect(drawer(cell).get_by_text("copied", exact=True)).to_be_visible()
    expect(button).to_be_focused()


def test_arrows_lead_to_the_cells_beside_it_in_the_order_of_the_matrix(cell: Page) -> None:
    order = cell.evaluate("H.visibleCells().map(H.id)")
    place = order.index(EXPLAINED)
    expect(drawer(cell)).to_contain_text(f"{place + 1} of {len(order)} cells")
    cell.keyboard.press("ArrowRight")
    expect(drawer(cell)).to_contain_text(f"{place + 2} of {len(order)} cells")
    assert order[place + 1] in unquote(cell.url)
    drawer(cell).get_by_role("button", name="Previous").click()
    expect(drawer(cell)).to_contain_text(f"{place + 1} of {len(order)} cells")


def test_the_focus_stays_inside_and_goes_back_to_where_it_was(open_page: OpenPage) -> None:
    page = open_page(sample_explained.explained())
    field = page.locator("td[data-cell]").first
    field.focus()
    field.press("Enter")
    expect(drawer(page)).to_be_visible()
    page.evaluate(
        "[...document.querySelectorAll('dialog :is(a, button, summary, [tabindex]):not(:disabled)')].at(-1).focus()"
    )
    for _ in range(3):
        page.keyboard.press("Tab")
        # Between its last element and its first one the browser may show its own bar: then the page has no focus.
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(drawer(page)).to_be_hidden()
    expect(page.locator("td[data-cell]").first).to_be_focused()
    assert "cell=" not in page.url


def test_back_leads_from_a_device_to_the_cell(cell: Page) -> None:
    drawer(cell).get_by_role("link", name=TWINS[0], exact=True).first.click()
    expect(drawer(cell)).to_have_accessible_name(TWINS[0])
    cell.go_back()
    expect(drawer(cell)).to_have_accessible_name("blazeface_mlkit_v1")


def test_a_device_shows_facts_health_state_cells_and_its_slow_twin(open_page: OpenPage) -> None:
    page = open_page(sample_explained.explained(), address=f"device={TWINS[2]}")
    for title, text in (
        ("Facts", "Tensor G3"),
        ("Health", "slower than its twins"),
        ("State", "temperature"),
        ("Unit to unit", f"Outlier: {TWINS[2]} takes 1.6× the usual time"),  # noqa: RUF001
        ("Cells", "18, worst first"),
    ):
        expect(part(page, title)).to_contain_text(text)
    units = part(page, "Unit to unit").get_by_role("table", name="medians of equal work")
    expect(units.locator("tbody tr")).to_have_count(18)
    expect(units.get_by_text("outlier")).to_have_count(18)


def test_of_two_units_only_the_slower_one_is_marked(open_page: OpenPage) -> None:
    matrix = sample_explained.explained()
    matrix["cells"] = [row for row in matrix["cells"] if row["device"] != TWINS[0]]
    page = open_page(matrix, address=f"device={TWINS[1]}")
    expect(part(page, "Unit to unit")).to_contain_text(f"Outlier: {TWINS[2]} takes 1.6×")  # noqa: RUF001


def test_a_model_shows_tensors_operations_compatibility_and_cells(open_page: OpenPage) -> None:
    page = open_page(sample_explained.explained(), address="model=blazeface_mlkit_v1")
    expect(part(page, "Inputs")).to_contain_text("1×224×224×3")  # noqa: RUF001
    expect(part(page, "Operations")).to_contain_text("164 nodes, 2 kinds")
    expect(drawer(page).get_by_text("profile mldrift-litert-2.3")).to_be_visible()
    expect(drawer(page).get_by_text("not checked here")).to_be_visible()
    expect(part(page, "Cells").locator("tbody tr").first).to_contain_text("FAIL")


def test_a_cell_that_was_not_measured_has_only_the_panels_that_it_can_fill(open_page: OpenPage) -> None:
    page = open_page(
        sample_explained.explained(), address=urlencode({"cell": "nightly::yamnet[this-machine:gpu-fp16]"})
    )
    expect(drawer(page)).to_contain_text("it did not come back within 600 s")
    titles = drawer(page).locator("section.part > h3").all_inner_texts()
    assert titles == ["Attempts", "How it was measured"]


def test_a_runner_without_single_runs_has_what_it_states(open_page: OpenPage) -> None:
    row = sample.cell_row(rounds=1)
    assert row["latency"]
    row["latency"] |= {"samples_us": [], "p90_us": None}
    row["latency"]["rounds"][0] |= {"samples_us": [], "summary": STATED}
    page = open_page(sample.matrix_of([row]), address=urlencode({"cell": row["id"]}))
    latency = part(page, "Latency")
    expect(latency).to_contain_text("The runner keeps no single runs.")
    expect(latency.get_by_role("table", name="stated latencies").locator("tbody tr")).to_contain_text("1.23 ms")
    expect(latency.locator("canvas")).to_have_count(0)


def test_samples_that_are_only_in_matrix_json_are_told(open_page: OpenPage) -> None:
    row = sample.cell_row()
    row["latency"] = sample.latency_row(1_230.0, count=3000, rounds=2)
    page = open_page(sample.matrix_of([row]), address=urlencode({"cell": row["id"]}))
    expect(part(page, "Latency")).to_contain_text("6,000 timed runs, 2,000 of them here")
    expect(part(page, "Latency")).to_contain_text("one dot per 3 runs")


def test_earlier_runs_make_the_history(open_page: OpenPage) -> None:
    row = sample.cell_row()
    row["history"] = [
        HistoryRow(
            run=f"night-{number}", started=sample.STARTED, outcome="PASS", median_us=1_200.0, max_abs_of_range=1e-3
        )
        for number in range(4)
    ]
    page = open_page(sample.matrix_of([row]), address=urlencode({"cell": row["id"]}))
    part(page, "Latency").get_by_text("Figures as a table").nth(2).click()
    rows = part(page, "Latency").get_by_role("table", name="History").locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("night-0")


def test_an_address_of_nothing_says_so(open_page: OpenPage) -> None:
    page = open_page(sample_explained.explained(), address="device=nobody")
    expect(drawer(page)).to_contain_text("This report has no device of this name.")


@pytest.mark.parametrize("address", [CELL, f"device={TWINS[2]}", "model=yamnet"])
def test_axe_finds_no_serious_fault_in_the_drawer(open_page: OpenPage, address: str) -> None:
    page = open_page(sample_explained.explained(), address=address)
    expect(drawer(page)).to_be_visible()
    assert serious_faults(page, "dialog") == []
    page.emulate_media(color_scheme="dark")
    assert serious_faults(page, "dialog", rules=["color-contrast"]) == []


@pytest.mark.parametrize(
    "address",
    [
        urlencode({"cell": EXPLAINED.replace(TWINS[0], sample_explained.HOSTILE)}),
        urlencode({"device": sample_explained.HOSTILE}),
    ],
)
def test_text_of_devices_and_models_stays_text(open_page: OpenPage, address: str) -> None:
    page = open_page(sample_explained.hostile(), address=address)
    expect(drawer(page)).to_contain_text("<script>")
    assert drawer(page).locator("script").count() == 0
    assert "harmed" not in page.title()
