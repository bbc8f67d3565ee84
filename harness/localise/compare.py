"""How far one tensor inside a model is off, and whether rounding explains it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.localise.task import Array

# In steps: what correct kernels differ by in one quantised operation, and what no plain integer may differ by.
QUANTISED_STEPS = 2.0
_PLAIN_STEPS = 0.25
_MEANINGLESS = 1000.0
# In percent, for words.
_NOTHING = 1e-3
_WHOLE = 10.0


@dataclass(frozen=True)
class Difference:
    """Of a tensor, or the worst of several.

    Attributes:
        error: max_abs_of_range as in `harness.measure.accuracy`; infinite where one side is not finite or the shapes
            differ; the bare error where the reference is 0 everywhere.
        score: the error over what rounding may do to this tensor, at least 1. Errors above the whole range count as
            the range: values that are not finite are no more wrong than values that are altogether wrong.
        floor: what rounding may do.
        tensor: number of the (worst) tensor; None if there was nothing to compare.
    """

    error: float
    score: float
    floor: float = 0.0
    tensor: int | None = None

    @property
    def words(self) -> str:
        """The error for a person."""
        if self.error > _MEANINGLESS:
            return "beyond all measure" if math.isfinite(self.error) else "NaN or infinite values"
        percent = 100 * self.error
        if 0 < percent < _NOTHING:
            return f"<{_NOTHING:g}% of its range"
        return f"{percent:.0f}% of its range" if percent >= _WHOLE else f"{percent:.2g}% of its range"

    @property
    def stated(self) -> float:
        """The error, or the largest number where it is infinite: JSON has no infinity."""
        return min(self.error, sys.float_info.max)


RIGHT = Difference(0.0, 1.0)


def worst(
    measured: Mapping[int, Array], reference: Mapping[int, Array], quantised: frozenset[int], noise: float
) -> Difference:
    """The difference of the tensor with the highest score, among those that both sides have.

    Args:
        measured: values by tensor number.
        reference: likewise.
        quantised: numbers of tensors whose integers are quantised values; other integers must be equal.
        noise: what rounding may do to a float tensor, as a share of its range.
    """
    found = RIGHT
    for tensor, values in measured.items():
        if tensor not in reference:
            continue
        one = difference(values, reference[tensor], tensor in quantised, noise)
        if found.tensor is None or (one.score, one.error) > (found.score, found.error):
            found = replace(one, tensor=tensor)
    return found


def difference(measured: Array, reference: Array, quantised: bool, noise: float) -> Difference:
    """The difference of one tensor."""
    if measured.size != reference.size:  # a runtime may leave out dimensions of size 1
        return Difference(math.inf, 1.0 / noise, noise)
    if not measured.size:
        return RIGHT
    x = measured.reshape(-1).astype(np.float64)
    y = reference.reshape(-1).astype(np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    same = (np.isnan(x) & np.isnan(y)) | (x == y)
    if not np.all(both | same):
        return Difference(math.inf, 1.0 / noise, noise)
    x, y = x[both], y[both]
    if not x.size:
        return RIGHT
    span = float(y.max() - y.min()) or float(np.abs(y).max()) or 1.0
    error = float(np.abs(x - y).max()) / span
    floor = noise
    if reference.dtype.kind in "iub":
        floor = max(noise, QUANTISED_STEPS / span) if quantised else _PLAIN_STEPS / span
    return Difference(error, max(min(error, 1.0) / floor, 1.0), floor)
