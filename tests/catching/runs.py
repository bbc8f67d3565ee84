"""One run of pytest over a lab that a test writes, and what its matrix says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from harness.plan.row import CellRow
from harness.report.reasons import reason

Row = dict[str, Any]
RUNS = "runs: {warmup: {count: 0, min_seconds: 0}, count: 1, min_seconds: 0}\n"


def run(folder: Path, lab: Mapping[str, Any], suites: Mapping[str, str], exit_code: int = 1) -> dict[str, Row]:
    """Rows by `model[device:delegate]` of a run that ends with `exit_code`; suites come without version and runs."""
    # Nothing is timed here, so devices wait neither for one another nor for what else runs on this computer.
    devices = [{**device, "machine": f"catching-{device['name']}"} for device in lab["devices"]]
    (folder / "devices.yaml").write_text(json.dumps({"version": 1, **lab, "devices": devices}))
    paths = []
    for name, text in suites.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(f"version: 1\n{RUNS}{text}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--devices={folder / 'devices.yaml'}"]
    command += [f"--rootdir={folder}", f"--reports={folder / 'reports'}", *map(str, paths)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == exit_code, answer.stdout[-4000:] + answer.stderr[-4000:]
    matrix = json.loads((folder / "reports" / "latest" / "matrix.json").read_text())
    assert matrix["summary"]["planned"] == len(matrix["cells"])
    return {cell["id"].partition("::")[2]: cell for cell in matrix["cells"]}


def entries(models: Sequence[Mapping[str, Any]]) -> str:
    """Entries of a suite's `models`."""
    return f"models: {json.dumps(list(models))}\n"


def said(row: Row) -> str:
    """Why a cell is not PASS: what is in its row, after the same words were found in what people are shown."""
    assert row["outcome"] != "PASS", row["id"]
    shown = reason(cast("CellRow", row))
    assert all(hint in shown for hint in row.get("hints", []))
    return str(row["reason"])
