"""Upstream's benchmark app for iPhones: LiteRT's benchmark_model inside an app (litert-samples, `benchmark/ios`).

The app is told benchmark_model's own flags, and leaves its log, a result file and, last, its exit status in
`benchmark.done`. LiteRT's flavour takes no inputs and gives no outputs, so that rows have times and memory, and no
accuracy. Nothing in these files names the job: the device removes older ones before it starts the app.

Written after the app's source, and tested against a stand-in for it: no iPhone has run it yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.devices.base import Job, JobFile, JobOutput
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Cell, Delegate, ErrorClass, Outcome, Problem
from harness.plan.result import Measurement
from harness.runners.base import JobFacts, RunnerReport, check_ios
from harness.runners.benchmark_model import LITERT_SCOPE
from harness.runners.binaries import Binaries
from harness.runners.upstream import command, failures, log, result
from harness.runners.upstream.flavour import INFO_FILE_FLAG, PEAK_FLAG, RESULT_FLAG

NAME = "ios_app"
LOG = "benchmark.log"
DONE = "benchmark.done"
TIMES_ONLY = "accuracy was not measured: upstream's benchmark app takes no inputs and gives no outputs"
_MODEL = "model.tflite"
_OUT = "out"
_NO_GPU = (
    "upstream's app found no GPU accelerator: embed libLiteRtMetalAccelerator.dylib, of the same release, in it "
    "(its build_framework.sh fetches that)"
)


class IosApp:
    """Runner `ios_app`."""

    name = NAME

    def __init__(self, binaries: Binaries) -> None:
        """The program is inside the app, whatever devices.yaml names: nothing of `binaries` is used."""

    def needs_runtime(self, target: str) -> bool:
        """No: the runtime is linked into the app."""
        return False

    def binary(self, target: str) -> Path | None:
        """Nothing: the app is installed on the phone."""
        return None

    def jobs(self, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        """The one job that measures one round of a cell. Raises UsageError."""
        delegate = _checked(cell, facts.target)
        model = JobFile(_MODEL, Path(facts.model.ref.path), facts.model.sha256)
        words = (
            *command.model_flags(facts.model, f"@@{_MODEL}@@"),
            *command.delegate_flags(delegate, litert=True),
            *command.timed_runs(cell.policy.runs),
            f"--{RESULT_FLAG}=@@{_OUT}@@/{result.RESULT_FILE}",
            f"--{INFO_FILE_FLAG}=@@{_OUT}@@/{result.INFO_FILE}",
            f"--{PEAK_FLAG}=true",
        )
        limit = cell.policy.limits.output_bytes
        return (Job(secrets.token_hex(8), (model,), words, output=_OUT, output_bytes=limit, app=NAME),)

    def report(self, cell: Cell, jobs: Sequence[Job], facts: JobFacts, outputs: Sequence[JobOutput]) -> RunnerReport:
        """What the log and the files beside it say: a measurement only if the app reached its own end."""
        (job,), (output,) = jobs, outputs
        runner = {"name": NAME, "context": "app", "version": None, "sha256": None, "command": job.command_line}
        said = log.parse(_text(output.folder / LOG).splitlines())
        found = _result(cell, job, facts, output, said)
        return RunnerReport(found, runner, said.adapter, said.adapter_software)


def _checked(cell: Cell, target: str) -> Delegate:
    """The delegate as benchmark_model's flags can say it. Raises UsageError."""
    able = f"delegate '{cell.delegate.name}': the runner {NAME}"
    if target != IOS_TARGET:
        raise UsageError(f"{able} is an app for iPhones, and this device is {target}; take another runner")
    check_ios(cell.delegate, NAME)
    if cell.policy.require_sha256:
        words = "this suite takes exact programs only, and nothing tells which one is inside upstream's app"
        raise UsageError(f"{able}: {words}; say `require_sha256: false`")
    # It takes the accelerator that is embedded, which is Metal's: there is no flag to ask for it.
    delegate = replace(cell.delegate, backend="auto")
    command.check(delegate, NAME, litert=True)
    return delegate


def _result(cell: Cell, job: Job, facts: JobFacts, output: JobOutput, said: log.Log) -> Measurement | Problem:
    if output.timed_out:
        words = "the deadline passed before upstream's app was done"
        return Problem(Outcome.TIMEOUT, words, kind="timeout")
    status = _status(output)
    if isinstance(status, Problem):
        return status
    if status == 0 and not said.started and said.finished:
        words = "this build of upstream's app keeps only a part of benchmark_model's log; build its current version"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "old_app")
    problem = failures.failure(said, status, False, cell.delegate, _text(output.folder / LOG))
    if problem is not None:
        return replace(problem, reason=_NO_GPU) if problem.kind == "runner_without_gpu" else problem
    ran = result.evaluate(cell, facts.model, said, output.folder, result.written(job, said))
    if isinstance(ran, Problem):
        return ran
    return result.noted(result.measurement(cell, facts.model, ran, LITERT_SCOPE, ()), TIMES_ONLY)


def _status(output: JobOutput) -> int | Problem:
    """benchmark_model's exit status, which the app writes last."""
    text = _text(output.folder / DONE).strip()
    if not text:
        said = (output.stderr.strip().splitlines() or ["nothing says why"])[-1]
        words = f"upstream's app ended before it was done: no {DONE} was left; {said}"
        return Problem(Outcome.ERROR, words, ErrorClass.RUNNER, "crash")
    try:
        return int(text)
    except ValueError:
        return Problem(Outcome.ERROR, f"{DONE} holds no exit status: {text[:80]!r}", ErrorClass.RUNNER, "broken_result")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
