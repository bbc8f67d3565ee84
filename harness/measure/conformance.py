"""How well devices do single operations: one row for each cell of a model that has only one.

| verdict | means |
|---|---|
| exact | no difference, or one that float32 rounding explains: at most 2^-18 of the range, or of each value |
| fp16 | within what half precision may do to this operation: see `_LIMITS` |
| wrong | off by more, or NaN or Inf where the reference has none, or the other way round |
| crashes | the runner died, hung or failed while it compiled or ran the model |
| unsupported | the delegate does not take the operation |
| not measured | anything else: a lost device, a file that is missing, a run that was stopped |

What half precision may do, as a share of the reference's range, or of each value where all are far from zero (inputs
are rounded to 11 bits first, results again): 2^-10 where values only move, 2^-8 in arithmetic, 2^-6 in functions and
sums. Where a hair's breadth changes the answer by a whole step (FLOOR, comparisons, CAST to integers, ARG_MAX), the
mean error counts, at most 2 % of the range. Values below 2^-14, half's smallest normal number, may come out as 0. Where
the reference goes beyond 65504, its largest, Inf may come out, and NaN, as Inf - Inf. Quantised outputs may be off by
one step.

The reference kernels are not always right (they clamp Inf to 3.4e38: taken for Inf here). So an answer is held against
both references that a cell may have, the golden outputs and those of the same device's CPU, and the better verdict
counts; if they differ, the reason begins with "reference disagrees".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.plan.cell import Model
from harness.plan.explained import ConformanceRow
from harness.plan.row import AccuracyRow, CellRow, OutputAccuracyRow

VERDICTS = ("exact", "fp16", "wrong", "crashes", "unsupported", "not measured")
"""All verdicts; of those that compare numbers the better one comes first."""

EXACT = 2.0**-18
"""Share of the reference's range that float32 rounding explains."""

HALF_SMALLEST = 2.0**-14
HALF_LARGEST = 65504.0
STEPPED_MEAN = 0.02
"""Mean error, as a share of the range, of operations that jump."""

_MOVES, _ARITHMETIC, _SUMS = 2.0**-10, 2.0**-8, 2.0**-6
_LIMITS = {
    **dict.fromkeys(
        (
            "BITCAST", "CONCATENATION", "DEPTH_TO_SPACE", "DEQUANTIZE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP",
            "GATHER", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "NEG", "ABS", "ONE_HOT", "PACK", "PAD",
            "PADV2", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE",
            "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
            "SPLIT_V", "STRIDED_SLICE", "TILE", "TOPK_V2", "TRANSPOSE", "UNPACK",
        ),
        _MOVES,
    ),
    **dict.fromkeys(
        ("ADD", "ADD_N", "HARD_SWISH", "LEAKY_RELU", "MUL", "PRELU", "SQUARE", "SQUARED_DIFFERENCE", "SUB"), _ARITHMETIC
    ),
}  # fmt: skip
"""Shares of the range; `_SUMS` for what is not listed."""

_STEPPED = frozenset(
    {
        "ARG_MAX", "ARG_MIN", "CAST", "CEIL", "EQUAL", "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL",
        "LESS", "LESS_EQUAL", "NOT_EQUAL", "ROUND", "SIGN",
    }
)  # fmt: skip
_ULP = 2.0**-23  # largest share of a float32 value that the next one is away
_CLAMPED = 3.39e38  # what the reference kernels clamp Inf to, nearly
_QUANTIZED = frozenset({"int8", "uint8", "int16"})


class _Judged(NamedTuple):
    """A verdict with its error (share of the range) and why it is not the best one."""

    verdict: str
    error: float | None
    why: str | None


def rows(cells: Sequence[CellRow], models: Iterable[Model]) -> list[ConformanceRow]:
    """The conformance of all cells whose model is a single operation, in the order of the cells.

    Args:
        cells: of the matrix.
        models: what their files say, by `ref.name`.

    Returns:
        A row for each such cell, helpers included; none if no model has one operation only.
    """
    single = {model.ref.name: model for model in models if len(model.ops) == 1 and model.ops[0].count == 1}
    judged = [(cell, single[cell["model"]]) for cell in cells if cell["model"] in single]
    disputed = {
        (cell["device"], cell["model"])
        for cell, model in judged
        if any(_against(one, model.ops[0].name).verdict == "wrong" for one in cell["accuracy"])
        and cell["delegation"] is None
    }
    return [_row(cell, model, (cell["device"], cell["model"]) in disputed) for cell, model in judged]


