"""How cells developed over the runs of a folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.plan.row import CellRow, DeviceRow, Matrix
from harness.report import figures, words
from harness.report import matrix as matrix_file

_FACTS = ("os", "os_version", "build", "fingerprint", "kernel")
_AT_ONCE = 8  # runs that are read while a browser waits: a matrix of 2,000 cells takes a third of a second


@dataclass(frozen=True, slots=True)
class Point:
    """A cell in one run. Latency in microseconds, error as a share of the output's range; None where there is none.

    `conditions` is what may move figures without anybody's doing: the device's system and driver, runtime, runner,
    model.
    """

    run: str
    started: str
    outcome: str
    reason: str
    median_us: float | None
    error: float | None
    conditions: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """What is kept of a run of the folder; `problem` says why it cannot be read, and then the rest is empty."""

    name: str
    problem: str = ""
    verdict: str = ""
    headline: str = ""
    counts: str = ""
    points: Mapping[str, Point] = field(default_factory=dict)


Stamp = tuple[int, int]


class Runs:
    """The runs of a folder, read again when their files change. Used from several threads."""

    def __init__(self, folder: Path, at_once: int = _AT_ONCE) -> None:
        """Serve the runs below `folder`; more than `at_once` new ones are read behind the scenes."""
        self.folder = folder
        self._at_once = at_once
        self._known: dict[Path, tuple[Stamp, Run]] = {}
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None

    def all(self) -> tuple[list[Run], int]:
        """Runs newest first, by their names, which start with the time; and how many are still being read.

        `latest` and other links are left out.
        """
        files = self._files()
        waiting = [(file, stamp) for file, stamp in files if not self._is_known(file, stamp)]
        if len(waiting) <= self._at_once:
            self._read(waiting)
        else:
            with self._lock:
                if self._reader is None or not self._reader.is_alive():
                    self._reader = threading.Thread(target=self._read, args=(waiting,), daemon=True)
                    self._reader.start()
        with self._lock:
            found = [self._known[file][1] for file, _ in files if file in self._known]
        return found, len(files) - len(found)

    def _files(self) -> list[tuple[Path, Stamp]]:
        found = []
        for entry in sorted(self.folder.iterdir(), reverse=True):
            file = entry / matrix_file.FILE_NAME
            try:
                if not entry.is_symlink() and file.is_file():
                    stat = file.stat()
                    found.append((file, (stat.st_mtime_ns, stat.st_size)))
            except OSError:  # tidied away meanwhile
                continue
        return found

    def _is_known(self, file: Path, stamp: Stamp) -> bool:
        with self._lock:
            known = self._known.get(file)
        return known is not None and known[0] == stamp

    def _read(self, files: Sequence[tuple[Path, Stamp]]) -> None:
        for file, stamp in files:
            if not self._is_known(file, stamp):
                run = _run(file)
                with self._lock:
                    self._known[file] = (stamp, run)

    def series(self) -> dict[str, list[Point]]:
        """Every cell that was planned in any run that was read -> its points, oldest first; see `changes`."""
        found: dict[str, list[Point]] = {}
        for run in reversed(self.all()[0]):
            for cell, point in run.points.items():
                found.setdefault(cell, []).append(point)
        return found


def changes(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """What differs around a cell from each point to the next, in words; nothing before the first one."""
    found: list[tuple[str, ...]] = []
    last: dict[str, str] = {}
    for point in points:
        now = point.conditions
        found.append(tuple(f"{key}: {last[key]} → {now[key]}" for key in now if last.get(key, now[key]) != now[key]))
        last.update(now)  # a cell that broke off knows no runtime: the next one is compared with the last known
    return found


def _run(file: Path) -> Run:
    name = file.parent.name
    try:
        matrix = matrix_file.load(file)
    except UsageError as error:
        return Run(name, str(error))
    return Run(
        name,
        verdict=matrix["summary"]["verdict"],
        headline=words.headline(matrix),
        counts=words.counts_line(matrix["summary"]),
        points=_points(name, matrix),
    )


def _points(name: str, matrix: Matrix) -> dict[str, Point]:
    devices = {device["name"]: device for device in matrix["devices"]}
    models = {model["name"]: model["sha256"] for model in matrix["models"]}
    shared: dict[tuple[str, ...], Mapping[str, str]] = {}  # thousands of cells have the same conditions
    found = {}
    for row in matrix["cells"]:
        runtime = (row["runtime"]["version"] if row["runtime"] else None) or ""
        runner = (row["runner"]["sha256"] if row["runner"] else None) or ""
        key = (row["device"], models.get(row["model"], ""), runtime, runner)
        if key not in shared:
            shared[key] = _conditions(devices.get(row["device"]), *key[1:])
        found[row["id"]] = Point(
            run=name,
            started=matrix["run"]["started"],
            outcome=row["outcome"],
            reason=_reason(row),
            median_us=row["latency"]["median_us"] if row["latency"] and not row["validity"]["void"] else None,
            error=figures.worst(row, "max_abs_of_range"),
            conditions=shared[key],
        )
    return found


def _reason(row: CellRow) -> str:
    return figures.plain(row["reason"]) if row["reason"] else ""


def _conditions(device: DeviceRow | None, model: str, runtime: str, runner: str) -> dict[str, str]:
    facts = device["facts"] if device else {}
    found = {
        "system": figures.plain(" ".join(str(facts[key]) for key in _FACTS if facts.get(key))),
        "GPU driver": figures.plain((device["adapter"] if device else None) or ""),
        "runtime": figures.plain(runtime),
        "runner": figures.short(figures.plain(runner)),
        "model": figures.short(figures.plain(model)),
    }
    return {key: value for key, value in found.items() if value}
