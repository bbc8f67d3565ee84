"""Suites as pytest files, cells as pytest items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.measure.verdict import is_waived, pytest_status
from harness.plan.cell import Cell, Outcome
from harness.plan.expand import expand

if TYPE_CHECKING:
    from harness.engine.judge import CellResult
    from harness.session.session import LabSession

SUFFIXES = (".yaml", ".yml")


class CellFailed(Exception):
    """A cell whose pytest item fails; pytest shows `text` and no traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SuiteFile(pytest.File):
    """A suite file; its items are the cells on the devices of the lab."""

    lab: LabSession

    def __init__(self, *, path: Path, parent: pytest.Collector, **kwargs: object) -> None:
        # A path behind `--devices` may move pytest's root away from the suites. pytest then names a file by nothing
        # at all, and two suites' cells would have the same ids.
        if not path.is_relative_to(parent.config.rootpath):
            kwargs["nodeid"] = path.as_posix()
        super().__init__(path=path, parent=parent, **kwargs)  # type: ignore[arg-type]

    def collect(self) -> Iterator[CellItem]:
        """One item per cell, in the suite's order."""
        try:
            suite = self.lab.suite(self.path)
            if not self.lab.specs:
                raise UsageError("\n".join(["no device is there to measure on; see `harness doctor`", *self.lab.notes]))
            cells = expand(suite, list(self.lab.specs.values()))
            self.lab.add_cells(cells)
        except UsageError as error:
            # Collected as a whole first, so that one run names every broken suite; reported with exit code 4.
            self.lab.collection_errors.append(str(error))
            return
        file = self.nodeid
        for cell in cells:
            name = f"{cell.model.name}[{cell.device}:{cell.delegate.name}]"
            # Given as text, or pytest 9.2 takes the bracket for a part of the name, and --lf finds nothing.
            yield CellItem.from_parent(self, name=name, nodeid=f"{file}::{name}", cell=cell, lab=self.lab)


class CellItem(pytest.Item):
    """One cell. By the time pytest runs it, the engine has finished it."""

    def __init__(self, *, cell: Cell, lab: LabSession, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.cell = cell
        self.lab = lab
        self.add_marker(lab.mark(cell.delegate.accelerator))

    def runtest(self) -> None:
        """Pass, skip or fail by the cell's outcome."""
        from harness.report.reasons import first_clause, reason

        result = self.lab.results[self.cell.id]
        row = result.row
        status = pytest_status(Outcome(row["outcome"]), self.cell.delegate.expect, is_waived(row))
        if status == "skipped":
            # The whole reason is in the report and among the item's properties; the suite is where it comes from.
            raise pytest.skip.Exception(f"{row['outcome']}: {first_clause(reason(row))}", _use_item_location=True)
        if status == "xfailed":
            pytest.xfail(f"{row['outcome']} (waived): {reason(row)}")
        if status == "failed":
            raise CellFailed(failure_text(result, self.lab.folder))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: object, **kwargs: object) -> str:
        """The failing gates or the error, and where the evidence lies; no traceback for what is no fault of ours."""
        if isinstance(excinfo.value, CellFailed):
            return excinfo.value.text
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the cell comes from."""
        return self.path, 0, self.name


def failure_text(result: CellResult, folder: Path | None) -> str:
    """What a failing item says: outcome, reason, gates, the exact command, the artifacts in the report folder."""
    from harness.report.reasons import reason

    row = result.row
    lines = [f"{row['outcome']}: {reason(row)}"]
    if row["error"]:
        facts = {key: value for key, value in row["error"].items() if value is not None}
        lines.append("error: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    for gate in row["gates"]:
        number = f"{gate['value']:.6g} " if gate["value"] is not None else ""
        lines.append(f"gate {gate['gate']}: {number}(limit {gate['limit']:g}): {gate['verdict']}")
    for attempt in row["attempts"]:
        if attempt["reason"] and attempt["reason"] != row["reason"]:
            lines.append(f"round {attempt['round']}, attempt {attempt['number']}: {attempt['reason']}")
    lines += [f"note: {note}" for note in row["notes"]]
    if row["runner"] and row["runner"]["command"]:
        lines.append(f"command: {row['runner']['command']}")
    kept = [Path(path) for path in row["artifacts"] if path.endswith((".json", ".log"))]
    lines += [f"artifact: {folder / path if folder else path}" for path in kept]
    return "\n".join(lines)
