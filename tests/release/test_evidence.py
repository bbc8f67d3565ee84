from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.errors import UsageError
from harness.plan.result import Measurement, RoundResult
from harness.plan.row import Matrix
from harness.record.journal import Journal
from harness.release import document, evidence
from harness.release.decide import decide
from harness.release.verify import verify
from harness.report import baselines
from harness.report import matrix as matrix_file
from tests.conftest import MODELS
from tests.release.releasable import DECIDED, WAIVER, baseline, policy, rows, run, wrong

LOG = "artifacts/blazeface/r1a1/stderr.log"


def finished(folder: Path, matrix: Matrix, *, adapter_software: bool | None = None) -> Path:
    """A run's folder as a run leaves it: matrix, journal, logs."""
    folder.mkdir(parents=True)
    (folder / "matrix.json").write_bytes(matrix_file.encode(matrix))
    journal = Journal(folder)
    journal.plan({"cells": [{"id": row["id"], "role": row["role"]} for row in matrix["cells"]]})
    for row in matrix["cells"]:
        for one in row["latency"]["rounds"] if row["latency"] else []:
            measured = Measurement(samples_us=tuple(one["samples_us"]))
            assert row["runner"] and row["runtime"]
            attempt = RoundResult(
                cell=row["id"],
                round=one["round"],
                attempt=1,
                order=0,
                started=one["started"],
                seconds=1.0,
                measurement=measured,
                adapter_software=adapter_software,
                runner={"sha256": row["runner"]["sha256"]},
                runtime={"sha256": row["runtime"]["sha256"]},
            )
            journal.attempt(attempt)
    journal.close()
    log = folder / LOG
    log.parent.mkdir(parents=True)
    log.write_text("INFO: raw words of the device\n")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = finished(tmp_path / "run", run())
    evidence.write(decide(run(), policy(), DECIDED, baseline()), folder, folder)
    return folder / evidence.BUNDLE


def wrongs(bundle: Path) -> str:
    return "\n".join(line for check in verify(bundle) for line in check.wrong)


