"""From a cell's rounds to its row: accuracy against the references, latency, gates, outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.engine.preparation import Preparation
from harness.engine.rows import last_measured, latency_row, new_row, set_judgement, set_problem
from harness.engine.tensors import load_samples
from harness.measure import accuracy, gates, latency, regression
from harness.measure.metrics import METRICS
from harness.plan.cell import (
    Cell,
    ErrorClass,
    GateRule,
    Measurement,
    Outcome,
    OutputFile,
    Problem,
    RoundResult,
    cell_id,
)
from harness.plan.gating import DEFAULT_ORIGIN
from harness.plan.row import AccuracyRow, CellRow, ReferenceRow, SpeedupRow
from harness.reference.golden import Golden
from harness.reference.inputs import InputSet

_ROUNDING = (
    "the model is quantised, and reference kernels round otherwise than a device's: allow more, or compare other "
    "delegates with this CPU (`reference: same_device_cpu`)"
)
_INCOMPLETE = "not all rounds were measured"


@dataclass(frozen=True)
class CellResult:
    """A finished cell: its row of the matrix, and what it was made from.

    Attributes:
        cell: what was asked.
        row: the cell's row of the matrix.
        rounds: every attempt, in order.
        measurement: of the last measured round; None when nothing was measured.
        reference: the outputs that it was compared with; empty when it was not.
        inputs: the input sets; None when none could be made.
    """

    cell: Cell
    row: CellRow
    rounds: tuple[RoundResult, ...]
    measurement: Measurement | None
    reference: tuple[OutputFile, ...] = ()
    inputs: InputSet | None = None

    @property
    def outcome(self) -> Outcome:
        """The outcome in the row."""
        return Outcome(self.row["outcome"])


class Judge:
    """Knows which results wait for which, and turns measured cells into rows. Not thread-safe: the engine locks."""

    def __init__(self, preparation: Preparation, planned: Mapping[str, Cell], baseline: Mapping[str, CellRow]) -> None:
        """Judge `planned` cells; `baseline` holds an earlier run's rows by id, or nothing."""
        self.results: dict[str, CellResult] = {}
        self._measured: dict[str, tuple[RoundResult, ...]] = {}
        self._preparation = preparation
        self._planned = planned
        self._baseline = baseline

    def add(self, cell: Cell, rounds: Sequence[RoundResult]) -> None:
        """A cell will not be measured any further; others may now be compared with it, judged or not."""
        self._measured[cell.id] = tuple(rounds)

    def ready(self, cell: Cell, rounds: Sequence[RoundResult]) -> bool:
        """Whether everything that the verdict of a measured cell needs is there."""
        if not rounds or rounds[-1].problem is not None:
            return True
        if self._preparation.golden(cell) is None:
            return False
        needed = [*self._partners(cell), self._reference_cell(cell)]
        return all(other is None or other not in self._planned or other in self._measured for other in needed)

    def judge(self, cell: Cell, rounds: Sequence[RoundResult]) -> CellResult:
        """The result of a cell for which everything is ready."""
        last = rounds[-1]
        if last.problem is not None:
            return self.unmeasured(cell, rounds, last.problem)
        measured = [result for result in rounds if result.measurement is not None]
        problem: Problem | None = None
        rows: list[AccuracyRow] = []
        reference: tuple[OutputFile, ...] = ()
        try:
            if has_outputs(measured[-1]):
                reference, reference_row = self._reference(cell)
                rows = [self._accuracy(cell, measured[-1], reference, reference_row)]
        except _NoReference as missing:
            problem = missing.problem
        except ValueError as error:
            problem = Problem(Outcome.ERROR, f"outputs cannot be compared: {error}", ErrorClass.RUNNER, "outputs")
        row = self._timed_row(cell, rounds)
        row["accuracy"] = rows
        row["speedup"] = fastest_speedup(row, self._partner_rows(cell))
        if problem is not None:
            set_problem(row, problem)
        else:
            self._apply_gates(cell, row)
        return self._keep(cell, row, rounds, reference)

    def unmeasured(self, cell: Cell, rounds: Sequence[RoundResult], problem: Problem) -> CellResult:
        """The result of a cell that has no (complete) measurement."""
        row = self._timed_row(cell, rounds)
        if row["latency"] is not None:
            row["validity"] = {"void": True, "reasons": [_INCOMPLETE]}
        if not row["notes"] and (prepared := self._preparation.settled(cell)) is not None:
            row["notes"] = list(prepared.model.notes)  # what was assumed of the model may be why it failed
        set_problem(row, problem)
        self._compare_with_baseline(row)
        return self._keep(cell, row, rounds)

    def faulty(self, cell: Cell, rounds: Sequence[RoundResult], problem: Problem) -> CellResult:
        """The result of a cell that the harness failed to judge: as little as possible is done for it."""
        row = new_row(cell, rounds, self._inputs_sha256(cell))
        set_problem(row, problem)
        return self._keep(cell, row, rounds)

    def _keep(
        self, cell: Cell, row: CellRow, rounds: Sequence[RoundResult], reference: tuple[OutputFile, ...] = ()
    ) -> CellResult:
        prepared = self._preparation.settled(cell)
        inputs = prepared.inputs if prepared else None
        result = CellResult(cell, row, tuple(rounds), last_measured(rounds), reference, inputs)
        self.results[cell.id] = result
        self._measured.setdefault(cell.id, result.rounds)
        return result

    def _partners(self, cell: Cell) -> list[str]:
        names = {name for rule in cell.gates for name in rule.partners}
        return [cell_id(cell.suite, cell.model.name, cell.device, name) for name in sorted(names)]

    def _reference_cell(self, cell: Cell) -> str | None:
        """Id of the cell whose outputs are the reference; None for golden, and for that cell itself."""
        policy = cell.policy
        if policy.reference == "golden" or policy.reference_delegate is None:
            return None
        device = cell.device if policy.reference == "same_device_cpu" else policy.reference
        reference = cell_id(cell.suite, cell.model.name, device, policy.reference_delegate)
        return None if reference == cell.id else reference

    def _accuracy(
        self, cell: Cell, result: RoundResult, reference: Sequence[OutputFile], row: ReferenceRow
    ) -> AccuracyRow:
        if result.measurement is None:
            raise ValueError("nothing was measured")
        specs = self._preparation.prepared(cell).model.outputs
        measured = load_samples(result.measurement.outputs)
        return accuracy.compare(measured, load_samples(reference), specs, cell.model.task, row)

    def _reference(self, cell: Cell) -> tuple[tuple[OutputFile, ...], ReferenceRow]:
        other = self._reference_cell(cell)
        if other is None:
            golden = self._preparation.golden(cell)
            if not isinstance(golden, Golden):
                raise _NoReference(golden)
            return golden.outputs, golden.row()
        rounds = self._measured.get(other, ())
        measurement = last_measured(rounds)
        if measurement is None or not measurement.outputs:
            raise _NoReference(self._no_outputs(other, rounds))
        device, delegate = self._planned[other].device, self._planned[other].delegate
        kind = "same_device_cpu" if cell.policy.reference == "same_device_cpu" else "device"
        return measurement.outputs, {
            "kind": kind,
            "device": device,
            "runtime": rounds[-1].runtime.get("version"),
            "kernels": delegate.kernels,
            "fallback_reason": None,
        }

    def _no_outputs(self, other: str, rounds: Sequence[RoundResult]) -> Problem:
        """Why a reference cell has no outputs."""
        problem = rounds[-1].problem if rounds else None
        settled = self.results.get(other)
        reason = problem.reason if problem else settled.row["reason"] if settled else "it was not planned"
        if last_measured(rounds) is not None:
            reason = "its runner gives no outputs"
        error_class = problem.error_class if problem else None
        words = f"the reference cell {other} has no outputs: {reason}"
        return Problem(Outcome.ERROR, words, error_class or ErrorClass.CONFIG, "reference")

    def _partner_rows(self, cell: Cell) -> list[CellRow]:
        """Rows of a cell's partners with their timing; those that are not judged yet are made for this purpose."""
        found = []
        for name in self._partners(cell):
            rounds = self._measured.get(name)
            if name in self.results:
                found.append(self.results[name].row)
            elif rounds is not None:
                row = self._timed_row(self._planned[name], rounds)
                if not rounds or rounds[-1].problem is not None:
                    row["validity"] = {"void": True, "reasons": [_INCOMPLETE]}
                found.append(row)
        return found

    def _apply_gates(self, cell: Cell, row: CellRow) -> None:
        figures = gates.figures(row["accuracy"], row["latency"], row["delegation"], row["memory"], row["speedup"])
        row["gates"] = gates.judge([rule for rule in cell.gates if row["accuracy"] or not _assumed(rule)], figures)
        set_judgement(row, gates.outcome(row["gates"]))
        if row["outcome"] == Outcome.FAIL.value and self._rounds_otherwise(cell, row):
            row["notes"].append(_ROUNDING)
        if self._baseline and row["error"] is None:
            self._compare_with_baseline(row)
            set_judgement(row, gates.outcome(row["gates"]))

    def _rounds_otherwise(self, cell: Cell, row: CellRow) -> bool:
        """Whether a CPU may be off only because reference kernels round quantised models in another way."""
        prepared = self._preparation.settled(cell)
        by_reference_kernels = any(one["reference"]["kernels"] == "reference" for one in row["accuracy"])
        failed = [METRICS.get(gate["gate"]) for gate in row["gates"] if gate["verdict"] == "FAIL"]
        if not any(metric and metric.where.startswith("accuracy") for metric in failed):
            return False
        on_cpu = cell.delegate.accelerator == "cpu"
        return on_cpu and by_reference_kernels and prepared is not None and prepared.model.quantized

    def _compare_with_baseline(self, row: CellRow) -> None:
        if self._baseline:
            comparison = regression.compare(row, self._baseline.get(row["id"]))
            row["regression"] = comparison.row()
            if row["error"] is None:
                row["gates"] += comparison.gate_rows()

    def _timed_row(self, cell: Cell, rounds: Sequence[RoundResult]) -> CellRow:
        row = new_row(cell, rounds, self._inputs_sha256(cell))
        measured = [result for result in rounds if result.measurement is not None]
        row["latency"] = latency_row(measured) if measured else None
        return row

    def _inputs_sha256(self, cell: Cell) -> str | None:
        prepared = self._preparation.settled(cell)
        return prepared.inputs.sha256 if prepared and prepared.inputs else None


