"""The seam between the engine and a benchmark program."""

from __future__ import annotations

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
    """What a runner's record says: a measurement or a problem, and the adapter it named in either case."""

    measurement: Measurement | None
    problem: Problem | None
    adapter: str | None = None
    adapter_software: bool | None = None


class Runner(Protocol):
    """One benchmark program."""

    name: str

    def binary(self, target: str) -> Path:
        """The program for a target, built or fetched if need be. Raises UsageError."""

    def job(self, cell: Cell, facts: JobFacts) -> Job:
        """The job that measures one round of a cell."""

    def report(self, cell: Cell, job: Job, facts: JobFacts, output: JobOutput) -> RunnerReport:
        """What the output says. A missing, stale or partial record is a problem, never a measurement."""