def changed(bundle: Path, edit: Callable[[dict[str, bytes]], None], *, honest_manifest: bool = False) -> Path:
    """The bundle with other content; with an honest manifest its hashes are right all the same."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    edit(files)
    if honest_manifest:
        names = [name for name in files if name != evidence.MANIFEST]
        lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)
        files[evidence.MANIFEST] = "".join(lines).encode()
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return bundle


def test_a_bundle_that_nobody_touched_is_right(bundle: Path) -> None:
    checks = verify(bundle)
    assert [check.what for check in checks if check.wrong] == []
    assert len(checks) == 8
    with zipfile.ZipFile(bundle) as archive:
        names = set(archive.namelist())
    assert {"matrix.json", "cells.jsonl", LOG, "rows.csv", "qualification.md", "qualification.html"} <= names
    assert {"qualification.json", "baseline/matrix.json", "MANIFEST.sha256"} <= names


def test_the_manifest_is_what_sha256sum_reads(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", evidence.MANIFEST],
        cwd=tmp_path / "unpacked",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    beside = ["sha256sum", "--check", "evidence.zip.sha256"]
    done = subprocess.run(beside, cwd=bundle.parent, capture_output=True, check=False)
    assert done.returncode == 0


def test_equal_content_makes_equal_bundles(bundle: Path, tmp_path: Path) -> None:
    before = bundle.read_bytes()
    evidence.write(decide(run(), policy(), DECIDED, baseline()), bundle.parent, bundle.parent)
    assert bundle.read_bytes() == before


def test_a_bundle_does_not_hold_an_earlier_one(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", run())
    for _ in range(2):
        evidence.write(decide(run(), policy(), DECIDED, baseline()), folder, folder / "signed")
    with zipfile.ZipFile(folder / "signed" / evidence.BUNDLE) as archive:
        assert not [name for name in archive.namelist() if name.startswith("signed/")]


def test_a_changed_log_a_missing_one_and_one_too_many(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files[LOG] += b"more"
        del files["rows.csv"]
        files["extra.txt"] = b""

    found = wrongs(changed(bundle, edit))
    assert f"{LOG}: was changed" in found
    assert "rows.csv: is missing" in found
    assert "extra.txt: is not in MANIFEST.sha256" in found


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../b", "back\\slash"])
def test_names_that_lead_out_are_refused(bundle: Path, name: str) -> None:
    changed(bundle, lambda files: files.update({name: b"x"}), honest_manifest=True)
    assert f"{name}: is no plain path" in wrongs(bundle)


def test_hashes_that_fit_do_not_hide_a_verdict_that_does_not(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        cells = rows()
        wrong(cells[1])
        files["matrix.json"] = matrix_file.encode(run(cells))

    found = wrongs(changed(bundle, edit, honest_manifest=True))
    assert "qualification.json: 'verdict' is 'PASS', but 'FAIL' follows" in found


def test_samples_that_are_not_the_journals_are_found(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        matrix = json.loads(files["matrix.json"])
        latency = matrix["cells"][1]["latency"]
        latency["rounds"][0]["samples_us"][0] *= 2
        files["matrix.json"] = json.dumps(matrix).encode()

    found = wrongs(changed(bundle, edit, honest_manifest=True))
    assert "release::blazeface_mlkit_v1[pixel-8:gpu-fp16]: its samples are not those of the journal" in found


def test_a_faster_median_is_found(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        matrix = json.loads(files["matrix.json"])
        matrix["cells"][1]["latency"]["median_us"] /= 2
        files["matrix.json"] = json.dumps(matrix).encode()

    found = wrongs(changed(bundle, edit, honest_manifest=True))
    assert "release::blazeface_mlkit_v1[pixel-8:gpu-fp16]: median_us is not that of its samples" in found


def edited(bundle: Path, edit: Callable[[Any], None], name: str = "matrix.json") -> str:
    """What is found of a bundle whose matrix (or another file) was edited by hand, hashes and all."""

    def edit_file(files: dict[str, bytes]) -> None:
        document = json.loads(files[name])
        edit(document)
        files[name] = json.dumps(document).encode()

    return wrongs(changed(bundle, edit_file, honest_manifest=True))


GPU = "release::blazeface_mlkit_v1[pixel-8:gpu-fp16]"


def test_verdicts_that_do_not_follow_from_figures_are_found(bundle: Path) -> None:
    def edit(matrix: Any) -> None:
        cpu, gpu = matrix["cells"][:2]
        cpu["accuracy"][0]["max_abs_of_range"] = 0.5
        gpu["gates"][1]["limit"] = 1e-9
        gpu["speedup"]["value"] *= 2

    found = edited(bundle, edit)
    assert f"{GPU}: its speed-up is not that of the medians" in found
    assert f"{GPU}: gate max_abs_of_range is PASS, but FAIL follows" in found
    assert "[pixel-8:cpu]: gate max_abs_of_range has" in found
    assert "but the row's figure is 0.5" in found


def test_an_outcome_that_does_not_follow_from_the_gates_is_found(bundle: Path) -> None:
    def edit(matrix: Any) -> None:
        matrix["cells"][1]["outcome"] = "MARGINAL"
        matrix["summary"]["pass"] -= 1
        matrix["summary"]["marginal"] += 1

    assert f"{GPU}: is MARGINAL, but PASS follows from its gates" in edited(bundle, edit)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda row: row.update(role="helper"), "is a helper in the matrix, but was planned as a cell"),
        (lambda row: row["attempts"][0].update(started="2026-11-20T11:00:00Z"), "its attempts are not those"),
        (lambda row: row["runner"].update(sha256="0" * 64), "its runner is not that of the journal"),
        (lambda row: row["runtime"].update(sha256="0" * 64), "its runtime is not that of the journal"),
    ],
)
def test_rows_that_are_not_the_journals_are_found(bundle: Path, edit: Callable[[Any], None], words: str) -> None:
    assert f"{GPU}: {words}" in edited(bundle, lambda matrix: edit(matrix["cells"][1]))


def test_samples_that_give_no_figures_are_found(bundle: Path) -> None:
    def edit(matrix: Any) -> None:
        matrix["cells"][1]["latency"]["rounds"][0]["samples_us"][0] = -1.0

    assert f"{GPU}: its samples give no figures" in edited(bundle, edit)


def test_a_software_adapter_that_was_edited_away_is_found(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", run(), adapter_software=True)
    evidence.write(decide(run(), policy(), DECIDED, baseline()), folder, folder)
    assert "device pixel-8: its adapter is a software one in the journal" in wrongs(folder / evidence.BUNDLE)


def test_a_policy_that_was_loosened_afterwards_is_found(bundle: Path) -> None:
    found = edited(bundle, lambda record: record["policy"].update(real_inputs=False), "qualification.json")
    assert "the policy is neither the run's own nor that of a file in policy/" in found


def test_the_policy_of_another_suite_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = run()
    matrix["suite"]["qualification"] = policy(max_age="36500d").asks.model_dump(mode="json")
    folder = finished(tmp_path / "run", matrix)
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "matrix.json").write_bytes(matrix_file.encode(baseline()))
    (tmp_path / "add.tflite").write_bytes((MODELS / "ops" / "add.tflite").read_bytes())
    loose = tmp_path / "loose.yaml"
    loose.write_text(
        "version: 1\nmodels: [{model: add.tflite}]\ndelegates: {cpu: {accelerator: cpu}}\n"
        "qualification: {max_age: 36500d, baseline: optional}\n"
    )
    qualify = ["qualify", str(folder), "--baseline", str(tmp_path / "baseline"), "--policy", str(loose)]
    assert main(qualify) == 0
    assert "loose.yaml, not the one that the run's suite had" in capsys.readouterr().out
    assert main(["verify", str(folder)]) == 0, capsys.readouterr().out
    assert main(qualify[:-2]) == 0
    assert "not the one" not in capsys.readouterr().out


def test_a_document_that_says_something_else_is_found(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files["qualification.md"] = files["qualification.md"].replace(b"W-1", b"").replace(b"pixel-8", b"pixel-9")

    found = wrongs(changed(bundle, edit, honest_manifest=True))
    assert "qualification.md: is not what this harness writes of this decision" in found


def test_a_document_of_another_version_is_not_compared_and_says_so(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files["qualification.md"] += b"written otherwise"
        files["qualification.json"] = files["qualification.json"].replace(b'"writer": "', b'"writer": "0')

    checks = verify(changed(bundle, edit, honest_manifest=True))
    assert not [check for check in checks if check.wrong]
    assert checks[-1].what.startswith("the document was not compared")


def test_a_cell_that_was_taken_out_is_found(bundle: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files["matrix.json"] = matrix_file.encode(run(rows()[:3]))

    found = wrongs(changed(bundle, edit, honest_manifest=True))
    assert "release::yamnet[pixel-8:gpu-fp16]: was planned, but is not in the matrix" in found


def test_what_is_no_bundle(tmp_path: Path) -> None:
    for name, data in (("text.zip", b"hello"), ("empty.zip", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match="is no readable evidence bundle"):
            verify(tmp_path / name)
    with pytest.raises(UsageError, match=r"none\.zip"):
        verify(tmp_path / "none.zip")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "reports" / "before", baseline())
    assert main(["baseline", "v1.0", "reports/before"]) == 0
    assert main(["baseline"]) == 0
    assert "v1.0" in capsys.readouterr().out
    assert main(["baseline", "v1.0", "reports/before"]) == 4
    assert "--replace" in capsys.readouterr().err

    matrix = run()
    matrix["suite"]["qualification"] = policy(max_age="36500d").asks.model_dump(mode="json")
    folder = finished(tmp_path / "reports" / "now", matrix)
    assert main(["qualify", "reports/now", "--baseline", "v1.0"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("QUALIFIED\n")
    assert main(["verify", str(folder / evidence.BUNDLE)]) == 0
    assert "WRONG" not in capsys.readouterr().out

    assert main(["qualify", "reports/now", "--out", "elsewhere"]) == 1
    assert "there is no baseline" in capsys.readouterr().out
    assert main(["qualify", "reports/now", "--baseline", "v9"]) == 4
    assert "v1.0" in capsys.readouterr().err
    assert baselines.tags(tmp_path / "reports") == ["v1.0"]


def test_a_run_without_a_policy_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = run()
    matrix["suite"]["qualification"] = None
    folder = finished(tmp_path / "run", matrix)
    assert main(["qualify", str(folder)]) == 4
    assert "--policy" in capsys.readouterr().err


def test_the_document_says_what_a_signer_needs(bundle: Path) -> None:
    text = (bundle.parent / "qualification.md").read_text()
    assert "**QUALIFIED**" in text
    for words in (
        "Released by",
        "0" * 40,
        "Mali-G715",
        "delegate\\_bench",
        "suites/release.yaml",
        "Since the baseline",
    ):
        assert words in text, words
    page = (bundle.parent / "qualification.html").read_text()
    assert "Released by" in page


def test_the_document_names_every_failure_and_who_allows_it() -> None:
    cells = rows()
    for row in cells[:2]:
        wrong(row)
    matrix = run(cells)
    matrix["waivers"] = [{**WAIVER, "delegate": "gpu-*"}]
    text = document.markdown(document.compose(decide(matrix, policy(baseline="optional"), DECIDED), {}))
    assert (
        "| release::blazeface\\_mlkit\\_v1\\[pixel-8:gpu-fp16\\] | max\\_abs\\_of\\_range | 0.5 | 0.02 | W-1 |" in text
    )
    assert "| release::blazeface\\_mlkit\\_v1\\[pixel-8:cpu\\] | max\\_abs\\_of\\_range | 0.5 | 0.02 | none |" in text


def test_the_document_names_what_else_changed_since_the_baseline() -> None:
    matrix, before = run(), baseline()
    matrix["devices"][0]["facts"]["build"], before["devices"][0]["facts"]["build"] = "NEW.2", "OLD.1"
    made = document.compose(decide(matrix, policy(), DECIDED, before), {})
    (table,) = [table for table in made.tables if table.title == "What else is not as it was"]
    assert any("pixel-8" in row[0] and "OLD.1" in row[0] for row in table.rows)


def test_what_devices_say_is_text_in_the_document(tmp_path: Path) -> None:
    matrix = run()
    hostile = "<script>alert(1)</script> | `x`\n# heading"
    matrix["devices"][0]["adapter"] = hostile
    folder = finished(tmp_path / "run", matrix)
    evidence.write(decide(matrix, policy(), DECIDED, baseline()), folder, folder)
    assert "<script>" not in (folder / "qualification.html").read_text()
    text = (folder / "qualification.md").read_text()
    assert "<script>" not in text.replace("\\<", "")
    assert "\n# heading" not in text
