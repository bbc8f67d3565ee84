"""The script of docs/examples.md makes what that page promises, by real runs on emulated phones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.drivers import swiftshader

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only"),
    pytest.mark.timeout(600),
]


def make(name: str, out: Path) -> tuple[str, Path, dict[str, Any]]:
    """What the script prints, the example's folder, and the matrix."""
    swiftshader()
    answer = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_examples.py"), "--out", str(out), name],
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )
    assert answer.returncode == 0, answer.stderr
    folder = out / name
    page = folder / "reports" / "latest" / "index.html"
    assert str(page) in answer.stdout
    assert page.stat().st_size > 50_000
    assert not (folder / "lab").exists(), "the phones' files are gone"
    matrix = json.loads((page.parent / "matrix.json").read_text(encoding="utf-8"))
    assert [device["emulated"] for device in matrix["devices"]] == [False, True, True]
    return answer.stdout, folder, matrix


def by_outcome(matrix: dict[str, Any]) -> dict[str, set[str]]:
    """Outcome -> cells, as model[device:delegate]."""
    found: dict[str, set[str]] = {}
    for cell in matrix["cells"]:
        found.setdefault(cell["outcome"], set()).add(cell["id"].partition("::")[2])
    return found


def test_a_clean_night_passes(tmp_path: Path) -> None:
    printed, _, matrix = make("clean-night", tmp_path)
    assert printed.startswith("clean-night: PASS after ")
    assert matrix["summary"]["verdict"] == "PASS"
    assert set(by_outcome(matrix)) == {"PASS"}


def test_a_bad_device_costs_its_own_cells_alone(tmp_path: Path) -> None:
    _, _, matrix = make("bad-night", tmp_path)
    assert matrix["summary"]["verdict"] == "INCOMPLETE"
    found = by_outcome(matrix)
    assert set(found) == {"PASS", "ERROR", "NOT_RUN"}
    assert all("galaxy-s23" in name for name in found["ERROR"] | found["NOT_RUN"])
    assert all(cell["reason"] for cell in matrix["cells"] if cell["outcome"] != "PASS")


def test_a_release_fails_by_what_changed_and_is_not_qualified(tmp_path: Path) -> None:
    _, folder, matrix = make("release", tmp_path)
    assert matrix["summary"]["verdict"] == "FAIL"
    failed = by_outcome(matrix)["FAIL"]
    places = ("this-machine", "pixel-8", "galaxy-s23")
    assert {f"{model}[{place}:gpu]" for model in ("upscale", "labels") for place in places} <= failed
    assert any(name.endswith(":app]") for name in failed), "the slower kernels"
    assert {entry["id"]: entry["status"] for entry in matrix["waivers"]} | {"W-2": ""} == {
        "W-1": "expired",
        "W-2": "",
        "W-3": "used",
    }
    assert any(cell["localisation"] and cell["localisation"]["bundle"] for cell in matrix["cells"])
    decision = json.loads((folder / "qualification" / "qualification.json").read_text(encoding="utf-8"))
    assert decision["verdict"] == "FAIL"
    assert decision["disqualified"]
    assert "\nNOT QUALIFIED" in (folder / "output.txt").read_text(encoding="utf-8")
    assert (folder / "qualification" / "evidence.zip").is_file()
