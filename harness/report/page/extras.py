"""What the page says about a cell, worded as in every report."""

from __future__ import annotations

from collections.abc import Mapping

from harness.measure.metrics import METRICS
from harness.plan.row import CellRow, DeviceRow
from harness.report import reasons, words


def cell_words(row: CellRow, device: DeviceRow | None, delegates: reasons.Delegates) -> dict[str, object]:
    """Fields for the copy of a row: `why`, `next`, `split` and `marks`; empty ones are left out."""
    found: Mapping[str, object] = {
        "why": reasons.reason(row) if row["outcome"] != "PASS" else "",
        "next": reasons.advice(row, delegates),
        "split": words.delegation_text(row, delegates),
        "marks": words.disqualifying_marks(row, device, delegates),
    }
    return {name: value for name, value in found.items() if value}


def lower_bounds() -> list[str]:
    """Names of the gates whose limit is a lower bound."""
    return [name for name, metric in METRICS.items() if metric.direction == "min"]
