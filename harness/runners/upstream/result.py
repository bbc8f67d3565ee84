"""From one finished job of benchmark_model to what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.devices.base import Job, JobOutput
from harness.measure import stated
from harness.plan.cell import Cell, ErrorClass, Model, Outcome, Problem
from harness.plan.result import Delegation, Measurement, OutputFile
from harness.plan.row import LatencySummaryRow
from harness.runners.upstream import command, delegation, failures, log, outputs, proto
from harness.runners.upstream.flavour import INFO_FILE_FLAG, RESULT_FLAG

OUTPUT_FILE = "out.bin"
RESULT_FILE = "result.pb"
INFO_FILE = "rt.pb"
LOG_FILE = "log.txt"
_ROUNDING_US = 0.5
_FLOAT32 = 1e-6


@dataclass(frozen=True)
class Ran:
    """A job that went through.

    Attributes:
        log: what it said.
        summary: of its timed runs.
        delegation: where its nodes ran.
        info: the graph after delegates were applied, if the program wrote it.
        outputs: its output tensors; empty if none were asked for.
    """

    log: log.Log
    summary: LatencySummaryRow
    delegation: Delegation
    info: proto.RuntimeInfo | None = None
    outputs: tuple[OutputFile, ...] = ()


def read(cell: Cell, model: Model, job: Job, output: JobOutput, sample: int) -> Ran | Problem:
    """What a job of benchmark_model left, checked in all ways that there are.

    Its log is kept beside its files, as evidence.

    Args:
        cell: that is measured.
        model: what its file says.
        job: whose output it is.
        output: of the job.
        sample: number of the input sample that the job was given.
    """
    (output.folder / LOG_FILE).write_text(f"{output.stdout}{output.stderr}", encoding="utf-8")
    said = log.parse([*output.stdout.splitlines(), *output.stderr.splitlines()])
    problem = failures.failure(said, output.exit_code, output.timed_out, cell.delegate, output.stderr)
    if problem is None and model.signature is None:
        problem = failures.swapped_inputs(said, command.layer_names(model.inputs))
    if problem is not None:
        return problem
    ran = evaluate(cell, model, said, output.folder, written(job, said))
    if isinstance(ran, Problem) or command.OUTPUT_FLAG not in _asked(job):
        return ran
    files = outputs.split(output.folder / OUTPUT_FILE, model.outputs, sample)
    return files if isinstance(files, Problem) else replace(ran, outputs=files)


def evaluate(cell: Cell, model: Model, said: log.Log, folder: Path, written: set[str]) -> Ran | Problem:
    """Figures and delegation of a run that went through; `written`: the flags by which it was told to write files."""
    summary = said.stats[1].summary()
    if summary is None:
        words = "this benchmark_model states no median and no percentiles, as older builds do; take a newer build"
        return Problem(Outcome.ERROR, words, ErrorClass.CONFIG, "no_median")
    try:
        if RESULT_FLAG in written:
            summary = _refined(summary, proto.benchmark_result((folder / RESULT_FILE).read_bytes()))
        stated.merge([summary])
        info = _runtime_info(folder, model.subgraph) if INFO_FILE_FLAG in written else None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        return Problem(
            Outcome.ERROR, f"benchmark_model's results cannot be used: {words}", ErrorClass.RUNNER, "broken_result"
        )
    where = delegation.delegation(cell.delegate, model, said, info)
    return where if isinstance(where, Problem) else Ran(said, summary, where, info)


def measurement(cell: Cell, model: Model, timed: Ran, scope: str, files: Sequence[OutputFile]) -> Measurement:
    """The measurement of a round.

    Args:
        cell: that was measured.
        model: what its file says.
        timed: the run that was timed.
        scope: what one latency covers.
        files: output tensors of all samples; none for a runner that only times.
    """
    warmup, runs = timed.log.stats[:2]
    first = timed.log.first_us if timed.log.first_us is not None else warmup.first
    notes = [*model.notes]
    if (note := delegation.kernels_note(cell.delegate, timed.log, timed.info)) is not None:
        notes.append(note)
    if runs.count < cell.policy.runs.count:
        notes.append(f"{runs.count} of {cell.policy.runs.count} runs were timed before `max_seconds` was over")
    return Measurement(
        samples_us=(),
        scope=scope,
        init_us=timed.log.init_us,
        first_us=first if warmup.count else runs.first,
        start=cell.delegate.start,
        outputs=tuple(files),
        delegation=timed.delegation,
        peak_rss_bytes=timed.log.peak_bytes,
        notes=tuple(notes),
        summary=timed.summary,
    )


def noted(measured: Measurement, note: str) -> Measurement:
    """The measurement with one more note."""
    return replace(measured, notes=(*measured.notes, note))


def _refined(summary: LatencySummaryRow, result: proto.BenchmarkResult) -> LatencySummaryRow:
    """The statistics with the more exact mean of the result file, which must be of the same runs."""
    if result.runs != summary["count"]:
        raise ValueError(f"{result.runs} runs in {RESULT_FILE}, {summary['count']} in the log")
    pairs = (
        (result.min_us, summary["min_us"]),
        (result.max_us, summary["max_us"]),
        (result.median_us, summary["median_us"]),
    )
    for stored, printed in pairs:
        if stored is not None and abs(stored - printed) > _ROUNDING_US + _FLOAT32 * printed:
            raise ValueError(f"{stored:.6g} us in {RESULT_FILE}, {printed:.6g} us in the log")
    return summary if result.mean_us is None else {**summary, "mean_us": round(result.mean_us, 3)}


def _runtime_info(folder: Path, subgraph: int) -> proto.RuntimeInfo | None:
    """The graph after delegation; None where the program wrote none, so that its log has to tell."""
    path = folder / INFO_FILE
    return proto.runtime_info(path.read_bytes(), subgraph) if path.exists() else None


def written(job: Job, said: log.Log) -> set[str]:
    """The flags that a job was given and that the program knows."""
    return _asked(job) - _ignored(said)


def _asked(job: Job) -> set[str]:
    return {str(word).lstrip("-").partition("=")[0] for word in job.command}


def _ignored(said: log.Log) -> set[str]:
    return {word.lstrip("-").partition("=")[0] for word in said.unconsumed}
