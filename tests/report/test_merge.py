from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.errors import UsageError
from harness.plan.row import CellRow, Matrix
from harness.report import matrix as matrix_file
from harness.report import merge, merge_files
from tests.release.releasable import WAIVER, wrong
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


def rewritten(folder: Path, edit: Callable[[Any], object]) -> Path:
    matrix = matrix_file.load(folder)
    edit(matrix)
    (folder / "matrix.json").write_bytes(matrix_file.encode(matrix))
    return folder


def shards(tmp_path: Path) -> tuple[Path, Path]:
    """One measured a GPU, the other, later, a CPU."""
    first = run(tmp_path, "a", EARLY, [cell_row(delegate="gpu-fp16")])
    return first, run(tmp_path, "b", LATE, [cell_row(delegate="cpu", speedup=None)])


def test_what_one_shard_knows_of_a_device_no_other_takes_back(tmp_path: Path) -> None:
    gpu, cpu = shards(tmp_path)
    rewritten(
        gpu, lambda matrix: matrix["devices"][0].update(emulated=True, adapter="SwiftShader", adapter_software=True)
    )
    rewritten(cpu, lambda matrix: matrix["devices"][0].update(emulated=False, adapter=None, adapter_software=None))
    (device,) = merged(gpu, cpu)["devices"]
    assert (device["emulated"], device["adapter"], device["adapter_software"]) == (True, "SwiftShader", True)


def test_inputs_are_files_only_if_they_were_in_every_shard(tmp_path: Path) -> None:
    gpu, cpu = shards(tmp_path)
    rewritten(gpu, lambda matrix: matrix["models"][0].update(input_source="noise"))
    rewritten(cpu, lambda matrix: matrix["models"][0].update(input_source="files"))
    assert merged(gpu, cpu)["models"][0]["input_source"] == "noise"


def test_a_helper_does_not_take_the_place_of_the_cell(tmp_path: Path) -> None:
    asked = run(tmp_path, "a", EARLY, [cell_row(outcome="ERROR", reason="adb hung up")])
    helper = run(tmp_path, "b", LATE, [cell_row()])
    rewritten(helper, lambda matrix: matrix["cells"][0].update(role="helper"))
    (row,) = merged(asked, helper)["cells"]
    assert (row["role"], row["outcome"]) == ("cell", "ERROR")


def test_coverage_is_that_of_the_suites(tmp_path: Path) -> None:
    first = run(tmp_path, "a", EARLY, [cell_row(outcome="UNSUPPORTED", reason="no")])
    second = run(tmp_path, "b", LATE, [cell_row(delegate="cpu", speedup=None)])
    rewritten(first, lambda matrix: matrix["delegates"]["gpu-fp16"].update(expect="measured"))
    for folder in (first, second):
        rewritten(folder, lambda matrix: matrix["suite"].update(coverage=0.75))
    assert "75% is required" in "; ".join(merged(first, second)["summary"]["reasons"])


def test_counts_of_cells_are_those_of_all_shards(tmp_path: Path) -> None:
    first, second = shards(tmp_path)
    rewritten(first, lambda matrix: matrix["suite"].update(cells={"pixel-8": 3}))
    rewritten(second, lambda matrix: matrix["suite"].update(cells={"pixel-9": 3}))
    assert merged(first, second)["suite"]["cells"] == {"pixel-8": 3, "pixel-9": 3}


def _rename(matrix: Matrix, host: str) -> None:
    matrix["run"]["id"], matrix["run"]["host"] = "run", host


def test_two_hosts_may_begin_in_the_same_second(tmp_path: Path) -> None:
    gpu, cpu = shards(tmp_path)
    for folder, host in ((gpu, "rack 1"), (cpu, "rack-2")):
        rewritten(folder, partial(_rename, host=host))
    parts = merge.read([gpu, cpu])
    assert [part.id for part in parts] == ["run.rack-1", "run.rack-2"]
    matrix, _ = merge.merge(parts, "merged", "")
    assert matrix["cells"][1]["artifacts"] == ["artifacts/run.rack-2/cpu/stderr.log"]


def test_a_run_whose_id_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    gpu, cpu = shards(tmp_path)
    rewritten(cpu, lambda matrix: matrix["run"].update(id="../../elsewhere"))
    with pytest.raises(UsageError, match=r"run id '\.\./\.\./elsewhere'"):
        merge.read([gpu, cpu])


def test_computers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [run(tmp_path, name, EARLY, [cell_row(device="this-machine")]) for name in "ab"]
    rewritten(folders[1], lambda matrix: matrix["devices"][0].update(machine="another"))
    with pytest.raises(UsageError, match="device 'this-machine' is not the same"):
        merge.read(folders)


def test_delegates_of_one_name_keep_their_suites(tmp_path: Path) -> None:
    gpu, cpu = shards(tmp_path)
    other = run(tmp_path, "c", LATE, [cell_row(delegate="gpu-fp16")])

    def rename(matrix: Matrix) -> None:
        matrix["cells"][0]["id"] = matrix["cells"][0]["id"].replace("release::", "nightly::")
        matrix["delegates"]["gpu-fp16"]["expect"] = "if_available"

    rewritten(gpu, lambda matrix: matrix["delegates"]["gpu-fp16"].update(expect="measured"))
    delegates = merged(gpu, cpu, rewritten(other, rename))["delegates"]
    assert delegates["gpu-fp16"]["expect"] == "measured"
    assert delegates["nightly::gpu-fp16"]["expect"] == "if_available"


@pytest.mark.parametrize(("expires", "waived"), [("2026-12-31", 1), ("2026-11-20", 0)])
def test_waivers_hold_as_on_the_day_of_the_newest_run(tmp_path: Path, expires: str, waived: int) -> None:
    gpu, cpu = shards(tmp_path)

    def fail(matrix: Matrix) -> None:
        wrong(matrix["cells"][0])["gates"][1]["waiver"] = "W-1"
        matrix["waivers"] = [{**WAIVER, "expires": expires}]

    rewritten(gpu, fail)
    rewritten(cpu, lambda matrix: matrix["run"].update(started="2026-11-21T01:00:00Z"))
    matrix = merged(gpu, cpu)
    assert matrix["summary"]["waived"] == waived
    assert matrix["waivers"][0]["status"] == ("used" if waived else "expired")


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
    merge_files.write_files(parts, made, origin, tmp_path / "out")
    kept = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(kept) == ["artifacts/a/cpu/stderr.log", "artifacts/b/gpu-fp16/stderr.log", "cells.jsonl"]
