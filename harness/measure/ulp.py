"""How many floating-point numbers lie between two: distance in units in the last place (ULP).

All finite numbers of one format, in order, are numbered by consecutive integers: a positive one by its bits read as an
integer, a negative one by minus those of its absolute value, so that -0.0 and 0.0 are both number 0. The distance of
two numbers is that of their integers (Goldberg, What Every Computer Scientist Should Know About Floating-Point
Arithmetic, 1991; Dawson, Comparing Floating Point Numbers, 2012). Neighbours are 1 apart at any magnitude. Across zero
it counts all numbers in between, of which half lie below 1 in magnitude: -1.0 and 1.0 are 2,130,706,432 apart in
float32, 30,720 in float16. Relative to a number x, one float32 ULP is 6e-8 to 1.2e-7 of abs(x), one float16 ULP 5e-4
to 1e-3, one bfloat16 ULP 4e-3 to 8e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.tensors import Array, is_bfloat16
from harness.plan.cell import TensorSpec

_NATIVE: dict[int, Any] = {2: np.float16, 4: np.float32, 8: np.float64}
_BITS: dict[int, Any] = {2: np.int16, 4: np.int32, 8: np.int64}
_BFLOAT16_STEP = float(1 << 16)  # bfloat16 is the upper half of a float32


@dataclass(frozen=True)
class Unit:
    """The format in whose numbers a distance is counted.

    Attributes:
        dtype: float16, float32 or float64; numbers of a wider type are rounded to it first.
        step: how many of its numbers make one unit; not 1 for bfloat16 alone, which is held in float32.
    """

    dtype: np.dtype[Any]
    step: float = 1.0


def unit_of(measured: Array, reference: Array, spec: TensorSpec) -> Unit | None:
    """The less precise format of two tensors; None where they are no floats, or narrower ones than 16 bits."""
    if is_bfloat16(measured, spec) or is_bfloat16(reference, spec):
        return Unit(np.dtype(np.float32), _BFLOAT16_STEP)
    sizes = []
    for array in (measured, reference):
        if array.dtype.kind not in "fc":
            return None
        sizes.append(array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1))
    native = _NATIVE.get(min(sizes))
    return Unit(np.dtype(native)) if native else None


def largest(measured: Array, reference: Array, unit: Unit) -> float:
    """The largest distance of two flat, contiguous arrays of finite floats, in units.

    A number that is too large for a narrower format is there the first beyond its largest.
    """
    ours = measured.astype(unit.dtype, copy=False).view(_BITS[unit.dtype.itemsize])
    theirs = reference.astype(unit.dtype, copy=False).view(ours.dtype)
    crossed = np.bitwise_xor(ours, theirs)
    far = 0.0
    gap: NDArray[Any]
    if crossed.min() < 0:
        # Of different sign: far apart, unless both are close to zero. The magnitudes add up.
        where = np.flatnonzero(crossed < 0)
        magnitude = np.iinfo(ours.dtype).max
        far = float(sum((side[where] & magnitude).astype(np.float64) for side in (ours, theirs)).max())
        gap = np.subtract(ours, theirs, out=crossed)
        gap[where] = 0
    else:
        gap = np.subtract(ours, theirs, out=crossed)
    return max(far, float(gap.max()), -float(gap.min())) / unit.step
