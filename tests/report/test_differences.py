from __future__ import annotations

import copy

from harness.plan.row import Matrix
from harness.report import html, markdown
from harness.report.changes import changes
from harness.report.differences import differences
from harness.report.surface import Surface
from harness.report.terminal import render
from tests.report import sample
from tests.report.sample_explained import explained


def pair() -> tuple[Matrix, Matrix]:
    """The same run twice."""
    before = sample.make_matrix()
    return before, copy.deepcopy(before)


def test_equal_runs_have_no_differences() -> None:
    assert differences(*pair()) == []


def test_everything_that_may_move_a_figure_is_said() -> None:
    before, now = pair()
    now["delegates"]["gpu-fp32"]["precision"] = "fp16"
    now["models"][0]["sha256"] = "0" * 64
    now["devices"][1]["adapter"] = "Mali-G999"
    now["devices"][1]["facts"]["android_version"] = "15"
    before["devices"][1]["facts"]["android_version"] = "14"
    now["run"]["harness_version"] = "9.9"
    for row in now["cells"]:
        if row["runtime"]:
            row["runtime"]["version"] = "9.0.0"
        if row["runner"]:
            row["runner"]["sha256"] = "1" * 64
    text = "\n".join(differences(before, now))
    assert "delegate gpu-fp32: precision fp16, fp32 before" in text
    assert f"model {now['models'][0]['name']} is another file" in text
    assert "pixel-8: adapter Mali-G999, Mali-G715 before; android_version 15, 14 before" in text
    assert "runtime 9.0.0; " in text
    assert "delegate_bench is another build" in text
    assert f"harness 9.9; {before['run']['harness_version']} before" in text


def test_what_only_one_run_has_is_no_difference() -> None:
    before, now = pair()
    now["delegates"]["new"] = {"accelerator": "cpu"}
    before["devices"].pop(0)
    before["models"].pop(0)
    assert differences(before, now) == []


def test_every_reader_shows_them() -> None:
    matrix = explained()
    assert matrix["baseline"] is not None
    matrix["baseline"]["differences"] = ["delegate cpu: kernels builtin, xnnpack before"]
    found = changes(matrix)
    assert found is not None
    for text in (render(matrix, Surface(120)), markdown.render(matrix), html.render(matrix)):
        assert found.differences[0] in text
