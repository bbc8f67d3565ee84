"""What a GPU was to take of a model, beside what it took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.plan import compatibility
from harness.plan.cell import Cell, Model, Outcome, Problem
from harness.plan.explained import CompatibilityRow, PredictionRow
from harness.plan.row import CellRow

_REFUSALS = frozenset({"compile", "unsupported", "model"})


def predictions(model: Model) -> tuple[PredictionRow, ...]:
    """What each GPU profile says of a model; nothing of one whose file cannot be read that far."""
    try:
        return tuple(compatibility.predictions(Path(model.ref.path), model.subgraph))
    except (ValueError, OSError):
        return ()


def beside(
    cell: Cell, row: CellRow, foretold: Sequence[PredictionRow], problem: Problem | None
) -> CompatibilityRow | None:
    """A GPU cell's prediction beside what happened; None for other cells, and where no profile fits.

    Args:
        cell: that has its outcome.
        row: of the cell.
        foretold: for its model.
        problem: why it was not measured.
    """
    if cell.delegate.accelerator != "gpu" or row["runner"] is None or row["outcome"] == Outcome.NOT_RUN.value:
        return None
    version = row["runtime"]["version"] if row["runtime"] else None
    prediction = compatibility.of_runner(foretold, row["runner"]["name"], version)
    if prediction is None:
        return None
    refused = problem is not None and problem.kind in _REFUSALS
    return compatibility.compare(prediction, row["delegation"], refused=refused)
