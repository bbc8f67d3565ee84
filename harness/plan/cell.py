"""The plain data that every room shares: what to run. What came back is in `harness.plan.result`.

Standard library only, no I/O. Everything here can be pickled or written as JSON, so that a cell may be
executed by a thread beside us or by a process on another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Literal

Accelerator = Literal["cpu", "gpu", "npu"]
Fallback = Literal["forbid", "partial"]
Expect = Literal["measured", "if_available"]
Context = Literal["auto", "shell", "app"]
Task = Literal["classify", "segment", "detect", "keypoints", "other"]
Role = Literal["cell", "helper"]
GoldenRuntime = Literal["ai-edge-litert", "tflite-runtime"]
Values = Literal["ordinary", "positive", "negative", "large", "tiny", "negative_zero", "denormal", "nonfinite"]


class Outcome(str, Enum):
    """The one outcome that every planned cell has at the end of a run."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    MARGINAL = "MARGINAL"
    FAIL = "FAIL"
    UNSUPPORTED = "UNSUPPORTED"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    NOT_RUN = "NOT_RUN"


class ErrorClass(str, Enum):
    """Whose fault an ERROR is. Only device and host faults are retried."""

    DEVICE = "device"
    HOST = "host"
    RUNNER = "runner"
    MODEL = "model"
    CONFIG = "config"


RETRIED = frozenset({ErrorClass.DEVICE, ErrorClass.HOST})


@dataclass(frozen=True)
class Problem:
    """Why a cell (or a model, or a reference) has no measurement.

    Attributes:
        outcome: UNSUPPORTED, ERROR, TIMEOUT or NOT_RUN.
        reason: one sentence for a person: what happened and, if it helps, what to do.
        error_class: whose fault; None unless the outcome is ERROR.
        kind: the runner's typed error ("crash", "compile", "accelerator_unavailable", ...), or ours.
        signal: number of the signal that killed the runner.
        stage: where the runner was when it happened ("compile", "run", ...).
        unsupported_ops: "OP: why" lines, when an accelerator refused operations.
    """

    outcome: Outcome
    reason: str
    error_class: ErrorClass | None = None
    kind: str | None = None
    signal: int | None = None
    stage: str | None = None
    unsupported_ops: tuple[str, ...] = ()

    @property
    def retried(self) -> bool:
        """Whether another attempt may help: infrastructure faults only."""
        return self.error_class in RETRIED


@dataclass(frozen=True)
class Delegate:
    """A named way to execute a model.

    Attributes:
        name: as in the suite; unique there.
        accelerator: what executes the model.
        backend: "auto", "opencl", "opengl", "webgpu", "metal" or "vulkan"; GPU only.
        precision: "default", "fp16", "fp32" or "fp16acc32" (fp16 with fp32 sums); GPU only.
        kernels: "xnnpack", "builtin" or "reference"; CPU only.
        threads: CPU threads.
        runtime: a runtime's name; None is the one of the installed wheel.
        runner: the benchmark program; "auto" is ours where it can be had, else upstream's.
        context: what measures: a shell's process or an app; "auto" is an app where devices start nothing else (iOS).
        start: "cold" clears compiled-kernel caches before each round.
        fallback: "forbid" compiles for the accelerator alone; "partial" lets the CPU take what is left.
        expect: "measured" turns UNSUPPORTED into a failing item.
    """

    name: str
    accelerator: Accelerator = "cpu"
    backend: str = "auto"
    precision: str = "default"
    kernels: str = "xnnpack"
    threads: int = 1
    runtime: str | None = None
    runner: str = "auto"
    context: Context = "auto"
    start: Literal["cold", "warm"] = "warm"
    fallback: Fallback = "forbid"
    expect: Expect = "if_available"


@dataclass(frozen=True)
class Runs:
    """How often and how long a round measures.

    Warm-up goes on until both `warmup_count` runs and `warmup_min_seconds` are reached, measuring until both
    `count` and `min_seconds` are; `max_seconds` cuts either short. Times in seconds.
    """

    warmup_count: int = 3
    warmup_min_seconds: float = 0.5
    count: int = 50
    min_seconds: float = 1.0
    max_seconds: float = 30.0
    rounds: int = 1


@dataclass(frozen=True)
class InputFile:
    """A user's input file for one tensor: `.npy`, an image, or raw bytes (any other suffix).

    An image is resized to the tensor's height and width, then each channel becomes (value - mean) / std for
    float tensors; uint8 tensors take the 8-bit values as they are, int8 tensors take value - 128.
    """

    path: str
    mean: float = 127.5
    std: float = 127.5


@dataclass(frozen=True)
class InputPlan:
    """Where a model's inputs come from.

    Attributes:
        seed: of the generator used for every tensor without files.
        samples: how many input sets each cell is checked with (the first one is also the timed one).
        files: tensor name (or its position as text) -> one file per sample.
        values: which floats are generated; see `harness.reference.noise`.
        origin: "file:line" of the suite entry, for messages.
    """

    seed: int = 0
    samples: int = 3
    files: Mapping[str, tuple[InputFile, ...]] = field(default_factory=dict)
    values: Values = "ordinary"
    origin: str = ""


