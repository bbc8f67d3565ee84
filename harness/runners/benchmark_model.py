"""Upstream's own benchmark program, classic (TFLite) and LiteRT flavour.

It times many runs and states statistics, never single latencies: rows have a summary instead of samples. One process
takes one input sample and writes the outputs of its last run, so a cell is several jobs: the timed one, and one for
each further sample. A model with variable tensors changes from run to run: all its outputs come from processes that
run it once. The LiteRT flavour takes no inputs and writes no outputs: it only times.

What its times cover is another thing than in our runner's rows (and differs between the two flavours, of which the
classic one reads GPU outputs back), so their scope is another, and they are never compared with one another.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.devices.base import Job, JobFile, JobOutput, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.paths import sha256_file
from harness.plan.cell import Cell, Delegate, Outcome, Problem
from harness.plan.result import OutputFile
from harness.runners.base import COLD, JobFacts, RunnerReport
from harness.runners.binaries import UPSTREAM, Binaries
from harness.runners.upstream import command, result
from harness.runners.upstream.flavour import INFO_FILE_FLAG, INFO_FLAG, PEAK_FLAG, RESULT_FLAG, Flavour, flavour_of

SCOPE = "benchmark_model"
LITERT_SCOPE = "benchmark_litert_model"
TIMES_ONLY = "accuracy was not measured: LiteRT's benchmark_model takes no inputs and writes no outputs"
_MODEL = "model.tflite"
_OUT = "out"
_LIBRARIES = "libLiteRt*.so"


class BenchmarkModel:
    """Runner `benchmark_model`."""

    name = UPSTREAM

    def __init__(self, binaries: Binaries) -> None:
        self._binaries = binaries
        self._lock = threading.Lock()
        self._flavours: dict[str, Flavour] = {}
        self._libraries: dict[str, tuple[JobFile, ...]] = {}

    def needs_runtime(self, target: str) -> bool:
        """No: the runtime is linked into the program."""
        return False

    def binary(self, target: str) -> Path:
        """The program for a target, as devices.yaml names it. Raises UsageError."""
        return self._binaries.file(UPSTREAM, target).source

    def jobs(self, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        """The timed job with the first sample, then one for each sample whose outputs it does not give.

        Raises:
            UsageError: there is no such program, or it cannot do what the delegate asks for.
        """
        if facts.target == IOS_TARGET:
            able = f"delegate '{cell.delegate.name}': the runner {UPSTREAM}"
            raise UsageError(f"{able} is a shell's program; {facts.target} starts apps only: upstream's is ios_app")
        program = self._binaries.file(UPSTREAM, facts.target, require_sha256=cell.policy.require_sha256)
        flavour = self._flavour(program)
        _check(cell.delegate, flavour)
        timed = command.timed_runs(cell.policy.runs)
        if flavour.litert:
            return (self._job(cell, facts, program, None, [*timed, *_extras(flavour)], outputs=False),)
        stateful = facts.model.stateful
        jobs = [self._job(cell, facts, program, 0, [*timed, *_extras(flavour)], outputs=not stateful)]
        for sample in range(0 if stateful else 1, len(facts.inputs.samples)):
            once = command.single_run(cell.policy.runs)
            jobs.append(self._job(cell, facts, program, sample, once, outputs=True))
        return tuple(jobs)

    def report(self, cell: Cell, jobs: Sequence[Job], facts: JobFacts, outputs: Sequence[JobOutput]) -> RunnerReport:
        """What the outputs say: a measurement only if every job went through and ran where it was asked to."""
        program = self._binaries.file(UPSTREAM, facts.target)
        flavour = self._flavour(program)
        runner = {
            "name": self.name,
            "context": "shell",
            "version": None,
            "sha256": program.sha256,
            "command": jobs[0].command_line,
        }
        ran: list[result.Ran] = []
        files: list[OutputFile] = []
        for number, (job, output) in enumerate(zip(jobs, outputs, strict=False)):
            sample = max(0, number - 1) if facts.model.stateful else number
            found = result.read(cell, facts.model, job, output, sample)
            if isinstance(found, Problem):
                return RunnerReport(found, runner)
            ran.append(found)
            files += found.outputs
        if len(ran) < len(jobs):
            words = f"the deadline passed after {len(ran)} of {len(jobs)} runs of benchmark_model, one for each sample"
            return RunnerReport(Problem(Outcome.TIMEOUT, words, kind="timeout"), runner)
        scope = LITERT_SCOPE if flavour.litert else SCOPE
        measured = result.measurement(cell, facts.model, ran[0], scope, files)
        if flavour.litert:
            measured = result.noted(measured, TIMES_ONLY)
            for library in self._accelerators(program):  # in no other figure of the row
                measured = result.noted(measured, f"{library.name} has SHA-256 {library.sha256}")
        return RunnerReport(measured, runner, ran[0].log.adapter, ran[0].log.adapter_software)

    def _job(
        self, cell: Cell, facts: JobFacts, program: JobFile, sample: int | None, runs: Sequence[str], *, outputs: bool
    ) -> Job:
        flavour = self._flavour(program)
        files = [program, JobFile(_MODEL, Path(facts.model.ref.path), facts.model.sha256)]
        # Paths are relative to the job's folder, where the command runs: a flag is one word with its value.
        flags = [*command.model_flags(facts.model, _MODEL), *command.delegate_flags(cell.delegate, flavour.litert)]
        env = dict(COLD) if cell.delegate.start == "cold" else {}
        if sample is not None:
            inputs = [
                JobFile(f"inputs/i{index}.bin", path, path.stem)
                for index, path in enumerate(facts.inputs.samples[sample])
            ]
            files += inputs
            flags += command.input_flags(facts.model.inputs, [file.name for file in inputs])
        if outputs:
            flags.append(f"--{command.OUTPUT_FLAG}={_OUT}/{result.OUTPUT_FILE}")
        if flavour.litert:
            libraries = self._accelerators(program)
            files += libraries
            env |= {"LD_LIBRARY_PATH": "."} if libraries else {}
        words: tuple[str | JobPath, ...] = (JobPath(program.name), *flags, *runs)
        job_id = secrets.token_hex(8)
        return Job(job_id, tuple(files), words, env, _OUT, output_bytes=cell.policy.limits.output_bytes)

    def _flavour(self, program: JobFile) -> Flavour:
        with self._lock:
            if program.sha256 not in self._flavours:
                try:
                    self._flavours[program.sha256] = flavour_of(program.source)
                except OSError as error:
                    raise UsageError(f"runners: {UPSTREAM}: {program.source}: {error.strerror}") from None
            return self._flavours[program.sha256]

    def _accelerators(self, program: JobFile) -> tuple[JobFile, ...]:
        """LiteRT's accelerator libraries that lie beside the program; it finds them by its library path."""
        with self._lock:
            if program.sha256 not in self._libraries:
                found = sorted(program.source.parent.glob(_LIBRARIES))
                self._libraries[program.sha256] = tuple(JobFile(path.name, path, sha256_file(path)) for path in found)
            return self._libraries[program.sha256]


def _check(delegate: Delegate, flavour: Flavour) -> None:
    if delegate.context == "app":
        able = f"delegate '{delegate.name}': the runner {UPSTREAM}"
        raise UsageError(f"{able} measures as a shell's process; for context 'app' use android_app")
    command.check(delegate, f"{UPSTREAM} ({'LiteRT' if flavour.litert else 'classic'})", flavour.litert)


def _extras(flavour: Flavour) -> list[str]:
    """Flags for what newer builds can write beside their log."""
    values = {
        RESULT_FLAG: f"{_OUT}/{result.RESULT_FILE}",
        INFO_FLAG: "true",
        INFO_FILE_FLAG: f"{_OUT}/{result.INFO_FILE}",
        PEAK_FLAG: "true",
    }
    return [f"--{name}={value}" for name, value in values.items() if name in flavour.extras]
