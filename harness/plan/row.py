"""The contract of `matrix.json`, as types. Units: `_us` microseconds, bytes, degrees Celsius.

Readers ignore unknown fields; adding an optional field is no version bump. Fields that later work fills
exist from the start and are null.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import NotRequired, TypedDict

from harness.plan.explained import CompatibilityRow, ConformanceRow, DiagnosisRow, LocalisationRow, PredictionRow

SCHEMA_VERSION = 1

ErrorRow = TypedDict(
    "ErrorRow", {"class": str, "kind": str | None, "signal": int | None, "stage": str | None}
)  # functional form: "class" is a keyword


class LatencySummaryRow(TypedDict):
    """What a runner that keeps no raw latencies states about the `count` timed runs of a round.

    Percentiles are latencies of single runs: of the sorted runs, counted from 0, percentile p is number
    floor(count * p / 100), and the median is percentile 50. `stdev_us` is that of the population.
    """

    count: int
    min_us: float
    max_us: float
    mean_us: float
    stdev_us: float
    median_us: float
    p5_us: float
    p95_us: float


class RoundRow(TypedDict):
    """One measured round of a cell: raw latencies, or else the statistics that the runner states."""

    round: int
    order: int
    started: str
    samples_us: list[float]
    device_state: dict[str, Any]
    summary: NotRequired[LatencySummaryRow]


class LatencyRow(TypedDict):
    """Latency of a cell over all its rounds.

    p99 is null under 300 samples; p90 and p99 are null where the rounds have statistics instead of samples.
    """

    samples_us: list[float]
    scope: str
    count: int
    median_us: float
    p90_us: float | None
    p99_us: float | None
    mean_us: float
    stdev_us: float
    min_us: float
    max_us: float
    median_ci95_us: tuple[float, float]
    init_us: float | None
    first_us: float | None
    start: str
    rounds: list[RoundRow]


class SpeedupRow(TypedDict):
    """How many times faster than the cell `over` (its id); medians, with a bootstrap interval."""

    over: str
    value: float
    ci95: tuple[float, float]


class ReferenceRow(TypedDict):
    """What a measurement was compared with."""

    kind: str
    device: str | None
    runtime: str | None
    kernels: str | None
    fallback_reason: str | None


class MetricsRow(TypedDict):
    """Accuracy figures; null where a figure is not defined for the data."""

    nonfinite: int
    range: float | None
    max_abs: float | None
    max_abs_of_range: float | None
    mean_abs: float | None
    rmse: float | None
    max_rel: float | None
    cosine: float | None
    psnr_db: float | None
    top1_agreement: float | None
    snr_db: NotRequired[float | None]
    p99_rel: NotRequired[float | None]
    max_ulp: NotRequired[float | None]
    max_steps: NotRequired[float | None]
    kl: NotRequired[float | None]


class NonfiniteRow(TypedDict):
    """Elements that are NaN or infinite, on each side, and where the two first differ: [sample, flat index]."""

    nan_measured: int
    nan_reference: int
    inf_measured: int
    inf_reference: int
    positions: list[list[int]]


class OutputAccuracyRow(MetricsRow):
    """Accuracy of one output tensor: each figure is the worst over all samples, which `per_sample` has one by one."""

    index: int
    name: str
    dtype: str
    shape: list[int]
    per_sample: NotRequired[list[MetricsRow]]
    nonfinite_values: NotRequired[NonfiniteRow | None]


class AccuracyRow(MetricsRow):
    """Accuracy of a cell against one reference: each figure is the worst over all outputs and samples."""

    reference: ReferenceRow
    outputs: list[OutputAccuracyRow]
    samples: NotRequired[int]
    worst: NotRequired[dict[str, int] | None]
    task: NotRequired[dict[str, float]]
    judged: NotRequired[bool]


class WaiverRow(TypedDict):
    """A permission to fail; model, device, delegate and gate are globs.

    `status`: "used", "unused" (what it covers holds), "untested" (some of it was not measured),
    "unmatched" (it covers nothing here) or "expired". `cells` are those that it waives, or, expired, would waive.
    """

    id: str
    owner: str
    reason: str
    ticket: str
    expires: str
    model: str
    device: str
    delegate: str
    gate: str
    status: str
    cells: list[str]
    origin: str


class DelegationRow(TypedDict):
    """Where the nodes ran; "fallback" is whether any ran elsewhere than asked."""

    nodes_total: int | None
    nodes_delegated: int | None
    partitions: int | None
    fallback: bool | None
    unsupported_ops: list[str]
    evidence: str


class GateRow(TypedDict):
    """One judged gate. Verdict: PASS, MARGINAL, FAIL or UNSET."""

    gate: str
    limit: float
    value: float | None
    verdict: str
    waiver: str | None


class AttemptRow(TypedDict):
    """One try at one round."""

    round: int
    number: int
    outcome: str
    reason: str | None
    started: str
    seconds: float
    transfer_bytes: int


class MemoryRow(TypedDict):
    """Peak resident memory of the runner's process, over all rounds."""

    peak_rss_bytes: int | None