@dataclass(frozen=True)
class GateRule:
    """A limit on one measured figure, as a suite states it.

    Attributes:
        metric: see `harness.measure.gates` for the names and their directions.
        limit: in the metric's own unit.
        partners: for a speed-up: names of the delegates whose cells (same device and model) it is taken over.
        origin: "file:line", for messages.
    """

    metric: str
    limit: float
    partners: tuple[str, ...] = ()
    origin: str = ""


@dataclass(frozen=True)
class Limits:
    """Bounds that protect the machine, in bytes and seconds."""

    memory_bytes: int = 4 << 30
    output_bytes: int = 256 << 20
    deadline_seconds: float = 300.0


@dataclass(frozen=True)
class Localise:
    """How much is done after a run to find the operation that makes an answer wrong.

    Attributes:
        seconds: for each cell, at most.
        cells: of a suite and run, at most; 0: none.
    """

    seconds: float = 60.0
    cells: int = 4


@dataclass(frozen=True)
class ModelRef:
    """A model as a suite names it, before its file has been read.

    Attributes:
        name: matches `[A-Za-z0-9._-]+`; unique in the run.
        path: absolute path of the file.
        task: what the outputs mean; "other" compares numbers only.
        signature: the signature to run; None is the only one, or the first of several (with a note).
        inputs: this model's inputs.
        gates: metric -> limit, in place of the suite's and the default gates; None leaves those.
        origin: "file:line" of the suite entry, for messages.
    """

    name: str
    path: str
    task: Task = "other"
    signature: str | None = None
    inputs: InputPlan = field(default_factory=InputPlan)
    gates: Mapping[str, float] | None = None
    origin: str = ""


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation of a tensor: real = scale * (stored - zero_point); several scales are per channel."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class TensorSpec:
    """One input or output tensor of a model.

    Attributes:
        index: position among the signature's (or the primary subgraph's) inputs or outputs.
        name: may be empty or repeated in real files; use the position as the key.
        dtype: numpy's name ("float32", "int8", "bool", ...), "string", or "bfloat16"/"int4"/"complex64"...
        shape: with every dynamic dimension at its smallest (1).
        dynamic: whether any dimension is dynamic.
        quantization: None for plain tensors.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool = False
    quantization: Quantization | None = None


@dataclass(frozen=True)
class OpCount:
    """How many nodes of one operation and version a model has, over all subgraphs."""

    name: str
    version: int
    count: int


@dataclass(frozen=True)
class Model:
    """What a model's file says about itself.

    Attributes:
        ref: how the suite names it.
        sha256: of the file; "" when it cannot be read.
        size: of the file, in bytes.
        inputs: of the chosen signature.
        outputs: likewise.
        ops: operations with counts.
        nodes: number of nodes in the subgraph that is run.
        subgraph: position of the subgraph that is run; another than 0 only by a signature.
        signatures: keys of all signatures; most old files have none.
        signature: the key that is run; None when the file has no signatures.
        hybrid: dynamic-range quantised (integer weights, float arithmetic around them).
        quantized: computes in integers, so that kernels may differ by some steps.
        stateful: has variable tensors: outputs change from call to call.
        notes: things a reader of the report should know.
        problem: set when the file cannot be used at all (missing, truncated, not TFLite): ERROR, class model.
    """

    ref: ModelRef
    sha256: str = ""
    size: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    ops: tuple[OpCount, ...] = ()
    nodes: int = 0
    subgraph: int = 0
    signatures: tuple[str, ...] = ()
    signature: str | None = None
    hybrid: bool = False
    quantized: bool = False
    stateful: bool = False
    notes: tuple[str, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True)
class Policy:
    """What a suite says about all its cells; shared by reference between them.

    Attributes:
        profile: "quick", "nightly" or "release".
        runs: how much to measure.
        reference: "golden", "same_device_cpu" or a device's name.
        reference_delegate: with another reference than golden: the CPU delegate whose cell is the reference.
        golden_runtime: what computes golden outputs.
        limits: memory, output size and deadline of each attempt.
        speedup_over: names of the delegates that speed-ups are reported over: the fastest of them counts.
        retries: extra attempts after an infrastructure error.
        require_sha256: whether a runner's program given by the user must have its SHA-256 stated.
        localise: what is done about wrong answers after all cells were measured.
    """

    profile: str = "quick"
    runs: Runs = field(default_factory=Runs)
    reference: str = "golden"
    reference_delegate: str | None = None
    golden_runtime: GoldenRuntime = "ai-edge-litert"
    limits: Limits = field(default_factory=Limits)
    speedup_over: tuple[str, ...] = ()
    retries: int = 1
    require_sha256: bool = False
    localise: Localise = field(default_factory=Localise)


@dataclass(frozen=True)
class Cell:
    """device x model x delegate: the unit of selection, verdict, resume and report.

    A cell with role "helper" is measured because a gate of another cell needs it; it is no pytest item.
    """

    suite: str
    device: str
    model: ModelRef
    delegate: Delegate
    policy: Policy
    gates: tuple[GateRule, ...] = ()
    role: Role = "cell"

    @cached_property
    def id(self) -> str:
        """`suite::model[device:delegate]`."""
        return cell_id(self.suite, self.model.name, self.device, self.delegate.name)


def cell_id(suite: str, model: str, device: str, delegate: str) -> str:
    """Id of a cell: `suite::model[device:delegate]`."""
    return f"{suite}::{model}[{device}:{delegate}]"
