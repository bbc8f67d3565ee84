"""The seam between the engine and a benchmark program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.devices.base import Job, JobOutput
from harness.plan.cell import Cell, Measurement, Model, Problem
from harness.reference.inputs import InputSet
from harness.runners.runtimes import Runtime

COLD: Mapping[str, str] = {
    "MESA_SHADER_CACHE_DISABLE": "true",
    "__GL_SHADER_DISK_CACHE": "0",
    "CUDA_CACHE_DISABLE": "1",
    "POCL_KERNEL_CACHE": "0",
}
"""Environment of a cold start: drivers' caches of compiled kernels are off (Mesa; NVIDIA's OpenGL and OpenCL; PoCL)."""


@dataclass(frozen=True)
class JobFacts:
    """What a runner needs beside the cell to make a job of it.

    Attributes:
        model: what the model's file says.
        inputs: the input sets, as files on the controller.
        runtime: the libraries for the device's target; None for a runner that brings its own.
        target: platform of the device.
        deadline: seconds for the whole attempt.
    """

    model: Model
    inputs: InputSet
    runtime: Runtime | None
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
    needs_runtime: bool
    """Whether it loads the runtime's libraries; else it brings its own."""

    def binary(self, target: str) -> Path | None:
        """The program for a target, built or fetched if need be; None for an installed one. Raises UsageError."""

    def jobs(self, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        """The jobs that together measure one round of a cell, in order. Raises UsageError."""

    def report(self, cell: Cell, jobs: Sequence[Job], facts: JobFacts, outputs: Sequence[JobOutput]) -> RunnerReport:
        """What the outputs say. A missing, stale or partial record is a problem, never a measurement.

        Args:
            cell: that was measured.
            jobs: that `jobs` returned.
            facts: that they were made from.
            outputs: of the jobs that were done; none is started after one that failed, or after the deadline.
        """
