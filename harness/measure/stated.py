"""Latency of runners that state statistics instead of raw samples. Microseconds.

Such a runner (upstream's benchmark_model) sorts its runs and names a few of them: the fastest, percentiles 5, 50 and
95, the slowest. What follows from these is computed, nothing is made up in place of the missing samples:

| figure of a cell | from the statements of its rounds |
|---|---|
| count, min, max | sum, smallest, largest |
| mean | sum of count * mean / count |
| stdev | of the sample: sqrt(sum of count * (stdev^2 + (mean - cell's mean)^2) / (count - 1)) |
| median | the median of the rounds' medians; with one round, the runner's own |
| p90, p99 | null |

The median's interval needs no assumption about the distribution: of n independent runs, the i-th and the j-th
fastest have the median between them with probability sum(C(n, k), k = i..j-1) / 2^n (David and Nagaraja, Order
Statistics, 2003, section 7.1). The narrowest pair of stated runs that reaches the level is taken; it is wider than a
bootstrap interval would be. Over several rounds it runs from the lowest end to the highest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypedDict

from harness.plan.row import LatencySummaryRow

# From here on the outer 5 % lie beyond any interval of a median that is asked for (coverage over 0.9999999).
_MANY = 200


class Figures(TypedDict):
    """Figures of a cell that its rounds' statements give."""

    count: int
    median_us: float
    mean_us: float
    stdev_us: float
    min_us: float
    max_us: float


def merge(rounds: Sequence[LatencySummaryRow]) -> Figures:
    """Figures over all rounds; see the table above.

    Raises:
        ValueError: a round without runs, or a figure that is negative, not finite, or out of order.
    """
    for one in rounds:
        _check(one)
    count = sum(one["count"] for one in rounds)
    mean = sum(one["count"] * one["mean_us"] for one in rounds) / count
    squares = sum(one["count"] * (one["stdev_us"] ** 2 + (one["mean_us"] - mean) ** 2) for one in rounds)
    return {
        "count": count,
        "median_us": statistics.median(one["median_us"] for one in rounds),
        "mean_us": mean,
        "stdev_us": math.sqrt(squares / (count - 1)) if count > 1 else 0.0,
        "min_us": min(one["min_us"] for one in rounds),
        "max_us": max(one["max_us"] for one in rounds),
    }


def median_interval(rounds: Sequence[LatencySummaryRow], level: float = 0.95) -> tuple[float, float]:
    """Where the median lies with a probability of at least `level`.

    Fewer than 6 runs (7 at a level of 0.975) cannot say so much: then it is from the fastest to the slowest.
    """
    ends = [_round_interval(one, level) for one in rounds]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _round_interval(one: LatencySummaryRow, level: float) -> tuple[float, float]:
    n = one["count"]
    if n >= _MANY:
        return one["p5_us"], one["p95_us"]
    lower = ((n * 5 // 100 + 1, one["p5_us"]), (1, one["min_us"]))
    upper = ((n * 95 // 100 + 1, one["p95_us"]), (n, one["max_us"]))
    found = [
        (high - low, low, high) for i, low in lower for j, high in upper if _coverage(n, i, j) >= level and high >= low
    ]
    return min(found)[1:] if found else (one["min_us"], one["max_us"])


def _coverage(n: int, i: int, j: int) -> float:
    """Probability that the i-th and the j-th of n sorted runs (from 1) have the median between them."""
    return float(sum(math.comb(n, k) for k in range(i, j)) / 2**n)


def _check(one: LatencySummaryRow) -> None:
    ordered = [one["min_us"], one["p5_us"], one["median_us"], one["p95_us"], one["max_us"]]
    numbers = [*ordered, one["mean_us"], one["stdev_us"]]
    if one["count"] < 1:
        raise ValueError("no timed run")
    if not all(math.isfinite(number) and number >= 0.0 for number in numbers):
        raise ValueError("a latency statistic is negative or not finite")
    if ordered != sorted(ordered):
        raise ValueError("latency statistics are out of order")
