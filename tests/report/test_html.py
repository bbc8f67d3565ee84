from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from harness.plan.row import Matrix
from harness.report import html, plot
from tests.report import sample

VOID = {"meta", "input", "br", "img", "link", "hr"}
SVG_CHILDREN = {"path", "rect", "text", "circle", "line"}


class Page(HTMLParser):
    """What the tests ask of a page: its elements with attributes, its text, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.stack: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self.stack[-1] if self.stack else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag not in ("script", "style")).split())


@pytest.fixture(scope="module")
def source() -> str:
    return html.render(sample.make_matrix())


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def rendered(matrix: Matrix) -> Page:
    return Page(html.render(matrix))


def test_tags_are_balanced_and_ids_are_unique(page: Page) -> None:
    assert page.unbalanced == []
    assert page.stack == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(page: Page, source: str) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes
        target = attributes.get("href")
        assert target is None or target.startswith("#") or re.match(r"artifacts/[^:]*$", target)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", source)


def test_the_page_forbids_itself_every_connection_and_foreign_script(page: Page, source: str) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*)</script>", source, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_banner_answers_whether_to_ship(page: Page) -> None:
    start = page.text.split("Matrix")[0]
    assert "FAIL 2 cells do not hold their gates" in start
    assert "planned 36 PASS 26 MARGINAL 1 FAIL 3 1 waived UNSUPPORTED 2 ERROR 2 TIMEOUT 1 NOT RUN 1" in start
    assert "12 cells on this-machine come from a software adapter: cannot qualify a release." in start
    assert start.index("1240 output values are NaN or infinite") < start.index("SIGABRT") < start.index("quarantined")


def test_a_pass_that_cannot_qualify_a_release_says_so_beside_the_verdict() -> None:
    assert "PASS not for release 1 of 1 cell" in rendered(sample.matrix_of([sample.cell_row()], profile="quick")).text
    assert "not for release" not in rendered(sample.matrix_of([sample.cell_row()])).text


def test_what_is_right_but_slower_is_told_with_its_figures() -> None:
    text = rendered(sample.matrix_of([sample.cell_row(speedup=0.5)])).text
    assert "is slower than cpu for the one model it gets right: ship cpu there (provisional" in text
    assert "differ) ( blazeface_mlkit_v1 0.50×)" in text  # noqa: RUF001


def test_the_log_of_a_crash_is_one_click_from_the_top(page: Page) -> None:
    first = page.elements.index(("section", {"id": "not-passing"}))
    matrix = next(index for index, (_, attributes) in enumerate(page.elements) if attributes.get("id") == "matrix")
    links = [attributes.get("href") or "" for tag, attributes in page.elements[first:matrix] if tag == "a"]
    assert any(link.endswith(".log") for link in links)


def test_every_cell_of_the_matrix_leads_to_its_details(page: Page) -> None:
    anchors = {attributes["id"] for attributes in page.all("details") if attributes.get("class") == "cell"}
    cells = [attributes["data-cell"] for attributes in page.all("td") if "data-cell" in attributes]
    assert len(cells) == len(sample.make_matrix()["cells"])
    assert set(cells) == anchors
    links = {str(attributes["href"])[1:] for attributes in page.all("a") if str(attributes["href"]).startswith("#c")}
    assert anchors <= links


def test_tables_have_headers_with_a_scope(page: Page) -> None:
    headers = page.all("th")
    assert headers
    assert all(header.get("scope") in ("col", "row", "colgroup") for header in headers)


def test_outcomes_are_words_everywhere(source: str) -> None:
    for outcome, word in re.findall(r'<b class="outcome ([a-z_]+)">([^<]*)</b>', source):
        assert word == outcome.upper().replace("_", " ")
    assert len(re.findall(r'<td class="(fail|error|timeout|not_run|marginal|pass|unsupported)', source)) == len(
        re.findall(r'<span class="word"><b class="outcome', source)
    )


def test_details_hold_latency_accuracy_gates_delegation_attempts_command_and_files(page: Page) -> None:
    for text in (
        "100 timed runs in the order they ran, 2 rounds",
        "against golden, reference kernels, runtime 2.3.0",
        "0 regressors float32 1×896×16",  # noqa: RUF001
        "max_abs_of_range 0.02 0.034 FAIL waiver W-12",
        "GPU 0/47 nodes, 0 partitions",
        "STRIDED_SLICE: only 4D",
        "error of class runner: crash, signal 6, while in stage compile",
        "timing: another process used 80 % of a core",
        "the adapter has no fp16: computed in fp32",
        "./delegate_bench --model yamnet.tflite",
    ):
        assert text in page.text, text


def test_devices_models_and_provenance_are_listed(page: Page) -> None:
    for text in ("SwiftShader Device (Subzero) software adapter", "EXAMPLE8P065R", "memory 4.00 GiB", "16.1 MiB"):
        assert text in page.text, text
    for text in (sample.COMMAND, "commit 3059a78", "owner vision team", "threads 4"):
        assert text in page.text, text


def test_hostile_text_does_no_harm() -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)></script>{{ 7*7 }}"
    matrix = sample.make_matrix()
    row = matrix["cells"][0]
    row |= {"outcome": "FAIL", "reason": hostile, "notes": [hostile], "device": hostile, "model": hostile}
    row |= {"artifacts": [hostile], "id": f"release::{hostile}[{hostile}:cpu]"}
    assert row["runner"] is not None
    row["runner"]["command"] = hostile
    row["accuracy"][0]["outputs"][0]["name"] = hostile
    matrix["devices"][0] |= {"name": hostile, "adapter": hostile, "serial": hostile}
    matrix["devices"][0]["facts"] = {hostile: hostile, "list": [hostile]}
    matrix["models"][0]["name"] = hostile
    matrix["run"]["command"] = hostile
    matrix["waivers"][0] |= {"id": hostile, "reason": hostile, "owner": hostile}
    page = rendered(matrix)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.unbalanced == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "{{ 7*7 }}" in page.text


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_a_link_never_leaves_the_report(path: str) -> None:
    assert html.link(path) == html.Link(path, None)


@pytest.mark.parametrize(
    ("path", "href"),
    [("artifacts/a b#?.txt", "artifacts/a%20b%23%3F.txt"), ("javascript:alert(1)", "javascript%3Aalert%281%29")],
)
def test_a_link_is_always_a_relative_path(path: str, href: str) -> None:
    assert html.link(path).href == href


def test_light_dark_and_paper_are_provided_for(source: str) -> None:
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source
    assert 'name="color-scheme" content="light dark"' in source


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_of_every_outcome_has_enough_contrast(source: str, scheme: int) -> None:
    rules = re.findall(r":root \{(.*?)\}", source, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", rules))
    for outcome in ("pass", "marginal", "fail", "error", "timeout", "notrun", "unsupported", "ink", "dim"):
        grounds = ["page", "panel"] + [f"{outcome}-wash"] * (f"{outcome}-wash" in colours)
        for ground in grounds:
            assert contrast(colours[outcome], colours[ground]) >= 4.5, (outcome, ground)


def contrast(first: str, second: str) -> float:
    """WCAG 2.1 contrast ratio of two colours, 1 to 21."""
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_matrix_with_as_little_as_possible_still_renders() -> None:
    row = sample.cell_row(median_us=None, outcome="NOT_RUN", reason="lost")
    row |= {"artifacts": [], "attempts": [], "runner": None, "runtime": None, "inputs_sha256": None}
    matrix = sample.matrix_of([row], verdict="INCOMPLETE")
    matrix["run"] |= {"finished": None, "git": None}
    matrix["suite"]["path"] = None
    matrix |= {"devices": [], "models": [], "runtimes": [], "delegates": {}}
    text = rendered(matrix).text
    assert "0 of 1 cell measured: 1 cell was not run." in text
    assert "did not finish" in text


def test_two_suites_have_a_line_each() -> None:
    rows = [sample.cell_row(suite="release"), sample.cell_row(suite="nightly", outcome="MARGINAL")]
    text = rendered(sample.matrix_of(rows)).text
    assert "release::blazeface_mlkit_v1" in text
    assert "nightly::blazeface_mlkit_v1" in text


def test_a_huge_run_keeps_the_details_of_what_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_DETAILED_CELLS", 10)
    page = rendered(sample.make_matrix())
    wrong = [row for row in sample.make_matrix()["cells"] if row["outcome"] != "PASS"]
    assert page.text.count("How it was measured") == len(wrong)
    assert "in matrix.json under its id" in page.text


def test_the_plot_has_a_dot_per_sample_and_a_line_between_rounds() -> None:
    latency = sample.latency_row(1000.0, count=30, rounds=3)
    picture = str(plot.latency_plot(latency))
    assert picture.count("h0") == 90
    assert picture.count('class="round"') == 2
    assert "90 timed runs" in picture


def test_runs_far_beyond_the_rest_do_not_squash_the_plot_and_are_told() -> None:
    latency = sample.latency_row(1000.0, rounds=1)
    latency["samples_us"][3] = latency["rounds"][0]["samples_us"][3] = latency["max_us"] = 48_000.0
    assert "1 beyond the scale, the slowest 48.0 ms" in plot.plot_caption(latency)
    heights = {float(y) for y in re.findall(r" ([0-9.]+)h0", str(plot.latency_plot(latency)))}
    assert len(heights) > 20


@pytest.mark.parametrize("samples", [[5.0], [5.0, 5.0, 5.0]])
def test_equal_samples_can_be_drawn(samples: list[float]) -> None:
    latency = sample.latency_row(5.0)
    latency |= {"samples_us": samples, "rounds": [], "p90_us": 5.0, "median_us": 5.0}
    assert str(plot.latency_plot(latency)).count("h0") == len(samples)


def test_thousands_of_samples_are_thinned_out_and_that_is_told() -> None:
    latency = sample.latency_row(1000.0, count=5000, rounds=1)
    assert str(plot.latency_plot(latency)).count("h0") == 1000
    assert "one dot per 5 runs" in plot.plot_caption(latency)
