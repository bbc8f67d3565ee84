"""What the cells of a run were in the runs before it, for the small line in the report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import UsageError
from harness.plan.row import CellRow, HistoryRow, Matrix
from harness.report import figures
from harness.report import matrix as matrix_file

MOST_RUNS = 10
MOST_BYTES = 32 << 20
"""Of matrices that are read: the report of a large lab must not wait for its past."""


def add(matrix: Matrix, reports: Path) -> None:
    """Give each cell that earlier runs have its `history`, oldest first; what cannot be read is left out.

    Args:
        matrix: of a run that is over; its rows are changed.
        reports: the folder of all runs.
    """
    rows = {row["id"]: row for row in matrix["cells"]}
    for earlier in reversed(list(_earlier(reports, matrix["run"]["id"]))):
        for before in earlier["cells"]:
            row = rows.get(before["id"])
            if row is not None:
                row.setdefault("history", []).append(_entry(earlier, before))


def _earlier(reports: Path, own: str) -> Iterator[Matrix]:
    """Matrices of finished runs, newest first: the names of their folders begin with the time."""
    left, count = MOST_BYTES, 0
    for folder in _folders(reports):
        if folder.name >= own:
            continue
        file = folder / matrix_file.FILE_NAME
        try:
            size = file.stat().st_size
        except OSError:
            continue  # a run that did not finish, or one of somebody else's
        left -= size
        count += 1
        if left < 0 or count > MOST_RUNS:
            return
        with suppress(UsageError):
            yield matrix_file.load(file)


def _folders(reports: Path) -> list[Path]:
    try:
        with os.scandir(reports) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # an old run must not cost the report of this one
        return []
    return [reports / name for name in sorted(names, reverse=True)]


def _entry(matrix: Matrix, row: CellRow) -> HistoryRow:
    usable = row["latency"] is not None and not row["validity"]["void"]
    return {
        "run": matrix["run"]["id"],
        "started": matrix["run"]["started"],
        "outcome": row["outcome"],
        "median_us": row["latency"]["median_us"] if row["latency"] and usable else None,
        "max_abs_of_range": figures.worst(row, "max_abs_of_range"),
    }
