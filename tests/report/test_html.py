"""The page as it is written: what it holds without JavaScript, and that nothing in it does harm."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from harness.plan.row import Matrix
from harness.report import html
from harness.report.page import assets, library
from tests.report import sample, sample_explained

VOID = {"meta", "input", "br", "img", "link", "hr"}
DATA = "text/plain"


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

    @property
    def first_screen(self) -> str:
        return self.text.split("Since the baseline 2")[0].split("All ")[0]


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


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes
        target = attributes.get("href")
        assert target is None or re.match(r"#|artifacts/[^:]*$|matrix\.(json|csv)$", target), target
    ours = assets.script().replace("http://www.w3.org/2000/svg", "") + assets.style()
    assert not re.search(r"https?://[a-z]|url\(|@import|\bfetch\(|XMLHttpRequest|WebSocket", ours)


def test_the_page_forbids_itself_every_connection_and_foreign_script_and_style(page: Page, source: str) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    script, style = (re.search(f"<{tag}>(.*?)</{tag}>", source, re.DOTALL) for tag in ("script", "style"))
    assert script
    assert style
    digests = [base64.b64encode(hashlib.sha256(one[1].encode()).digest()).decode() for one in (script, style)]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{library.chart_library().digest}'" in policy
    assert f"style-src 'sha256-{digests[1]}'" in policy
    assert "unsafe" not in policy
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.elements for name in attributes)


def test_our_scripts_never_read_text_as_html() -> None:
    harmful = "innerHTML outerHTML insertAdjacentHTML document.write eval( Function( createContextualFragment DOMParser"
    assert [word for word in harmful.split() if word in assets.script()] == []


def test_the_first_screen_answers_whether_to_ship_and_what_is_wrong_where(page: Page) -> None:
    start = page.first_screen
    assert "FAIL 2 cells do not hold their gates" in start
    ordered = "planned 36 ✓ PASS 26 M MARGINAL 1 F FAIL 3 1 waived U UNSUPPORTED 2 E ERROR 2 T TIMEOUT 1 N NOT RUN 1"
    assert ordered in start
    assert "Outputs hold NaN or infinity face_detection_full_range_sparse on pixel-8, gpu-fp16" in start
    assert "The runner was killed by SIGABRT while compiling yamnet on this-machine, gpu-fp16, gpu-fp32" in start
    assert "12 cells on this-machine come from a software adapter: cannot qualify a release." in start
    assert start.index("NaN or infinity") < start.index("SIGABRT") < start.index("quarantined")


def test_a_pass_that_cannot_qualify_a_release_says_so_beside_the_verdict() -> None:
    assert "PASS not for release 1 of 1 cell" in rendered(sample.matrix_of([sample.cell_row()], profile="quick")).text
    assert "not for release" not in rendered(sample.matrix_of([sample.cell_row()])).text


def test_what_is_right_but_slower_is_told_with_its_figures() -> None:
    text = rendered(sample.matrix_of([sample.cell_row(speedup=0.5)])).text
    assert "is slower than cpu for the one model it gets right: ship cpu there (provisional" in text
    assert "differ) ( blazeface_mlkit_v1 0.50×)" in text  # noqa: RUF001


def test_what_does_not_pass_is_there_without_javascript(page: Page) -> None:
    wrong = [row for row in sample.make_matrix()["cells"] if row["outcome"] not in ("PASS", "MARGINAL")]
    listed = page.text.split("All 9 cells that do not pass")[1]
    assert len(wrong) == 9
    for row in wrong:
        assert f"{row['model']} {row['device']} : {row['delegate']}" in listed
    assert "need JavaScript" in listed


def test_the_log_of_a_crash_is_one_click_from_the_top(page: Page) -> None:
    assert any((link.get("href") or "").endswith(".log") for link in page.all("a"))


def test_what_changed_since_the_baseline_is_told_by_kind() -> None:
    text = rendered(sample_explained.explained()).text
    assert "Since the baseline : 2 worse, 1 better, 1 new, 1 gone, 50 same" in text
    section = text.split("Since the baseline")[2]
    assert "▼ worse 2 fixed 0 ▲ better 1 + new 1 gone 1" in section
    assert section.index("Worse") < section.index("Gone") < section.index("All ")


def test_a_run_without_a_baseline_says_nothing_of_changes(page: Page) -> None:
    assert "baseline" not in page.first_screen.lower()
    assert not any(attributes.get("data-only") == "changed" for attributes in page.all("input"))


def test_tables_have_headers_with_a_scope_and_a_caption(page: Page) -> None:
    headers = page.all("th")
    assert headers
    assert all(header.get("scope") in ("col", "row", "colgroup") for header in headers)
    assert len(page.all("caption")) == len(page.all("table"))


def test_provenance_is_listed(page: Page) -> None:
    for text in (sample.COMMAND, "commit 3059a78", "threads 4", "gates of gpu-* max_abs_of_range 0.02"):
        assert text in page.text, text


def test_hostile_text_does_no_harm() -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)></script><!--{{ 7*7 }}"
    matrix = sample.make_matrix()
    row = matrix["cells"][0]
    row |= {"outcome": "FAIL", "reason": hostile, "notes": [hostile], "device": hostile, "model": hostile}
    row |= {"artifacts": [hostile], "id": f"release::{hostile}[{hostile}:cpu]"}
    matrix["devices"][0] |= {"name": hostile, "adapter": hostile, "serial": hostile}
    matrix["models"][0]["name"] = hostile
    matrix["run"] |= {"command": hostile, "id": hostile}
    matrix["baseline"] = {"run": hostile, "gone": [hostile]}
    matrix["waivers"][0] |= {"id": hostile, "reason": hostile, "owner": hostile}
    page = rendered(matrix)
    assert [script.get("type") for script in page.all("script")] == [DATA] * 3 + [None]
    assert page.all("img") == []
    assert page.unbalanced == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "{{ 7*7 }}" in page.text


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_a_link_never_leaves_the_report(path: str) -> None:
    assert html.Link(path).href is None


@pytest.mark.parametrize(
    ("path", "href"),
    [("artifacts/a b#?.txt", "artifacts/a%20b%23%3F.txt"), ("javascript:alert(1)", "javascript%3Aalert%281%29")],
)
def test_a_link_is_always_a_relative_path(path: str, href: str) -> None:
    assert html.Link(path).href == href


def test_light_dark_and_paper_are_provided_for(source: str) -> None:
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source
    assert 'name="color-scheme" content="light dark"' in source


def colours(scheme: int) -> dict[str, str]:
    """All colours of the light (0) or dark (1) scheme."""
    blocks = re.findall(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{(.*?)\}", assets.style(), re.DOTALL)
    rules = " ".join(body for dark, body in blocks if bool(dark) == bool(scheme))
    found = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", rules))
    assert len(found) > 30
    return found


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_of_every_outcome_has_enough_contrast(scheme: int) -> None:
    known = colours(scheme)
    for outcome in ("pass", "marginal", "fail", "error", "timeout", "notrun", "unsupported", "ink", "dim"):
        grounds = ["page", "panel"] + [f"{outcome}-wash"] * (f"{outcome}-wash" in known)
        for ground in grounds:
            assert contrast(known[outcome], known[ground]) >= 4.5, (outcome, ground)
        if outcome not in ("ink", "dim"):
            assert contrast(known["on"], known[outcome]) >= 4.5, outcome


@pytest.mark.parametrize("scheme", [0, 1])
def test_figures_have_enough_contrast_on_every_step_of_the_heat_map(scheme: int) -> None:
    known = colours(scheme)
    steps = [*(f"d{step}" for step in range(7)), *(f"q{step}" for step in range(5))]
    assert min(contrast(known["ink"], known[step]) for step in steps) >= 4.5


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


def test_a_run_without_cells_still_renders() -> None:
    assert "Every planned cell passes." in rendered(sample.matrix_of([], verdict="INCOMPLETE")).text


def test_a_huge_run_lists_groups_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_LISTED_GROUPS", 3)
    text = rendered(sample.make_matrix()).text
    assert re.search(r"and [1-9]\d* more reasons", text)
