"""Floats that hurt, in place of ordinary ones: what kernels clamp, flush, overflow on or lose.

Every recipe keeps the sign of the ordinary value and draws the rest from the same seeded words, with integer
arithmetic and single exact operations, so that the values are the same on every platform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.plan.cell import Values

_UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}
_SPREAD = 32  # one element in so many is NaN, one +Inf, one -Inf


def hurt(ordinary: NDArray[Any], words: NDArray[np.uint64], recipe: Values) -> NDArray[Any]:
    """The values of a recipe.

    | recipe | values |
    |---|---|
    | ordinary | as they are |
    | positive | magnitude + 1/16: 0.0625 to 1.0625, for logarithms, roots and powers |
    | negative | the same below zero: where kernels fill up with zeros, these win |
    | large | magnitudes from 2^7 to 2^15, evenly over the powers of 2: float16 holds them, not their products |
    | tiny | magnitudes from 2^-20 to 2^-9: half of them are denormal in float16 |
    | negative_zero | a quarter -0.0, a quarter 0.0, the rest as they are |
    | denormal | half of them denormal in their own type, the rest as they are |
    | nonfinite | 1 in 32 each NaN, +Inf and -Inf, and at least one of each where there are 3 elements |

    Args:
        ordinary: floats in [-1, 1], in the type that is fed.
        words: one random word for each element, flat.
        recipe: which.

    Returns:
        An array of the same shape and type.
    """
    if recipe == "ordinary" or not ordinary.size:
        return ordinary
    words = words.reshape(ordinary.shape)
    if recipe in ("positive", "negative"):
        positive = np.abs(ordinary) + ordinary.dtype.type(0.0625)
        return np.asarray(positive if recipe == "positive" else -positive)
    if recipe == "large":
        return _scaled(ordinary, 7 + (words % np.uint64(8)).astype(np.int32))
    if recipe == "tiny":
        return _scaled(ordinary, -10 - (words % np.uint64(11)).astype(np.int32))
    made: NDArray[Any] = ordinary.copy()
    if recipe == "negative_zero":
        made[words % np.uint64(4) == 0] = -0.0
        made[words % np.uint64(4) == 1] = 0.0
    elif recipe == "denormal":
        chosen = words % np.uint64(2) == 0
        made[chosen] = _denormal(ordinary, words)[chosen]
    else:
        flat, pick = made.reshape(-1), (words % np.uint64(_SPREAD)).reshape(-1)
        first = int(words.flat[0]) % flat.size
        for number, value in enumerate((np.nan, np.inf, -np.inf)):
            flat[pick == number] = value
        for number, value in enumerate((np.nan, np.inf, -np.inf)[: flat.size]):
            flat[(first + number) % flat.size] = value
    return made


def _scaled(ordinary: NDArray[Any], exponents: NDArray[np.int32]) -> NDArray[Any]:
    """Sign of `ordinary`, mantissa 1 to 2 from its magnitude, and these powers of 2."""
    one = ordinary.dtype.type(1)
    mantissa = np.minimum(np.abs(ordinary) + one, np.nextafter(one + one, one))
    made: NDArray[Any] = np.ldexp(np.copysign(mantissa, ordinary), exponents)
    return made


def _denormal(ordinary: NDArray[Any], words: NDArray[np.uint64]) -> NDArray[Any]:
    """Made of bits: arithmetic with denormals depends on a mode of the processor that libraries switch."""
    bits = ordinary.dtype.itemsize * 8
    unsigned = _UNSIGNED[ordinary.dtype.itemsize]
    mantissa = 1 + (words >> np.uint64(8)) % np.uint64((1 << np.finfo(ordinary.dtype).nmant) - 1)
    sign = np.signbit(ordinary).astype(unsigned) << unsigned(bits - 1)
    made: NDArray[Any] = (mantissa.astype(unsigned) | sign).view(ordinary.dtype)
    return made
