from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from harness.report.surface import Surface, surface_of
from harness.report.terminal import render
from tests.report import sample
from tests.report.large import make_large
from tests.report.sample_explained import EXPLAINED, explained

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Stream(io.TextIOWrapper):
    """A stream that says of itself what a terminal would."""

    def __init__(self, tty: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


@pytest.mark.parametrize("width", [40, 80, 140, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool) -> None:
    text = render(sample.make_matrix(), Surface(width, colour))
    lines = ANSI.sub("", text).splitlines()
    assert max(cell_len(line) for line in lines if not line.startswith("artifacts/")) <= width


def test_every_cell_stands_in_the_matrix_even_at_80_columns() -> None:
    matrix = sample.make_matrix()
    table = render(matrix, Surface(80)).split("Not passing")[0].partition("\n\n")[2]
    for row in matrix["cells"]:
        assert row["outcome"] in table
    assert table.count("PASS") == sum(row["outcome"] == "PASS" for row in matrix["cells"])
    assert "mobilenet_v1_1.0_224 " in table


def test_devices_stand_side_by_side_when_there_is_room_and_in_blocks_when_not() -> None:
    narrow, wide = (render(sample.make_matrix(), Surface(width)) for width in (80, 150))
    assert narrow.count("\nmodel ") == 2
    assert wide.count("\nmodel ") == 1


def test_a_device_with_too_many_delegates_is_cut_into_blocks() -> None:
    rows = [sample.cell_row(delegate=f"gpu-variant-{number}") for number in range(8)]
    text = render(sample.matrix_of(rows), Surface(80))
    assert all(f"gpu-variant-{number}" in text for number in range(8))
    assert max(map(len, text.splitlines())) <= 80


def test_a_cell_shows_outcome_median_speedup_and_difference() -> None:
    row = sample.cell_row(median_us=4_110.0, speedup=3.04, of_range=2.4e-3, rounds=1)
    assert row["latency"] is not None
    row["latency"]["median_us"] = 4_110.0
    lines = render(sample.matrix_of([row]), Surface(80)).splitlines()
    upper = next(index for index, line in enumerate(lines) if line.startswith("blazeface"))
    assert re.search(r"PASS +4\.11$", lines[upper])
    assert re.search(r"3\.0x +0\.24%$", lines[upper + 1])


def test_outcomes_are_words_in_colour_and_without() -> None:
    coloured, plain = (render(sample.make_matrix(), Surface(80, colour)) for colour in (True, False))
    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    assert ANSI.sub("", coloured) == plain


def test_what_is_not_passing_is_listed_worst_first_with_reason_and_advice() -> None:
    listed = render(sample.make_matrix(), Surface(120)).split("Not passing, worst first\n")[1]
    words = re.findall(r"^([A-Z_]+[*]?) ", listed, re.MULTILINE)
    assert words[:7] == ["FAIL", "FAIL", "ERROR", "TIMEOUT", "NOT_RUN", "UNSUPPORTED", "FAIL*"]
    assert "1240 output values are NaN or infinite" in listed
    assert "next: compare with fp32" in listed
    assert re.search(r"log: artifacts/yamnet-\S+\.log$", listed, re.MULTILINE)


def test_cells_that_differ_in_figures_alone_are_told_once() -> None:
    rows = [
        sample.cell_row(device=f"phone-{number}", outcome="ERROR", reason=f"took {number} s", median_us=None)
        for number in range(30)
    ]
    text = render(sample.matrix_of(rows, verdict="FAIL"), Surface(80))
    assert len(re.findall(r"^ERROR +30 cells: blazeface_mlkit_v1 on all 30 devices", text, re.MULTILINE)) == 1


def test_each_device_has_a_line_with_its_counts_the_worst_one_first() -> None:
    rows = [
        sample.cell_row("yamnet", "this-machine", "cpu"),
        sample.cell_row("yamnet", "pixel-8", "cpu"),
        sample.cell_row("posenet", "pixel-8", "cpu", outcome="ERROR", reason="the phone ran away", median_us=None),
    ]
    lines = render(sample.matrix_of(rows, verdict="INCOMPLETE"), Surface(100)).splitlines()
    assert re.match(r"pixel-8       1 ERROR, 1 PASS  android, ", lines[0])
    assert lines[1].strip() == "The phone ran away (1 cell)"
    assert re.match(r"this-machine  1 PASS  local, ", lines[2])


def test_the_health_of_a_device_goes_before_what_its_cells_say() -> None:
    matrix = sample.matrix_of([sample.cell_row(device="pixel-8", outcome="ERROR", reason="lost", median_us=None)])
    matrix["health"] = [{"device": "pixel-8", "state": "suspect", "reason": "3 faults in a row"}]
    assert render(matrix, Surface(100)).splitlines()[1].strip() == "suspect: 3 faults in a row"


def test_devices_carry_their_adapter_and_marks() -> None:
    matrix = sample.make_matrix()
    matrix["devices"][1]["emulated"] = True
    text = render(matrix, Surface(160))
    assert re.search(
        r"^this-machine  .*PASS  local, .*SwiftShader Device \(Subzero\) \[software adapter\]$", text, re.MULTILINE
    )
    assert re.search(r"^pixel-8 .*PASS  android, .*Mali-G715 \[emulated\]$", text, re.MULTILINE)
    assert "[emulated]" in render(matrix, Surface(40)), "whatever the width"


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"android_version": "14", "model": "Pixel 8"}, "Pixel 8, Android 14"),
        ({"os": "iOS", "os_version": "16.4", "model": "iPhone 13"}, "iPhone 13, iOS 16.4"),
        ({"os": "Linux"}, "Linux"),
        ({}, "android"),
    ],
)
def test_a_device_says_what_runs_on_it(facts: dict[str, str], shown: str) -> None:
    matrix = sample.make_matrix()
    matrix["devices"][1] |= {"facts": facts, "adapter": None, "adapter_software": None}
    assert re.search(rf"^pixel-8 .*PASS  (android, )?{re.escape(shown)}$", render(matrix, Surface(120)), re.MULTILINE)


