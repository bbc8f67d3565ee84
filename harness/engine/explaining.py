"""What a judged cell's outputs look like beside all of its references: comparisons, whose error it is, hints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.engine.references import Reference
from harness.engine.tensors import Arrays, load_samples
from harness.measure import accuracy, gates, hints, tolerances
from harness.measure.diagnosis import Compared
from harness.measure.metrics import METRICS
from harness.plan.cell import Cell, GateRule, Model
from harness.plan.gating import DEFAULT_ORIGIN, SHARE, with_defaults
from harness.plan.result import OutputFile, RoundResult
from harness.plan.row import AccuracyRow, CellRow, GateRow, MetricsRow, OutputAccuracyRow

CPU_COPY: GateRow = {"gate": "cpu_copy", "limit": 0.0, "value": 1.0, "verdict": "FAIL", "waiver": None}
"""The gate that fails where a GPU's outputs are the CPU's bit for bit, and cannot be."""

CPU_COPY_WORDS = (
    "every output is bit for bit that of {cpu}, though the two kinds of processor add products in another order: "
    "these are the CPU's outputs, and nothing shows that the GPU computed anything"
)
_ROUNDING = (
    "the model is quantised, and reference kernels round otherwise than a device's: allow more, or compare other "
    "delegates with this CPU (`reference: same_device_cpu`)"
)
_WITHOUT_FLOAT16 = ("SwiftShader",)  # adapters that compute in float32 whatever is asked
_NEGLIGIBLE = 0.01  # share of the range: an output this close to its reference needs no explanation
_FEW_BYTES = 16  # outputs so small are the same by chance


@dataclass(frozen=True)
class Comparison:
    """A reference as arrays, and the row that came of it."""

    reference: Reference
    arrays: Arrays
    row: AccuracyRow


@dataclass(frozen=True)
class Evidence:
    """A cell's outputs beside its references; the first one judges."""

    model: Model
    measured: Arrays
    comparisons: tuple[Comparison, ...]

    @property
    def rows(self) -> list[AccuracyRow]:
        """For the matrix."""
        return [one.row for one in self.comparisons]

    def of_cell(self, name: str | None) -> Comparison | None:
        """The comparison with another cell."""
        return next((one for one in self.comparisons if name is not None and one.reference.cell == name), None)


def gather(
    cell: Cell, model: Model, outputs: Sequence[OutputFile], judged: Reference, further: Sequence[Reference]
) -> Evidence:
    """Compare a cell's outputs with all references. A further one that does not fit is left out.

    Raises:
        ValueError: the outputs cannot be compared with the reference that judges; in words.
    """
    measured = load_samples(outputs)
    found = [_compared(cell, model, measured, judged)]
    for reference in further:
        try:
            other = _compared(cell, model, measured, reference)
        except ValueError:
            continue  # that other cell's own row says what is the matter with it
        other.row["judged"] = False
        found.append(other)
    return Evidence(model, measured, tuple(found))


def _compared(cell: Cell, model: Model, measured: Arrays, reference: Reference) -> Comparison:
    arrays = load_samples(reference.outputs)
    row = accuracy.compare(measured, arrays, model.outputs, cell.model.task, reference.row)
    return Comparison(reference, arrays, row)


def is_cpu_copy(row: CellRow, evidence: Evidence, cpu: str | None) -> bool:
    """Whether a cell that claims to have run on the GPU alone has the CPU's very outputs."""
    beside = evidence.of_cell(cpu)
    delegation = row["delegation"]
    if beside is None or beside.row["max_abs"] != 0.0 or delegation is None or delegation["fallback"] is not False:
        return False
    return hints.cpu_copy(evidence.measured, beside.arrays, evidence.model)


def held(row: AccuracyRow, rules: Sequence[GateRule]) -> Compared:
    """A comparison with whether it holds the rules on accuracy among those given."""
    verdicts = gates.judge([rule for rule in rules if is_accuracy(rule.metric)], _figures(row))
    return Compared(row, all(gate["verdict"] != "FAIL" for gate in verdicts))


def is_accuracy(metric: str) -> bool:
    """Whether a gate is on a figure that comes from comparing outputs."""
    known = METRICS.get(metric)
    return known is not None and known.where.startswith("accuracy")


def limits_of(
    cell: Cell, model: Model, adapter: str | None, beside: AccuracyRow
) -> tuple[Sequence[GateRule], str | None]:
    """A cell's limits, with those that nobody wrote made for the model, what computed, and what it stands beside.

    Args:
        cell: that was measured.
        model: its file.
        adapter: the GPU as the runtime named it.
        beside: the comparison that is judged.

    Returns:
        The limits, and what the made ones were chosen for; None if the suite wrote them all.
    """
    # Where half precision is asked for by name, such an adapter still stores it.
    float32_only = adapter is not None and adapter.startswith(_WITHOUT_FLOAT16)
    tolerance = tolerances.for_outputs(
        model.outputs,
        quantized=model.quantized,
        hybrid=model.hybrid,
        accelerator=cell.delegate.accelerator,
        precision=cell.delegate.precision,
        adapter_fp16=False if float32_only and cell.delegate.precision == "default" else None,
        reference_kernels=beside["reference"]["kernels"] == "reference",
        task=cell.model.task,
        nodes=model.nodes,
    )
    rules = with_defaults(cell.gates, tolerance.limits, _figures(beside))
    made = any(rule.metric == SHARE and rule.origin == DEFAULT_ORIGIN for rule in cell.gates)
    return rules, tolerance.words if made else None


