"""What changed since the baseline: worse, fixed, better, new and gone cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.verdict import GOOD
from harness.plan.row import CellRow, Matrix
from harness.report import figures

KINDS = ("worse", "fixed", "better", "new", "gone", "not comparable", "same")


@dataclass(frozen=True)
class Changes:
    """Cells by what became of them since the baseline `run`.

    `gone` are ids that have no row any more; `differences` says what else is not as it was, and may be why.
    """

    run: str
    rows: dict[str, tuple[CellRow, ...]]
    gone: tuple[str, ...]
    differences: tuple[str, ...]

    def count(self, kind: str) -> int:
        """Cells of one of `KINDS`."""
        return len(self.gone) if kind == "gone" else len(self.rows.get(kind, ()))

    @property
    def sentence(self) -> str:
        """In words: "2 worse, 1 fixed, 30 same"; kinds without cells are left out."""
        parts = [f"{self.count(kind):,} {kind}" for kind in KINDS if self.count(kind)]
        return ", ".join(parts) or "no cell could be compared"


def changes(matrix: Matrix) -> Changes | None:
    """What changed, worst first within each kind; None for a run without a baseline."""
    baseline = matrix["baseline"]
    if not baseline:
        return None
    rows: dict[str, list[CellRow]] = {}
    for row in matrix["cells"]:
        if row["regression"]:
            rows.setdefault(kind_of(row), []).append(row)
    return Changes(
        run=str(baseline.get("run") or "unknown"),
        rows={kind: tuple(sorted(members, key=_order)) for kind, members in rows.items()},
        gone=tuple(str(name) for name in baseline.get("gone") or ()),
        differences=tuple(figures.plain(str(text)) for text in baseline.get("differences") or ()),
    )


def kind_of(row: CellRow) -> str:
    """One of `KINDS`, for a row with a regression. Fixed: it did not pass in the baseline, and passes now."""
    change = row["regression"]
    assert change is not None
    before = change["outcome_before"]
    if change["verdict"] == "WORSE":
        return "worse"
    if before is not None and before not in GOOD and row["outcome"] in GOOD:
        return "fixed"
    kinds = {"BETTER": "better", "NEW": "new", "SAME": "same", "UNCOMPARABLE": "not comparable"}
    return kinds.get(change["verdict"], "not comparable")


def change_words(row: CellRow) -> str:
    """What is worse or better: the baseline's outcome where it differs, and the comparison's own words."""
    change = row["regression"]
    assert change is not None
    before = change["outcome_before"]
    parts = [f"{before} before"] if before and before != row["outcome"] else []
    verdicts: Sequence[str] = ("worse", "better")
    parts += [text for text in change["reasons"] if any(f" {word}:" in text for word in verdicts)]
    return figures.plain("; ".join(parts)) or "; ".join(map(figures.plain, change["reasons"]))


def _order(row: CellRow) -> tuple[tuple[int, bool], float]:
    change = row["regression"]
    return figures.rank(row)[:2], -(change["latency_ratio"] or 0 if change else 0)
