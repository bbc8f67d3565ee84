"""How many times faster than another cell, where the two timings mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure import latency, regression
from harness.plan.row import CellRow, SpeedupRow


def fastest_speedup(row: CellRow, others: Sequence[CellRow]) -> SpeedupRow | None:
    """Speed-up of a measured cell over the fastest of others; None where nothing comparable was measured.

    Cells whose timings do not mean the same are refused, with a note in the row that says why.
    """
    best: CellRow | None = None
    for other in others:
        if other["latency"] is None or other["id"] == row["id"]:
            continue
        differences = regression.timing_differences(row, other)
        if differences:
            _note(row, f"no speed-up over {other['id']}: {'; '.join(differences)}")
        elif best is None or _median(other) < _median(best):
            best = other
    if best is None or best["latency"] is None or row["latency"] is None:
        return None
    try:
        return latency.speedup(row["latency"], best["latency"], best["id"])
    except ValueError as error:  # whole microseconds: tiny models take 0 of them
        _note(row, str(error))
        return None


def _note(row: CellRow, words: str) -> None:
    """Add a note; speed-ups are asked for by gates and again for the report."""
    if words not in row["notes"]:
        row["notes"].append(words)


def _median(row: CellRow) -> float:
    return row["latency"]["median_us"] if row["latency"] else float("inf")
