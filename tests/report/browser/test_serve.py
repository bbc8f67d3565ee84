"""The pages of a folder of runs in a real Chromium, from the server that makes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.report import matrix as matrix_file
from harness.report import write
from harness.report.serve.server import RunsServer
from tests.report.browser.conftest import PATIENCE_MS, serious_faults
from tests.report.sample import cell_row, latency_row, matrix_of

HOSTILE = "<script>document.title='broken'</script>\"'><img src=x onerror=alert(1)>"
CELL = "release::yamnet[pixel-8:gpu-fp16]"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three nights; the last one wrong, after an update, on a phone whose reasons are HTML."""
    folder = tmp_path_factory.mktemp("reports")
    for day, outcome, median in (("18", "PASS", 900.0), ("19", "PASS", 950.0), ("20", "FAIL", 1900.0)):
        rows = [
            cell_row("yamnet", outcome=outcome, reason=HOSTILE if outcome == "FAIL" else None),
            cell_row("posenet" if day == "18" else "yamnet", delegate="cpu", speedup=None),
        ]
        rows[0]["latency"] = latency_row(median)
        matrix = matrix_of(rows)
        matrix["run"]["id"] = f"202611{day}T010000Z-release"
        matrix["run"]["started"] = f"2026-11-{day}T01:00:00Z"
        matrix["devices"][0]["facts"]["build"] = HOSTILE if day == "20" else day
        (folder / matrix["run"]["id"]).mkdir()
        (folder / matrix["run"]["id"] / "matrix.json").write_bytes(matrix_file.encode(matrix))
    write.write_views(matrix, folder / matrix["run"]["id"])
    with RunsServer(folder, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving.address
        serving.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page; the test fails if it logs an error, or breaks its own policy."""
    troubles: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(PATIENCE_MS)
    made.on("pageerror", lambda error: troubles.append(str(error)))
    made.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    yield made
    context.close()
    assert troubles == []


def test_from_the_runs_to_one_cells_trend(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("link", name="Trends").click()
    page.get_by_role("searchbox").fill("yamnet gpu")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=CELL).click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.wait_for_function("() => typeof Chart === 'function' && Chart.getChart('error')")
    for name in ("median", "error"):
        drawn = f"() => Chart.getChart('{name}').getDatasetMeta(0).data.length"
        assert page.evaluate(drawn) == 3
    assert page.title() == CELL, "what a phone says is text"
    expect(page.locator("tbody tr").first).to_contain_text(HOSTILE)


def test_a_runs_report_opens_from_the_server(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="20261120T010000Z-release").click()
    page.wait_for_selector("html[data-state=ready]", state="attached")
    expect(page.locator("h1").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "trends", f"trends?cell={quote(CELL)}"])
def test_nothing_keeps_a_reader_out(page: Page, address: str, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address + path)
    assert serious_faults(page) == []


@pytest.mark.parametrize("path", ["", "trends", f"trends?cell={quote(CELL)}"])
def test_a_narrow_window_scrolls_tables_and_not_the_page(page: Page, address: str, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
