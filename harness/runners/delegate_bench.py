"""Our own benchmark binary: `native/delegate_bench.c`, and its command line.

On iOS the same program is inside an app, with its runtime: it is told the same, but for what the app adds itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from harness.devices.base import Job, JobFile, JobOutput, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET, OWN_RUNNER
from harness.plan.cell import Cell, Delegate
from harness.runners import app_record, bench_record
from harness.runners.base import COLD, JobFacts, RunnerReport
from harness.runners.binaries import Binaries
from harness.runners.runtimes import FOLDER

BINARY = OWN_RUNNER
BACKENDS = ("auto", "opencl", "webgpu", "opengl")
_EXIT_GRACE = 2.0


class DelegateBench:
    """Runner `delegate_bench`."""

    name = BINARY

    def __init__(self, binaries: Binaries) -> None:
        self._binaries = binaries

    def needs_runtime(self, target: str) -> bool:
        """Yes, but on iOS, where the app holds one."""
        return target != IOS_TARGET

    def binary(self, target: str) -> Path | None:
        """The program for a target: the user's own, else fetched or built; None on iOS, where it is in the app."""
        return None if target == IOS_TARGET else self._binaries.file(BINARY, target).source

    def jobs(self, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        """The one job that measures one round of a cell."""
        job_id = secrets.token_hex(8)
        files: list[JobFile] = []
        command: list[str | JobPath] = []
        if facts.target == IOS_TARGET:
            app_record.check(cell.delegate, facts.runtime_version, require_sha256=cell.policy.require_sha256)
        else:
            _check(cell.delegate)
            if facts.runtime is None:
                raise ValueError(f"{BINARY} loads a runtime, and none was given")
            binary = self._binaries.file(BINARY, facts.target, require_sha256=cell.policy.require_sha256)
            files += (binary, *facts.runtime.files)
            command += [JobPath(BINARY), "--lib", JobPath(facts.runtime.library), "--accel-dir", JobPath(FOLDER)]
            command += ["--out", JobPath("out"), "--run-id", job_id]
        model = JobFile("model.tflite", Path(facts.model.ref.path), facts.model.sha256)
        files.append(model)
        command += ["--model", JobPath(model.name), *_options(cell, facts)]
        command += ["--samples", str(len(facts.inputs.samples))]
        for number, sample in enumerate(facts.inputs.samples):
            for index, path in enumerate(sample):
                file = JobFile(f"inputs/s{number}_i{index}.bin", path, path.stem)
                files.append(file)
                command += ["--input", JobPath(file.name)]
        env = dict(COLD) if cell.delegate.start == "cold" else {}
        app = BINARY if facts.target == IOS_TARGET else None
        return (Job(job_id, tuple(files), tuple(command), env, output_bytes=cell.policy.limits.output_bytes, app=app),)

    def report(self, cell: Cell, jobs: Sequence[Job], facts: JobFacts, outputs: Sequence[JobOutput]) -> RunnerReport:
        """What the output says: a measurement only if the whole record arrived."""
        (job,), (output,) = jobs, outputs
        in_app = facts.target == IOS_TARGET
        runner = {
            "name": self.name,
            "context": "app" if in_app else "shell",
            "sha256": None if in_app else self._binaries.file(BINARY, facts.target).sha256,
            "command": job.command_line,
        }
        found = bench_record.read(cell, job, facts, output, runner)
        return app_record.completed(found, cell, job, facts, output) if in_app else found


def _check(delegate: Delegate) -> None:
    """Refuse what the binary cannot do, rather than file something else under its name."""
    able = f"delegate '{delegate.name}': the runner {BINARY}"
    if delegate.accelerator == "npu":
        raise UsageError(f"{able} drives the CPU and the GPU, no NPU")
    if delegate.context == "app":
        raise UsageError(f"{able} measures as a shell's process; context 'app' needs another runner")
    if delegate.backend not in BACKENDS:
        raise UsageError(f"{able} knows the backends {', '.join(BACKENDS)}, not '{delegate.backend}'")


def _options(cell: Cell, facts: JobFacts) -> list[str]:
    delegate, runs, limits = cell.delegate, cell.policy.runs, cell.policy.limits
    accelerator: str = delegate.accelerator
    if accelerator != "cpu" and delegate.fallback == "partial":
        accelerator += ",cpu"
    options = ["--accelerator", accelerator, "--threads", str(delegate.threads), "--kernels", delegate.kernels]
    if delegate.accelerator != "cpu":
        options += ["--precision", delegate.precision, "--backend", delegate.backend]
    if facts.model.signature is not None:
        options += ["--signature", facts.model.signature]
    options += ["--warmup", str(runs.warmup_count), "--warmup-seconds", f"{runs.warmup_min_seconds:g}"]
    options += ["--runs", str(runs.count), "--min-seconds", f"{runs.min_seconds:g}"]
    options += ["--max-seconds", f"{runs.max_seconds:g}"]
    options += ["--timeout", f"{max(1.0, facts.deadline - _EXIT_GRACE):g}"]
    options += ["--memory-limit", str(limits.memory_bytes), "--output-limit", str(limits.output_bytes)]
    return options
