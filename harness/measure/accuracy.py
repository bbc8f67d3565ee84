"""How far measured outputs are from reference outputs, in numbers.

Non-finite values come first: two elements are of the same kind when both are finite, both NaN, both +Inf or
both -Inf. Elements of different kind are counted as `nonfinite`; every other figure is defined over the elements
that are finite on both sides. -0.0 equals 0.0. Integer and quantised tensors are compared as stored, so their
figures are in steps; relative errors, cosine and SNR count them from the zero point, where a tensor has one.
With x measured, y the reference, d = x - y, over the n elements of one output of one sample:

| figure | formula |
|---|---|
| nonfinite | number of elements whose kind differs |
| range | max(y) - min(y), over all samples of the output together |
| max_abs | max abs(d) |
| max_abs_of_range | max_abs / range; where range is 0, and for an output of one number if larger: / max(abs(y)) |
| mean_abs | sum abs(d) / n |
| rmse | sqrt(sum d^2 / n) |
| max_rel | max r, with r = abs(d) / max(abs(y), 0.001 * range): the floor keeps noise around zero from counting |
| p99_rel | the smallest r that at least 99 % of the elements do not exceed: exact, see `percentile` |
| max_ulp | floats: largest number of representable values from x to y in the less precise type, see `ulp` |
| max_steps | integers, quantised or not: max_abs; null for floats and booleans |
| cosine | sum(x * y) / (norm(x) * norm(y)); null if both norms are 0; 0 if one is |
| psnr_db | 20 log10(range / rmse), in dB (ITU-T J.340; range as for max_abs_of_range); null if rmse is 0: infinite |
| snr_db | 10 log10(sum y^2 / sum d^2), in dB: power of the reference over that of the error; null if d is 0 |
| kl | Kullback-Leibler divergence in nats, mean over rows; only where the reference's are probabilities: `divergence` |
| top1_agreement | share of samples with the same most likely class; task classify only, see `tasks` |

An output's figure is the worst of its samples (smallest for cosine, PSNR and SNR), a cell's the worst of its outputs;
`nonfinite` is summed, `range` of a cell is that of the output with the worst max_abs_of_range. A figure is null
when no element is left to compute it from. Sums are made in float64. Figures of the model's task, such as the
agreement of labels, are in `tasks`.

With several samples, `per_sample` of an output has each one's figures. Its `range`, and so `max_abs_of_range` and
`psnr_db`, are of that sample alone; the floor of relative errors is the output's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from harness.measure import tasks
from harness.measure.scale import Extent, bounded, extent_of, scale_of
from harness.measure.scan import POSITIONS, Figures, Nonfinite, decibels, scan
from harness.measure.tensors import Array, Samples, describe, numbers
from harness.plan.cell import Task, TensorSpec
from harness.plan.row import AccuracyRow, MetricsRow, NonfiniteRow, OutputAccuracyRow, ReferenceRow


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
    figures: list[list[Figures]] = []  # per output, per sample
    rows: list[OutputAccuracyRow] = []
    for position, spec in enumerate(outputs):
        pairs = [(ours[position], theirs[position]) for ours, theirs in zip(measured, reference, strict=True)]
        for sample, pair in enumerate(pairs):
            _check_pair(*pair, spec, sample)
        extents = [extent_of(y, spec) for _, y in pairs]
        scale = scale_of([y for _, y in pairs], extents, spec)
        scanned = [scan(x, y, spec, scale) for x, y in pairs]
        figures.append([found for found, _ in scanned])
        top1 = tasks.top1(measured, reference, position, spec) if task == "classify" else None
        row: OutputAccuracyRow = {
            "index": spec.index,
            "name": spec.name,
            "dtype": spec.dtype,
            "shape": list(pairs[0][1].shape),
            **_metrics(_worst(figures[-1]), scale.range, top1),  # type: ignore[typeddict-item] # has no other keys
        }
        if len(pairs) > 1:
            row["per_sample"] = [_alone(one, own) for (one, _), own in zip(scanned, extents, strict=True)]
        if any(odd for _, odd in scanned):
            row["nonfinite_values"] = _nonfinite_row([odd for _, odd in scanned])
        rows.append(row)
    agreement = tasks.agreement(task, measured, reference, outputs)
    worst = _where_worst(figures)
    cell: AccuracyRow = {
        "reference": reference_row,
        "outputs": rows,
        "samples": len(measured),
        "worst": worst,
        **_metrics(  # type: ignore[typeddict-item] # has no other keys
            _worst([one for samples in figures for one in samples]),
            rows[worst["output"] if worst else 0]["range"] if rows else None,
            agreement.metrics.get("top1_agreement"),
        ),
    }
    if task != "other":
        cell["task"] = agreement.metrics
    return cell


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


def _check_pair(measured: Array, reference: Array, spec: TensorSpec, sample: int) -> None:
    where = f"sample {sample}, {describe(spec)}"
    if measured.shape != reference.shape:
        raise ValueError(f"{where}: the measured shape is {measured.shape}, the reference's {reference.shape}")
    kinds = [numbers(array.reshape(-1)[:0], spec).dtype.kind == "f" for array in (measured, reference)]
    if kinds[0] != kinds[1] or (measured.dtype.kind == "c") != (reference.dtype.kind == "c"):
        raise ValueError(f"{where}: measured as {measured.dtype.name}, but the reference is {reference.dtype.name}")


def _worst(figures: Sequence[Figures]) -> Figures:
    def largest(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    def smallest(values: Sequence[float | None]) -> float | None:
        return min((value for value in values if value is not None), default=None)

    return Figures(
        nonfinite=sum(one.nonfinite for one in figures),
        max_abs=largest([one.max_abs for one in figures]),
        max_abs_of_range=largest([one.max_abs_of_range for one in figures]),
        mean_abs=largest([one.mean_abs for one in figures]),
        rmse=largest([one.rmse for one in figures]),
        max_rel=largest([one.max_rel for one in figures]),
        p99_rel=largest([one.p99_rel for one in figures]),
        max_ulp=largest([one.max_ulp for one in figures]),
        max_steps=largest([one.max_steps for one in figures]),
        cosine=smallest([one.cosine for one in figures]),
        psnr_db=smallest([one.psnr_db for one in figures]),
        snr_db=smallest([one.snr_db for one in figures]),
        kl=largest([one.kl for one in figures]),
    )


def _where_worst(figures: Sequence[Sequence[Figures]]) -> dict[str, int] | None:
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


def _alone(figures: Figures, extent: Extent) -> MetricsRow:
    """The figures of one sample, measured against its own range."""
    if figures.max_abs is None or figures.rmse is None:
        return _metrics(figures, extent.range, None)
    own = dataclasses.replace(
        figures,
        max_abs_of_range=bounded(figures.max_abs / extent.denominator),
        psnr_db=decibels(extent.denominator, figures.rmse),
    )
    return _metrics(own, extent.range, None)


def _nonfinite_row(samples: Sequence[Nonfinite]) -> NonfiniteRow:
    """Counts over all samples; positions of a complex element are those of its real or imaginary part."""
    positions = [[sample, place] for sample, one in enumerate(samples) for place in one.positions]
    return {
        "nan_measured": sum(one.nan_measured for one in samples),
        "nan_reference": sum(one.nan_reference for one in samples),
        "inf_measured": sum(one.inf_measured for one in samples),
        "inf_reference": sum(one.inf_reference for one in samples),
        "positions": positions[:POSITIONS],
    }


def _metrics(figures: Figures, span: float | None, top1: float | None) -> MetricsRow:
    return {
        "nonfinite": figures.nonfinite,
        "range": span,
        "max_abs": figures.max_abs,
        "max_abs_of_range": figures.max_abs_of_range,
        "mean_abs": figures.mean_abs,
        "rmse": figures.rmse,
        "max_rel": figures.max_rel,
        "p99_rel": figures.p99_rel,
        "max_ulp": figures.max_ulp,
        "max_steps": figures.max_steps,
        "cosine": figures.cosine,
        "psnr_db": figures.psnr_db,
        "snr_db": figures.snr_db,
        "kl": figures.kl,
        "top1_agreement": top1,
    }
