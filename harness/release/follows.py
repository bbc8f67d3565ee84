"""Whether a matrix follows from what it rests on: figures from samples, verdicts from figures, rows from attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.measure import gates, latency
from harness.measure.metrics import METRICS
from harness.plan.cell import GateRule
from harness.plan.row import CellRow, Matrix
from harness.release.countable import MEASURED

Attempts = Mapping[str, Sequence[Mapping[str, Any]]]


def wrong_latencies(matrix: Matrix) -> Iterator[str]:
    """Latency figures that are not those of the row's samples."""
    for row in matrix["cells"]:
        found = row["latency"]
        if found is None:
            continue
        try:
            again = latency.summarise(
                found["rounds"], found["scope"], found["init_us"], found["first_us"], found["start"]
            )
        except (ValueError, KeyError) as error:
            yield f"{row['id']}: its samples give no figures: {error}"
            continue
        for figure, value in again.items():
            if _plain(value) != _plain(found[figure]):  # type: ignore[literal-required]
                yield f"{row['id']}: {figure} is not that of its samples"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def wrong_verdicts(matrix: Matrix) -> Iterator[str]:
    """Speed-ups, gates and outcomes that do not follow from the row's figures."""
    medians = {row["id"]: row["latency"]["median_us"] for row in matrix["cells"] if row["latency"]}
    for row in matrix["cells"]:
        speedup = row["speedup"]
        if speedup and (row["id"] not in medians or not _is_ratio(speedup["value"], medians, speedup["over"], row)):
            yield f"{row['id']}: its speed-up is not that of the medians"
        if row["outcome"] not in MEASURED:
            continue
        found = gates.figures(row["accuracy"], row["latency"], row["delegation"], row["memory"], row["speedup"])
        for gate in row["gates"]:
            if gate["gate"] not in METRICS or gate["value"] is None:
                continue
            again = gates.judge([GateRule(gate["gate"], gate["limit"])], found)[0]
            if again["value"] != gate["value"]:
                yield f"{row['id']}: gate {gate['gate']} has {gate['value']}, but the row's figure is {again['value']}"
            elif again["verdict"] != gate["verdict"]:
                yield f"{row['id']}: gate {gate['gate']} is {gate['verdict']}, but {again['verdict']} follows"
        outcome = gates.outcome(row["gates"]).outcome.value
        if outcome != row["outcome"]:
            yield f"{row['id']}: is {row['outcome']}, but {outcome} follows from its gates"


def _is_ratio(value: float, medians: Mapping[str, float], over: str, row: CellRow) -> bool:
    return over in medians and abs(value * medians[row["id"]] - medians[over]) <= 1e-9 * medians[over]


def wrong_rows(matrix: Matrix, plan: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows that are not those of the journal: cells, roles, samples, moments, programs, drivers."""
    planned = {entry["id"]: entry.get("role") for entry in plan["cells"]}
    rows = {row["id"]: row for row in matrix["cells"]}
    for name in planned:
        if name not in rows:
            yield f"{name}: was planned, but is not in the matrix"
    tried: dict[str, list[Mapping[str, Any]]] = {}
    for one in attempts:
        tried.setdefault(one["cell"], []).append(one)
    for name, row in rows.items():
        if name not in planned:
            yield f"{name}: is in the matrix, but was not planned"
        elif planned[name] != row["role"]:
            yield f"{name}: is a {row['role']} in the matrix, but was planned as a {planned[name]}"
        yield from _wrong_row(row, tried.get(name, []))
    yield from _wrong_adapters(matrix, tried)


def _wrong_row(row: CellRow, tried: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    measured = {one["round"]: one for one in tried if one["measurement"]}
    for one in row["latency"]["rounds"] if row["latency"] else []:
        kept = measured[one["round"]]["measurement"] if one["round"] in measured else {}
        if kept.get("samples_us") != one["samples_us"]:
            yield f"{row['id']}: its samples are not those of the journal"
            break
    if not {one["started"] for one in row["attempts"]} <= {one["started"] for one in tried}:
        yield f"{row['id']}: its attempts are not those of the journal"
    for kind in ("runner", "runtime"):
        stated = row[kind]
        if stated and stated["sha256"] not in [(one.get(kind) or {}).get("sha256") for one in tried]:
            yield f"{row['id']}: its {kind} is not that of the journal"


def _wrong_adapters(matrix: Matrix, tried: Attempts) -> Iterator[str]:
    software = {row["device"] for row in matrix["cells"] for one in tried.get(row["id"], []) if one["adapter_software"]}
    for device in matrix["devices"]:
        if device["name"] in software and not device["adapter_software"]:
            yield f"device {device['name']}: its adapter is a software one in the journal"
