"""`matrix.csv`: one row per cell, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from typing import cast

from harness.measure.verdict import is_waived
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import figures
from harness.report.culprits import FOUND

Field = str | int | float | bool | None

COLUMNS = (
    "id", "device", "model", "delegate", "role", "outcome", "waived", "reason",
    "median_us", "p90_us", "min_us", "median_ci95_low_us", "median_ci95_high_us", "init_us", "first_us",
    "latency_scope", "timing_void", "speedup", "speedup_over",
    "max_abs", "max_abs_of_range", "nonfinite",
    "nodes_delegated", "nodes_total", "partitions", "peak_rss_bytes",
    "adapter", "adapter_software", "emulated", "runner", "runner_context", "runtime_version", "attempts",
    "mean_abs", "rmse", "cosine", "max_rel", "p99_rel", "max_ulp", "max_steps", "snr_db", "psnr_db", "kl",
    "waivers", "regression", "latency_ratio", "accuracy_ratio", "outcome_before", "culprit", "diagnosis",
    "predicted_nodes", "prediction_agrees", "void_reasons",
)  # fmt: skip

_METRICS = (
    "mean_abs", "rmse", "cosine", "max_rel", "p99_rel", "max_ulp", "max_steps", "snr_db", "psnr_db", "kl",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def render(matrix: Matrix) -> str:
    """The CSV text (RFC 4180, header row first); latencies in microseconds, memory in bytes, empty where unknown."""
    devices = {device["name"]: device for device in matrix["devices"]}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in matrix["cells"]:
        fields = _fields(row, devices.get(row["device"]))
        writer.writerow([_safe(fields[column]) for column in COLUMNS])
    return text.getvalue()


def _fields(row: CellRow, device: DeviceRow | None) -> dict[str, Field]:
    latency, speedup, split = row["latency"], row["speedup"], row["delegation"]
    return {
        "id": row["id"],
        "device": row["device"],
        "model": row["model"],
        "delegate": row["delegate"],
        "role": row["role"],
        "outcome": row["outcome"],
        "waived": is_waived(row),
        "reason": row["reason"],
        "median_us": latency and latency["median_us"],
        "p90_us": latency and latency["p90_us"],
        "min_us": latency and latency["min_us"],
        "median_ci95_low_us": latency and latency["median_ci95_us"][0],
        "median_ci95_high_us": latency and latency["median_ci95_us"][1],
        "init_us": latency and latency["init_us"],
        "first_us": latency and latency["first_us"],
        "latency_scope": latency and latency["scope"],
        "timing_void": row["validity"]["void"],
        "speedup": speedup and speedup["value"],
        "speedup_over": speedup and speedup["over"],
        "max_abs": figures.worst(row, "max_abs"),
        "max_abs_of_range": figures.worst(row, "max_abs_of_range"),
        "nonfinite": figures.nonfinite(row) if row["accuracy"] else None,
        "nodes_delegated": split and split["nodes_delegated"],
        "nodes_total": split and split["nodes_total"],
        "partitions": split and split["partitions"],
        "peak_rss_bytes": row["memory"] and row["memory"]["peak_rss_bytes"],
        "adapter": device and device["adapter"],
        "adapter_software": device and device["adapter_software"],
        "emulated": device and device["emulated"],
        "runner": row["runner"] and row["runner"]["name"],
        "runner_context": row["runner"] and row["runner"]["context"],
        "runtime_version": row["runtime"] and row["runtime"]["version"],
        "attempts": len(row["attempts"]),
        **_judged(row),
        **_explained(row),
    }


def _judged(row: CellRow) -> dict[str, Field]:
    """Figures against the reference that the gates judge, the first one."""
    entry = row["accuracy"][0] if row["accuracy"] else None
    return {name: cast(Field, entry.get(name)) if entry else None for name in _METRICS}


def _explained(row: CellRow) -> dict[str, Field]:
    change, found = row["regression"], row["compatibility"]
    localised, diagnosis = row["localisation"], row.get("diagnosis")
    waivers = dict.fromkeys(gate["waiver"] for gate in row["gates"] if gate["waiver"])
    return {
        "waivers": " ".join(waivers) or None,
        "regression": change and change["verdict"],
        "latency_ratio": change and change["latency_ratio"],
        "accuracy_ratio": change and change["accuracy_ratio"],
        "outcome_before": change and change["outcome_before"],
        "culprit": localised["words"] if localised and localised["status"] in FOUND else None,
        "diagnosis": diagnosis and diagnosis["kind"],
        "predicted_nodes": found and found["predicted"]["nodes_delegated"],
        "prediction_agrees": found and found["agrees"],
        "void_reasons": "; ".join(row["validity"]["reasons"]) or None,
    }


def _safe(field: Field) -> Field:
    """Booleans as true/false; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(field, bool):
        return "true" if field else "false"
    if isinstance(field, str):
        text = field.replace("\0", "")
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    return field
