"""What a person sees while a run is going on. Every method may be called from any thread of the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.clock import Clock
from harness.measure.verdict import GOOD
from harness.plan.cell import Outcome
from harness.plan.row import CellRow
from harness.report import figures, reasons, words
from harness.report.surface import STYLES, fit

_REFRESH_PER_SECOND = 1.0  # the machine that is measured may be the one that draws

_SHORTEST_NAME = 16  # of a model, where a line must be cut
_OUTCOME_WIDTH = max(len(outcome.value) for outcome in Outcome)


class Progress(Protocol):
    """What the engine reports while it works."""

    def start(self, planned: Mapping[str, int], machines: Mapping[str, str] | None = None) -> None:
        """The run begins.

        Args:
            planned: number of cells of each device, helpers included.
            machines: machine of each device; devices of one machine take turns. None: each has its own.
        """

    def cell_started(self, id: str, device: str) -> None:
        """A device turned to a cell (again, if its rounds are interleaved with others')."""

    def stage(self, id: str, text: str) -> None:
        """What is being done about a cell now: "transfer", "round 2 of 3", ..."""

    def cell_finished(self, row: CellRow, done: int, planned: int) -> None:
        """A cell has its outcome; `done` of `planned` cells have."""

    def message(self, text: str) -> None:
        """Something a person should know, about no cell in particular."""

    def stop(self) -> None:
        """The run is over, or was interrupted. May be called twice."""

    def paused(self) -> AbstractContextManager[None]:
        """A context in which something else may write to the terminal; it must end at the start of a line."""


@dataclass
class Pace:
    """How fast each device gets through its cells. Not thread-safe; times in seconds.

    A cell costs its attempts' own time, as its waiting for the machine's turn is another cell's time.
    """

    planned: Mapping[str, int]
    machines: Mapping[str, str]
    finished: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    def add(self, row: CellRow) -> None:
        """Count a finished cell."""
        device = row["device"]
        self.finished[device] = self.finished.get(device, 0) + 1
        self.attempts[device] = self.attempts.get(device, 0) + len(row["attempts"])
        self.seconds[device] = self.seconds.get(device, 0.0) + sum(entry["seconds"] for entry in row["attempts"])

    def left(self) -> float | None:
        """Seconds until the slowest machine is through; None as long as nothing was measured.

        On each device: mean time that the rounds of a finished cell took x cells left. A device that measured
        nothing yet is taken to be as fast as all together. Devices of one machine add up, machines run side by side.
        """
        overall = self._mean(list(self.finished))
        if overall is None:
            return None
        machines: dict[str, float] = {}
        for device, count in self.planned.items():
            remaining = max(0, count - self.finished.get(device, 0))
            mean = self._mean([device])
            machine = self.machines.get(device, device)
            machines[machine] = machines.get(machine, 0.0) + remaining * (overall if mean is None else mean)
        return max(machines.values(), default=0.0)

    def _mean(self, devices: list[str]) -> float | None:
        """Seconds per finished cell; None if none of them was even tried."""
        if not any(self.attempts.get(device, 0) for device in devices):
            return None
        return sum(self.seconds.get(device, 0.0) for device in devices) / sum(
            self.finished[device] for device in devices
        )


def finished_line(row: CellRow, done: int, planned: int) -> str:
    """`[ 3/12] PASS  mobilenet_v1 this-machine:gpu  12.3 ms  4.2x  0.0012% of range`."""
    width = len(str(planned))
    return f"[{done:>{width}}/{planned}] {row['outcome']:<{_OUTCOME_WIDTH}}  {_finished_text(row)}"


def _finished_text(row: CellRow, width: int | None = None) -> str:
    """A finished cell; to fit a width, its model's name is cut, as figures must not be."""
    parts = [f"{row['model']} {row['device']}:{row['delegate']}"]
    if row["latency"]:
        parts.append(figures.format_us(row["latency"]["median_us"]))
    if row["speedup"]:
        parts.append(figures.format_ratio(row["speedup"]["value"]))
    if row["outcome"] not in GOOD:
        parts.append(reasons.first_clause(reasons.reason(row)))  # the whole of it stands in the list at the end
    elif accuracy := figures.accuracy_text(row):
        parts.append(f"{accuracy} of range" if accuracy.endswith("%") else accuracy)
    text = "  ".join(parts)
    if width is None or cell_len(text) <= width:
        return text
    name = cell_len(row["model"])
    return (
        fit(row["model"], min(name, max(_SHORTEST_NAME, name - (cell_len(text) - width)))) + text[len(row["model"]) :]
    )


class PlainProgress:
    """One line per finished cell, for logs and for terminals that cannot move the cursor."""

    def __init__(self, write_line: Callable[[str], None], unicode: bool = True) -> None:
        """Take where lines go (without their end); it is called by one thread at a time."""
        self._write_line = write_line
        self._unicode = unicode
        self._lock = threading.Lock()

    def start(self, planned: Mapping[str, int], machines: Mapping[str, str] | None = None) -> None:
        """See `Progress`."""
        cells = words.cells(sum(planned.values()))
        self._write(f"{cells} on {len(planned)} {'device' if len(planned) == 1 else 'devices'}")

    def cell_started(self, id: str, device: str) -> None:
        """Say nothing: two cells a second would fill a log."""

    def stage(self, id: str, text: str) -> None:
        """Say nothing, likewise."""

    def cell_finished(self, row: CellRow, done: int, planned: int) -> None:
        """See `Progress`."""
        self._write(finished_line(row, done, planned))

    def message(self, text: str) -> None:
        """See `Progress`."""
        self._write(figures.plain(text))

    def stop(self) -> None:
        """See `Progress`."""

    def paused(self) -> AbstractContextManager[None]:
        """See `Progress`; lines disturb nobody."""
        return nullcontext()

    def _write(self, line: str) -> None:
        with self._lock:
            self._write_line(line if self._unicode else figures.to_ascii(line))


@dataclass
class _Busy:
    """What a device does."""

    id: str
    text: str
    since: float


class LiveProgress:
    """Finished cells scroll by; below them stay the count, the time left and one line per busy device.

    Everything else that writes to the same terminal must do so inside `paused`.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        """Take a console on the real terminal (not on a captured stream) and the source of time."""
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()  # never held while the live display is called: that has a lock of its own
        self._pace = Pace({}, {})
        self._busy: dict[str, _Busy] = {}
        self._outcomes: list[str] = []
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # pytest owns the standard streams
            redirect_stderr=False,
        )

    def start(self, planned: Mapping[str, int], machines: Mapping[str, str] | None = None) -> None:
        """See `Progress`."""
        with self._lock:
            self._pace = Pace(dict(planned), dict(machines or {}))
        self._live.start(refresh=True)

    def cell_started(self, id: str, device: str) -> None:
        """See `Progress`."""
        with self._lock:
            self._busy[device] = _Busy(id, "", self._clock.monotonic())

    def stage(self, id: str, text: str) -> None:
        """See `Progress`."""
        with self._lock:
            for busy in self._busy.values():
                if busy.id == id:
                    busy.text = figures.plain(text)

    def cell_finished(self, row: CellRow, done: int, planned: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._pace.add(row)
            self._outcomes.append(row["outcome"])
            busy = self._busy.get(row["device"])
            if busy is not None and busy.id == row["id"]:
                del self._busy[row["device"]]
        width = len(str(planned))
        line = Text().append(f"[{done:>{width}}/{planned}] ", "dim")
        line.append(f"{row['outcome']:<{_OUTCOME_WIDTH}}  ", STYLES.get(row["outcome"], "bold red"))
        line.append(_finished_text(row, self._console.width - line.cell_len), "default")
        # One line per cell: what does not fit is in the list at the end.
        self._console.print(line, highlight=False, no_wrap=True, overflow="ellipsis")

    def message(self, text: str) -> None:
        """See `Progress`."""
        self._console.print(Text(figures.plain(text)), highlight=False)

    def stop(self) -> None:
        """See `Progress`."""
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """See `Progress`."""
        running = self._live.is_started
        self._live.stop()
        try:
            yield
        finally:
            if running:
                self._live = self._new_live()
                self._live.start(refresh=True)

    def _render(self) -> RenderableType:
        with self._lock:
            now, pace = self._clock.monotonic(), self._pace
            busy = sorted(self._busy.items(), key=lambda item: item[1].since)
            planned, done = sum(pace.planned.values()), sum(pace.finished.values())
            left, tally = pace.left(), words.outcome_tally(self._outcomes)
            names = max((cell_len(device) for device, _ in busy), default=0)
            lines = [_busy_line(device.ljust(names), entry, now, self._console.width) for device, entry in busy]
        room = max(1, self._console.height // 2)
        if len(lines) > room:
            lines = [*lines[:room], Text(f"  and {len(lines) - room} more devices busy", style="dim")]
        head = Table.grid(padding=(0, 2))
        time_left = "" if left is None else f"about {figures.format_seconds(left)} left"
        bar = ProgressBar(
            total=max(1, planned),
            completed=done,
            width=min(30, self._console.width // 4),
            style="dim",
            complete_style="default",
            finished_style="default",
        )
        head.add_row(Text(f"{done}/{planned} cells"), bar, Text(time_left))
        return Group(head, Text(tally or "nothing finished yet", style="dim"), *lines)


def _busy_line(device: str, busy: _Busy, now: float, width: int) -> Text:
    model, _, place = busy.id.rpartition("::")[2].partition("[")
    delegate = place.rstrip("]").partition(":")[2]
    elapsed = figures.format_seconds(now - busy.since)
    text = f"  {device}  {model} {delegate}  {busy.text}".rstrip()
    return Text(f"{set_cell_size(text, min(max(0, width - len(elapsed) - 3), 90))}  {elapsed}")
