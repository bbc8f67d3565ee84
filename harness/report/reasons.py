"""Of one cell: why it is not PASS, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from harness.measure.metrics import TASK_METRICS
from harness.plan.row import CellRow, GateRow
from harness.report import figures

Delegates = Mapping[str, Mapping[str, Any]]
"""Name of a delegate -> its entry in the suite."""

_TIMES = {
    "median_us": "median latency",
    "p90_us": "90th percentile of the latency",
    "init_us": "initialisation",
    "first_us": "first run",
}
_COSTS = frozenset({*_TIMES, "peak_rss_bytes", "speedup", "baseline_latency"})
_ROUNDING = 0.25
"""Share of the output's range that half precision may miss by in whole models, as measured: docs/accuracy.md."""
_SPLIT = frozenset({"delegated_nodes", "partitions"})


def entry_of(row: CellRow, delegates: Delegates) -> Mapping[str, Any]:
    """The delegate of a cell; under `suite::name` where two suites mean different things by one name."""
    suite = row["id"].partition("::")[0]
    return delegates.get(f"{suite}::{row['delegate']}") or delegates.get(row["delegate"]) or {}


def reason(row: CellRow) -> str:
    """Why a cell is not PASS, on one line: for a FAIL its gates and what its outputs look like, else as recorded."""
    failed = [gate_text(gate) for gate in row["gates"] if gate["verdict"] in ("FAIL", "UNSET")]
    if row["outcome"] == "FAIL" and failed:
        return "; ".join([*failed, *map(figures.plain, row.get("hints", []))])
    return figures.plain(row["reason"] or "") or "; ".join(failed) or "no reason was recorded"


def log_of(row: CellRow) -> str | None:
    """Of a cell that broke off: an artifact that shows why, relative to the report's folder."""
    if row["outcome"] not in ("ERROR", "TIMEOUT"):
        return None
    logs = [path for path in row["artifacts"] if path.endswith(".log")]
    return figures.plain((logs or row["artifacts"])[0]) if row["artifacts"] else None


def first_clause(text: str) -> str:
    """A reason without what follows it: details, and how to mend it."""
    return text.partition("; ")[0]


def gate_text(gate: GateRow) -> str:
    """What a gate that does not hold says: the figure, what is allowed, and the gate's name in the suite."""
    name, value, limit = gate["gate"], gate["value"], gate["limit"]
    if gate["verdict"] == "UNSET":
        return f"{name} was not measured, limit {figures.format_number(limit)}"
    if name == "baseline_outcome":
        return "the outcome is worse than in the baseline (baseline_outcome)"
    if value is None:  # not finite, or a verdict that rests on more than one number
        return f"{name} does not hold, limit {figures.format_number(limit)}"
    if text := _gate_phrase(name, value, limit):
        return f"{text} ({name})"
    return f"{name} {figures.format_number(value)}, limit {figures.format_number(limit)}"


def _gate_phrase(name: str, value: float, limit: float) -> str:
    """A gate in words; nothing for a metric whose name says it all."""
    if name in TASK_METRICS:
        return f"{name.replace('_', ' ')} {_percent(value)}, {_percent(limit)} demanded"
    if name in _TIMES:
        allowed = figures.format_us(limit) if limit >= 1 else f"{figures.format_number(limit)} µs"
        return f"{_TIMES[name]} {figures.format_us(value)}, {allowed} allowed"
    phrase = _PHRASES.get(name)
    return phrase(value, limit) if phrase else ""


def _nonfinite(value: float, limit: float) -> str:
    allowed = f", {limit:g} allowed" if limit else ""
    return f"{value:g} output value{'s are' if value != 1 else ' is'} NaN or infinite{allowed}"


def _percent(limit: float) -> str:
    """A limit as it was meant: 0.05 is 5%, not 5.0%."""
    percent = limit * 100
    return f"{percent:.3g}%" if percent == 0 or 1e-4 <= math.fabs(percent) < 1e3 else f"{percent:g}%"


