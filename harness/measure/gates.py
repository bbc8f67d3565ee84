"""Gates: limits on measured figures, and the outcome of a cell that follows from them.

A value at its limit holds. Close to it the verdict is MARGINAL, which still passes:

| limit L | holds | MARGINAL |
|---|---|---|
| upper | value <= L | 0.9 L < value |
| lower, on a figure without a ceiling | value >= L | value < L / 0.9 |
| lower, on a figure that cannot exceed 1 | value >= L | 1 - value > 0.9 (1 - L) |
| on a count, and where the band would be empty (L = 0; L = 1 under a ceiling) | as above | never |

A figure that was not measured makes its gate UNSET and the cell an ERROR, never a PASS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from harness.measure import tasks
from harness.plan.cell import ErrorClass, GateRule, Outcome
from harness.plan.row import AccuracyRow, DelegationRow, GateRow, LatencyRow, MemoryRow, SpeedupRow

BAND = 0.9
"""Share of a limit from which on a value is MARGINAL."""


@dataclass(frozen=True)
class Metric:
    """A figure that a gate may limit.

    Attributes:
        direction: "max": the limit is an upper bound; "min": a lower one.
        unit: of the limit; "" for plain numbers and shares.
        where: the figure's place in a cell of matrix.json.
        meaning: one line for the documentation.
        missing: why there may be no figure, and what to do.
        ceiling: the largest possible value of a lower-bound figure; None without one.
        count: whether values are whole numbers, which have no marginal band.
    """

    direction: Literal["max", "min"]
    unit: str
    where: str
    meaning: str
    missing: str
    ceiling: float | None = None
    count: bool = False


_UNDEFINED = "no outputs were compared with the reference, or it is not defined for them"
_NO_TIMING = "the cell has no valid latency"
_NOT_REPORTED = "the runner did not report it"


def _accuracy(
    name: str, direction: Literal["max", "min"], meaning: str, unit: str = "", ceiling: float | None = None
) -> tuple[str, Metric]:
    return name, Metric(direction, unit, f"accuracy[].{name}", meaning, _UNDEFINED, ceiling, name == "nonfinite")


def _timing(name: str, meaning: str) -> tuple[str, Metric]:
    return name, Metric("max", "us", f"latency.{name}", meaning, _NO_TIMING)


_STEPS = "the output's own unit; steps of quantised outputs"

METRICS: Mapping[str, Metric] = MappingProxyType(
    dict(
        [
            _accuracy(
                "nonfinite", "max", "output elements that are NaN or Inf where the reference is not, or vice versa"
            ),
            _accuracy("max_abs", "max", "largest absolute error", _STEPS),
            _accuracy("max_abs_of_range", "max", "largest absolute error as a share of the reference's range"),
            _accuracy("mean_abs", "max", "mean absolute error", _STEPS),
            _accuracy("rmse", "max", "root of the mean squared error", _STEPS),
            _accuracy("max_rel", "max", "largest relative error, with a floor at 0.1 % of the range"),
            _accuracy("cosine", "min", "cosine similarity", ceiling=1.0),
            _accuracy("psnr_db", "min", "peak signal-to-noise ratio; identical outputs pass any limit", "dB"),
            *(
                (name, Metric("min", "", f"accuracy[].task.{name}", meaning, "the model's task does not yield it", 1.0))
                for name, meaning in tasks.METRICS.items()
            ),
            _timing("median_us", "median latency"),
            _timing("p90_us", "90th percentile of the latency"),
            _timing("init_us", "from loading the runtime to a compiled model"),
            _timing("first_us", "the first run after compiling"),
            (
                "peak_rss_bytes",
                Metric("max", "bytes", "memory.peak_rss_bytes", "peak memory of the runner", _NOT_REPORTED),
            ),
            (
                "delegated_nodes",
                Metric(
                    "min",
                    "",
                    "delegation.nodes_delegated / delegation.nodes_total",
                    "share of the model's nodes on the accelerator",
                    _NOT_REPORTED,
                    1.0,
                ),
            ),
            (
                "partitions",
                Metric("max", "", "delegation.partitions", "number of delegated partitions", _NOT_REPORTED, count=True),
            ),
            (
                "speedup",
                Metric("min", "", "speedup.value", "times faster than the partner", "its partner was not measured"),
            ),
        ]
    )
)
"""Every figure that a gate may limit, by the name that suites use."""


class Judgement(NamedTuple):
    """What a cell's gates make of it; `reason` is None for PASS, `error_class` set for ERROR only."""

    outcome: Outcome
    reason: str | None = None
    error_class: ErrorClass | None = None


