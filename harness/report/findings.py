"""What a run found beside outcomes, as sentences: waivers, operations, wrong predictions, whose error it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from harness.plan.explained import ConformanceRow
from harness.plan.row import CellRow, Matrix, WaiverRow
from harness.report import figures, words

_Row = TypeVar("_Row")
_Key = TypeVar("_Key", bound=Hashable)
_CONFORMANCE = ("wrong", "crashes", "unsupported", "fp16", "exact", "not measured")
"""Verdicts of operations, worst first."""
_BAD_OPERATIONS = _CONFORMANCE[:2]
_WAIVERS = ("expired", "unmatched", "unused", "untested", "used")
_OTHERS_FAULT = ("model", "both")
_NAMES = 3


def waiver_lines(matrix: Matrix) -> list[str]:
    """A line per waiver, those that ask for something first."""
    order = {status: number for number, status in enumerate(_WAIVERS)}
    return [_waiver(entry) for entry in sorted(matrix["waivers"], key=lambda entry: order.get(entry["status"], 0))]


def open_waivers(matrix: Matrix) -> list[str]:
    """The first of `waiver_lines`: of waivers that ask for something, as they are expired or not used."""
    return waiver_lines(matrix)[: sum(entry["status"] != "used" for entry in matrix["waivers"])]


def _waiver(entry: WaiverRow) -> str:
    count = len(entry["cells"])
    cells = f"{words.cells(count)} {'fails' if count == 1 else 'fail'}"
    text = {
        "expired": f"expired on {entry['expires']}, and {cells}: mend that, or agree anew"
        if count
        else f"expired on {entry['expires']}: delete it",
        "unmatched": "covers no cell of this run: correct its globs, or delete it",
        "unused": "is not needed, what it covers holds: delete it",
        "untested": "was not needed, but not all that it covers was measured: keep it for now",
        "used": f"{cells} under it until {entry['expires']}",
    }.get(entry["status"], entry["status"])
    who = ", ".join(part for part in (entry["ticket"], entry["owner"]) if part)
    return figures.plain(f"{entry['id']}{':' if entry['status'] == 'used' else ''} {text} ({who})")


def conformance_lines(matrix: Matrix) -> list[str]:
    """Counts of the operations' verdicts, then what is wrong or crashes, each once for all devices."""
    rows = matrix.get("conformance") or []
    if not rows:
        return []
    counts = Counter(row["verdict"] for row in rows)
    known = [*_CONFORMANCE, *(name for name in counts if name not in _CONFORMANCE)]
    head = ", ".join(f"{counts[name]:,} {name}" for name in known if counts[name])
    bad = (row for row in rows if row["verdict"] in _BAD_OPERATIONS)
    groups = _grouped(bad, lambda row: (_BAD_OPERATIONS.index(row["verdict"]), row["op"], row["case"], row["values"]))
    return [head, *(_operation(groups[key]) for key in sorted(groups))]


def _operation(rows: list[ConformanceRow]) -> str:
    first = rows[0]
    case = first["case"] + (f" with {first['values']} values" if first["values"] != "ordinary" else "")
    error = max((row["error"] for row in rows if row["error"] is not None), default=0.0)
    off = f", off by {figures.format_of_range(error)} of the range" if error else ""
    places = list(dict.fromkeys(f"{row['device']}:{row['delegate']}" for row in rows))
    where = f"{len(places)} places ({words.listed(places)})" if len(places) > 1 else places[0]
    return figures.plain(f"{first['op']} {first['verdict']}: {case} on {where}{off}")


def disagreements(matrix: Matrix) -> list[str]:
    """Where a GPU did not take what was foretold, each once for all cells where it is so."""
    rows = (row for row in matrix["cells"] if row["compatibility"] and row["compatibility"]["agrees"] is False)
    groups = _grouped(rows, _differences)
    return [
        figures.plain(f"{words.cell_names(group, _NAMES)}: {_differences(group[0])[1]}") for group in groups.values()
    ]


def _differences(row: CellRow) -> tuple[str, str]:
    found = row["compatibility"]
    assert found is not None
    return row["model"], "; ".join(found["differences"]) or "not what was foretold"


def diagnoses(matrix: Matrix) -> list[str]:
    """Where the error is not the accelerator's alone, each once for all cells of a model and device."""
    rows = (row for row in matrix["cells"] if _blames_other(row))
    groups = _grouped(rows, lambda row: (row["model"], row["device"]))
    return [_said(group, _diagnosis(group[0])) for group in groups.values()]


def _blames_other(row: CellRow) -> bool:
    found = row.get("diagnosis")
    return found is not None and found["kind"] in _OTHERS_FAULT


def _diagnosis(row: CellRow) -> str:
    found = row.get("diagnosis")
    return found["words"] if found else ""


def _said(rows: Iterable[CellRow], text: str) -> str:
    return figures.plain(f"{words.cell_names(rows, _NAMES)}: {text}")


def _grouped(rows: Iterable[_Row], key: Callable[[_Row], _Key]) -> dict[_Key, list[_Row]]:
    groups: dict[_Key, list[_Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