class RunnerRow(TypedDict):
    """The program that measured."""

    name: str
    context: str
    version: str | None
    sha256: str | None
    command: str | None


class RuntimeRow(TypedDict):
    """The LiteRT libraries that computed."""

    version: str | None
    sha256: str | None


class ValidityRow(TypedDict):
    """Whether the timing must not be used, and why."""

    void: bool
    reasons: list[str]


class StatePairRow(TypedDict):
    """Device state before the first and after the last round."""

    before: dict[str, Any]
    after: dict[str, Any]


class RegressionRow(TypedDict):
    """Against the baseline's cell of the same id; `verdict` is SAME, BETTER, WORSE, NEW or UNCOMPARABLE."""

    verdict: str
    reasons: list[str]
    outcome_before: str | None
    latency_ratio: float | None
    accuracy_ratio: float | None


class HistoryRow(TypedDict):
    """The cell in an earlier run."""

    run: str
    started: str
    outcome: str
    median_us: float | None
    max_abs_of_range: float | None


class CellRow(TypedDict):
    """One cell. `hints`: why a wrong output may look as it does; `history`: in earlier runs, oldest first."""

    id: str
    role: str
    device: str
    unit: str | None
    model: str
    delegate: str
    outcome: str
    reason: str | None
    error: ErrorRow | None
    from_run: str | None
    inputs_sha256: str | None
    latency: LatencyRow | None
    speedup: SpeedupRow | None
    accuracy: list[AccuracyRow]
    delegation: DelegationRow | None
    memory: MemoryRow | None
    energy: dict[str, Any] | None
    sustained: dict[str, Any] | None
    compatibility: CompatibilityRow | None
    localisation: LocalisationRow | None
    diagnosis: NotRequired[DiagnosisRow | None]
    hints: NotRequired[list[str]]
    history: NotRequired[list[HistoryRow]]
    artifacts: list[str]
    validity: ValidityRow
    notes: list[str]
    regression: RegressionRow | None
    device_state: StatePairRow | None
    gates: list[GateRow]
    runner: RunnerRow | None
    runtime: RuntimeRow | None
    attempts: list[AttemptRow]


class DeviceRow(TypedDict):
    """One device of the run."""

    name: str
    kind: str
    serial: str | None
    machine: str
    emulated: bool
    adapter: str | None
    adapter_software: bool | None
    facts: dict[str, Any]
    labels: NotRequired[list[str]]


class TensorRow(TypedDict):
    """One input or output tensor of a model."""

    name: str
    dtype: str
    shape: list[int]


class OpRow(TypedDict):
    """Nodes of one operation and version in a model."""

    name: str
    version: int
    count: int


class ModelRow(TypedDict):
    """One model of the run. `input_source`: "files", "noise" (seeded) or "mixed"."""

    name: str
    sha256: str
    bytes: int
    task: str
    inputs: list[TensorRow]
    outputs: list[TensorRow]
    ops: list[OpRow]
    compatibility: list[PredictionRow] | None
    input_source: NotRequired[str]


class RunRow(TypedDict):
    """Provenance of the run. Times are ISO 8601, UTC. `merged`: ids of the runs that it was put together from."""

    id: str
    started: str
    finished: str | None
    command: str
    harness_version: str
    git: str | None
    host: str
    profile: str
    merged: NotRequired[list[str]]


class SuiteRow(TypedDict):
    """A suite of the run; `qualification` is its policy for releases, null without one.

    `cells` is how many cells it has on each device, selected for this run or not.
    """

    path: str | None
    sha256: str
    gates: dict[str, dict[str, float]]
    name: NotRequired[str]
    coverage: NotRequired[float]
    cells: NotRequired[dict[str, int]]
    qualification: NotRequired[dict[str, Any] | None]


# Counts over all cells, helpers included; planned = sum of the outcomes; `waived` counts within `fail`.
# `reasons` says why the verdict is not PASS, which only cells of role "cell" decide.
SummaryRow = TypedDict(
    "SummaryRow",
    {
        "verdict": str,
        "planned": int,
        "pass": int,
        "marginal": int,
        "fail": int,
        "waived": int,
        "unsupported": int,
        "error": int,
        "timeout": int,
        "not_run": int,
        "reasons": NotRequired[list[str]],
    },
)


class Matrix(TypedDict):
    """`reports/<run>/matrix.json`."""

    schema: int
    run: RunRow
    suite: SuiteRow
    suites: NotRequired[list[SuiteRow]]
    delegates: dict[str, dict[str, Any]]
    runtimes: list[dict[str, Any]]
    baseline: dict[str, Any] | None
    waivers: list[WaiverRow]
    health: list[dict[str, Any]]
    devices: list[DeviceRow]
    models: list[ModelRow]
    cells: list[CellRow]
    conformance: NotRequired[list[ConformanceRow]]
    summary: SummaryRow
