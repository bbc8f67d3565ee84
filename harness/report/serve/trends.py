"""How cells developed over the runs of a folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import figures
from harness.report import matrix as matrix_file

_FACTS = ("os", "os_version", "build", "fingerprint", "kernel")


@dataclass(frozen=True)
class Point:
    """A cell in one run. Latency in microseconds, error as a share of the output's range; None where there is none.

    `conditions` is what may move figures without anybody's doing: the device's system and driver, runtime, runner,
    model. `changed` names those that differ from the point before.
    """

    run: str
    started: str
    outcome: str
    reason: str
    median_us: float | None
    error: float | None
    conditions: Mapping[str, str]
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run of the folder; `problem` says why it cannot be read."""

    name: str
    matrix: Matrix | None
    problem: str = ""


class Runs:
    """The runs of a folder, read again when their files change. Used from several threads."""

    def __init__(self, folder: Path) -> None:
        """Serve the runs below `folder`."""
        self.folder = folder
        self._read: dict[Path, tuple[tuple[int, int], Run]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Run]:
        """Newest first, by their names, which start with the time. `latest` and other links are left out."""
        folders = sorted((entry for entry in self.folder.iterdir() if entry.is_dir()), reverse=True)
        found = [entry for entry in folders if not entry.is_symlink() and (entry / matrix_file.FILE_NAME).is_file()]
        with self._lock:
            return [self._one(entry) for entry in found]

    def _one(self, folder: Path) -> Run:
        file = folder / matrix_file.FILE_NAME
        try:
            stat = file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._read.get(file)
            if known is None or known[0] != stamp:
                known = (stamp, Run(folder.name, matrix_file.load(file)))
                self._read[file] = known
        except (OSError, UsageError) as error:
            return Run(folder.name, None, str(error))
        return known[1]

    def series(self) -> dict[str, list[Point]]:
        """Every cell that was measured in any run -> its points, oldest first."""
        found: dict[str, list[Point]] = {}
        for run in reversed(self.all()):
            if run.matrix is None:
                continue
            devices = {device["name"]: device for device in run.matrix["devices"]}
            models = {model["name"]: model["sha256"] for model in run.matrix["models"]}
            for row in run.matrix["cells"]:
                points = found.setdefault(row["id"], [])
                points.append(_point(run, row, devices.get(row["device"]), models.get(row["model"]), points))
        return found


def _point(run: Run, row: CellRow, device: DeviceRow | None, model: str | None, before: list[Point]) -> Point:
    assert run.matrix is not None
    now = _conditions(row, device, model)
    last = before[-1].conditions if before else now
    return Point(
        run=run.name,
        started=run.matrix["run"]["started"],
        outcome=row["outcome"],
        reason=figures.plain(row["reason"] or ""),
        median_us=row["latency"]["median_us"] if row["latency"] and not row["validity"]["void"] else None,
        error=figures.worst(row, "max_abs_of_range"),
        conditions=now,
        changed=tuple(f"{key}: {last[key]} → {now[key]}" for key in now if key in last and last[key] != now[key]),
    )


def _conditions(row: CellRow, device: DeviceRow | None, model: str | None) -> dict[str, str]:
    facts = device["facts"] if device else {}
    found = {
        "system": " ".join(str(facts[key]) for key in _FACTS if facts.get(key)),
        "GPU driver": (device["adapter"] if device else None) or "",
        "runtime": (row["runtime"]["version"] if row["runtime"] else None) or "",
        "runner": (row["runner"]["sha256"] if row["runner"] else None) or "",
        "model": model or "",
    }
    return {
        key: figures.short(figures.plain(value)) if key in ("runner", "model") else figures.plain(value)
        for key, value in found.items()
        if value
    }
