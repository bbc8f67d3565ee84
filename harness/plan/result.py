"""The plain data that every room shares: what came back from one attempt at a cell.

Standard library only, no I/O. Everything here can be pickled or written as JSON, as in `harness.plan.cell`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.plan.cell import Problem

if TYPE_CHECKING:
    from harness.plan.row import LatencySummaryRow


@dataclass(frozen=True)
class OutputFile:
    """One output tensor of one sample, as the runner wrote it: raw, C order, little endian.

    `path` is on the controller; `bytes` and `crc32` are what the runner stated and were checked on arrival.
    """

    sample: int
    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    path: str
    bytes: int
    crc32: str = ""


@dataclass(frozen=True)
class Delegation:
    """Where the nodes of a model really ran, as the runner reports it.

    Attributes:
        nodes_total: nodes of the model; None when unknown.
        nodes_delegated: nodes on the accelerator that was asked for; None when unknown.
        partitions: number of delegated partitions; None when unknown.
        fallback: whether any node ran elsewhere; None when unknown.
        unsupported_ops: "OP: why" lines.
        evidence: the words or fields that prove it.
    """

    nodes_total: int | None = None
    nodes_delegated: int | None = None
    partitions: int | None = None
    fallback: bool | None = None
    unsupported_ops: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True)
class Measurement:
    """What one attempt at one round produced. Times in microseconds, memory in bytes.

    Attributes:
        samples_us: latency of each timed run, in `scope`; empty if the runner gives a summary only.
        invoke_us: the part of each that was the call itself.
        read_us: the part of each that was reading the outputs back.
        scope: what `samples_us` covers; rows of different scope are never compared.
        init_us: from loading the runtime to a compiled model.
        first_us: the first run after compiling, same scope.
        warmup_us: warm-up runs, same scope.
        start: whether compiled-kernel caches were empty.
        outputs: of every sample.
        repeatable: whether the last timed run's outputs equal the first run's, byte for byte; None when unknown.
        delegation: where the nodes ran.
        peak_rss_bytes: of the runner's process.
        notes: anything a reader should know.
        summary: statistics of the timed runs from a runner that keeps no raw latencies; else None.
    """

    samples_us: tuple[float, ...]
    invoke_us: tuple[float, ...] = ()
    read_us: tuple[float, ...] = ()
    scope: str = "invoke+read"
    init_us: float | None = None
    first_us: float | None = None
    warmup_us: tuple[float, ...] = ()
    start: str = "warm"
    outputs: tuple[OutputFile, ...] = ()
    repeatable: bool | None = None
    delegation: Delegation = field(default_factory=Delegation)
    peak_rss_bytes: int | None = None
    notes: tuple[str, ...] = ()
    summary: LatencySummaryRow | None = None


@dataclass(frozen=True)
class RoundResult:
    """One attempt at one round of one cell: a measurement or a problem, never both, never neither.

    Attributes:
        cell: its id.
        round: counted from 1.
        attempt: counted from 1 within the round.
        order: position among all rounds started on the device in this run.
        started: ISO 8601, UTC.
        seconds: wall time of the attempt, waiting for the machine's turn not included.
        transfer_bytes: bytes that had to be moved to and from the device.
        state_before: the device's state before, in contract units.
        state_after: and after.
        artifacts: paths relative to the report folder.
        adapter: GPU adapter as the runtime named it during this attempt.
        adapter_software: whether that adapter is a software one; None when unknown.
        runner: {"name", "context", "version", "sha256", "command"} of the program that ran; empty if none did.
        runtime: {"version", "sha256"} of the libraries that it loaded.
    """

    cell: str
    round: int
    attempt: int
    order: int
    started: str
    seconds: float
    measurement: Measurement | None = None
    problem: Problem | None = None
    transfer_bytes: int = 0
    state_before: Mapping[str, object] = field(default_factory=dict)
    state_after: Mapping[str, object] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    adapter: str | None = None
    adapter_software: bool | None = None
    runner: Mapping[str, str | None] = field(default_factory=dict)
    runtime: Mapping[str, str | None] = field(default_factory=dict)