_PHRASES: Mapping[str, Callable[[float, float], str]] = {
    "nonfinite": _nonfinite,
    "cpu_copy": lambda _value, _limit: "outputs are bit for bit the CPU's, although an accelerator ran",
    "max_abs_of_range": lambda value, limit: (
        f"off by {figures.format_of_range(value)} of the output's range, {_percent(limit)} allowed"
    ),
    "max_steps": lambda value, limit: (
        f"off by {value:g} step{'s' if value != 1 else ''} of the output, {limit:g} allowed"
    ),
    "max_ulp": lambda value, limit: f"off by {value:g} representable values, {limit:g} allowed",
    "snr_db": lambda value, limit: f"signal-to-noise ratio {value:.3g} dB, {limit:g} dB demanded",
    "psnr_db": lambda value, limit: f"peak signal-to-noise ratio {value:.3g} dB, {limit:g} dB demanded",
    "baseline_latency": lambda value, limit: f"takes {value:.2f} times as long as in the baseline, {limit:g} allowed",
    "baseline_accuracy": lambda value, limit: f"{value:.2f} times as far off as in the baseline, {limit:g} allowed",
    "speedup": lambda value, limit: f"{figures.format_ratio(value)} as fast as its reference, {limit:g}x demanded",
    "peak_rss_bytes": lambda value, limit: (
        f"peak memory {figures.format_bytes(round(value))}, {figures.format_bytes(round(limit))} allowed"
    ),
}


def only_regressed(row: CellRow) -> bool:
    """Whether a cell fails against the baseline alone: every gate of its own holds."""
    failed = [gate["gate"] for gate in row["gates"] if gate["verdict"] == "FAIL"]
    return row["outcome"] == "FAIL" and bool(failed) and all(name.startswith("baseline_") for name in failed)


def advice(row: CellRow, delegates: Delegates) -> str:
    """What to do next about a cell that is not PASS."""
    entry = entry_of(row, delegates)
    match row["outcome"]:
        case "FAIL":
            return _advice_fail(row, entry)
        case "UNSUPPORTED":
            refused = row["delegation"] is not None and row["delegation"]["unsupported_ops"]
            if refused and entry.get("fallback") != "partial":
                return "replace these operations in the model, or let the CPU take them (fallback: partial)"
            return "if this was to be expected, nothing; `expect: measured` makes it a failure"
        case "ERROR":
            return _advice_error(row)
        case "TIMEOUT":
            return "allow a longer deadline or ask for fewer runs, then repeat with --lf"
        case "NOT_RUN":
            return "remove the cause, then run it again"
        case _:
            return ""


def _judged_error(row: CellRow) -> float | None:
    """Share of the range that the judged reference is missed by; None where there is none."""
    return row["accuracy"][0]["max_abs_of_range"] if row["accuracy"] else None


def _advice_fail(row: CellRow, delegate: Mapping[str, Any]) -> str:
    failed = {gate["gate"] for gate in row["gates"] if gate["verdict"] == "FAIL"}
    if only_regressed(row):
        if failed == {"baseline_latency"}:
            return "measure again while the device does nothing else; if it stays, find what changed since the baseline"
        return "find what changed since the baseline: the model, the runtime, the driver or the delegate"
    if failed and failed <= _COSTS | _SPLIT:
        if failed <= _SPLIT:
            return "see under Delegation which operations the accelerator does not take"
        return "ship another delegate for this model on this device"
    if "cpu_copy" in failed:
        return "read the runner's log: the accelerator may have handed the work back to the CPU without saying so"
    diagnosis, located = row.get("diagnosis"), row["localisation"]
    if diagnosis and diagnosis["kind"] == "model":
        return "the device's CPU is as far off: check the model's conversion and the reference before the delegate"
    if located and located["bundle"] and located["growth"] != "gradual":
        return "this is no rounding: send the bundle to the delegate's makers, and ship another delegate for this model"
    if (_judged_error(row) or 0.0) > _ROUNDING:
        return "too far off to be rounding: ship another delegate for this model, and tell the delegate's makers"
    exact = delegate.get("accelerator") == "cpu" or delegate.get("precision") == "fp32"
    if "nonfinite" in failed and not exact:
        return "compare with fp32: finite there means that values leave the range of fp16"
    if not exact:
        return "compare with fp32: right there means that the precision of fp16 is the cause"
    return "the answer is wrong at full precision: do not ship this delegate for this model"


def _advice_error(row: CellRow) -> str:
    error_class = row["error"]["class"] if row["error"] else ""
    by_hand = "; its command is in the report, to be run by hand" if row["runner"] and row["runner"]["command"] else ""
    return {
        "device": "check the device with `harness doctor`, then repeat with --lf",
        "host": "check the host with `harness doctor`, then repeat with --lf",
        "runner": f"read the runner's log{by_hand}",
        "model": "check the model's file",
        "config": "do as the reason says, or correct the suite or devices.yaml; `harness doctor` says what is missing",
    }.get(error_class, "see the attempts of this cell")
