"""Parts of the page that need no browser: the charts' library, and the words that go with a row."""

from __future__ import annotations

import base64
import gzip
import hashlib

from harness.report import html, reasons
from harness.report.page import extras, library
from tests.report import sample, sample_explained


def test_the_library_unpacks_to_what_the_policy_allows() -> None:
    found = library.chart_library()
    script = gzip.decompress(base64.b64decode(found.packed))
    assert base64.b64encode(hashlib.sha256(script).digest()).decode() == found.digest
    assert b"Chart.js v" in script
    page = html.render(sample.matrix_of([sample.cell_row()]))
    assert f"'sha256-{found.digest}'" in page
    assert found.packed in page


def test_the_terms_of_the_library_are_in_the_page_as_text() -> None:
    licence = library.chart_library().licence
    assert licence.count("Permission is hereby granted") == 4
    assert "--" not in licence
    assert licence in html.render(sample.matrix_of([sample.cell_row()]))


def test_a_row_gets_the_words_that_other_reports_use() -> None:
    matrix = sample_explained.explained()
    row = next(row for row in matrix["cells"] if row["id"] == sample_explained.EXPLAINED)
    words = extras.cell_words(row, matrix["devices"][0], matrix["delegates"])
    assert words["why"] == reasons.reason(row)
    assert words["next"] == reasons.advice(row, matrix["delegates"])
    assert words["split"] == "GPU 160/164 nodes, 3 partitions"
    passing = extras.cell_words(sample.cell_row(), None, {})
    assert set(passing) == {"split"}


def test_gates_know_on_which_side_of_the_limit_a_figure_must_be() -> None:
    assert {"speedup", "cosine", "top1_agreement"} <= set(extras.lower_bounds())
    assert not {"max_abs_of_range", "median_us", "nonfinite"} & set(extras.lower_bounds())