def _row(cell: CellRow, model: Model, disputed: bool) -> ConformanceRow:
    op = model.ops[0]
    found = _judge(cell, op.name)
    why = found.why
    if disputed and found.verdict == "wrong" and cell["delegation"] is not None:
        why = f"{why}; the device's CPU and the golden reference disagree with each other too"
    return {
        "device": cell["device"],
        "delegate": cell["delegate"],
        "op": op.name,
        "version": op.version,
        "case": case_of(cell["model"], op.name, model.ref.inputs.values),
        "values": model.ref.inputs.values,
        "verdict": found.verdict,
        "error": found.error,
        "reason": why,
        "cell": cell["id"],
    }


def case_of(name: str, op: str, values: str) -> str:
    """The case that a model's name states: "odd" of "conv_2d.odd" and of "conv_2d.odd.large"; else the whole name."""
    return name.removeprefix(f"{op.lower()}.").removesuffix(f".{values}")


def _judge(cell: CellRow, op: str) -> _Judged:
    if not cell["accuracy"]:
        return _unmeasured(cell)
    by_reference = [(row["reference"]["kind"], _against(row, op)) for row in cell["accuracy"]]
    kind, best = min(by_reference, key=lambda one: VERDICTS.index(one[1].verdict))
    for other_kind, other in by_reference:
        if other.verdict != best.verdict:
            words = f"reference disagrees: {best.verdict} against {kind}, but against {other_kind} {other.why}"
            return best._replace(why=words)
    return best


def _unmeasured(cell: CellRow) -> _Judged:
    if cell["outcome"] == "UNSUPPORTED":
        return _Judged("unsupported", None, cell["reason"])
    failed = cell["error"] is not None and cell["error"]["class"] == "runner"
    return _Judged("crashes" if failed or cell["outcome"] == "TIMEOUT" else "not measured", None, cell["reason"])


def _against(row: AccuracyRow, op: str) -> _Judged:
    """The worst verdict of all outputs against one reference."""
    outputs = [_output(output, op) for output in row["outputs"]]
    return max(outputs, key=lambda one: VERDICTS.index(one.verdict), default=_Judged("exact", 0.0, None))


def _output(row: OutputAccuracyRow, op: str) -> _Judged:
    error, largest = row["max_abs_of_range"], row["max_abs"] or 0.0
    if row["nonfinite"]:
        return _nonfinite(row)
    relative = (row.get("max_ulp") or math.inf) * _ULP
    share = min(relative, math.inf if error is None else error)
    if largest == 0.0 or (share <= EXACT and row["dtype"].startswith("float")):
        return _Judged("exact", error, None)
    words = f"off by {largest:.3g} at most, {100 * (error or 0.0):.2g} % of the range"
    if row["dtype"] in _QUANTIZED:
        return _Judged("fp16" if largest <= 1.0 else "wrong", error, words)
    if op in _STEPPED:
        mean = (row["mean_abs"] or 0.0) / (row["range"] or 1.0)
        words = f"{words}; the mean error is {100 * mean:.2g} % of it"
        within = mean <= STEPPED_MEAN and (error or 0.0) <= 1.0  # beyond the range is no near miss
        return _Judged("fp16" if within else "wrong", error, words)
    if not row["dtype"].startswith("float"):
        return _Judged("wrong", error, words)
    if largest <= HALF_SMALLEST:
        return _Judged("fp16", error, f"{words}; below half precision's smallest normal number")
    limit = _LIMITS.get(op, _SUMS)
    if share <= limit:
        return _Judged("fp16", error, words)
    return _Judged("wrong", error, f"{words}; half precision explains {100 * limit:.2g} %")


def _nonfinite(row: OutputAccuracyRow) -> _Judged:
    """NaN or Inf on one side only; half precision may make them of what it cannot hold, and cannot lose them."""
    counts = row.get("nonfinite_values")
    words = f"{row['nonfinite']} elements are NaN or Inf on one side only, or of another sign"
    if counts is None:
        return _Judged("wrong", row["max_abs_of_range"], words)
    words += (
        f" (NaN: {counts['nan_measured']} measured, {counts['nan_reference']} in the reference;"
        f" Inf: {counts['inf_measured']} and {counts['inf_reference']})"
    )
    clamped = counts["inf_measured"] - counts["inf_reference"] == row["nonfinite"]
    if clamped and counts["nan_measured"] == counts["nan_reference"] and (row["range"] or 0.0) >= _CLAMPED:
        words = f"reference disagrees: it has the largest float32 where {row['nonfinite']} elements are Inf here"
        return _Judged("exact", row["max_abs_of_range"], words)
    more = counts["nan_measured"] + counts["inf_measured"] - counts["nan_reference"] - counts["inf_reference"]
    if more == row["nonfinite"] and (row["range"] or 0.0) > HALF_LARGEST:
        return _Judged("fp16", row["max_abs_of_range"], f"{words}: beyond 65504, half precision's largest number")
    return _Judged("wrong", row["max_abs_of_range"], words)