def test_marks_are_explained_only_where_they_occur() -> None:
    text = render(sample.make_matrix(), Surface(80))
    assert "FAIL*" in text
    assert "* fails under a waiver" in text
    assert "PASS+" in text
    assert "+ helper" in text
    assert "PASS?" in text
    assert "? timing void" in text
    clean = render(sample.matrix_of([sample.cell_row()]), Surface(80))
    assert "waiver" not in clean
    assert "helper" not in clean
    assert "Not passing" not in clean


def test_the_verdict_comes_last_with_the_way_to_the_report() -> None:
    lines = render(sample.make_matrix(), Surface(140), Path("reports/run-1")).splitlines()
    assert lines[-1] == "report: reports/run-1/index.html"
    assert any(line.startswith("FAIL  2 cells do not hold their gates") for line in lines[-6:])


def test_a_long_path_to_the_report_is_never_broken() -> None:
    folder = Path("reports") / ("x" * 90)
    assert render(sample.make_matrix(), Surface(80), folder).splitlines()[-1] == f"{folder}/index.html"


def test_a_long_path_to_a_log_is_never_broken() -> None:
    row = sample.cell_row(outcome="ERROR", reason="killed", median_us=None)
    row["artifacts"] = [f"artifacts/{'x' * 90}/result.json", f"artifacts/{'x' * 90}/stderr.log"]
    folder = Path("reports") / "run-1"
    assert f"{folder}/{row['artifacts'][1]}" in render(sample.matrix_of([row]), Surface(80), folder).splitlines()


def test_narrow_columns_leave_room_for_the_headings() -> None:
    text = render(sample.matrix_of([sample.cell_row("m", "this-machine", "cpu", speedup=None)]), Surface(80))
    assert re.search(r"^ +this-machine$", text, re.MULTILINE)
    assert re.search(r"^model +cpu +ms$", text, re.MULTILINE)


def test_what_is_slower_than_the_cpu_is_advised_against() -> None:
    text = render(sample.matrix_of([sample.cell_row(speedup=0.5)]), Surface(120))
    assert "\n  gpu-fp16 on pixel-8 is slower than cpu for the one model it gets right: ship cpu there" in text
    assert "slower" not in render(sample.matrix_of([sample.cell_row(speedup=2.0)]), Surface(120))


