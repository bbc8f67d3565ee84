"""Partial runs put together: shards, hosts, re-runs.

Which row wins, where several runs have the same cell: one that was asked for beats a helper of another cell, which was
held to fewer gates; then one that was measured (PASS, MARGINAL, FAIL) beats one that was not; of two of a kind the
newer one wins, by the start of its newest attempt. Nothing is hidden by it: the row's notes say what the other runs
found. Waivers are those of all runs (of one id the newest), as they hold on the day of the newest run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UsageError
from harness.measure import verdict, waiving
from harness.plan.cell import Outcome
from harness.plan.row import CellRow, DeviceRow, Matrix, ModelRow, SuiteRow
from harness.report import matrix as matrix_file
from harness.report.reasons import entry_of
from harness.yamlmodel import NAME

_MEASURED = verdict.GOOD | {Outcome.FAIL.value}


@dataclass(frozen=True)
class Part:
    """One of the runs."""

    folder: Path
    matrix: Matrix
    id: str
    """The run's id; `<id>.<host>` where two hosts began in the same second."""


def read(folders: Sequence[Path]) -> list[Part]:
    """The runs to be put together, oldest first.

    Raises:
        UsageError: one cannot be read, is named twice, or does not fit the others.
    """
    loaded = [(folder, matrix_file.load(folder)) for folder in folders]
    loaded.sort(key=lambda one: one[1]["run"]["started"])
    counts = Counter(matrix["run"]["id"] for _, matrix in loaded)
    parts = [Part(folder, matrix, _id(matrix, counts)) for folder, matrix in loaded]
    twice = [name for name, count in Counter(part.id for part in parts).items() if count > 1]
    if twice:
        raise UsageError(f"run {', '.join(twice)} was named twice")
    if len(parts) < 2:
        raise UsageError("name two runs at least")
    for kind, found in (("model", _models), ("device", _devices), ("suite", _suites)):
        _agree(kind, [(part, found(part.matrix)) for part in parts])
    return parts


def _id(matrix: Matrix, counts: Mapping[str, int]) -> str:
    run = matrix["run"]
    name = run["id"] if counts[run["id"]] == 1 else f"{run['id']}.{re.sub(r'[^A-Za-z0-9._-]', '-', run['host'])}"
    if not re.match(NAME, name) or name.startswith("."):
        raise UsageError(f"run id {name!r}: expected letters, digits, '.', '_' and '-'")
    return name


def _models(matrix: Matrix) -> dict[str, object]:
    return {model["name"]: model["sha256"] for model in matrix["models"]}


def _devices(matrix: Matrix) -> dict[str, object]:
    """What a device is: its kind and serial; a computer has none, and is known by its own name."""
    return {device["name"]: f"{device['kind']} {device['serial'] or device['machine']}" for device in matrix["devices"]}


def _suites(matrix: Matrix) -> dict[str, object]:
    return {_name(suite): suite["sha256"] for suite in _suite_rows(matrix)}


def _suite_rows(matrix: Matrix) -> list[SuiteRow]:
    return matrix.get("suites") or [matrix["suite"]]


def _name(suite: SuiteRow) -> str:
    return suite.get("name") or Path(suite["path"] or "suite").stem


def _agree(kind: str, found: Iterable[tuple[Part, Mapping[str, object]]]) -> None:
    """One name must mean one thing: figures of different things do not belong into one row."""
    known: dict[str, tuple[Part, object]] = {}
    for part, things in found:
        for name, value in things.items():
            first, before = known.setdefault(name, (part, value))
            if before != value:
                words = f"{kind} '{name}' is not the same in {first.id} ({before}) and in {part.id} ({value})"
                raise UsageError(f"{words}: such runs cannot be merged")


def merge(parts: Sequence[Part], run_id: str, command: str) -> tuple[Matrix, dict[str, Part]]:
    """Put runs together.

    Args:
        parts: from `read`.
        run_id: of the merged run.
        command: what made it.

    Returns:
        The matrix, whose artifacts are below `artifacts/<run>/`; and which run each cell comes from.
    """
    rows: dict[str, CellRow] = {}
    origin: dict[str, Part] = {}
    others: dict[str, list[str]] = {}
    for part in parts:
        for row in part.matrix["cells"]:
            before = rows.get(row["id"])
            if before is not None:
                lost, lost_part = (before, origin[row["id"]]) if _wins(row, before) else (row, part)
                others.setdefault(row["id"], []).append(_told(lost, lost_part))
                if lost is row:
                    continue
            rows[row["id"]], origin[row["id"]] = row, part
    cells = [_row(rows[name], origin[name], others.get(name, [])) for name in rows]
    waivers = list({waiver["id"]: waiver for part in parts for waiver in part.matrix["waivers"]}.values())
    today = parts[-1].matrix["run"]["started"][:10]
    for row in cells:
        waiving.apply(row, waivers, today)
    first, last = parts[0].matrix, parts[-1].matrix
    suites = _merged_suites(parts)
    delegates = _merged_delegates(parts)
    matrix: Matrix = {
        **last,
        "run": {
            **last["run"],
            "id": run_id,
            "started": first["run"]["started"],
            "finished": _latest(part.matrix["run"]["finished"] for part in parts),
            "command": command,
            "host": "+".join(dict.fromkeys(part.matrix["run"]["host"] for part in parts)),
            "profile": "+".join(dict.fromkeys(part.matrix["run"]["profile"] for part in parts)),
            "git": _same([part.matrix["run"]["git"] for part in parts]),
            "merged": [part.id for part in parts],
        },
        "suite": suites[0],
        "delegates": delegates,
        "runtimes": _distinct(entry for part in parts for entry in part.matrix["runtimes"]),
        "baseline": _same([part.matrix["baseline"] for part in parts]),
        "health": [entry for part in parts for entry in part.matrix["health"]],
        "devices": _by_name([part.matrix["devices"] for part in parts]),
        "models": _models_by_name([part.matrix["models"] for part in parts]),
        "cells": cells,
        "waivers": waiving.used(waivers, cells, today),
        "summary": _summary(cells, suites, delegates),
    }
    matrix.pop("suites", None)
    if len(suites) > 1:
        matrix["suites"] = suites
    conformance = [entry for part in parts for entry in part.matrix.get("conformance", [])]
    matrix.pop("conformance", None)
    if conformance:
        matrix["conformance"] = list({(e["cell"], e["op"], e["case"], e["values"]): e for e in conformance}.values())
    return matrix, origin


