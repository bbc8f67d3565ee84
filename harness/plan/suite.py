"""What suites/*.yaml may say, as types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from harness.plan.cell import (
    Accelerator,
    Context,
    Delegate,
    Expect,
    Fallback,
    GateRule,
    GoldenRuntime,
    ModelRef,
    Policy,
    Runs,
    Task,
    Values,
)
from harness.plan.qualification import Qualification
from harness.yamlmodel import Duration, Name, NamePattern, Number, Section, Size, Whole, schema

VERSION = 1

Profile = Literal["quick", "nightly", "release"]
Backend = Literal["auto", "opencl", "opengl", "webgpu", "metal", "vulkan"]
Precision = Literal["default", "fp16", "fp32", "fp16acc32"]
Kernels = Literal["xnnpack", "builtin", "reference"]


# How much to measure where a suite says nothing. quick: an answer at the desk, "not for release". nightly: two
# rounds, so that drift shows. release: three rounds of 100, as a p99 needs 300 samples.
PROFILES: Mapping[str, Runs] = {
    "quick": Runs(1, 0.1, count=20, min_seconds=0.5, max_seconds=10.0, rounds=1),
    "nightly": Runs(3, 0.5, count=50, min_seconds=1.0, max_seconds=30.0, rounds=2),
    "release": Runs(5, 1.0, count=100, min_seconds=2.0, max_seconds=60.0, rounds=3),
}


class FilesEntry(Section):
    """Input files for one tensor, with the scaling of images."""

    paths: str | tuple[str, ...] = Field(description="One file, or one per sample; relative to this file.")
    mean: Number = Field(default=127.5, description="Images: subtracted from each channel, for float tensors.")
    std: Number = Field(default=127.5, gt=0, description="Images: each channel is divided by it, for float tensors.")


def _shape(value: object) -> str:
    if isinstance(value, (dict, Section)):
        return "mapping"
    return "list" if isinstance(value, (list, tuple)) else "text"


FilesValue = Annotated[
    Annotated[str, Tag("text")] | Annotated[tuple[str, ...], Tag("list")] | Annotated[FilesEntry, Tag("mapping")],
    Discriminator(_shape),
]


class InputsEntry(Section):
    """Inputs of the models."""

    seed: Whole = Field(default=0, ge=0, lt=2**63, description="Of the generator for tensors without files.")
    samples: Whole = Field(default=3, ge=1, le=1000, description="Input sets that each cell is checked with.")
    values: Values = Field(default="ordinary", description="Which floats the generator makes.")
    files: Mapping[str, FilesValue] = Field(
        default={},
        description="Tensor name (or position) -> .npy, image or raw file, or a list with one per sample.",
    )


class ModelEntry(Section):
    """A model with what is known about it."""

    model: str = Field(description="Name or glob in models/, or a path; relative to this file.")
    task: Task = Field(default="other", description="What the outputs mean; 'other' compares numbers only.")
    signature: str | None = Field(default=None, description="The signature to run; default: the first one.")
    inputs: InputsEntry = Field(default=InputsEntry(), description="Instead of the suite's, key by key.")
    name: NamePattern | None = Field(
        default=None, description="Instead of the file's name; a '*' in it stands for that."
    )
    gates: Mapping[str, Number] | None = Field(
        default=None, description="Metric -> limit for this model, in place of all of the suite's gates."
    )


ModelValue = Annotated[
    Annotated[str, Tag("text")] | Annotated[ModelEntry, Tag("mapping")],
    Discriminator(lambda value: "mapping" if _shape(value) == "mapping" else "text"),
]


class DeviceFilter(Section):
    """Which devices of the lab a suite is for; all, if it says nothing."""

    labels: tuple[Name, ...] = Field(default=(), description="Labels that a device must all have.")
    names: tuple[str, ...] = Field(default=(), description="Names or globs, one of which a device's name must match.")


class DelegateEntry(Section):
    """A way to execute a model."""

    accelerator: Accelerator = Field(default="cpu", description="What executes the model.")
    backend: Backend = Field(default="auto", description="GPU only: the API behind it.")
    precision: Precision = Field(
        default="default", description="GPU only: fp16acc32 is fp16 with fp32 sums; 'default' is the delegate's choice."
    )
    kernels: Kernels = Field(default="xnnpack", description="CPU only: which kernels.")
    threads: Whole = Field(default=1, ge=1, le=256, description="CPU threads. One, unless given.")
    runtime: Name | None = Field(
        default=None, description="One of the lab's runtimes, or a version of the wheel; default: the installed one."
    )
    runner: Name = Field(
        default="auto", description="The benchmark program; auto: ours where it can be had, else benchmark_model."
    )
    context: Context = Field(
        default="auto", description="What measures: a shell's process or an app; auto: an app on iOS, else a process."
    )
    start: Literal["cold", "warm"] = Field(default="warm", description="cold: compiled-kernel caches are cleared.")
    fallback: Fallback = Field(
        default="forbid",
        description="Not for the CPU. forbid: an operation left over is UNSUPPORTED; partial: the CPU takes it.",
    )
    expect: Expect = Field(default="if_available", description="measured: UNSUPPORTED is a failing test.")
    only: tuple[str, ...] = Field(default=(), description="Names or globs of the models it is for; default: all.")

    @model_validator(mode="after")
    def _keys_fit_the_accelerator(self) -> Self:
        given = self.model_fields_set
        for keys, fits, words in (
            (("backend", "precision"), self.accelerator == "gpu", "is for accelerator gpu only"),
            (("kernels",), self.accelerator == "cpu", "is for accelerator cpu only"),
            (("fallback",), self.accelerator != "cpu", "is not for accelerator cpu, which runs every operation itself"),
        ):
            for key in keys:
                if key in given and not fits:
                    raise ValueError(f"'{key}' {words}; this one has accelerator {self.accelerator}")
        return self


class WarmupEntry(Section):
    """Warm-up of a round: until both are reached."""

    count: Whole | None = Field(default=None, ge=0, description="Runs.")
    min_seconds: Number | None = Field(default=None, ge=0, description="Seconds.")


class RunsEntry(Section):
    """How much a round measures; what is not given comes from the profile."""

    warmup: WarmupEntry = Field(default=WarmupEntry(), description="Runs that are not measured.")
    count: Whole | None = Field(default=None, ge=1, le=1_000_000, description="At least so many measured runs.")
    min_seconds: Number | None = Field(default=None, ge=0, description="And at least so long.")
    max_seconds: Number | None = Field(
        default=None, gt=0, description="Ends warm-up and measuring, each, at the latest."
    )
    rounds: Whole | None = Field(default=None, ge=1, le=100, description="Stretches of measuring per cell.")


class LimitsEntry(Section):
    """Bounds of every cell."""

    memory: Size = Field(
        default=4 << 30, description="Resident memory of the runner; address space of a reference run."
    )
    output_bytes: Size = Field(default=256 << 20, description="All outputs of a cell together.")
    deadline: Duration = Field(default=300.0, description="Of one attempt, transfers included.")


class LocaliseEntry(Section):
    """What is done after the run about wrong answers: which operation makes them?"""

    seconds: Duration = Field(default=60.0, description="For each cell, at most.")
    cells: Whole = Field(default=4, ge=0, description="Failing cells, at most, those with the largest errors; 0: none.")


class SpeedupAdvice(Section):
    """What speed-ups are taken over."""

    over: str = Field(default="best_cpu", description="best_cpu (the fastest CPU delegate), or a delegate's name.")


class Advice(Section):
    """What the report recommends, besides passing and failing."""

    speedup: SpeedupAdvice = Field(default=SpeedupAdvice(), description="When to ship the CPU instead.")


class Coverage(Section):
    """How much must have been measured for a verdict."""

    per_model: Number = Field(default=0.0, ge=0, le=1, description="Share of each model's planned cells.")


class SuiteFile(Section):
    """suites/*.yaml."""

    version: Literal[1] = Field(description="Version of this format.")
    profile: Profile = Field(default="quick", description="A set of defaults: quick (desk), nightly or release.")
    models: tuple[ModelValue, ...] = Field(min_length=1, description="Names or globs in models/, or paths.")
    devices: DeviceFilter = Field(default=DeviceFilter(), description="Which devices; default: all of the lab.")
    delegates: Mapping[Name, DelegateEntry] = Field(
        min_length=1, description="Name -> a way to execute the models, in the order of running."
    )
    runs: RunsEntry = Field(default=RunsEntry(), description="How much to measure.")
    inputs: InputsEntry = Field(default=InputsEntry(), description="Where inputs come from.")
    reference: Name = Field(default="golden", description="golden, same_device_cpu, or a device's name.")
    golden_runtime: GoldenRuntime = Field(
        default="ai-edge-litert", description="What computes golden outputs; tflite-runtime is an extra."
    )
    gates: Mapping[str, Mapping[str, Number]] = Field(
        default={}, description="Glob of delegate names -> metric -> limit; later globs win, metric by metric."
    )
    advice: Advice = Field(default=Advice(), description="What the report recommends.")
    coverage: Coverage = Field(default=Coverage(), description="How much must have been measured.")
    limits: LimitsEntry = Field(default=LimitsEntry(), description="Bounds that protect the machine.")
    localise: LocaliseEntry = Field(default=LocaliseEntry(), description="Which operation makes an answer wrong.")
    qualification: Qualification | None = Field(
        default=None, description="What a run must be for a release to rest on it; see `harness qualify`."
    )
    require_sha256: bool | None = Field(
        default=None, description="Whether devices.yaml must state the SHA-256 of runners; default: in profile release."
    )
    retries: Whole = Field(default=1, ge=0, le=10, description="Extra attempts after an infrastructure error.")


@dataclass(frozen=True)
class Combination:
    """A model on a delegate, with the limits that hold there; a cell for each device."""

    model: ModelRef
    delegate: Delegate
    gates: tuple[GateRule, ...]


@dataclass(frozen=True)
class Suite:
    """A suite that was read and checked.

    Attributes:
        name: of the file, without its suffix.
        path: of the file, absolute; None for a suite made on the spot.
        sha256: of the file's content.
        text: as written.
        models: each one once, in the suite's order.
        delegates: in the suite's order.
        combinations: model by model, and for each model delegate by delegate, in the suite's orders.
        policy: shared by all cells.
        gates: glob of delegate names -> metric -> limit.
        coverage: share of each model's planned cells that must be measured, 0 to 1.
        devices: which devices of the lab it is for.
        qualification: what a release asks of a run; None where no release rests on it.
        origins: "file:line" of the keys `devices` and `reference`, for messages.
    """

    name: str
    path: Path | None
    sha256: str
    text: str
    models: tuple[ModelRef, ...]
    delegates: tuple[Delegate, ...]
    combinations: tuple[Combination, ...]
    policy: Policy
    gates: Mapping[str, Mapping[str, float]]
    coverage: float = 0.0
    devices: DeviceFilter = field(default_factory=DeviceFilter)
    qualification: Qualification | None = None
    origins: Mapping[str, str] = field(default_factory=dict)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a suite, for editors."""
    return schema(SuiteFile, "Suite")