def test_the_baseline_is_named() -> None:
    matrix = sample.matrix_of([sample.cell_row()])
    matrix["baseline"] = {"run": "20261101-v2.3", "path": "reports/20261101-v2.3"}
    assert "baseline: 20261101-v2.3" in render(matrix, Surface(80))


def test_ascii_terminals_get_ascii_of_the_same_width() -> None:
    matrix = sample.make_matrix()
    matrix["devices"][0]["adapter"] = "模拟器 GPU"
    text = render(matrix, Surface(80, unicode=False))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_a_device_cannot_write_control_codes_to_the_terminal() -> None:
    matrix = sample.make_matrix()
    matrix["devices"][0]["adapter"] = "evil\x1b]0;title\x07\x1b[2J"
    matrix["cells"][0] |= {"outcome": "FAIL", "reason": "a\rb\x1b[31m"}
    assert "\x1b" not in render(matrix, Surface(80))


def test_a_huge_run_is_summed_up_instead_of_printed() -> None:
    rows = [sample.cell_row(f"m{model}", f"d{device}") for model in range(30) for device in range(30)]
    text = render(sample.matrix_of(rows), Surface(80))
    assert len(text.splitlines()) < 60
    assert "and 22 more devices: see the report" in text
    assert "900 cells: 900 PASS" in text


@pytest.mark.parametrize(
    ("tty", "environ", "colour"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_only_where_it_is_wanted(tty: bool, environ: dict[str, str], colour: bool) -> None:
    assert surface_of(Stream(tty), environ).colour is colour


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False)]
)
def test_characters_follow_the_encoding(encoding: str, unicode: bool) -> None:
    assert surface_of(Stream(True, encoding), {}).unicode is unicode


def test_width_comes_from_columns_else_80() -> None:
    assert surface_of(Stream(False), {"COLUMNS": "132"}).width == 132
    assert surface_of(Stream(False), {}).width == 80
    assert surface_of(Stream(False), {"COLUMNS": "7"}).width == 40


def test_what_changed_since_the_baseline_is_said_worst_first() -> None:
    text = render(explained(), Surface(100)).split("Since the baseline\n")[1]
    assert text.startswith("  2 worse, ")
    assert re.search(r"^  worse \S+\[pixel-8-a:gpu-fp16\] PASS before", text, re.MULTILINE)


def test_waivers_that_ask_for_something_come_first() -> None:
    text = render(explained(), Surface(100)).split("\nWaivers\n")[1]
    assert re.findall(r"^  (W-\d+)", text, re.MULTILINE) == ["W-9", "W-13", "W-14", "W-12"]
    assert "W-9 expired on 2026-10-31" in text


def test_what_the_page_explains_is_explained_here_too() -> None:
    matrix = explained()
    row = next(row for row in matrix["cells"] if row["id"] == EXPLAINED)
    row["diagnosis"] = {
        "kind": "model",
        "words": "the CPU is as far off as the GPU",
        "cpu_max_abs_of_range": 0.03,
        "delegate_max_abs_of_range": 0.03,
    }
    text = render(matrix, Surface(200))
    assert "blazeface_mlkit_v1[pixel-8-a:gpu-fp16]: the CPU is as far off as the GPU" in text
    assert "blazeface_mlkit_v1[pixel-8-a:gpu-fp16]: 2 more nodes on the CPU than predicted: PAD" in text
    assert "CONV_2D wrong: conv_2d.4d with large values on pixel-8-c:gpu-fp16, off by 40% of the range" in text
    assert "  1 wrong, 6 unsupported, 6 fp16, 11 exact" in text


@pytest.mark.parametrize("width", [40, 80, 160])
def test_explanations_fit_the_terminal(width: int) -> None:
    lines = render(explained(), Surface(width)).splitlines()
    assert max(cell_len(line) for line in lines if not line.startswith("artifacts/")) <= width


def test_sixty_thousand_cells_are_told_briefly() -> None:
    text = render(make_large(samples=1), Surface(80))
    assert len(text.splitlines()) < 100
    assert "60,000 cells: " in text