def notes_of_failure(cell: Cell, row: CellRow, model: Model, chosen: str | None) -> list[str]:
    """What a person should know of the limits that a cell fails.

    Args:
        cell: that fails.
        row: its gates and comparisons.
        model: its file.
        chosen: what limits that nobody wrote were made for; None if the suite wrote them.
    """
    if not any(gate["verdict"] == "FAIL" and is_accuracy(gate["gate"]) for gate in row["gates"]):
        return []
    notes = [f"no gate limits the accuracy: the default limit is that of {chosen}"] if chosen else []
    by_reference_kernels = row["accuracy"][0]["reference"]["kernels"] == "reference"
    if cell.delegate.accelerator == "cpu" and by_reference_kernels and model.quantized:
        notes.append(_ROUNDING)
    return notes


def notes_of_nothing(evidence: Evidence) -> list[str]:
    """Why a cell whose outputs agree in every NaN has no figure all the same: such agreement shows little."""
    row = evidence.rows[0]
    if row["max_abs"] is not None or row["nonfinite"]:
        return []
    if not any(array.size for sample in evidence.measured for array in sample):
        return ["the outputs have no elements: nothing can be compared"]
    return [
        "every output element is NaN or infinite on both sides: nothing can be compared. Give inputs that the model "
        "answers with numbers (`inputs`), or limit `nonfinite` alone (`gates`)"
    ]


def _figures(row: AccuracyRow) -> dict[str, float | None]:
    judged: AccuracyRow = {**row, "judged": True}
    return gates.figures([judged], None, None, None, None)


def hints_of(
    cell: Cell, row: CellRow, evidence: Evidence, outputs: Sequence[OutputFile], earlier: Earlier
) -> list[str]:
    """Why the outputs of a cell that fails on accuracy may look as they do, in words."""
    failed = [gate for gate in row["gates"] if gate["verdict"] == "FAIL" and is_accuracy(gate["gate"])]
    if not failed:
        return []
    limits = [gate["limit"] for gate in failed if gate["gate"] == "max_abs_of_range"]
    judging = evidence.comparisons[0]
    wrong = _wrong(judging.row, min(limits, default=_NEGLIGIBLE))
    files = {(file.sample, file.index): file for file in outputs}
    stale = {
        position: name
        for position, sample in wrong.items()
        if (name := earlier.same(cell, files[sample, position])) is not None
    }
    return hints.find(evidence.measured, judging.arrays, evidence.model.outputs, wrong, stale)


def _wrong(row: AccuracyRow, limit: float) -> dict[int, int]:
    """Outputs that fail, the worst first, with the sample where each is worst."""
    failing = [one for one in row["outputs"] if _badness(one) > (0, limit)]
    failing.sort(key=_badness, reverse=True)
    return {one["index"]: worst_sample(one, row) for one in failing}


def worst_sample(output: OutputAccuracyRow, row: AccuracyRow) -> int:
    """The sample in which an output is farthest off."""
    samples = output.get("per_sample") or []
    if samples:
        return max(range(len(samples)), key=lambda number: _badness(samples[number]))
    worst = row.get("worst")
    return worst["sample"] if worst and worst["output"] == output["index"] else 0


def _badness(row: MetricsRow) -> tuple[int, float]:
    return row["nonfinite"], row["max_abs_of_range"] or 0.0


class Earlier:
    """Which outputs each device gave before, by size and checksum: a buffer that is read again gives them twice."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, str], list[tuple[int, str, str]]] = {}

    def add(self, cell: Cell, result: RoundResult) -> None:
        """Note what a cell gave."""
        if result.measurement is None:
            return
        for file in result.measurement.outputs:
            if file.crc32 and file.bytes >= _FEW_BYTES:
                entry = (result.order, cell.model.path, cell.id)
                self._seen.setdefault((cell.device, file.bytes, file.crc32), []).append(entry)

    def same(self, cell: Cell, file: OutputFile) -> str | None:
        """The last cell of another model that gave a file's very bytes before this cell did."""
        seen = self._seen.get((cell.device, file.bytes, file.crc32), [])
        own = next((order for order, _, other in seen if other == cell.id), None)
        before = [
            (order, other) for order, path, other in seen if path != cell.model.path and (own is None or order < own)
        ]
        return max(before)[1] if before else None