class _NoReference(Exception):
    """There is nothing to compare with."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__("no reference")
        reason = problem.reason if problem else "it was not computed"
        error_class = (problem.error_class if problem else None) or ErrorClass.MODEL
        self.problem = Problem(
            Outcome.ERROR, f"measured, but there is no reference: {reason}", error_class, "reference"
        )


def has_outputs(result: RoundResult) -> bool:
    """Whether a round brought output tensors; some runners only time, and say so in a note."""
    return result.measurement is not None and bool(result.measurement.outputs)


def _assumed(rule: GateRule) -> bool:
    """Whether a limit on accuracy is one that nobody wrote down; a runner that only times is not held to it."""
    metric = METRICS.get(rule.metric)
    return rule.origin == DEFAULT_ORIGIN and metric is not None and metric.where.startswith("accuracy")


def fastest_speedup(row: CellRow, others: Sequence[CellRow]) -> SpeedupRow | None:
    """Speed-up of a measured cell over the fastest of others; None where nothing comparable was measured.

    Cells whose timings do not mean the same are refused, with a note in the row that says why.
    """
    best: CellRow | None = None
    for other in others:
        if other["latency"] is None or other["id"] == row["id"]:
            continue
        differences = regression.timing_differences(row, other)
        if differences:
            _note(row, f"no speed-up over {other['id']}: {'; '.join(differences)}")
        elif best is None or _median(other) < _median(best):
            best = other
    if best is None or best["latency"] is None or row["latency"] is None:
        return None
    try:
        return latency.speedup(row["latency"], best["latency"], best["id"])
    except ValueError as error:  # whole microseconds: tiny models take 0 of them
        _note(row, str(error))
        return None


def _note(row: CellRow, words: str) -> None:
    """Add a note; speed-ups are asked for by gates and again for the report."""
    if words not in row["notes"]:
        row["notes"].append(words)


def _median(row: CellRow) -> float:
    return row["latency"]["median_us"] if row["latency"] else float("inf")
