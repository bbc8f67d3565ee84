"""The seam between the engine and a benchmark program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.devices.base import Job, JobOutput
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Cell, Delegate, Model, Problem
from harness.plan.result import Measurement
from harness.reference.inputs import InputSet
from harness.runners.runtimes import Runtime

COLD: Mapping[str, str] = {
    "MESA_SHADER_CACHE_DISABLE": "true",
    "__GL_SHADER_DISK_CACHE": "0",
    "CUDA_CACHE_DISABLE": "1",
    "POCL_KERNEL_CACHE": "0",
}
"""Environment of a cold start: drivers' caches of compiled kernels are off (Mesa; NVIDIA's OpenGL and OpenCL; PoCL)."""

IOS_BACKENDS = ("auto", "metal")
"""What a delegate for the GPU may ask for on iOS; Metal is all there is."""


@dataclass(frozen=True)
class JobFacts:
    """What a runner needs beside the cell to make a job of it.

    Attributes:
        model: what the model's file says.
        inputs: the input sets, as files on the controller.
        runtime: the libraries for the device's target; None for a runner that brings its own.
        target: platform of the device.
        deadline: seconds for the whole attempt.
        runtime_version: the version that the delegate names, for a runner that brings its own; None if it names none.
    """

    model: Model
    inputs: InputSet
    runtime: Runtime | None
    target: str
    deadline: float
    runtime_version: str | None = None


@dataclass(frozen=True)
class RunnerReport:
    """What a runner's record says: a measurement or a problem, and in either case who ran and what it named.

    Attributes:
        result: the measurement, or why there is none.
        runner: {"name", "context", "version", "sha256", "command"}.
        adapter: GPU adapter as the runtime named it.
        adapter_software: whether that is a software one; None when unknown.
        runtime: {"version", "sha256"} as a runner states it that brings its own; empty if it does not say.
    """

    result: Measurement | Problem
    runner: Mapping[str, str | None]
    adapter: str | None = None
    adapter_software: bool | None = None
    runtime: Mapping[str, str | None] = field(default_factory=dict)

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

    def needs_runtime(self, target: str) -> bool:
        """Whether it loads a runtime's libraries on devices of a target; else it brings its own."""

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


def check_ios(delegate: Delegate, runner: str) -> None:
    """Refuse what no app on an iPhone can do for a delegate. Raises UsageError."""
    able = f"delegate '{delegate.name}': the runner {runner}"
    if delegate.context == "shell":
        raise UsageError(f"{able} is an app on {IOS_TARGET}, which starts nothing else: leave `context` out")
    if delegate.accelerator == "npu":
        raise UsageError(f"{able} drives the CPU and the GPU, no NPU")
    if delegate.accelerator == "gpu" and delegate.backend not in IOS_BACKENDS:
        raise UsageError(f"{able} knows the backends {', '.join(IOS_BACKENDS)} on iOS, not '{delegate.backend}'")
