"""What upstream's benchmark_model says, as data.

It writes for people: the tool's own INFO and WARN lines go to stdout, its ERROR and FATAL lines and everything that
the runtime says to stderr. Builds differ: older ones write no severity and no percentiles, newer ones more lines.
So lines are recognised by their words alone, in any order but that of the two statistics lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.plan.row import LatencySummaryRow

_SEVERITY = re.compile(r"^(VERBOSE|INFO|WARN|WARNING|ERROR|FATAL): ?")
_NUMBER = r"([-+0-9.eE]+)"
_STATS = re.compile(r"^count=\d+(\s|$)")
_FIELD = re.compile(rf"(\w+)={_NUMBER}")
_STATISTICS = ("min", "max", "avg", "std", "median", "p5", "p95")
_TIMINGS = re.compile(rf"^Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, ")
_SESSION = re.compile(rf"^Initialized session in {_NUMBER}ms")
_PEAK = re.compile(rf"^Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
_LITERT_PEAK = re.compile(rf"\] Peak memory:\s+{_NUMBER} MB")
_UNCONSUMED = re.compile(r"^Unconsumed cmdline flags:\s*(.*)")
_APPLIED = re.compile(
    r"^Explicitly applied (\w+) delegate, and the model graph will be (completely|partially) executed"
)
_KERNELS = re.compile(r"w/ (\d+) delegate kernels")
_NOT_APPLIED = re.compile(r"^Though (\w+) delegate is explicitly applied, the model graph will not be executed")
_REFUSED = re.compile(r"^Following operations are not supported by ")
_SPLIT = re.compile(
    r"^(?:(\d+)|No) operations will run on the GPU, and (?:the remaining|all) (\d+) operations will run on the CPU"
)
_REPLACED = re.compile(
    r"^Replacing (\d+) out of (\d+) node\(s\) with delegate \((.+?)\) node, yielding \d+ partitions"
    r"(?: for subgraph (\d+))?"
)
_BACKEND = re.compile(r"^Initialized (OpenCL|OpenGL)-based API")
_ADAPTER = re.compile(r"Selected adapter: (.+?)(?:, arch=.*)?$")
_SOFTWARE = re.compile(r"adapterType=[^,]*(CPU|Software)")
_RENAMED = re.compile(r"^Tensor # (\d+) is named (.*) but flags call it (.*)$")
_RESULTS = "BENCHMARK RESULTS"
_NO_GPU = "GPU acceleration is unsupported on this platform"
_NO_LIBRARY = "GPU accelerator could not be loaded"
_RESTORED = "Restored original execution plan"
_FALLS_BACK = "Falling back to OpenGL"


@dataclass(frozen=True)
class Stats:
    """One statistics line. Microseconds; order statistics are measured values, the mean has six digits.

    Of runs that all took the same time, and of a single one, a line has `count` and `curr` only.
    """

    count: int
    values: dict[str, float]

    @property
    def first(self) -> float | None:
        """The first run."""
        return self.values.get("first", self.values.get("curr"))

    def summary(self) -> LatencySummaryRow | None:
        """The statistics; None where the line lacks one (no run at all, or a build that states no percentiles)."""
        found = self.values
        if "avg" not in found and "curr" in found:
            found = {**dict.fromkeys(_STATISTICS, found["curr"]), "std": 0.0}
        if self.count < 1 or not found.keys() >= set(_STATISTICS):
            return None
        return LatencySummaryRow(
            count=self.count,
            min_us=found["min"],
            max_us=found["max"],
            mean_us=found["avg"],
            stdev_us=found["std"],
            median_us=found["median"],
            p5_us=found["p5"],
            p95_us=found["p95"],
        )


@dataclass(frozen=True)
class Verdict:
    """What the tool says of one delegate: `kernels` 0 is "not executed by it", None a whole graph."""

    name: str
    kernels: int | None
    words: str

    @property
    def whole(self) -> bool:
        """Whether the delegate executes the whole graph."""
        return self.kernels is None


@dataclass(frozen=True)
class Replaced:
    """A runtime's line about nodes that a delegate's kernel takes over in one subgraph."""

    nodes: int
    total: int
    kernel: str
    subgraph: int


@dataclass
class Log:
    """A whole log. Texts are without their severity.

    Attributes:
        started: whether its first line is there; without it the log was cut.
        unconsumed: arguments that the program does not know; it goes on without them.
        stats: statistics lines in order: warm-up, then the timed runs.
        init_us: from loading the model to allocated tensors; None when not stated.
        first_us: the first warm-up run, 0 without warm-up; None when not stated.
        finished: whether the final results were printed.
        peak_bytes: peak resident memory; None when not stated.
        verdicts: per delegate that was asked for.
        replaced: the runtime's own lines about delegated nodes.
        refused: "OP: why" lines of an accelerator.
        split: nodes on the GPU and on the CPU as its delegate counts them, of the first subgraph with refused ones.
        restored: whether the runtime took back what a delegate had been given.
        backend: "OpenCL" or "OpenGL": what the GPU delegate really uses.
        adapter: GPU adapter, where LiteRT's WebGPU accelerator names it.
        adapter_software: whether that is a software one; None when unknown.
        fell_back: whether OpenCL failed and OpenGL was tried instead.
        no_gpu: whether the build has no GPU delegate for this platform.
        no_library: whether LiteRT found no GPU accelerator library.
        renamed: (position, the tensor's name, what we called it).
        errors: ERROR lines.
        fatal: the FATAL line; the program aborts at the first.
    """

    started: bool = False
    unconsumed: tuple[str, ...] = ()
    stats: list[Stats] = field(default_factory=list)
    init_us: float | None = None
    first_us: float | None = None
    finished: bool = False
    peak_bytes: int | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    replaced: list[Replaced] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    split: tuple[int, int] | None = None
    restored: bool = False
    backend: str | None = None
    adapter: str | None = None
    adapter_software: bool | None = None
    fell_back: bool = False
    no_gpu: bool = False
    no_library: bool = False
    renamed: list[tuple[int, str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    fatal: str | None = None


def parse(lines: Iterable[str]) -> Log:
    """Read a log: stdout and then stderr, or both mixed as they came.

    Never raises: a line that looks like one of those above and holds no number is passed over.
    """
    log = Log()
    refusing = False
    for line in lines:
        match = _SEVERITY.match(line)
        severity = match[1] if match else ""
        text = line[match.end() :].strip() if match else line.strip()
        if not text:
            continue
        refusing = _refusals(log, text, refusing)
        if severity == "ERROR":
            log.errors.append(text)
        elif severity == "FATAL":
            log.fatal = log.fatal or text
        try:
            _delegation(log, text)
            _figures(log, text)
        except (ValueError, OverflowError):
            continue
    return log


def _figures(log: Log, text: str) -> None:
    if _STATS.match(text):
        values = {name: float(value) for name, value in _FIELD.findall(text)}
        log.stats.append(Stats(int(values.pop("count")), values))
    elif match := _TIMINGS.match(text):
        log.init_us, log.first_us, log.finished = float(match[1]), float(match[2]), True
    elif match := _SESSION.match(text):
        log.init_us = float(match[1]) * 1e3 if log.init_us is None else log.init_us
    elif match := _PEAK.match(text) or _LITERT_PEAK.search(text):
        log.peak_bytes = round(float(match[1]) * (1 << 20))
    elif match := _UNCONSUMED.match(text):
        log.unconsumed += tuple(match[1].split())
    elif match := _RENAMED.match(text):
        log.renamed.append((int(match[1]), match[2], match[3]))
    elif _RESULTS in text:
        log.finished = True
    elif text.startswith("STARTING!"):
        log.started = True


def _delegation(log: Log, text: str) -> None:
    if match := _APPLIED.match(text):
        kernels = _KERNELS.search(text) if match[2] == "partially" else None
        # Partial without a count is partial all the same.
        count = None if match[2] == "completely" else int(kernels[1]) if kernels else 1
        log.verdicts[match[1]] = Verdict(match[1], count, text.rstrip("."))
    elif match := _NOT_APPLIED.match(text):
        log.verdicts[match[1]] = Verdict(match[1], 0, text.rstrip("."))
    elif match := _REPLACED.match(text):
        log.replaced.append(Replaced(int(match[1]), int(match[2]), match[3], int(match[4] or 0)))
    elif match := _BACKEND.match(text):
        log.backend = match[1]
    elif match := _ADAPTER.search(text):
        log.adapter, log.adapter_software = match[1].strip(), _SOFTWARE.search(text) is not None
    elif text.startswith(_RESTORED):
        log.restored = True
    elif _FALLS_BACK in text:
        log.fell_back = True
    elif _NO_GPU in text:
        log.no_gpu = True
    elif _NO_LIBRARY in text:
        log.no_library = True


def _refusals(log: Log, text: str, inside: bool) -> bool:
    """Lines between "Following operations are not supported" and the count of nodes are "OP: why"."""
    if _REFUSED.match(text):
        return True
    if match := _SPLIT.match(text):
        log.split = log.split or (int(match[1] or 0), int(match[2]))
        return False
    if inside and ": " in text:
        if text not in log.refused:
            log.refused.append(text)
        return True
    return False
