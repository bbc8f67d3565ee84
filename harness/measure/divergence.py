"""How far measured probabilities are from the reference's: Kullback-Leibler divergence.

Defined for outputs whose reference holds probabilities: all elements from 0 to 1, and every row (last axis, at least
two elements) with a sum of 1, within `ROW_SUM` (`ROW_SUM_QUANTISED`, whose small elements are rounded to 0).
With p a reference element, q the measured one, both at least `FLOOR` (half a step if quantised), in nats:

    kl = sum(p ln(p / q) - p + q) / number of rows

This is the generalised divergence (Csiszar, Why Least Squares and Maximum Entropy?, 1991). Where both rows sum to 1 it
is that of Kullback and Leibler (On Information and Sufficiency, 1951). It is 0 only if nothing differs, and it is also
defined where an accelerator's row does not sum to 1, which then counts as error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.tensors import Array, numbers
from harness.plan.cell import TensorSpec

Floats = NDArray[np.float64]

FLOOR = 1e-7
"""Smaller probabilities count as this one, so that a measured zero costs at most ln(1e7) = 16 nats."""

ROW_SUM = 0.01
ROW_SUM_QUANTISED = 0.25

_OVER = 1e-3  # rounding takes a probability this far over 1


@dataclass(frozen=True)
class Probabilities:
    """How stored elements become probabilities: scale * (stored - zero), at least `floor`; `row` elements sum to 1."""

    row: int
    scale: float = 1.0
    zero: float = 0.0
    floor: float = FLOOR


def probabilities(
    references: Sequence[Array], spec: TensorSpec, low: float, high: float, chunk: int
) -> Probabilities | None:
    """What the reference's samples of one output need to be read as probabilities; None if they are none.

    Args:
        references: one array per sample, as stored; all finite.
        spec: the output.
        low: smallest element of all.
        high: largest element of all.
        chunk: how many elements to read at a time, about.
    """
    shape = references[0].shape
    found = _reading(spec, references[0].dtype.kind, shape[-1] if shape else 0)
    if found is None or found.scale * (low - found.zero) < 0.0 or found.scale * (high - found.zero) > 1.0 + _OVER:
        return None
    allowed = ROW_SUM if found.scale == 1.0 else ROW_SUM_QUANTISED
    for array in references:
        rows = array.reshape(-1, found.row)
        step = max(1, chunk // found.row)
        for start in range(0, len(rows), step):
            part = numbers(rows[start : start + step], spec)
            # float32 is far more exact than what is allowed, and three times as fast.
            sums = part.sum(axis=1, dtype=None if part.dtype == np.float32 else np.float64)
            sums = found.scale * (sums - found.row * found.zero)
            if not np.all(np.abs(sums - 1.0) <= allowed):
                return None
    return found


def _reading(spec: TensorSpec, kind: str, row: int) -> Probabilities | None:
    """How to read an output, if its type and shape may be those of probabilities."""
    if row < 2 or kind in "bc":
        return None
    if kind not in "iu" or spec.dtype == "bfloat16":
        return Probabilities(row)
    quantization = spec.quantization
    if quantization is None or len(quantization.scales) != 1 or len(quantization.zero_points) != 1:
        return None
    scale = quantization.scales[0]
    return Probabilities(row, scale, float(quantization.zero_points[0]), max(FLOOR, scale / 2.0))


def total(measured: Floats, reference: Floats, reading: Probabilities) -> float:
    """Sum of the divergence over elements, in nats, of stored values less their zero point. Overwrites both arrays."""
    for array in (measured, reference):
        if reading.scale != 1.0:
            np.multiply(array, reading.scale, out=array)
        np.maximum(array, reading.floor, out=array)
    difference = float(measured.sum()) - float(reference.sum())
    np.divide(reference, measured, out=measured)
    np.log(measured, out=measured)
    return float(reference @ measured) + difference
