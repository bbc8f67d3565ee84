"""Which operations make answers wrong, each said once for all cells where it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.plan.explained import LocalisationRow
from harness.plan.row import CellRow
from harness.report import figures

FOUND = ("culprit", "segment", "gradual")
"""What a localisation ends with that found something."""


@dataclass(frozen=True)
class Culprit:
    """One finding.

    Attributes:
        rows: the cells that it is true of.
        words: what it is, with the errors of the first of them.
        bundle: path of that one's reproduction, relative to the run; None without one.
    """

    rows: tuple[CellRow, ...]
    words: str
    bundle: str | None


def culprits(rows: Iterable[CellRow]) -> list[Culprit]:
    """Findings, those of the most cells first; cells of one model with the same operations are one."""
    groups: dict[tuple[object, ...], list[tuple[CellRow, LocalisationRow]]] = {}
    for row in rows:
        found = row["localisation"]
        if found is not None and found["status"] in FOUND:
            groups.setdefault((row["model"], found["status"], found["first"], found["last"]), []).append((row, found))
    made = [_culprit(group) for group in groups.values()]
    return sorted(made, key=lambda culprit: -len(culprit.rows))


def _culprit(group: Sequence[tuple[CellRow, LocalisationRow]]) -> Culprit:
    bundles = [found["bundle"] for _, found in group if found["bundle"] is not None]
    return Culprit(tuple(row for row, _ in group), figures.plain(group[0][1]["words"]), bundles[0] if bundles else None)
