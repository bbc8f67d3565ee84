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
from typing import NamedTuple

from harness.measure.metrics import METRICS, TASK_METRICS, Metric
from harness.plan.cell import ErrorClass, GateRule, Outcome
from harness.plan.row import AccuracyRow, DelegationRow, GateRow, LatencyRow, MemoryRow, SpeedupRow

BAND = 0.9
"""Share of a limit from which on a value is MARGINAL."""


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
    """The figure of every metric, None where there is none.

    Of several references only those that are not marked `judged: false` count, with several of them the worst.

    Some figures have no number yet must be judged: where all elements are equal, `psnr_db` and `snr_db` (and `cosine`
    of zeros) are +inf; where no element is left to compare because non-finite values differ, every figure is the
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
            values = [_accuracy_figure(name, metric, row) for row in accuracy if row.get("judged", True)]
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
    if name in TASK_METRICS:
        return row.get("task", {}).get(name)
    value: float | None = row.get(name)  # type: ignore[assignment]
    if value is None and row["nonfinite"] and (row["max_abs"] is None or metric.direction == "min"):
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
    return f"gate {gate} has no figure: {metric.missing if metric else 'there is none of this name'}"


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