def figures(
    accuracy: Sequence[AccuracyRow],
    latency: LatencyRow | None,
    delegation: DelegationRow | None,
    memory: MemoryRow | None,
    speedup: SpeedupRow | None,
) -> dict[str, float | None]:
    """The figure of every metric, None where there is none; with several references, the worst.

    Two figures have no number yet must be judged: where all elements are equal, `psnr_db` (and `cosine` of zeros)
    is +inf; where no element is left to compare because non-finite values differ, every figure is the
    infinity that fails.

    Args:
        accuracy: one row per reference.
        latency: of the cell; None when it has none, or its timing is void.
        delegation: where the nodes ran.
        memory: of the runner.
        speedup: over the gate's partner; None when the timing of either is void.
    """
    found: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        if metric.where.startswith("accuracy"):
            values = [_accuracy_figure(name, metric, row) for row in accuracy]
            known = [value for value in values if value is not None]
            complete = bool(known) and len(known) == len(values)
            found[name] = (max(known) if metric.direction == "max" else min(known)) if complete else None
    for name in ("median_us", "p90_us", "init_us", "first_us"):
        found[name] = None
    if latency:
        found["median_us"], found["p90_us"] = latency["median_us"], latency["p90_us"]
        found["init_us"], found["first_us"] = latency["init_us"], latency["first_us"]
    found["peak_rss_bytes"] = memory["peak_rss_bytes"] if memory else None
    delegated, total = (delegation["nodes_delegated"], delegation["nodes_total"]) if delegation else (None, None)
    found["delegated_nodes"] = delegated / total if delegated is not None and total else None
    found["partitions"] = delegation["partitions"] if delegation else None
    found["speedup"] = speedup["value"] if speedup else None
    return found


def _accuracy_figure(name: str, metric: Metric, row: AccuracyRow) -> float | None:
    if name in tasks.METRICS:
        return row.get("task", {}).get(name)
    value: float | None = row[name]  # type: ignore[literal-required]
    if value is None and row["nonfinite"]:
        return math.inf if metric.direction == "max" else -math.inf
    if value is None and row["max_abs"] == 0.0 and metric.direction == "min":
        return math.inf
    return value


def judge(rules: Sequence[GateRule], found: Mapping[str, float | None]) -> list[GateRow]:
    """Hold figures against limits: one row per rule, in order, with verdict PASS, MARGINAL, FAIL or UNSET.

    Raises:
        ValueError: a rule for a metric that does not exist.
    """
    rows: list[GateRow] = []
    for rule in rules:
        metric = METRICS.get(rule.metric)
        if metric is None:
            raise ValueError(f"there is no metric '{rule.metric}' ({rule.origin or 'no origin'})")
        value = found.get(rule.metric)
        rows.append(
            {
                "gate": rule.metric,
                "limit": float(rule.limit),
                "value": float(value) if value is not None and math.isfinite(value) else None,
                "verdict": _verdict(metric, float(rule.limit), value),
                "waiver": None,
            }
        )
    return rows


def _verdict(metric: Metric, limit: float, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "UNSET"
    if metric.direction == "max":
        if value > limit:
            return "FAIL"
        near = value > BAND * limit > 0.0
    else:
        if value < limit:
            return "FAIL"
        if metric.ceiling is not None:
            near = metric.ceiling - value > BAND * (metric.ceiling - limit)
        else:
            near = value < limit / BAND
    return "MARGINAL" if near and not metric.count else "PASS"


def outcome(rows: Sequence[GateRow]) -> Judgement:
    """The outcome of a measured cell from its judged gates. Waivers do not change it.

    UNSET beats FAIL beats MARGINAL. The ERROR of an unset gate is of class config: the suite asks for a figure
    that this runner, model or selection of cells does not give; its reason also names the gates that failed.
    """
    failed = [_failed(row) for row in rows if row["verdict"] == "FAIL"]
    unset = [_unset(row["gate"]) for row in rows if row["verdict"] == "UNSET"]
    if unset:
        return Judgement(Outcome.ERROR, "; ".join(unset + failed), ErrorClass.CONFIG)
    if failed:
        return Judgement(Outcome.FAIL, "; ".join(failed))
    near = [
        "{} {} is close to its limit {}".format(row["gate"], *_numbers(row))
        for row in rows
        if row["verdict"] == "MARGINAL"
    ]
    return Judgement(Outcome.MARGINAL, "; ".join(near)) if near else Judgement(Outcome.PASS)


def _unset(gate: str) -> str:
    metric = METRICS.get(gate)
    return f"gate {gate} has no figure: {metric.missing if metric else _UNDEFINED}"


def _failed(row: GateRow) -> str:
    metric = METRICS.get(row["gate"])
    if row["value"] is None:
        if metric is None:
            return f"{row['gate']} is worse than in the baseline"
        return f"{row['gate']} cannot hold: no finite element is left to compare"
    value, limit = _numbers(row)
    return f"{row['gate']} {value} {'<' if metric and metric.direction == 'min' else '>'} {limit}"


def _numbers(row: GateRow) -> tuple[str, str]:
    """Value and limit as text: three digits, more where these would look the same."""
    value, limit = row["value"], row["limit"]
    assert value is not None
    texts = ((f"{value:.{digits}g}", f"{limit:.{digits}g}") for digits in (3, 6, 9, 17))
    return next(pair for pair in texts if pair[0] != pair[1] or value == limit)
