"""How far measured outputs are from reference outputs, in numbers.

Non-finite values come first: two elements are of the same kind when both are finite, both NaN, both +Inf or
both -Inf. Elements of different kind are counted as `nonfinite`; every other figure is defined over the elements
that are finite on both sides. -0.0 equals 0.0. Integer and quantised tensors are compared as stored, so their
figures are in steps. With x measured, y the reference, d = x - y, over the n elements of one output of one sample:

| figure | formula |
|---|---|
| nonfinite | number of elements whose kind differs |
| range | max(y) - min(y), over all samples of the output together |
| max_abs | max abs(d) |
| max_abs_of_range | max_abs / range; where range is 0, max_abs / max(abs(y)), so 0 if nothing differs |
| mean_abs | sum abs(d) / n |
| rmse | sqrt(sum d^2 / n) |
| max_rel | max(abs(d) / max(abs(y), 0.001 * range)): the floor keeps noise around zero from counting |
| cosine | sum(x * y) / (norm(x) * norm(y)); null if both norms are 0; 0 if one is |
| psnr_db | 20 log10(range / rmse), in dB (ITU-T J.340, with the range as peak); null if rmse is 0: infinite |
| top1_agreement | share of samples with the same most likely class; task classify only, see `tasks` |

An output's figure is the worst of its samples (smallest for cosine and PSNR), a cell's the worst of its outputs;
`nonfinite` is summed, `range` of a cell is that of the output with the worst max_abs_of_range. A figure is null
when no element is left to compute it from. Sums are made in float64.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.measure import tasks
from harness.measure.tensors import Array, Samples, describe, numbers
from harness.plan.cell import Task, TensorSpec
from harness.plan.row import AccuracyRow, OutputAccuracyRow, ReferenceRow

RELATIVE_FLOOR = 1e-3
"""Share of the range below which a reference value counts as this much in `max_rel`."""

# Large enough to hide numpy's overhead, small enough for the processor's cache, and under the 10,000 elements from
# which on OpenBLAS starts threads for a dot product: ten times slower beside other work, and they disturb it.
_CHUNK = 1 << 13
# In place of a range of zero. A float32's smallest normal number, so that a ratio to it is still a float64.
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class _Scale:
    """What errors of one output are measured against; see the table above."""

    range: float | None
    denominator: float
    floor: float


@dataclass(frozen=True)
class _Figures:
    """The figures of one output of one sample, or the worst of several."""

    nonfinite: int
    max_abs: float | None = None
    max_abs_of_range: float | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    psnr_db: float | None = None


def compare(
    measured: Samples,
    reference: Samples,
    outputs: Sequence[TensorSpec],
    task: Task,
    reference_row: ReferenceRow,
) -> AccuracyRow:
    """Compare measured with reference outputs.

    Args:
        measured: per sample, per output: the tensor as the device returned it.
        reference: likewise, same shapes.
        outputs: name, element type and quantisation of each output.
        task: what the outputs mean.
        reference_row: what the reference is, copied into the result.

    Returns:
        The row. Its "task" holds the figures of `tasks.agreement`: absent for task "other", empty when the task
        does not fit the outputs (`tasks.agreement` then says why). Its "worst" is the sample and output with the
        largest max_abs_of_range (one without any comparable element beats all), null when nothing differs.

    Raises:
        ValueError: no samples, numbers of samples or outputs that differ, shapes or element types that differ,
            or tensors that do not hold numbers; in words.
    """
    _check_counts(measured, reference, outputs)
    figures: list[list[_Figures]] = []  # per output, per sample
    rows: list[OutputAccuracyRow] = []
    for position, spec in enumerate(outputs):
        pairs = [
            _pair(ours[position], theirs[position], spec, sample)
            for sample, (ours, theirs) in enumerate(zip(measured, reference, strict=True))
        ]
        scale = _scale([y for _, y in pairs])
        figures.append([_figures(x, y, scale) for x, y in pairs])
        shape = list(reference[0][position].shape)
        top1 = tasks.top1(measured, reference, position, spec) if task == "classify" else None
        rows.append(_output_row(_worst(figures[-1]), scale, spec, shape, top1))
    agreement = tasks.agreement(task, measured, reference, outputs)
    overall = _worst([one for samples in figures for one in samples])
    worst = _where_worst(figures)
    row: AccuracyRow = {
        "reference": reference_row,
        "outputs": rows,
        "samples": len(measured),
        "worst": worst,
        "nonfinite": overall.nonfinite,
        "range": rows[worst["output"] if worst else 0]["range"] if rows else None,
        "max_abs": overall.max_abs,
        "max_abs_of_range": overall.max_abs_of_range,
        "mean_abs": overall.mean_abs,
        "rmse": overall.rmse,
        "max_rel": overall.max_rel,
        "cosine": overall.cosine,
        "psnr_db": overall.psnr_db,
        "top1_agreement": agreement.metrics.get("top1_agreement"),
    }
    if task != "other":
        row["task"] = agreement.metrics
    return row


def _check_counts(measured: Samples, reference: Samples, outputs: Sequence[TensorSpec]) -> None:
    if not measured:
        raise ValueError("there are no samples to compare")
    if len(measured) != len(reference):
        raise ValueError(f"{len(measured)} samples were measured, the reference has {len(reference)}")
    for side, samples in (("measured", measured), ("reference", reference)):
        for sample, tensors in enumerate(samples):
            if len(tensors) != len(outputs):
                raise ValueError(
                    f"sample {sample}: the model has {len(outputs)} outputs, the {side} one has {len(tensors)}"
                )


def _pair(measured: Array, reference: Array, spec: TensorSpec, sample: int) -> tuple[Array, Array]:
    """Both tensors as flat arrays of numbers of the same length and kind of type."""
    where = f"sample {sample}, {describe(spec)}"
    if measured.shape != reference.shape:
        raise ValueError(f"{where}: the measured shape is {measured.shape}, the reference's {reference.shape}")
    ours, theirs = numbers(measured, spec), numbers(reference, spec)
    if (ours.dtype.kind == "f") != (theirs.dtype.kind == "f"):
        raise ValueError(f"{where}: measured as {measured.dtype.name}, but the reference is {reference.dtype.name}")
    return ours.reshape(-1), theirs.reshape(-1)


def _chunks(array: Array) -> Iterator[Array]:
    return (array[start : start + _CHUNK] for start in range(0, array.size, _CHUNK))


def _scale(references: Sequence[Array]) -> _Scale:
    """The scale of one output, from the finite elements of all its reference samples."""
    lows: list[float] = []
    highs: list[float] = []
    for chunk in (chunk for array in references for chunk in _chunks(array)):
        low, high = chunk.min().item(), chunk.max().item()  # ints stay exact; NaN and Inf come through
        if not (math.isfinite(low) and math.isfinite(high)):
            finite = chunk[np.isfinite(chunk)]
            if not finite.size:
                continue
            low, high = finite.min().item(), finite.max().item()
        lows.append(low)
        highs.append(high)
    if not lows:
        return _Scale(None, _TINY, _TINY)
    span = _bounded(float(max(highs) - min(lows)))
    return _Scale(
        range=span,
        denominator=max(span or float(max(abs(max(highs)), abs(min(lows)))), _TINY),
        floor=max(RELATIVE_FLOOR * span, _TINY),
    )


def _figures(measured: Array, reference: Array, scale: _Scale) -> _Figures:
    """All figures of one output of one sample; flat arrays, read once, in steps of bounded size."""
    count = nonfinite = 0
    top = top_rel = total = squares = xy = xx = yy = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for ours, theirs in zip(_chunks(measured), _chunks(reference), strict=True):
            x, y = ours.astype(np.float64), theirs.astype(np.float64)
            error = _distance(ours, theirs, x, y)
            peak = float(error.max())
            if not math.isfinite(peak):
                both = np.isfinite(x) & np.isfinite(y)
                same = (np.isnan(x) & np.isnan(y)) | (x == y)
                nonfinite += int(np.count_nonzero(~(both | same)))
                x, y, error = x[both], y[both], error[both]
                if not x.size:
                    continue
                peak = float(error.max())
            count += x.size
            top = max(top, peak)
            total += float(error.sum())
            squares += float(error @ error)
            xy += float(x @ y)
            xx += float(x @ x)
            yy += float(y @ y)
            np.abs(y, out=y)
            np.maximum(y, scale.floor, out=y)
            np.divide(error, y, out=error)
            top_rel = max(top_rel, float(error.max()))
    if not count:
        return _Figures(nonfinite)
    rmse = _bounded(math.sqrt(squares / count))
    return _Figures(
        nonfinite=nonfinite,
        max_abs=_bounded(top),
        max_abs_of_range=_bounded(top / scale.denominator),
        mean_abs=_bounded(total / count),
        rmse=rmse,
        max_rel=_bounded(top_rel),
        cosine=_cosine(xy, xx, yy, identical=top == 0.0),
        psnr_db=20.0 * (math.log10(scale.denominator) - math.log10(rmse)) if rmse > 0.0 else None,
    )


def _distance(ours: Array, theirs: Array, x: Array, y: Array) -> Array:
    """abs(ours - theirs) as float64; x and y are the same as float64, which 64-bit integers need not fit."""
    if ours.dtype.kind in "iu" and max(ours.dtype.itemsize, theirs.dtype.itemsize) == 8:
        wide = np.result_type(ours, theirs)
        if wide.kind != "f":  # int64 against uint64 has no common integer type
            a, b = ours.astype(wide), theirs.astype(wide)
            # Modulo 2**64 the difference of the larger and the smaller is exact.
            gap: Array = np.maximum(a, b).view(np.uint64) - np.minimum(a, b).view(np.uint64)
            return gap.astype(np.float64)
    error: Array = np.subtract(x, y)
    return np.abs(error, out=error)


def _cosine(xy: float, xx: float, yy: float, identical: bool) -> float | None:
    if xx == 0.0 and yy == 0.0:
        return None
    if identical:
        return 1.0  # rounding of the sums must not say otherwise
    if xx == 0.0 or yy == 0.0:
        return 0.0  # an output of zeros alone has nothing in common with one that is not
    value = xy / (math.sqrt(xx) * math.sqrt(yy))
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else None


def _bounded(value: float) -> float:
    """The value, or the largest float64 if it overflowed: JSON has no infinity."""
    return min(value, sys.float_info.max)


def _worst(figures: Sequence[_Figures]) -> _Figures:
    def largest(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    def smallest(values: Sequence[float | None]) -> float | None:
        return min((value for value in values if value is not None), default=None)

    return _Figures(
        nonfinite=sum(one.nonfinite for one in figures),
        max_abs=largest([one.max_abs for one in figures]),
        max_abs_of_range=largest([one.max_abs_of_range for one in figures]),
        mean_abs=largest([one.mean_abs for one in figures]),
        rmse=largest([one.rmse for one in figures]),
        max_rel=largest([one.max_rel for one in figures]),
        cosine=smallest([one.cosine for one in figures]),
        psnr_db=smallest([one.psnr_db for one in figures]),
    )


def _where_worst(figures: Sequence[Sequence[_Figures]]) -> dict[str, int] | None:
    found: dict[str, int] | None = None
    worst = 0.0
    for output, samples in enumerate(figures):
        for sample, one in enumerate(samples):
            value = one.max_abs_of_range
            if value is None:
                value = math.inf if one.nonfinite else 0.0
            if value > worst:
                found, worst = {"sample": sample, "output": output}, value
    return found


def _output_row(
    worst: _Figures, scale: _Scale, spec: TensorSpec, shape: list[int], top1: float | None
) -> OutputAccuracyRow:
    return {
        "index": spec.index,
        "name": spec.name,
        "dtype": spec.dtype,
        "shape": shape,
        "nonfinite": worst.nonfinite,
        "range": scale.range,
        "max_abs": worst.max_abs,
        "max_abs_of_range": worst.max_abs_of_range,
        "mean_abs": worst.mean_abs,
        "rmse": worst.rmse,
        "max_rel": worst.max_rel,
        "cosine": worst.cosine,
        "psnr_db": worst.psnr_db,
        "top1_agreement": top1,
    }
