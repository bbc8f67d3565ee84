"""The value that all but the largest hundredth of a stream of numbers do not exceed: exact, and in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Percentile99:
    """The 99th percentile of up to `size` numbers that come in chunks, by nearest rank.

    It is the smallest of them that at least 99 % of them do not exceed: number ceil(0.99 n) of n in ascending order
    (Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996, definition 1; numpy's "inverted_cdf"). Only the
    largest hundredth can be it, so twice as many numbers are kept at most: 4 % of a float32 tensor's bytes.
    """

    def __init__(self, size: int, chunk: int) -> None:
        """Expect at most `size` numbers, at most `chunk` at a time."""
        self._wanted = size // 100 + 1
        self._kept: Floats = np.empty(min(2 * self._wanted, size) + chunk)
        self._count = 0
        self._seen = 0
        self._below = -np.inf  # numbers up to this are too small to matter

    def add(self, values: Floats, largest: float) -> None:
        """Take in numbers (without NaN), the largest of which is known. They are copied."""
        self._seen += values.size
        if largest <= self._below:
            return
        chosen = values[values > self._below] if self._below > -np.inf else values
        self._kept[self._count : self._count + chosen.size] = chosen
        self._count += chosen.size
        if self._count >= 2 * self._wanted:
            self._drop()

    def _drop(self) -> None:
        """Keep the largest `wanted` numbers."""
        first = self._count - self._wanted
        kept = self._kept[: self._count]
        kept.partition(first)
        self._below = float(kept[first])
        self._kept[: self._wanted] = kept[first:].copy()
        self._count = self._wanted

    def value(self) -> float | None:
        """The percentile of all numbers so far; None if there were none."""
        if not self._seen:
            return None
        kept = self._kept[: self._count]
        place = self._count - (self._seen // 100 + 1)
        kept.partition(place)
        return float(kept[place])
