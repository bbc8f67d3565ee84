"""Measuring inside pytest: the run in the background, items in completion order, the report at the end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engine.judge import CellResult
from harness.engine.matrix import baseline_rows
from harness.engine.order import with_helpers
from harness.engine.run import Run
from harness.errors import UsageError
from harness.plan.cell import Cell
from harness.plan.expand import add_partners
from harness.plan.row import Matrix
from harness.record.journal import JournalError
from harness.report import github, history
from harness.report.differences import differences
from harness.report.write import point_latest, write_all
from harness.session import loop, provenance
from harness.session.console import SessionConsole

if TYPE_CHECKING:
    from harness.session.session import LabSession

_STOPPED = "stopped before it was measured: {}"


class Measuring:
    """One run of selected cells, from the report folder to the report.

    Attributes:
        over: whether the engine has ended.
        folder: the report folder; None before it is made.
        matrix: None before the run is over.
    """

    def __init__(self, lab: LabSession, selected: Sequence[Cell], known: Sequence[Cell]) -> None:
        """Plan to measure `selected`, and those of `known` cells that they cannot be judged without."""
        self.over = False
        self.folder: Path | None = None
        self.matrix: Matrix | None = None
        self._lab = lab
        self._cells = with_helpers(selected, add_partners(selected, known))
        self._known = known
        self._console = SessionConsole(lab.config, lab.clock)

    def run(
        self, session: pytest.Session, waiting: dict[str, list[pytest.Item]], others: Sequence[pytest.Item]
    ) -> None:
        """Measure, run the items, write the report.

        Args:
            session: pytest's.
            waiting: cell id -> the items that wait for it.
            others: items that wait for no cell.

        Raises:
            pytest.UsageError: the report folder cannot be used.
            session.Failed, session.Interrupted, KeyboardInterrupt: the run was stopped; the report is written.
        """
        with loop.terminated_like_interrupted():
            try:
                run = self._make_run()
            except (UsageError, JournalError) as error:
                raise pytest.UsageError(str(error)) from None
            self._measure(run, session, waiting, others)

    def summary(self, reporter: pytest.TerminalReporter) -> None:
        """The matrix, at the end of pytest's output."""
        if self.matrix is not None:
            self._console.summary(self.matrix, self.folder, reporter)
            if github.active(os.environ):
                self._tell_github(self.matrix, reporter)

    def _tell_github(self, matrix: Matrix, reporter: pytest.TerminalReporter) -> None:
        for line in github.workflow_commands(matrix):
            reporter.write_line(line)
        try:
            github.write_summary(matrix, os.environ)
        except OSError as error:
            self._console.problem(f"the step's summary cannot be written: {error.strerror}")

    def _make_run(self) -> Run:
        lab = self._lab
        used = {cell.suite for cell in self._cells}
        suites = [suite for suite in lab.suites if suite.name in used]
        self.folder = provenance.new_report_folder(lab.reports, suites, lab.clock)
        return Run(
            provenance=provenance.run_row(
                self.folder.name, suites, lab.clock, lab.root, lab.config.invocation_params.args
            ),
            lab=lab.inventory,
            specs=lab.specs,
            suites=suites,
            cells=self._cells,
            folder=self.folder,
            baseline=baseline_rows(lab.baseline.matrix) if lab.baseline else {},
            clock=lab.clock,
            listener=self._console.listener,
            opener=lab.opener,
            waivers=lab.waivers,
        )

    def _measure(
        self,
        run: Run,
        session: pytest.Session,
        waiting: dict[str, list[pytest.Item]],
        others: Sequence[pytest.Item],
    ) -> None:
        done = 0

        def on_finished(result: CellResult) -> None:
            nonlocal done
            done += 1
            self._lab.results[result.cell.id] = result
            self._console.finished(result, done, len(self._cells))

        reason = "the harness failed"
        run.start()
        self._console.start(self._cells, run.machines)
        try:
            loop.run_items(session, waiting, others, run.finished, on_finished)
            run.localise(everything=bool(self._lab.config.getoption("harness_localise")))
            reason = ""
        except (session.Failed, session.Interrupted) as stop:  # the latter is a KeyboardInterrupt
            reason = str(stop)
            raise
        except KeyboardInterrupt:
            reason = "interrupted by the user"
            raise
        finally:
            if reason:
                run.cancel(_STOPPED.format(reason))
            self._finish(run)

    def _finish(self, run: Run) -> None:
        baseline: dict[str, object] | None = None
        if self._lab.baseline is not None:
            before = self._lab.baseline.matrix
            known = {cell.id for cell in self._known}
            gone = [row["id"] for row in before["cells"] if row["role"] == "cell" and row["id"] not in known]
            baseline = {"run": before["run"]["id"], "path": str(self._lab.baseline.path), "gone": gone}
        matrix = run.matrix(baseline)
        if self._lab.baseline is not None and matrix["baseline"] is not None:
            matrix["baseline"]["differences"] = differences(self._lab.baseline.matrix, matrix)
        self._count_suites(matrix)
        run.drop_passing_outputs()
        self._console.stop()
        self.over = True
        self.matrix = matrix
        if self.folder is None:
            return
        try:
            history.add(matrix, self._lab.reports)
            write_all(matrix, self.folder)
            point_latest(self._lab.reports, self.folder)
        except (OSError, ValueError) as error:
            self._console.problem(f"the report is not complete: {error}")

    def _count_suites(self, matrix: Matrix) -> None:
        """How many cells each suite has on each device, so that a reader sees what was deselected."""
        counts = Counter((cell.suite, cell.device) for cell in self._known if cell.role == "cell")
        for suite in matrix.get("suites") or [matrix["suite"]]:
            suite["cells"] = {device: count for (name, device), count in counts.items() if name == suite.get("name")}
