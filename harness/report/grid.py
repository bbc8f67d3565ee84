"""The matrix as a table: models down, device and delegate across."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.plan.row import CellRow, Matrix


@dataclass(frozen=True)
class Column:
    """One device and delegate."""

    device: str
    delegate: str


@dataclass(frozen=True)
class Line:
    """One model: a row (or None, where nothing was planned) per column of the grid."""

    label: str
    rows: tuple[CellRow | None, ...]


@dataclass(frozen=True)
class Grid:
    """All cells of a run. Every line has as many rows as there are columns."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    def part(self, start: int, stop: int) -> Grid:
        """Columns `start` to `stop` (exclusive), with the lines that have a row there."""
        lines = (Line(line.label, line.rows[start:stop]) for line in self.lines)
        return Grid(self.columns[start:stop], tuple(line for line in lines if any(line.rows)))

    def devices(self) -> list[tuple[str, int, int]]:
        """Device, first column and column after its last, from left to right."""
        spans: list[tuple[str, int, int]] = []
        for index, column in enumerate(self.columns):
            if spans and spans[-1][0] == column.device:
                spans[-1] = (column.device, spans[-1][1], index + 1)
            else:
                spans.append((column.device, index, index + 1))
        return spans


def make_grid(matrix: Matrix) -> Grid:
    """Arrange a matrix. Devices, delegates and models keep the order that the matrix lists them in.

    A run of several suites has a line per suite and model.
    """
    rows = matrix["cells"]
    device_order = _order([device["name"] for device in matrix["devices"]], (row["device"] for row in rows))
    delegate_order = _order(list(matrix["delegates"]), (row["delegate"] for row in rows))
    model_order = _order([model["name"] for model in matrix["models"]], (row["model"] for row in rows))
    keyed = {(suite_of(row), row["model"], row["device"], row["delegate"]): row for row in rows}
    columns = sorted(
        {(row["device"], row["delegate"]) for row in rows},
        key=lambda pair: (device_order[pair[0]], delegate_order[pair[1]]),
    )
    suites = _order([], (suite_of(row) for row in rows))
    labels = sorted(
        {(suite_of(row), row["model"]) for row in rows},
        key=lambda pair: (suites[pair[0]], model_order[pair[1]]),
    )
    return Grid(
        tuple(Column(device, delegate) for device, delegate in columns),
        tuple(
            Line(
                f"{suite}::{model}" if len(suites) > 1 else model,
                tuple(keyed.get((suite, model, device, delegate)) for device, delegate in columns),
            )
            for suite, model in labels
        ),
    )


def suite_of(row: CellRow) -> str:
    """The suite part of a cell's id; see `harness.plan.cell.cell_id`."""
    suite, separator, _ = row["id"].partition("::")
    return suite if separator else ""


def _order(listed: Sequence[str], used: Iterable[str]) -> dict[str, int]:
    """Position of each name: listed ones first, then any other as it occurs."""
    return {name: position for position, name in enumerate(dict.fromkeys([*listed, *used]))}
