"""A run as the page carries it: columns of all cells, and whole rows in chunks that the page unpacks on demand.

The columns are what the matrix shows, filters and sorts: one number per cell each, names and reasons by their number.
The rows are those of matrix.json, less what the columns or other fields of the row say already. Everything is JSON,
packed by gzip, in base64: text that holds nothing that HTML could read.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.verdict import is_waived
from harness.plan.cell import cell_id
from harness.plan.row import CellRow, DeviceRow, LatencyRow, Matrix
from harness.report import figures, reasons, words
from harness.report.grid import suite_of
from harness.report.page import extras

_CHUNK = 200
"""Cells per chunk: one is unpacked within some milliseconds."""
_MOST_SAMPLES = 2000
"""Samples that the page keeps of one cell."""
_ALL_SAMPLES = 500_000
"""Samples that the page keeps of all cells that pass, where that leaves each of them `_FEWEST_SAMPLES`."""
_FEWEST_SAMPLES = 20
_MOST_LETTERS = 400
"""Of a reason, in the columns; the row has it in full."""
_LEVEL = 6

CHANGES = ("WORSE", "BETTER", "NEW", "UNCOMPARABLE", "SAME")
_OUTCOMES = {outcome.value: position for position, outcome in enumerate(figures.WORST_FIRST)}
_COLUMNS = (
    *("suite", "model", "device", "delegate", "outcome", "median", "p90", "speedup", "error"),
    *("nonfinite", "reason", "change", "flags"),
)
_SAID_ELSEWHERE = frozenset({"id", "device", "model", "delegate", "outcome"})


@dataclass(frozen=True)
class Packed:
    """Blocks for the page, each base64 of gzip of JSON: `summary`, and whole rows, `_CHUNK` cells a block."""

    summary: str
    rows: tuple[str, ...]


def pack(matrix: Matrix) -> Packed:
    """All that the page needs to know of a run.

    Raises:
        ValueError: a value is NaN or infinite, which JSON does not hold.
    """
    return Packed(_packed(_summary(matrix)), tuple(_packed(rows) for rows in _chunks(matrix)))


def _packed(value: object) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), _LEVEL, mtime=0)).decode("ascii")


class _Numbers:
    """Texts, each with its number in order of first use."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.of = {text: number for number, text in enumerate(texts)}

    def number(self, text: str) -> int:
        return self.of.setdefault(text, len(self.of))


def _summary(matrix: Matrix) -> dict[str, Any]:
    names = {
        "suite": _Numbers(),
        "model": _Numbers([model["name"] for model in matrix["models"]]),
        "device": _Numbers([device["name"] for device in matrix["devices"]]),
        "delegate": _Numbers(list(matrix["delegates"])),
    }
    texts = _Numbers()
    columns, odd = _columns(matrix, names, texts)
    return {
        **{key: value for key, value in matrix.items() if key != "cells"},
        "columns": columns,
        **{f"{key}_names": list(numbers.of) for key, numbers in names.items()},
        "texts": list(texts.of),
        "changes": CHANGES,
        "change_rows": _change_rows(matrix),
        "odd_ids": odd,
        "chunk_cells": _CHUNK,
        "lower_bounds": extras.lower_bounds(),
        "conformance": matrix.get("conformance"),
    }


