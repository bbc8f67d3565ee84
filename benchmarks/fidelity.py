"""Does the harness disturb what it measures?

The median latency of a cell on this machine, measured while a second device receives files and references are
computed, against the bare binary on an idle harness. Rounds are interleaved: bare, harness, bare; the pair's ratio is
the harness's median over the mean of the two bare ones. Where those two differ by more than 3 %, the host itself was
disturbed (by another guest, say) and the pair is void, whatever its ratio. The figure is the far end of the 95 %
interval of the ratio (median over the pairs, by bootstrap), as its distance from 1: the interval lies within +- 2 %
exactly if that is at most 0.02.

No phone is needed for the second device: it is a stand-in that copies and verifies its job's files, in portions,
through the same `Turns` as a phone's transfer would, and then refuses the job.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from common import ROOT, arguments, conclude
from lab import bare_line, link_job_files

from harness.clock import Clock, SystemClock, iso
from harness.devices.base import Device, DeviceError, Job, JobOutput, Turns
from harness.devices.local import LocalDevice
from harness.engine.engine import Listener
from harness.engine.run import Run
from harness.lab.inventory import Inventory
from harness.lab.spec import DeviceSpec, LocalSpec
from harness.plan.cell import Cell, ErrorClass, InputPlan
from harness.plan.expand import expand
from harness.plan.load import load_suite
from harness.plan.row import RunRow

PORTION = 1 << 20
AGREEMENT = 0.03
FEWEST = 8
RECEIVED = 48 << 20  # bytes that the second device receives for each of its cells
SUITE = """\
version: 1
models: [MODELS/mobilenet_v1.tflite, MODELS/posenet.tflite]
delegates: {{cpu: {{accelerator: cpu}}}}
inputs: {{seed: {seed}}}
runs: {{warmup: {{count: 1, min_seconds: 0.1}}, count: 1, min_seconds: {seconds}, max_seconds: 10}}
retries: 0
"""


class ReceivingDevice(LocalDevice):
    """Receives files as a phone would, and runs nothing."""

    received = 0

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        """Copy and verify the job's files in portions, then refuse."""
        with tempfile.TemporaryFile() as store:
            left = RECEIVED
            while left > 0:
                for file in job.files:
                    digest = hashlib.sha256()
                    with file.source.open("rb") as source:
                        while portion := source.read(PORTION):
                            with turns.transfer():
                                digest.update(portion)
                                store.write(portion)
                            left -= len(portion)
                            ReceivingDevice.received += len(portion)
        raise DeviceError("it only receives files", device=self.name, error_class=ErrorClass.CONFIG)


def opener(spec: DeviceSpec, clock: Clock) -> Device:
    """This machine for "timed", the stand-in for "receiver"."""
    return LocalDevice(spec.name, clock) if spec.name == "timed" else ReceivingDevice(spec.name, clock)


def main() -> None:
    """Collect pairs until there are enough or time is up."""
    wanted, seconds, patience = (24, 0.3, 44.0) if arguments(__doc__ or "") else (120, 0.5, 900.0)
    ratios: list[float] = []
    void = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "bare").mkdir()
        link_job_files(root / "bare", ROOT / "models" / "mobilenet_v1.tflite", InputPlan())
        line = harness_round(root, 0, seconds)[1]  # builds the binary; its command is what runs bare
        end = time.monotonic() + patience - 4.0
        bare = bare_round(root / "bare", line, 0)
        while len(ratios) < wanted and time.monotonic() < end:
            number = 1 + len(ratios) + void
            before = bare
            median = harness_round(root, number, seconds)[0]
            bare = bare_round(root / "bare", line, number)
            if abs(before - bare) > AGREEMENT * min(before, bare):
                void += 1
            else:
                ratios.append(median * 2 / (before + bare))
    if len(ratios) < FEWEST:
        raise SystemExit(f"only {len(ratios)} pairs, {void} void: this host is too busy to tell")
    ratio, low, high = interval(ratios)
    received = ReceivingDevice.received >> 20
    print(f"{len(ratios)} pairs, {void} void; {received} MiB received; ratio {ratio:.4f} [{low:.4f}, {high:.4f}]")
    conclude("fidelity", max(abs(low - 1), abs(high - 1)), 0.02)


def bare_round(work: Path, line: str, number: int) -> float:
    """Median latency (us) of the recorded command, run by a shell with nothing beside it."""
    subprocess.run(["sh", "-c", line.replace("OUT", f"o{number}")], cwd=work, stdout=subprocess.DEVNULL, check=True)
    record = json.loads((work / f"o{number}" / "result.json").read_text())
    return float(np.median(np.add(record["invoke_us"], record["read_us"])))


def harness_round(root: Path, number: int, seconds: float) -> tuple[float, str]:
    """Median latency (us) of the cell on "timed", and its command as a shell line.

    The seed is new in every round, so that all references have to be computed again.
    """
    suites = root / f"run-{number}" / "suites"
    suites.mkdir(parents=True)
    path = suites / "bench.yaml"
    path.write_text(SUITE.format(seed=1000 + number, seconds=seconds).replace("MODELS", str(ROOT / "models")))
    suite = load_suite(path)
    specs: dict[str, DeviceSpec] = {
        "timed": LocalSpec(name="timed", kind="local"),
        "receiver": LocalSpec(name="receiver", kind="local", machine="elsewhere"),
    }
    cells: list[Cell] = [
        cell
        for cell in expand(suite, list(specs.values()))
        if cell.device == "receiver" or cell.model.name == "mobilenet_v1"
    ]
    folder = root / f"run-{number}" / "report"
    folder.mkdir()
    clock = SystemClock()
    row: RunRow = {
        "id": str(number),
        "started": iso(clock.now()),
        "finished": None,
        "command": "",
        "harness_version": "",
        "git": None,
        "host": "",
        "profile": "quick",
    }
    run = Run(
        provenance=row,
        lab=Inventory(specs=tuple(specs.values())),
        specs=specs,
        suites=[suite],
        cells=cells,
        folder=folder,
        baseline={},
        clock=clock,
        listener=Listener(),
        opener=opener,
    )
    run.start()
    while run.finished.get() is not None:
        pass
    timed = next(cell for cell in run.matrix(None)["cells"] if cell["device"] == "timed")
    if timed["latency"] is None:
        raise SystemExit(timed["reason"])
    return timed["latency"]["median_us"], bare_line(dict(timed), "OUT")


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median of the ratios and its bootstrap 95 % percentile interval."""
    drawn = np.random.default_rng(7).choice(ratios, (4000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(np.median(ratios)), float(low), float(high)


if __name__ == "__main__":
    main()
