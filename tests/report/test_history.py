from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.row import Matrix
from harness.report import history
from harness.report import matrix as matrix_file
from tests.report.sample import cell_row, matrix_of


def run(reports: Path, name: str, *, median_us: float, outcome: str = "PASS") -> Matrix:
    matrix = matrix_of([cell_row("yamnet", median_us=median_us, outcome=outcome)])
    matrix["run"]["id"] = name
    matrix["run"]["started"] = f"2026-11-{name}T01:00:00Z"
    (reports / name).mkdir(parents=True)
    (reports / name / "matrix.json").write_bytes(matrix_file.encode(matrix))
    return matrix


def test_earlier_runs_oldest_first(tmp_path: Path) -> None:
    run(tmp_path, "18", median_us=100.0)
    run(tmp_path, "19", median_us=200.0, outcome="FAIL")
    now = run(tmp_path, "20", median_us=300.0)
    run(tmp_path, "21", median_us=400.0)
    (tmp_path / "latest").symlink_to("19")
    (tmp_path / "17-broken").mkdir()
    (tmp_path / "17-broken" / "matrix.json").write_text("{")
    history.add(now, tmp_path)
    found = now["cells"][0]["history"]
    assert [(one["run"], one["outcome"]) for one in found] == [("18", "PASS"), ("19", "FAIL")]
    first = found[0]["median_us"]
    assert first is not None
    assert first < 150


def test_a_cell_that_is_new_has_none(tmp_path: Path) -> None:
    run(tmp_path, "18", median_us=100.0)
    now = matrix_of([cell_row("blazeface_mlkit_v1")])
    now["run"]["id"] = "20"
    history.add(now, tmp_path)
    assert "history" not in now["cells"][0]


def test_no_more_is_read_than_a_report_can_wait_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(10, 20):
        run(tmp_path, str(day), median_us=float(day))
    size = (tmp_path / "10" / "matrix.json").stat().st_size
    now = run(tmp_path, "20", median_us=1.0)
    monkeypatch.setattr(history, "MOST_BYTES", 3 * size + size // 2)
    history.add(now, tmp_path)
    assert [one["run"] for one in now["cells"][0]["history"]] == ["17", "18", "19"]


def test_what_cannot_be_read_costs_the_report_nothing(tmp_path: Path) -> None:
    run(tmp_path, "18", median_us=100.0)
    (tmp_path / "19" / "matrix.json").mkdir(parents=True)
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "matrix.json").symlink_to("matrix.json")  # leads to itself: not even stat can read it
    now = run(tmp_path, "20", median_us=300.0)
    history.add(now, tmp_path)
    assert [one["run"] for one in now["cells"][0]["history"]] == ["18"]
    alone = matrix_of([cell_row("yamnet")])
    history.add(alone, tmp_path / "nowhere")
    assert "history" not in alone["cells"][0]
