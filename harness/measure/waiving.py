"""Which failed gates may fail: waivers held against rows.

A waiver is for the failed gates of cells whose model, device and delegate match its globs and whose name matches its
`gate`. It holds through the day it expires, in UTC. It changes no outcome and no figure: a waived FAIL is a FAIL
that says who allows it. Other outcomes (ERROR, UNSUPPORTED, ...) cannot be waived: nothing is known of such cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from harness.plan.cell import Outcome
from harness.plan.row import CellRow, WaiverRow

_MEASURED = (Outcome.PASS.value, Outcome.MARGINAL.value, Outcome.FAIL.value)


def apply(row: CellRow, waivers: Sequence[WaiverRow], today: str) -> None:
    """Name, in each failed gate of a FAIL, the first waiver that allows it.

    Args:
        row: a judged cell; its gates are changed.
        waivers: in the order of their file.
        today: YYYY-MM-DD, in UTC: the day that the run began.
    """
    if row["outcome"] != Outcome.FAIL.value:
        return
    valid = [waiver for waiver in waivers if not _expired(waiver, today) and _covers(waiver, row)]
    for gate in row["gates"]:
        if gate["verdict"] == "FAIL":
            gate["waiver"] = next((one["id"] for one in valid if fnmatchcase(gate["gate"], one["gate"])), None)


def used(waivers: Iterable[WaiverRow], cells: Sequence[CellRow], today: str) -> list[WaiverRow]:
    """The waivers with what became of them in a run.

    Returns:
        Copies with `status`: "used"; "expired" (`cells` are those that fail for it); "unused": the cells that it
        covers hold their gates, so it can go; "untested": so they do, but not all of them were measured; "unmatched":
        no cell of the run is in its scope.
    """
    return [_followed(waiver, cells, today) for waiver in waivers]


def _followed(waiver: WaiverRow, cells: Sequence[CellRow], today: str) -> WaiverRow:
    covered = [row for row in cells if _covers(waiver, row)]
    if _expired(waiver, today):
        return {**waiver, "status": "expired", "cells": [row["id"] for row in covered if _fails(row, waiver)]}
    named = [row["id"] for row in covered if any(gate["waiver"] == waiver["id"] for gate in row["gates"])]
    if named:
        status = "used"
    elif covered:
        status = "unused" if all(row["outcome"] in _MEASURED for row in covered) else "untested"
    else:
        status = "unmatched"
    return {**waiver, "status": status, "cells": named}


def _fails(row: CellRow, waiver: WaiverRow) -> bool:
    failed = [gate["gate"] for gate in row["gates"] if gate["verdict"] == "FAIL" and gate["waiver"] is None]
    return row["outcome"] == Outcome.FAIL.value and any(fnmatchcase(gate, waiver["gate"]) for gate in failed)


def _expired(waiver: WaiverRow, today: str) -> bool:
    return today > waiver["expires"]  # both YYYY-MM-DD


def _covers(waiver: WaiverRow, row: CellRow) -> bool:
    return (
        fnmatchcase(row["model"], waiver["model"])
        and fnmatchcase(row["device"], waiver["device"])
        and fnmatchcase(row["delegate"], waiver["delegate"])
    )
