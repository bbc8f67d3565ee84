from __future__ import annotations

import numpy as np
import pytest

from harness.measure.percentile import Percentile99

CHUNK = 1000


def streamed(values: np.ndarray[tuple[int], np.dtype[np.float64]], size: int | None = None) -> float | None:
    percentile = Percentile99(len(values) if size is None else size, CHUNK)
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK].copy()
        percentile.add(part, float(part.max()))
        part[:] = -1.0  # what was given is the caller's again
    return percentile.value()


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 199, 200, 999, 1000, 1001, 54321, 200_000])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "equal", "few"])
def test_it_is_exact(count: int, order: str) -> None:
    rng = np.random.default_rng(count)
    values = rng.lognormal(0.0, 3.0, count)
    if order == "rising":
        values.sort()
    elif order == "falling":
        values = np.sort(values)[::-1]
    elif order == "equal":
        values[:] = 0.25
    elif order == "few":
        values = rng.integers(0, 3, count).astype(np.float64)
    assert streamed(values) == np.quantile(values, 0.99, method="inverted_cdf")


def test_fewer_numbers_than_announced() -> None:
    values = np.random.default_rng(0).random(5000)
    assert streamed(values, size=100_000) == np.quantile(values, 0.99, method="inverted_cdf")


def test_nothing_has_no_percentile() -> None:
    assert Percentile99(0, CHUNK).value() is None
    assert Percentile99(100, CHUNK).value() is None
