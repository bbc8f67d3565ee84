"""What a person sees in the terminal: progress while the run goes on, the matrix at its end."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import pytest

from harness.clock import Clock
from harness.engine.engine import Listener
from harness.engine.judge import CellResult
from harness.plan.cell import Cell
from harness.plan.row import Matrix
from harness.report.progress import LiveProgress, PlainProgress, Progress
from harness.report.surface import surface_of
from harness.report.terminal import render


class SessionConsole:
    """Progress in pytest's own terminal.

    At normal verbosity our progress takes the place of pytest's dots; with -v pytest's line per item is enough,
    and with -q its dots are.
    """

    def __init__(self, config: pytest.Config, clock: Clock) -> None:
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        # Without a terminal (`-p no:terminal`) nothing is ever written.
        self._stream: TextIO = self._reporter._tw._file if self._reporter is not None else io.StringIO()
        self._surface = surface_of(self._stream, os.environ)
        self._progress: Progress | None = None
        if self._reporter is not None and config.option.verbose == 0:
            self._progress = self._make_progress(clock)
        self.listener: Listener = _Teller(self._progress)

    def start(self, cells: Sequence[Cell], machines: Mapping[str, str]) -> None:
        """The run begins."""
        if self._progress is not None:
            self._reporter.showfspath = False
            self._progress.start(Counter(cell.device for cell in cells), machines)

    def finished(self, result: CellResult, done: int, planned: int) -> None:
        """A cell has its outcome."""
        if self._progress is not None:
            self._progress.cell_finished(result.row, done, planned)

    def problem(self, text: str) -> None:
        """Something went wrong beside the cells."""
        if self._reporter is not None:
            self._reporter.write_line(f"harness: {text}", red=True)

    def stop(self) -> None:
        """The run is over."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None

    def summary(self, matrix: Matrix, folder: Path | None, reporter: pytest.TerminalReporter) -> None:
        """The matrix and the verdict."""
        reporter.write_sep("=", "matrix")
        for line in render(matrix, self._surface, folder).splitlines():
            reporter.write_line(line)

    def _make_progress(self, clock: Clock) -> Progress:
        if self._surface.colour or (self._stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")):
            from rich.console import Console

            colour = self._surface.colour
            console = Console(file=self._stream, no_color=not colour, color_system="auto" if colour else None)
            return LiveProgress(console, clock)
        return PlainProgress(self._write_line, self._surface.unicode)

    def _write_line(self, text: str) -> None:
        """A line that is seen at once: where the output is no terminal, it would wait in a buffer."""
        if self._reporter._tw.width_of_current_line:  # older pytests end "[100%]" without a newline
            self._reporter._tw.line()
        self._reporter.write_line(text)
        self._stream.flush()


class _Teller(Listener):
    """Hands what the engine tells to the progress display, from whatever thread."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def cell_started(self, cell: Cell, round_number: int) -> None:
        if self._progress is not None:
            self._progress.cell_started(cell.id, cell.device)
            if cell.policy.runs.rounds > 1:
                self._progress.stage(cell.id, f"round {round_number} of {cell.policy.runs.rounds}")

    def message(self, text: str) -> None:
        if self._progress is not None:
            self._progress.message(text)
