from __future__ import annotations

import copy
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UsageError
from harness.plan.row import CellRow, Matrix
from harness.report import matrix as matrix_file
from harness.report import merge
from tests.report.sample import cell_row, matrix_of

EARLY, LATE = "2026-11-20T01:00:00Z", "2026-11-20T05:00:00Z"


def run(folder: Path, name: str, started: str, rows: list[CellRow]) -> Path:
    matrix = matrix_of(rows)
    matrix["run"]["id"], matrix["run"]["started"] = name, started
    for row in matrix["cells"]:
        row["artifacts"] = [f"artifacts/{row['delegate']}/stderr.log"]
        row["attempts"] = [{**attempt, "started": started} for attempt in row["attempts"]]
        log = folder / name / row["artifacts"][0]
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"log of {name}")
    (folder / name / "matrix.json").write_bytes(matrix_file.encode(matrix))
    return folder / name


def merged(*folders: Path) -> Matrix:
    return merge.merge(merge.read(folders), "merged", "harness report merge")[0]


def test_shards_become_one_run(tmp_path: Path) -> None:
    first = run(tmp_path, "a", EARLY, [cell_row("yamnet", delegate="cpu", speedup=None)])
    second = run(tmp_path, "b", LATE, [cell_row("yamnet", device="this-machine")])
    matrix = merged(second, first)
    assert [row["from_run"] for row in matrix["cells"]] == ["a", "b"]
    assert (matrix["run"]["started"], matrix["run"]["merged"]) == (EARLY, ["a", "b"])
    assert {device["name"] for device in matrix["devices"]} == {"pixel-8", "this-machine"}
    assert (matrix["summary"]["planned"], matrix["summary"]["pass"], matrix["summary"]["verdict"]) == (2, 2, "PASS")
    matrix_file.check_sums(matrix)


@pytest.mark.parametrize(
    ("early", "late", "winner"),
    [
        ("PASS", "PASS", "late"),
        ("FAIL", "PASS", "late"),
        ("PASS", "FAIL", "late"),
        ("PASS", "ERROR", "early"),
        ("ERROR", "PASS", "late"),
        ("FAIL", "TIMEOUT", "early"),
        ("ERROR", "NOT_RUN", "late"),
    ],
)
def test_which_attempt_wins(tmp_path: Path, early: str, late: str, winner: str) -> None:
    folders = [
        run(tmp_path, name, started, [cell_row(outcome=outcome, reason=f"{outcome} there")])
        for name, started, outcome in (("early", EARLY, early), ("late", LATE, late))
    ]
    (row,) = merged(*folders)["cells"]
    assert row["from_run"] == winner
    lost, outcome = ("early", early) if winner == "late" else ("late", late)
    assert f"also {outcome} in run {lost}: {outcome} there" in row["notes"], "nothing is hidden"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path, "a", EARLY, [cell_row()])
    second = run(tmp_path, "b", LATE, [cell_row()])
    spoilt = matrix_file.load(second)
    for edit, words in (
        (("devices", "serial"), "device 'pixel-8' is not the same in a"),
        (("models", "sha256"), "model 'blazeface_mlkit_v1' is not the same in a"),
    ):
        matrix = copy.deepcopy(spoilt)
        matrix[edit[0]][0][edit[1]] = "another"  # type: ignore[literal-required]
        (second / "matrix.json").write_bytes(matrix_file.encode(matrix))
        with pytest.raises(UsageError, match=words.replace("(", r"\(")):
            merge.read([first, second])
    with pytest.raises(UsageError, match="named twice"):
        merge.read([first, first])
    with pytest.raises(UsageError, match="two runs"):
        merge.read([first])


def test_the_command_leaves_a_run_with_its_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "a", EARLY, [cell_row(delegate="cpu", speedup=None)])
    run(tmp_path, "b", LATE, [cell_row()])
    assert main(["report", "merge", "a", "b"]) == 0
    assert "PASS: 2 cells from 2 runs" in capsys.readouterr().out
    (folder,) = (tmp_path / "reports").iterdir()
    matrix = matrix_file.load(folder)
    assert [(folder / row["artifacts"][0]).read_text() for row in matrix["cells"]] == ["log of a", "log of b"]
    assert (folder / "index.html").is_file()
    assert (folder / "cells.jsonl").is_file()
    assert main(["report", str(folder)]) == 0
    assert "2 cells" in capsys.readouterr().out


def test_a_path_that_leads_out_of_a_run_is_left_out(tmp_path: Path) -> None:
    first = run(tmp_path, "a", EARLY, [cell_row(delegate="cpu", speedup=None)])
    second = run(tmp_path, "b", LATE, [cell_row()])
    matrix = matrix_file.load(second)
    matrix["cells"][0]["artifacts"] += ["../outside", "artifacts/../../outside", "/etc/passwd"]
    (second / "matrix.json").write_bytes(matrix_file.encode(matrix))
    parts = merge.read([first, second])
    made, origin = merge.merge(parts, "merged", "")
    assert made["cells"][1]["artifacts"] == ["artifacts/b/gpu-fp16/stderr.log"]
    (tmp_path / "out").mkdir()
    merge.write_files(parts, made, origin, tmp_path / "out")
    kept = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(kept) == ["artifacts/a/cpu/stderr.log", "artifacts/b/gpu-fp16/stderr.log", "cells.jsonl"]
