"""A real measurement of a small model on this machine, to look at and to tamper with."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.clock import SystemClock
from harness.devices.base import Job, JobOutput
from harness.devices.local import LocalDevice, host_target
from harness.lab.inventory import Inventory
from harness.paths import cache_dir
from harness.plan.cell import Cell, Delegate, Limits, ModelRef, Policy, Runs
from harness.plan.tflite_file import describe
from harness.reference.inputs import InputSet, make_inputs
from harness.runners.base import JobFacts
from harness.runners.bench_record import RESULT
from harness.runners.binaries import Binaries
from harness.runners.delegate_bench import DelegateBench
from harness.runners.runtimes import Runtimes
from tests.conftest import MODELS

RUNS = Runs(warmup_count=1, warmup_min_seconds=0.0, count=3, min_seconds=0.0, max_seconds=5.0)


class NoTurns:
    """Nobody else wants the machine."""

    @contextmanager
    def command(self) -> Iterator[None]:
        yield

    @contextmanager
    def transfer(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Measured:
    """A job and what came back; nobody may change the output's folder."""

    cell: Cell
    facts: JobFacts
    job: Job
    output: JobOutput

    @property
    def record(self) -> dict[str, Any]:
        """The runner's record."""
        found: dict[str, Any] = json.loads((self.output.folder / RESULT).read_text())
        return found


def cell_of(model: str, delegate: Delegate, policy: Policy | None = None) -> Cell:
    """A cell for a single-op model."""
    ref = ModelRef(model, str(MODELS / "ops" / f"{model}.tflite"))
    return Cell("s", "box", ref, delegate, policy or Policy(runs=RUNS, limits=Limits(deadline_seconds=60.0)))


def facts_of(cell: Cell, target: str | None = None) -> JobFacts:
    """What a runner needs for a cell, with the installed runtime."""
    model = describe(cell.model)
    inputs = make_inputs(model)
    assert isinstance(inputs, InputSet)
    host = host_target()
    runtime = Runtimes(Inventory(()), host).get(None, host)
    return JobFacts(model, inputs, runtime, target or host, cell.policy.limits.deadline_seconds)


@functools.cache
def measured(model: str = "add") -> Measured:
    """The measurement of a model, made once for the whole test run."""
    cell = cell_of(model, Delegate("cpu"))
    facts = facts_of(cell)
    (job,) = DelegateBench(Binaries({})).jobs(cell, facts)
    folder = Path(tempfile.mkdtemp(dir=cache_dir("measured")))
    output = LocalDevice("box", SystemClock()).execute(job, folder, 60.0, NoTurns())
    return Measured(cell, facts, job, output)
