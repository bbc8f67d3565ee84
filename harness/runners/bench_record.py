"""What delegate_bench left: `result.json` and the files that it names, checked in all ways that there are.

Text on stdout is never trusted: a measurement exists only if `result.json` arrived whole, repeats the job's id,
says "ok", and every output file it names is there with the stated size and checksum.
"""

from __future__ import annotations

import json
import math
import operator
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from harness.devices.base import Job, JobOutput
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem
from harness.plan.result import Delegation, Measurement, OutputFile
from harness.runners.base import JobFacts, RunnerReport
from harness.runners.problems import operations, problem_of, unloadable

RESULT = "result.json"
_RESULT_SCHEMA = 1


def read(cell: Cell, job: Job, facts: JobFacts, output: JobOutput, runner: Mapping[str, str | None]) -> RunnerReport:
    """What a job's output says.

    Args:
        cell: that was measured.
        job: that was done.
        facts: that it was made from.
        output: of the job.
        runner: what is known of the program, but for its version, which the record states.
    """
    record = _read_record(job, output)
    if isinstance(record, Problem):
        return RunnerReport(record, {**runner, "version": None})
    adapter = _adapter_name(record.get("adapter"))
    kind = str(record.get("adapter_type") or "")
    software = None if adapter is None else "CPU" in kind or "Software" in kind
    try:
        result = _result(cell, facts, record, output)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        result = broken(f"wrote a result that cannot be read ({error!r})")
    return RunnerReport(result, {**runner, "version": str(record.get("tool_version"))}, adapter, software)


