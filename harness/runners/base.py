"""The seam between the engine and a benchmark program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.devices.base import Job, JobOutput
from harness.plan.cell import Cell, Measurement, Model, Problem
from harness.reference.inputs import InputSet
from harness.runners.runtimes import Runtime


@dataclass(frozen=True)
class JobFacts:
    """What a runner needs beside the cell to make a job of it.

    Attributes:
        model: what the model's file says.
        inputs: the input sets, as files on the controller.
        runtime: the libraries for the device's target.
        target: platform of the device.
        deadline: seconds for the whole attempt.
    """

    model: Model
    inputs: InputSet
    runtime: Runtime
    target: str
    deadline: float


@dataclass(frozen=True)
class RunnerReport:
    """What a runner's record says: a measurement or a problem, and in either case who ran and what it named.

    Attributes:
        result: the measurement, or why there is none.
        runner: {"name", "context", "version", "sha256", "command"}.
        adapter: GPU adapter as the runtime named it.
        adapter_software: whether that is a software one; None when unknown.
    """

    result: Measurement | Problem
    runner: Mapping[str, str | None]
    adapter: str | None = None
    adapter_software: bool | None = None

    @property
    def measurement(self) -> Measurement | None:
        """The result, if it is a measurement."""
        return self.result if isinstance(self.result, Measurement) else None

    @property
    def problem(self) -> Problem | None:
        """The result, if it is a problem."""
        return self.result if isinstance(self.result, Problem) else None


class Runner(Protocol):
    """One benchmark program."""

    name: str

    def binary(self, target: str) -> Path:
        """The program for a target, built or fetched if need be. Raises UsageError."""

    def job(self, cell: Cell, facts: JobFacts) -> Job:
        """The job that measures one round of a cell."""

    def report(self, cell: Cell, job: Job, facts: JobFacts, output: JobOutput) -> RunnerReport:
        """What the output says. A missing, stale or partial record is a problem, never a measurement."""
