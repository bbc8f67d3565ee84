"""From a cell's rounds to its row: accuracy against the references, latency, gates, outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine import pictures
from harness.engine.explaining import (
    CPU_COPY,
    CPU_COPY_WORDS,
    Earlier,
    Evidence,
    gather,
    held,
    hints_of,
    is_accuracy,
    is_cpu_copy,
    limits_of,
    notes_of_failure,
    notes_of_nothing,
)
from harness.engine.foretold import beside
from harness.engine.preparation import Preparation
from harness.engine.references import NoReference, References
from harness.engine.rows import last_measured, latency_row, new_row, set_judgement, set_problem
from harness.engine.speedups import fastest_speedup
from harness.measure import diagnosis, gates, regression, waiving
from harness.measure.diagnosis import Compared
from harness.plan.cell import Cell, ErrorClass, GateRule, Outcome, Problem, cell_id
from harness.plan.explained import DiagnosisRow, PredictionRow
from harness.plan.gating import DEFAULT_ORIGIN
from harness.plan.result import Measurement, OutputFile, RoundResult
from harness.plan.row import AccuracyRow, CellRow, WaiverRow
from harness.reference.inputs import InputSet

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
        predictions: what GPU profiles say of its model.
    """

    cell: Cell
    row: CellRow
    rounds: tuple[RoundResult, ...]
    measurement: Measurement | None
    reference: tuple[OutputFile, ...] = ()
    inputs: InputSet | None = None
    predictions: tuple[PredictionRow, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The outcome in the row."""
        return Outcome(self.row["outcome"])


class Judge:
    """Knows which results wait for which, and turns measured cells into rows. Not thread-safe: the engine locks."""

    def __init__(
        self,
        preparation: Preparation,
        planned: Mapping[str, Cell],
        baseline: Mapping[str, CellRow],
        waivers: Sequence[WaiverRow] = (),
        today: str = "",
        *,
        folder: Path | None = None,
    ) -> None:
        """Judge `planned` cells.

        Args:
            preparation: models, inputs and golden outputs.
            planned: all cells of the run, by id.
            baseline: an earlier run's rows by id, or nothing.
            waivers: permissions to fail.
            today: YYYY-MM-DD, in UTC: the day that the run began, by which waivers expire.
            folder: the report folder, where pictures of outputs go; None: none are made.
        """
        self.results: dict[str, CellResult] = {}
        self._measured: dict[str, tuple[RoundResult, ...]] = {}
        self._earlier = Earlier()
        self._preparation = preparation
        self._planned = planned
        self._baseline = baseline
        self._waivers = waivers
        self._today = today
        self._folder = folder
        self._references = References(preparation, planned, self._measured, self._reason_of)

    def add(self, cell: Cell, rounds: Sequence[RoundResult]) -> None:
        """A cell will not be measured any further; others may now be compared with it, judged or not."""
        self._measured[cell.id] = tuple(rounds)
        if rounds:
            self._earlier.add(cell, rounds[-1])

    def ready(self, cell: Cell, rounds: Sequence[RoundResult], *, explained: bool = True) -> bool:
        """Whether everything that the verdict of a measured cell needs is there.

        Args:
            cell: that was measured.
            rounds: of it.
            explained: also what only explains the verdict; of no use once nothing more is measured.
        """
        if not rounds or rounds[-1].problem is not None:
            return True
        golden = self._preparation.golden(cell)
        if golden is None or (isinstance(golden, Problem) and golden.kind == "cancelled"):
            return False
        needed = [*self._partners(cell), *self._references.needed(cell, explained=explained)]
        return all(other not in self._planned or other in self._measured for other in needed)

    def judge(self, cell: Cell, rounds: Sequence[RoundResult]) -> CellResult:
        """The result of a cell for which everything is ready."""
        last = rounds[-1]
        if last.problem is not None:
            return self.unmeasured(cell, rounds, last.problem)
        problem: Problem | None = None
        evidence: Evidence | None = None
        try:
            evidence = self._evidence(cell, rounds)
        except NoReference as missing:
            problem = missing.problem
        except ValueError as error:
            problem = Problem(Outcome.ERROR, f"outputs cannot be compared: {error}", ErrorClass.RUNNER, "outputs")
        row = self._timed_row(cell, rounds)
        row["accuracy"] = evidence.rows if evidence else []
        row["speedup"] = fastest_speedup(row, self._partner_rows(cell))
        if problem is not None:
            set_problem(row, problem)
        else:
            self._apply_gates(cell, row, rounds, evidence)
        return self._keep(cell, row, rounds, evidence.comparisons[0].reference.outputs if evidence else ())

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
        predictions = prepared.predictions if prepared else ()
        row["compatibility"] = beside(cell, row, predictions, rounds[-1].problem if rounds else None)
        result = CellResult(cell, row, tuple(rounds), last_measured(rounds), reference, inputs, predictions)
        self.results[cell.id] = result
        self._measured.setdefault(cell.id, result.rounds)
        return result

    def _partners(self, cell: Cell) -> list[str]:
        names = {name for rule in cell.gates for name in rule.partners}
        return [cell_id(cell.suite, cell.model.name, cell.device, name) for name in sorted(names)]

    def _evidence(self, cell: Cell, rounds: Sequence[RoundResult]) -> Evidence | None:
        """A cell's outputs beside its references; None where its runner gives none.

        Raises:
            NoReference: there is nothing to judge by.
            ValueError: the outputs do not fit.
        """
        measurement = last_measured(rounds)
        if measurement is None or not measurement.outputs:
            return None
        judged = self._references.judged(cell)
        model = self._preparation.prepared(cell).model
        return gather(cell, model, measurement.outputs, judged, self._references.further(cell))

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

    def _apply_gates(self, cell: Cell, row: CellRow, rounds: Sequence[RoundResult], evidence: Evidence | None) -> None:
        rules, chosen = self._rules(cell, row["accuracy"][0] if row["accuracy"] else None, rounds[-1])
        found = gates.figures(row["accuracy"], row["latency"], row["delegation"], row["memory"], row["speedup"])
        row["gates"] = gates.judge(rules, found)
        copied = evidence is not None and is_cpu_copy(row, evidence, self._references.cpu_cell(cell))
        if copied:
            row["gates"].append({**CPU_COPY})
        set_judgement(row, gates.outcome(row["gates"]))
        if evidence is not None and row["outcome"] == Outcome.FAIL.value:
            row["notes"] += notes_of_failure(cell, row, evidence.model, chosen)
        if evidence is not None:
            row["notes"] += notes_of_nothing(evidence)
        if self._baseline and row["error"] is None:
            self._compare_with_baseline(row)
            set_judgement(row, gates.outcome(row["gates"]))
        waiving.apply(row, self._waivers, self._today)
        if evidence is not None:
            self._explain(cell, row, rounds, evidence, copied)

    def _explain(
        self, cell: Cell, row: CellRow, rounds: Sequence[RoundResult], evidence: Evidence, copied: bool
    ) -> None:
        """Say what may be the matter with outputs that fail, and whose error it is; leave pictures."""
        measurement = last_measured(rounds)
        found = hints_of(cell, row, evidence, measurement.outputs if measurement else (), self._earlier)
        if copied:
            found.insert(0, CPU_COPY_WORDS.format(cpu=self._references.cpu_cell(cell)))
        if found:
            row["hints"] = found
            row["reason"] = "; ".join([row["reason"] or "", *found])
        row["diagnosis"] = self._diagnose(cell, row, rounds, evidence)
        if self._folder is not None:
            pictures.add(self._folder, cell, row, evidence)

    def _diagnose(
        self, cell: Cell, row: CellRow, rounds: Sequence[RoundResult], evidence: Evidence
    ) -> DiagnosisRow | None:
        right = not any(gate["verdict"] == "FAIL" and is_accuracy(gate["gate"]) for gate in row["gates"])
        cpu = self._references.cpu_cell(cell)
        by_cpu = evidence.of_cell(cpu)
        if cpu is not None and by_cpu is not None:
            delegate = held(by_cpu.row, self._rules(cell, by_cpu.row, rounds[-1])[0])
            return diagnosis.of_delegate(right, self._cpu_beside_golden(cpu, right), delegate)
        golden = next((one for one in evidence.rows if one["reference"]["kind"] == "golden"), None)
        if cell.delegate.accelerator == "cpu" and golden is not None and not right:
            return diagnosis.of_cpu(held(golden, self._rules(cell, golden, None)[0]))
        return None

    def _cpu_beside_golden(self, name: str, right: bool) -> Compared | None:
        """A CPU cell against golden; compared only where it explains something, if it was not judged already."""
        cell, rounds = self._planned[name], self._measured.get(name, ())
        known = self.results.get(name)
        rows = known.row["accuracy"] if known else []
        if not rows and not right:
            try:
                evidence = self._evidence(cell, rounds)
            except (NoReference, ValueError):
                return None
            rows = evidence.rows if evidence else []
        golden = next((one for one in rows if one["reference"]["kind"] == "golden"), None)
        return held(golden, self._rules(cell, golden, None)[0]) if golden is not None else None

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

    def _reason_of(self, name: str) -> str | None:
        """Why a settled cell is what it is."""
        settled = self.results.get(name)
        return settled.row["reason"] if settled else None

    def _rules(
        self, cell: Cell, beside: AccuracyRow | None, result: RoundResult | None
    ) -> tuple[Sequence[GateRule], str | None]:
        """A cell's limits; those that nobody wrote are made for what was measured, and for what it stands beside.

        Returns:
            The limits, and what the made ones were chosen for.
        """
        if beside is None:
            return [rule for rule in cell.gates if not _assumed(rule)], None
        model = self._preparation.prepared(cell).model
        return limits_of(cell, model, result.adapter if result else None, beside)

    def _inputs_sha256(self, cell: Cell) -> str | None:
        prepared = self._preparation.settled(cell)
        return prepared.inputs.sha256 if prepared and prepared.inputs else None


def _assumed(rule: GateRule) -> bool:
    """Whether a limit on accuracy is one that nobody wrote down; a runner that only times is not held to it."""
    return rule.origin == DEFAULT_ORIGIN and is_accuracy(rule.metric)
