from __future__ import annotations

import re

from harness.report import markdown
from tests.report import sample
from tests.report.sample_explained import explained, hostile


def test_verdict_comes_first_then_counts_matrix_and_what_does_not_pass() -> None:
    text = markdown.render(sample.make_matrix())
    assert text.startswith("## FAIL: 2 cells do not hold their gates")
    assert "36 cells: 26 PASS, 1 MARGINAL, 3 FAIL (1 waived)" in text
    assert text.index("### Not passing") < text.index("| model |")
    listed = re.findall(r"^- \*\*(\w+)\*\*", text, re.MULTILINE)
    assert listed == ["FAIL", "FAIL", "ERROR", "TIMEOUT", "NOT_RUN", "UNSUPPORTED", "FAIL"]
    assert "NaN or infinite" in text


def test_the_table_has_a_row_per_model_and_a_column_per_device_and_delegate() -> None:
    table = [line for line in markdown.render(sample.make_matrix()).splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(sample.MODELS)
    assert {line.count("|") for line in table} == {2 + len(sample.DEVICES) * len(sample.DELEGATES)}


def test_many_columns_make_a_table_per_device() -> None:
    rows = [
        sample.cell_row(device=f"phone-{number}", delegate=name) for number in range(5) for name in sample.DELEGATES
    ]
    text = markdown.render(sample.matrix_of(rows))
    assert text.count("| model |") == 5


def test_text_from_outside_stays_text() -> None:
    hostile = "<img src=x> | a `b` *c* [d](https://e.example) @everyone #12\n## heading"
    row = sample.cell_row(outcome="FAIL", reason=hostile)
    text = markdown.render(sample.matrix_of([row], verdict="FAIL"))
    line = next(line for line in text.splitlines() if line.startswith("- **FAIL**"))
    assert "<img" not in text
    assert "&lt;img src=x&gt; \\| a \\`b\\` \\*c\\* \\[d\\](https\\://e.example)" in line
    assert "@everyone" not in line
    assert "#12" not in line
    assert not any(line.startswith("## heading") for line in text.splitlines())


def test_names_are_not_littered_with_backslashes() -> None:
    assert markdown.escape("mobilenet_v1_1.0[pixel-8:gpu-fp16]") == "mobilenet_v1_1.0\\[pixel-8:gpu-fp16\\]"
    assert markdown.escape("_emphasis_") == "\\_emphasis\\_"


def test_a_huge_run_still_fits_a_comment_and_says_what_is_left_out() -> None:
    rows = [
        sample.cell_row(
            f"m{model}", f"d{device}", outcome="FAIL", reason=f"{chr(19968 + 30 * model + device)}{'x' * 80}"
        )
        for model in range(30)
        for device in range(30)
    ]
    text = markdown.render(sample.matrix_of(rows, verdict="FAIL"))
    assert len(text) <= markdown.LONGEST
    assert "more (not passing): see index.html" in text


def test_a_clean_run_has_no_list_of_failures() -> None:
    text = markdown.render(sample.matrix_of([sample.cell_row()]))
    assert text.startswith("## PASS: 1 of 1 cell measured, and every gate holds.")
    assert "Not passing" not in text


def test_cells_that_differ_in_figures_alone_are_one_line() -> None:
    rows = [sample.cell_row(device=f"d{number}", outcome="FAIL", reason=f"took {number} s") for number in range(20)]
    text = markdown.render(sample.matrix_of(rows, verdict="FAIL"))
    assert text.count("- **FAIL**") == 1
    assert "20 cells, blazeface" in text


def test_culprits_changes_waivers_and_predictions_have_lines() -> None:
    text = markdown.render(explained())
    assert "### Since the baseline" in text
    assert "- worse: blazeface" in text
    assert "### Where wrong answers come from" in text
    assert "- W-9 expired on 2026-10-31" in text
    assert "### Operations" in text
    assert "2 more nodes on the CPU than predicted: PAD" in text


def test_text_of_explanations_stays_text() -> None:
    text = markdown.render(hostile())
    assert "<script" not in text
    assert "<img" not in text
