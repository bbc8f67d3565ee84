"""What errors are measured against: the extent of the reference; and how tensors are read, in chunks."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.measure import divergence
from harness.measure.divergence import Probabilities
from harness.measure.tensors import Array, numbers
from harness.plan.cell import TensorSpec

RELATIVE_FLOOR = 1e-3
"""Share of the range below which a reference value counts as this much in relative errors."""

# Large enough to hide numpy's overhead, small enough for the processor's cache, and under the 10,000 elements from
# which on OpenBLAS starts threads for a dot product: ten times slower beside other work, and they disturb it.
CHUNK = 1 << 13
# In place of a range of zero. A float32's smallest normal number, so that a ratio to it is still a float64.
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scale:
    """What errors of one output are measured against: from the finite elements of all its reference samples.

    Attributes:
        range: largest less smallest element; None without any.
        denominator: of `max_abs_of_range`.
        floor: of relative errors.
        probabilities: how to read the elements as probabilities, where they are some.
    """

    range: float | None
    denominator: float = TINY
    floor: float = TINY
    probabilities: Probabilities | None = None


@dataclass(frozen=True)
class Extent:
    """Smallest and largest finite element of a tensor, ints for integers.

    Attributes:
        low: the smallest; None without any.
        high: the largest.
        whole: whether all elements are finite.
        single: whether the tensor has one element only.
    """

    low: float | None
    high: float | None
    whole: bool
    single: bool

    @property
    def range(self) -> float | None:
        """Largest less smallest; None without any."""
        return bounded(float(self.high - self.low)) if self.high is not None and self.low is not None else None

    @property
    def denominator(self) -> float:
        """What `max_abs_of_range` divides by: the range, but the magnitude where few values make no range.

        Never zero, and at least one step for integers.
        """
        magnitude = float(max(abs(self.high or 0), abs(self.low or 0)))
        least = 1.0 if isinstance(self.low, int) else TINY
        return max(max(self.range or 0.0, magnitude) if self.single else self.range or magnitude, least)


def extent_of(array: Array, spec: TensorSpec) -> Extent:
    """The extent of one reference tensor."""
    lows: list[float] = []
    highs: list[float] = []
    whole = True
    for chunk in chunks(array, spec):
        low, high = chunk.min().item(), chunk.max().item()  # ints stay exact; NaN and Inf come through
        if not (math.isfinite(low) and math.isfinite(high)):
            whole = False
            finite = chunk[np.isfinite(chunk)]
            if not finite.size:
                continue
            low, high = finite.min().item(), finite.max().item()
        lows.append(low)
        highs.append(high)
    return Extent(min(lows, default=None), max(highs, default=None), whole, array.size == 1)


def scale_of(references: Sequence[Array], extents: Sequence[Extent], spec: TensorSpec) -> Scale:
    """The scale of one output, from all its reference samples, each in its own shape."""
    lows = [one.low for one in extents if one.low is not None]
    highs = [one.high for one in extents if one.high is not None]
    if not lows or not highs:
        return Scale(None)
    every = Extent(min(lows), max(highs), all(one.whole for one in extents), all(one.single for one in extents))
    found = divergence.probabilities(references, spec, min(lows), max(highs), CHUNK) if every.whole else None
    span = every.range
    assert span is not None
    return Scale(span, every.denominator, max(RELATIVE_FLOOR * span, TINY), found)


def chunks(array: Array, spec: TensorSpec) -> Iterator[Array]:
    """The elements as numbers, in flat pieces of at most `CHUNK`; a complex one is two."""
    flat = array.reshape(-1)
    step = CHUNK // 2 if array.dtype.kind == "c" else CHUNK
    for start in range(0, flat.size, step):
        yield numbers(np.asarray(flat[start : start + step]), spec).reshape(-1)


def bounded(value: float) -> float:
    """The value, or the largest float64 if it overflowed: JSON has no infinity."""
    return min(value, sys.float_info.max)