def _read_record(job: Job, output: JobOutput) -> Mapping[str, Any] | Problem:
    try:
        data = (output.folder / RESULT).read_bytes()
    except FileNotFoundError:
        if output.timed_out:
            return Problem(Outcome.TIMEOUT, "the deadline passed and the runner had to be killed", kind="timeout")
        if (problem := unloadable(output.stderr)) is not None:
            return problem
        said = (output.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        if output.exit_code < 0:
            number = -output.exit_code
            return Problem(
                Outcome.ERROR,
                f"the runner was killed by signal {number} and left no result",
                ErrorClass.RUNNER,
                "crash",
                signal=number,
            )
        return broken(f"left no result; exit code {output.exit_code}; {said}")
    except OSError as error:
        return broken(f"left a result that cannot be read: {error.strerror}")
    try:
        record = json.loads(data)
    except ValueError:
        return broken(f"left a truncated result ({len(data)} bytes that are not JSON)")
    if not isinstance(record, dict) or record.get("schema") != _RESULT_SCHEMA:
        return broken("left a result of an unknown form")
    if record.get("run_id") != job.id:
        return broken(f"left a stale result: it answers job '{record.get('run_id')}', not '{job.id}'")
    return record


def broken(what: str) -> Problem:
    """The problem of a record that cannot be trusted; `what` the runner did."""
    return Problem(Outcome.ERROR, f"the runner {what}", ErrorClass.RUNNER, "broken_result")


def _times(values: Sequence[Any]) -> tuple[float, ...]:
    times = tuple(map(float, values))
    # The sum of thousands of times is finite exactly if each of them is; asking one by one costs more than it finds.
    if times and not (math.isfinite(sum(times)) and min(times) >= 0):
        raise ValueError("a time that is negative or not finite")
    return times


def _result(cell: Cell, facts: JobFacts, record: Mapping[str, Any], output: JobOutput) -> Measurement | Problem:
    if record.get("status") != "ok":
        return problem_of(record, cell.delegate, facts.target)
    if output.exit_code != 0:
        return broken(f"wrote an 'ok' result but ended with exit code {output.exit_code}")
    outputs = _outputs(record, output.folder, facts)
    delegation = _delegation(record, cell, facts)
    if isinstance(outputs, Problem):
        return outputs
    if isinstance(delegation, Problem):
        return delegation
    return replace(_measurement(cell, facts, record), outputs=outputs, delegation=delegation)


def _measurement(cell: Cell, facts: JobFacts, record: Mapping[str, Any]) -> Measurement:
    invoke = _times(record["invoke_us"])
    read = _times(record["read_us"])
    if len(invoke) != len(read) or not invoke:
        raise ValueError(f"{len(invoke)} invoke times and {len(read)} read times")
    first = record["samples"][0]
    stages = ("dlopen_us", "environment_us", "load_us", "compile_us", "buffers_us")
    notes = list(facts.model.notes)
    if record["runs_stride"] > 1:
        notes.append(f"{record['runs_total']} runs were timed; every {record['runs_stride']}th is kept")
    repeatable = record.get("outputs_repeatable")
    if repeatable is False:
        notes.append("the same input gave other outputs after the timed runs than in the first run")
    return Measurement(
        samples_us=tuple(map(operator.add, invoke, read)),
        invoke_us=invoke,
        read_us=read,
        init_us=sum(float(record[stage]) for stage in stages),
        first_us=float(first["invoke_us"]) + float(first["read_us"]),
        warmup_us=tuple(
            float(a) + float(b) for a, b in zip(record["warmup_invoke_us"], record["warmup_read_us"], strict=True)
        ),
        start=cell.delegate.start,
        repeatable=repeatable,
        peak_rss_bytes=record.get("peak_rss_bytes"),
        notes=tuple(notes),
    )


def _outputs(record: Mapping[str, Any], folder: Path, facts: JobFacts) -> tuple[OutputFile, ...] | Problem:
    outputs = []
    stated = sorted((entry["sample"], entry["index"]) for entry in record["outputs"])
    expected = list(product(range(len(facts.inputs.samples)), range(len(facts.model.outputs))))
    if stated != expected:
        return broken(f"named {len(stated)} outputs; {len(expected)} were expected, one per sample and output tensor")
    for entry in record["outputs"]:
        path = folder / Path(entry["file"]).name
        try:
            data = path.read_bytes()
        except OSError:
            return broken(f"named the output file {path.name}, which is not there")
        if len(data) != entry["bytes"]:
            return broken(f"wrote {len(data)} bytes to {path.name} and stated {entry['bytes']}")
        if f"{zlib.crc32(data):08x}" != entry["crc32"]:
            return broken(f"wrote {path.name} with another checksum than stated")
        outputs.append(
            OutputFile(
                sample=int(entry["sample"]),
                index=int(entry["index"]),
                name=str(entry["name"]),
                dtype=str(entry["dtype"]),
                shape=tuple(int(size) for size in entry["shape"]),
                path=str(path),
                bytes=len(data),
                crc32=str(entry["crc32"]),
            )
        )
    return tuple(outputs)


def _delegation(record: Mapping[str, Any], cell: Cell, facts: JobFacts) -> Delegation | Problem:
    """Where the nodes ran, from the runner's own evidence; a GPU cell without a GPU node is no measurement."""
    nodes = record.get("model_ops")
    unsupported = tuple(str(line) for line in record.get("unsupported_ops") or ())
    if cell.delegate.accelerator == "cpu":
        evidence = "compiled for the CPU alone"
        return Delegation(nodes, nodes, None, False, evidence=evidence)
    on_gpu, on_cpu = record.get("gpu_nodes"), record.get("cpu_nodes")
    if on_gpu is not None and on_cpu is not None:
        total = on_gpu + on_cpu
        evidence = f"the accelerator's log: {on_gpu} operations on the GPU, {on_cpu} on the CPU"
        if on_gpu == 0:
            names = operations(unsupported) or "see its log"
            reason = f"no operation of the model ran on the GPU; it does not take {names}"
            return Problem(Outcome.UNSUPPORTED, reason, kind="no_node_delegated", unsupported_ops=unsupported)
        if on_cpu > 0 and cell.delegate.fallback == "forbid":
            names = operations(unsupported) or "see its log"
            reason = f"{on_cpu} of {total} operations ran on the CPU, which `fallback: forbid` rules out: {names}"
            return Problem(Outcome.UNSUPPORTED, reason, kind="not_fully_accelerated", unsupported_ops=unsupported)
        if on_cpu > 0 and len(facts.model.signatures) > 1:  # the log's counts are of all graphs together
            reason = (
                f"the model has {len(facts.model.signatures)} signatures, and the accelerator does not say in which of "
                f"them {on_gpu} of {total} operations ran on the GPU: use `fallback: forbid`, or a model with one"
            )
            return Problem(Outcome.ERROR, reason, ErrorClass.RUNNER, "delegation_unknown", unsupported_ops=unsupported)
        return Delegation(total, on_gpu, 1 if on_cpu == 0 else None, on_cpu > 0, unsupported, evidence)
    if record.get("all_on_accelerator") is True:
        evidence = "compiled for the GPU alone, and the runtime confirms full acceleration"
        if cell.delegate.fallback == "partial":
            evidence = "the runtime confirms full acceleration without the CPU"
        return Delegation(nodes, nodes, 1, False, unsupported, evidence)
    reason = "the runtime does not say whether the GPU or the CPU executed the model"
    return Problem(Outcome.ERROR, reason, ErrorClass.RUNNER, "delegation_unknown")


def _adapter_name(text: object) -> str | None:
    """The name in front of ", arch=..., vendor=..., ..."."""
    return str(text).split(", arch=")[0].strip() if text else None
