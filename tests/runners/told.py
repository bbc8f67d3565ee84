"""Logs of benchmark_model made up for tests, and what the runner makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.devices.base import JobOutput
from harness.plan.cell import Delegate, Fallback, Model, ModelRef, Problem, TensorSpec
from harness.plan.result import Measurement
from harness.runners.base import RunnerReport
from tests.runners import captured

WARMED = "INFO: count=2 first=60 curr=50 min=50 max=60 avg=55 std=5 p5=50 median=60 p95=60"
STATS = "INFO: count=20 first=10 curr=12 min=9 max=20 avg=12.5 std=3 p5=9 median=12 p95=20"
TIMINGS = "INFO: Inference timings in us: Init: 700, First inference: 60, Warmup (avg): 55, Inference (avg): 12.5"
WHOLE = "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
PART = WHOLE.replace("completely executed by the delegate", "partially executed by the delegate w/ 2 delegate kernels")
NONE = "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
REPLACED = "VERBOSE: Replacing 3 out of 3 node(s) with delegate ({}) node, yielding 1 partitions for subgraph 0 (main)."
OPENCL = "INFO: Initialized OpenCL-based API."
REFUSED = """ERROR: Following operations are not supported by GPU delegate:
CUMSUM: Operation is not supported.
2 operations will run on the GPU, and the remaining 1 operations will run on the CPU."""
TWO = tuple(TensorSpec(index, f"o{index}", "uint8", (2,)) for index in (0, 1))


def text(*lines: str) -> str:
    """A log of a run that went through, with more lines before its results."""
    return "\n".join(["INFO: STARTING!", *lines, WARMED, "", STATS, "", TIMINGS, ""])


def reported(
    folder: Path,
    stdout: str | Sequence[str],
    delegate: Delegate | None = None,
    *,
    stderr: str = "",
    code: int = 0,
    timed_out: bool = False,
    program: bytes = b"old",
    model: Model | None = None,
    samples: int = 1,
    files: dict[str, bytes] | None = None,
) -> RunnerReport:
    """What the runner makes of a log for each of its jobs (the same for all, or one each)."""
    model = model or Model(ModelRef("m", "m"), nodes=3, outputs=TWO)
    cell = captured.cell_of(model, delegate or Delegate("x"))
    facts = captured.facts_for(model, (tuple(folder / "input" for _ in model.inputs),) * samples)
    runner = captured.runner(folder, program)
    jobs = runner.jobs(cell, facts)
    logs = [stdout] * len(jobs) if isinstance(stdout, str) else stdout
    outputs = []
    for number, log in enumerate(logs):
        out = folder / f"out{number}"
        out.mkdir()
        for name, data in {"out.bin": bytes([number, 1, 2, 3]), **(files or {})}.items():
            (out / name).write_bytes(data)
        outputs.append(JobOutput(out, code if number == len(logs) - 1 else 0, log, stderr, 1.0, 0, timed_out))
    return runner.report(cell, jobs, facts, outputs)


def measured(report: RunnerReport) -> Measurement:
    assert report.measurement is not None, report.problem
    return report.measurement


def problem(report: RunnerReport) -> Problem:
    assert report.measurement is None
    assert report.problem is not None
    return report.problem


def gpu(fallback: Fallback = "forbid", backend: str = "auto") -> Delegate:
    return Delegate("x", "gpu", backend=backend, fallback=fallback)
