"""In which order a device takes its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.plan.cell import Cell


@dataclass(frozen=True)
class Work:
    """One round of one cell; `last` marks the cell's final round."""

    cell: Cell
    round: int
    last: bool


def queues(cells: Sequence[Cell]) -> dict[str, list[Work]]:
    """One queue per device, in the given order of cells.

    Rounds of neighbouring cells of one model are interleaved, and every second pass runs backwards (A B, B A,
    A B, ...), so that a drift of the device's speed falls on all of them alike and a model is finished before
    the next one begins.
    """
    by_device: dict[str, list[Cell]] = {}
    for cell in cells:
        by_device.setdefault(cell.device, []).append(cell)
    return {device: _interleave(own) for device, own in by_device.items()}


def with_helpers(selected: Sequence[Cell], helpers: Sequence[Cell]) -> list[Cell]:
    """Selected cells in their order, each group of a device and model led by the helper cells that it needs."""
    waiting: dict[tuple[str, str, str], list[Cell]] = {}
    for helper in helpers:
        waiting.setdefault(_group(helper), []).append(helper)
    line: list[Cell] = []
    for cell in selected:
        line += [*waiting.pop(_group(cell), ()), cell]
    return line + [helper for rest in waiting.values() for helper in rest]


def _group(cell: Cell) -> tuple[str, str, str]:
    return (cell.suite, cell.device, cell.model.name)


def _interleave(cells: Sequence[Cell]) -> list[Work]:
    line = []
    for _, group in groupby(cells, key=_group):
        members = list(group)
        for number in range(1, max(cell.policy.runs.rounds for cell in members) + 1):
            turn = members if number % 2 else members[::-1]
            line += [
                Work(cell, number, number == cell.policy.runs.rounds)
                for cell in turn
                if number <= cell.policy.runs.rounds
            ]
    return line
