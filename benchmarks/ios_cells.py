"""Time per cell on an emulated iPhone, over the bare tidevice calls that the same cell needs.

The phone (iOS 16.4, with TLS, in a process of its own) really runs the model, for as long as profile quick measures.
The harness's figure is the time from the first cell's start to the last one's, taken from its own report; the bare
loop (bare_iphone.py) gives the same jobs to the same app in one process that keeps its connections: job.json, launch,
done marker, results. Its files are on the phone already, as they are for the harness's second run. Both figures hold
the app's own time, so that the milliseconds between them, printed for each pair, say more than their ratio.

Before it, in a line of its own: how often the phone was sent each model, over all runs; more than once exits 1 too.
"""

from __future__ import annotations

import json
import secrets
import shlex
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from common import ROOT, arguments, conclude, pytest_command, timed
from iphones import Iphones
from lab import make_lab, newest_matrix

from harness.lab.spec import IosSpec
from harness.plan.cell import InputPlan, ModelRef, Problem
from harness.plan.tflite_file import describe
from harness.reference.inputs import make_inputs

GOAL = 1.15
PHONE = "iphone-13"
MODEL = ROOT / "models" / "mobilenet_v1.tflite"
SUITE = """\
version: 1
models: [{model}]
delegates:
{delegates}
inputs: {{samples: 1}}
advice: {{speedup: {{over: cpu-000}}}}
"""


def main() -> None:
    """The harness and the bare loop in turn."""
    quick = arguments(__doc__ or "")
    cells, pairs = (6, 2) if quick else (20, 3)
    with tempfile.TemporaryDirectory() as name, Iphones(PHONE) as phones:
        lab = Path(name) / "lab"
        delegates = "\n".join(f"  cpu-{number:03}: {{accelerator: cpu}}" for number in range(cells))
        make_lab(lab, SUITE.format(model=MODEL, delegates=delegates), phones.devices())
        command = pytest_command("--devices", "devices.yaml", "suites/bench.yaml")
        timed([*command, "-k", "cpu-000"], lab, phones.environ)  # brings the files, and computes the reference
        ratios = []
        for _ in range(pairs):
            timed(command, lab, phones.environ)
            matrix = newest_matrix(lab)
            ours = per_cell(matrix)
            bare = by_hand(Path(name), phones, matrix)
            ratios.append(ours / bare)
            print(f"{ours * 1e3:.0f} ms per cell, by hand {bare * 1e3:.0f} ms: {ours / bare:.3f}", flush=True)
        sent = times_sent(phones, matrix)
    print(f"the phone was sent the model {sent} times, in {pairs + 1} runs of the harness (goal <= 1)")
    if sent > 1:
        conclude("ios_cells_model_sent", sent, 1)
    conclude("ios_cells", statistics.median(ratios), GOAL)


def per_cell(matrix: dict[str, Any]) -> float:
    """Seconds of a cell, by the starts of the first and the last one."""
    reasons = {str(cell["reason"]) for cell in matrix["cells"] if cell["outcome"] != "PASS"}
    if reasons:
        raise SystemExit(f"cells that did not pass: {'; '.join(sorted(reasons))}")
    starts = sorted(moment(attempt["started"]) for cell in matrix["cells"] for attempt in cell["attempts"])
    return (starts[-1] - starts[0]).total_seconds() / (len(starts) - 1)


def moment(text: str) -> datetime:
    """A time of the matrix; Python 3.10 does not read the Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def by_hand(folder: Path, phones: Iphones, matrix: dict[str, Any]) -> float:
    """Seconds of a cell in the bare loop, which does the jobs of the cells of a finished run."""
    files = job_files()
    listed = [{"path": path, "bytes": size, "sha256": Path(path).name} for path, size in files.values()]
    jobs = []
    for cell in matrix["cells"]:
        words = [files[word][0] if word in files else word for word in shlex.split(cell["runner"]["command"])]
        jobs.append({"schema": 1, "id": secrets.token_hex(8), "arguments": words, "files": listed, "env": {}})
    order = {"address": phones.address, "udid": phones.udids[0], "bundle": IosSpec.model_fields["bundle"].default}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "bare_iphone.py")],
        input=json.dumps({**order, "jobs": jobs}),
        env={**phones.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the bare loop failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])) / (len(jobs) - 1)


def job_files() -> dict[str, tuple[str, int]]:
    """Name of each file of a cell's job -> its place on the phone, and bytes."""
    model = describe(ModelRef("model", str(MODEL), inputs=InputPlan(samples=1)))
    inputs = make_inputs(model)
    if isinstance(inputs, Problem):
        raise SystemExit(inputs.reason)
    files = {"model.tflite": (f"store/{model.sha256}", model.size)}
    for index, path in enumerate(inputs.samples[0]):
        files[f"inputs/s0_i{index}.bin"] = (f"store/{path.stem}", path.stat().st_size)
    return files


def times_sent(phones: Iphones, matrix: dict[str, Any]) -> float:
    """How often the phone was sent the model: its bytes over the model's size."""
    (model,) = matrix["models"]
    sent = sum(size for path, size in phones.received()[0] if model["sha256"] in path)
    return float(sent / model["bytes"])


if __name__ == "__main__":
    main()