def _wins(row: CellRow, other: CellRow) -> bool:
    """Whether a row takes the place of another one of its id."""
    return _strength(row) >= _strength(other)


def _strength(row: CellRow) -> tuple[bool, bool, str]:
    return row["role"] == "cell", row["outcome"] in _MEASURED, _newest(row)


def _newest(row: CellRow) -> str:
    return max((attempt["started"] for attempt in row["attempts"]), default="")


def _told(row: CellRow, part: Part) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['outcome']} in run {part.id}{why}"


def _row(row: CellRow, part: Part, others: list[str]) -> CellRow:
    moved = [
        f"artifacts/{part.id}/{PurePosixPath(path).relative_to('artifacts')}"
        for path in own_artifacts(row["artifacts"])
    ]
    made: CellRow = {**row, "from_run": row["from_run"] or part.id, "artifacts": moved}
    made["gates"] = [{**gate, "waiver": None} for gate in row["gates"]]
    made["notes"] = [*row["notes"], *(f"also {words}" for words in others)]
    bundle = row["localisation"]["bundle"] if row["localisation"] else None
    if row["localisation"] and bundle and own_artifacts([bundle]):
        made["localisation"] = {**row["localisation"], "bundle": _moved(bundle, part)}
    return made


def _moved(path: str, part: Part) -> str:
    return f"artifacts/{part.id}/{PurePosixPath(path).relative_to('artifacts')}"


def own_artifacts(paths: Iterable[str]) -> list[str]:
    """Paths below the run's own artifacts; what leads elsewhere is left out."""
    return [path for path in paths if path.startswith("artifacts/") and ".." not in PurePosixPath(path).parts]


def _merged_suites(parts: Sequence[Part]) -> list[SuiteRow]:
    found: dict[str, SuiteRow] = {}
    for suite in (suite for part in parts for suite in _suite_rows(part.matrix)):
        before = found.get(_name(suite))
        cells = {**(before.get("cells", {}) if before else {}), **suite.get("cells", {})}
        found[_name(suite)] = {**suite, "cells": cells} if cells else suite
    return list(found.values())


def _summary(cells: list[CellRow], suites: list[SuiteRow], delegates: Mapping[str, Mapping[str, Any]]) -> Any:  # noqa: ANN401
    def expects(row: CellRow) -> bool:
        return entry_of(row, delegates).get("expect") == "measured"

    coverage = max((suite.get("coverage", 0.0) for suite in suites), default=0.0)
    return verdict.summarise(cells, coverage, [], {row["id"] for row in cells if expects(row)})


def _merged_delegates(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """Delegates by name; by `suite::name` where two suites mean different things by one name, as in any matrix."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for row in part.matrix["cells"]:
            entry, name = dict(entry_of(row, part.matrix["delegates"])), row["delegate"]
            if found.setdefault(name, entry) != entry:
                found[f"{row['id'].partition('::')[0]}::{name}"] = entry
    return found


def _by_name(lists: Iterable[list[DeviceRow]]) -> list[DeviceRow]:
    """What any run knows of each device. That it is emulated, or its adapter software, no other run takes back."""
    found: dict[str, DeviceRow] = {}
    for row in (row for rows in lists for row in rows):
        before = found.get(row["name"])
        if before is None:
            found[row["name"]] = row
            continue
        software = {before["adapter_software"], row["adapter_software"]}
        found[row["name"]] = {
            **row,
            "emulated": row["emulated"] or before["emulated"],
            "adapter": row["adapter"] or before["adapter"],
            "adapter_software": True if True in software else False if False in software else None,
            "facts": {**before["facts"], **row["facts"]},
            "labels": list(dict.fromkeys([*before.get("labels", []), *row.get("labels", [])])),
        }
    return list(found.values())


def _models_by_name(lists: Iterable[list[ModelRow]]) -> list[ModelRow]:
    """Models as the newest run has them; inputs are files only where every run had files."""
    found: dict[str, ModelRow] = {}
    for row in (row for rows in lists for row in rows):
        before = found.get(row["name"])
        found[row["name"]] = row
        if before is not None and before.get("input_source") != "files":
            found[row["name"]] = {**row, "input_source": before.get("input_source", "noise")}
    return list(found.values())


def _distinct(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(entry, sort_keys=True): entry for entry in entries}.values())


def _same(values: Sequence[Any]) -> Any:  # noqa: ANN401 - of whatever type they are
    return values[0] if all(value == values[0] for value in values) else None


def _latest(moments: Iterable[str | None]) -> str | None:
    """The end of the last; None if any did not finish."""
    found = list(moments)
    return None if None in found else max(moment for moment in found if moment is not None)
