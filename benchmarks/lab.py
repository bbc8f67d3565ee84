"""A throw-away lab for benchmarks: devices.yaml, a suite, and the bare commands of a finished run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from common import ROOT

from harness.plan.cell import InputPlan, ModelRef, Problem
from harness.plan.tflite_file import describe
from harness.reference.inputs import make_inputs
from harness.runners.build import build_runner


def make_lab(folder: Path, suite: str, devices: str = "  - {name: bench, kind: local}\n") -> None:
    """A folder with a devices file and `suites/bench.yaml`; MODELS in the suite is the project's folder of models."""
    (folder / "suites").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "devices.yaml").write_text(f"version: 1\ndevices:\n{devices}")
    (folder / "suites" / "bench.yaml").write_text(suite.replace("MODELS", str(ROOT / "models")))


def newest_matrix(folder: Path) -> dict[str, Any]:
    """The matrix of the newest run in a lab."""
    found: dict[str, Any] = json.loads((folder / "reports" / "latest" / "matrix.json").read_text())
    return found


def link_job_files(work: Path, model: Path, inputs: InputPlan) -> None:
    """What the harness puts into a job's folder: program, model, runtime, input files."""
    described = describe(ModelRef("model", str(model), inputs=inputs))
    made = make_inputs(described)
    if isinstance(made, Problem):
        raise SystemExit(made.reason)
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise SystemExit("ai-edge-litert is not installed")
    (work / "inputs").mkdir(parents=True)
    (work / "delegate_bench").symlink_to(build_runner())
    (work / "model.tflite").symlink_to(model)
    (work / "runtime").symlink_to(Path(spec.origin).parent)
    for number, sample in enumerate(made.samples):
        for index, path in enumerate(sample):
            (work / "inputs" / f"s{number}_i{index}.bin").symlink_to(path)


def bare_line(cell: dict[str, Any], out: str) -> str:
    """A cell's recorded command as a shell line that writes to the folder `out`."""
    line: str = cell["runner"]["command"]
    return "./" + line.replace(" --out out ", f" --out {out} ")
