"""What a cell's outputs are compared with: the reference that its gates judge, and those that explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.engine.preparation import Preparation
from harness.engine.rows import last_measured
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem, cell_id
from harness.plan.result import OutputFile, RoundResult
from harness.plan.row import ReferenceRow
from harness.reference.golden import Golden

Measured = Mapping[str, tuple[RoundResult, ...]]


@dataclass(frozen=True)
class Reference:
    """Outputs to compare with, what they are, and the cell that they are of; None for golden ones."""

    outputs: tuple[OutputFile, ...]
    row: ReferenceRow
    cell: str | None = None


class NoReference(Exception):
    """There is nothing to judge a cell by; `problem` says why."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__("no reference")
        reason = problem.reason if problem else "it was not computed"
        error_class = (problem.error_class if problem else None) or ErrorClass.MODEL
        self.problem = Problem(
            Outcome.ERROR, f"measured, but there is no reference: {reason}", error_class, "reference"
        )


class References:
    """Finds the references of cells among golden outputs and what other cells measured."""

    def __init__(
        self,
        preparation: Preparation,
        planned: Mapping[str, Cell],
        measured: Measured,
        reason_of: Callable[[str], str | None],
    ) -> None:
        """Look among `planned` cells, whose rounds come into `measured`; `reason_of` says why one did not run."""
        self._preparation = preparation
        self._planned = planned
        self._measured = measured
        self._reason_of = reason_of
        self._cpu: dict[tuple[str, str, str], str] = {}
        for cell in planned.values():
            if cell.delegate.accelerator == "cpu":
                self._cpu.setdefault((cell.suite, cell.model.name, cell.device), cell.id)

    def needed(self, cell: Cell, *, explained: bool) -> list[str]:
        """Planned cells that have to be measured before a cell can be judged, and explained if that is asked for.

        No CPU cell waits for a GPU's.
        """
        wanted = (self._judging_cell(cell), self.cpu_cell(cell) if explained else None)
        return [other for other in wanted if other is not None and other in self._planned]

    def cpu_cell(self, cell: Cell) -> str | None:
        """The same device's planned CPU cell, which tells whether a delegate is wrong or the model; GPU cells only."""
        if cell.delegate.accelerator == "cpu":
            return None
        delegate = cell.policy.reference_delegate
        named = cell_id(cell.suite, cell.model.name, cell.device, delegate) if delegate else None
        return named if named in self._planned else self._cpu.get((cell.suite, cell.model.name, cell.device))

    def judged(self, cell: Cell) -> Reference:
        """The reference that the suite asks for.

        Raises:
            NoReference: it has no outputs.
        """
        other = self._judging_cell(cell)
        if other is None:
            golden = self._preparation.golden(cell)
            if not isinstance(golden, Golden):
                raise NoReference(golden)
            return Reference(golden.outputs, golden.row())
        found = self._of_cell(cell, other)
        if found is None:
            raise NoReference(self._no_outputs(other))
        return found

    def further(self, cell: Cell) -> list[Reference]:
        """References that judge nothing: golden where another one judges, and the same device's CPU."""
        found = []
        judging = self._judging_cell(cell)
        golden = self._preparation.golden(cell)
        if judging is not None and isinstance(golden, Golden):
            found.append(Reference(golden.outputs, golden.row()))
        cpu = self.cpu_cell(cell)
        if cpu is not None and cpu != judging:
            reference = self._of_cell(cell, cpu)
            found += [reference] if reference is not None else []
        return found

    def _judging_cell(self, cell: Cell) -> str | None:
        """Id of the cell whose outputs judge; None for golden, and for that cell itself."""
        policy = cell.policy
        if policy.reference == "golden" or policy.reference_delegate is None:
            return None
        device = cell.device if policy.reference == "same_device_cpu" else policy.reference
        reference = cell_id(cell.suite, cell.model.name, device, policy.reference_delegate)
        return None if reference == cell.id else reference

    def _of_cell(self, cell: Cell, other: str) -> Reference | None:
        rounds = self._measured.get(other, ())
        measurement = last_measured(rounds)
        if measurement is None or not measurement.outputs:
            return None
        device, delegate = self._planned[other].device, self._planned[other].delegate
        row: ReferenceRow = {
            "kind": "device" if cell.policy.reference == device else "same_device_cpu",
            "device": device,
            "runtime": rounds[-1].runtime.get("version"),
            "kernels": delegate.kernels,
            "fallback_reason": None,
        }
        return Reference(measurement.outputs, row, other)

    def _no_outputs(self, other: str) -> Problem:
        """Why a reference cell has no outputs."""
        rounds = self._measured.get(other, ())
        problem = rounds[-1].problem if rounds else None
        reason = problem.reason if problem else self._reason_of(other) or "it was not planned"
        if last_measured(rounds) is not None:
            reason = "its runner gives no outputs"
        error_class = problem.error_class if problem else None
        words = f"the reference cell {other} has no outputs: {reason}"
        return Problem(Outcome.ERROR, words, error_class or ErrorClass.CONFIG, "reference")