def _columns(
    matrix: Matrix, names: Mapping[str, _Numbers], texts: _Numbers
) -> tuple[dict[str, list[Any]], dict[int, str]]:
    devices = {device["name"]: device for device in matrix["devices"]}
    odd: dict[int, str] = {}
    columns: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    for position, row in enumerate(matrix["cells"]):
        suite, latency, change = suite_of(row), row["latency"], row["regression"]
        if row["id"] != cell_id(suite, row["model"], row["device"], row["delegate"]):
            odd[position] = row["id"]
        columns["suite"].append(names["suite"].number(suite))
        columns["model"].append(names["model"].number(row["model"]))
        columns["device"].append(names["device"].number(row["device"]))
        columns["delegate"].append(names["delegate"].number(row["delegate"]))
        columns["outcome"].append(_OUTCOMES[row["outcome"]])
        columns["median"].append(_brief(latency["median_us"]) if latency else None)
        columns["p90"].append(_brief(latency["p90_us"]) if latency else None)
        columns["speedup"].append(_brief(row["speedup"]["value"]) if row["speedup"] else None)
        columns["error"].append(_brief(figures.worst(row, "max_abs_of_range")))
        columns["nonfinite"].append(figures.nonfinite(row))
        passed = row["outcome"] == "PASS"
        columns["reason"].append(None if passed else texts.number(reasons.reason(row)[:_MOST_LETTERS]))
        known = change is not None and change["verdict"] in CHANGES
        columns["change"].append(CHANGES.index(change["verdict"]) if change and known else None)
        columns["flags"].append(_flags(row, devices.get(row["device"]), matrix["delegates"]))
    return columns, odd


def _change_rows(matrix: Matrix) -> dict[int, tuple[str | None, float | None, float | None, str]]:
    """Cells that are not the same as in the baseline: outcome before, ratios of latency and accuracy, and why."""
    return {
        position: (
            change["outcome_before"],
            change["latency_ratio"],
            change["accuracy_ratio"],
            "; ".join(change["reasons"])[:_MOST_LETTERS],
        )
        for position, row in enumerate(matrix["cells"])
        if (change := row["regression"]) and change["verdict"] not in ("SAME", "NEW")
    }


def _brief(value: float | None) -> float | None:
    """A figure to the digits that a table shows."""
    return None if value is None else float(f"{value:.4g}")


def _flags(row: CellRow, device: DeviceRow | None, delegates: Mapping[str, Mapping[str, Any]]) -> int:
    """Bits, as data.js reads them: waived, helper, timing void, emulated device, software adapter."""
    marks = words.disqualifying_marks(row, device, delegates)
    bits = (
        is_waived(row),
        row["role"] == "helper",
        row["validity"]["void"],
        "emulated device" in marks,
        "software adapter" in marks,
    )
    return sum(bit << place for place, bit in enumerate(bits))


def _chunks(matrix: Matrix) -> Iterator[list[dict[str, Any]]]:
    cells, delegates = matrix["cells"], matrix["delegates"]
    devices = {device["name"]: device for device in matrix["devices"]}
    share = max(_FEWEST_SAMPLES, min(_MOST_SAMPLES, _ALL_SAMPLES // max(1, len(cells))))
    for first in range(0, len(cells), _CHUNK):
        yield [
            _row(row, share if row["outcome"] == "PASS" else _MOST_SAMPLES)
            | extras.cell_words(row, devices.get(row["device"]), delegates)
            for row in cells[first : first + _CHUNK]
        ]


def _row(row: CellRow, most: int) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in _SAID_ELSEWHERE}
    if row["latency"]:
        kept["latency"] = thinned(row["latency"], most)
    return kept


def thinned(latency: LatencyRow, most: int) -> dict[str, Any]:
    """Latency with about `most` of its samples, if it has more: every nth run of each round, in order, to 0.01 µs.

    The figures stay those of all samples. `samples_left_out` says how many are only in matrix.json. Samples of all
    rounds together are left out where the rounds have them.
    """
    total = sum(len(entry["samples_us"]) for entry in latency["rounds"])
    step = max(1, total // most)
    kept = [[round(sample, 2) for sample in entry["samples_us"][::step]] for entry in latency["rounds"]]
    rounds = [{**entry, "samples_us": some} for entry, some in zip(latency["rounds"], kept, strict=True)]
    left_out = total - sum(map(len, kept))
    brief: dict[str, Any] = {**latency, "rounds": rounds}
    if total:
        del brief["samples_us"]
    if left_out:
        brief["samples_left_out"] = left_out
    return brief
