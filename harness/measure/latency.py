"""Latency statistics. All times in microseconds; every figure can be recomputed from the raw samples.

Percentiles interpolate linearly between order statistics (Hyndman and Fan, Sample Quantiles in Statistical
Packages, 1996, type 7: numpy's default). Intervals are bootstrap percentile intervals (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13) from 1000 resamples with a fixed seed, so that the same samples
always give the same interval.

With one round, a resample draws its samples independently. With several, it first draws whole rounds, then
samples inside each (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), so that
drift between rounds widens the interval. Two or three rounds say little about drift: then it is a lower bound.

Rounds of runners that keep no raw samples hold statistics instead: `harness.measure.stated` says what they give.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.measure import stated
from harness.plan.row import LatencyRow, LatencySummaryRow, RoundRow, SpeedupRow

Floats = NDArray[np.float64]

RESAMPLES = 1000
P99_COUNT = 300
"""Under this many samples the 99th percentile rests on fewer than three of them, and is null."""

_SEED = 20
# Bounds memory and time of an interval over several rounds: elements drawn in all, and at once.
_DRAWN = 2_000_000
_AT_ONCE = 250_000


def summarise(
    rounds: Sequence[RoundRow], scope: str, init_us: float | None, first_us: float | None, start: str
) -> LatencyRow:
    """The latency of a cell over all its rounds.

    Args:
        rounds: with their raw samples, or with their runner's statistics, in microseconds.
        scope: what a sample covers, such as "invoke+read".
        init_us: from loading the runtime to a compiled model.
        first_us: the first run after that.
        start: "cold" or "warm".

    Raises:
        ValueError: no samples, some rounds with and some without, or a figure that is negative or not finite.
    """
    parts = [np.array(one["samples_us"], dtype=np.float64) for one in rounds if one["samples_us"]]
    statements = _statements(rounds)
    if statements:
        if parts:
            raise ValueError("rounds with and without raw latency samples")
        return {
            "samples_us": [],
            "scope": scope,
            **stated.merge(statements),
            "p90_us": None,
            "p99_us": None,
            "median_ci95_us": stated.median_interval(statements),
            "init_us": init_us,
            "first_us": first_us,
            "start": start,
            "rounds": list(rounds),
        }
    if not parts:
        raise ValueError("no latency samples")
    samples = np.concatenate(parts)
    if not np.all(np.isfinite(samples)) or samples.min() < 0.0:
        raise ValueError("a latency sample is negative or not finite")
    count = samples.size
    median, p90, p99 = (float(value) for value in np.percentile(samples, (50.0, 90.0, 99.0)))
    return {
        "samples_us": samples.tolist(),
        "scope": scope,
        "count": count,
        "median_us": median,
        "p90_us": p90,
        "p99_us": p99 if count >= P99_COUNT else None,
        "mean_us": float(samples.mean()),
        "stdev_us": float(samples.std(ddof=1)) if count > 1 else 0.0,
        "min_us": float(samples.min()),
        "max_us": float(samples.max()),
        "median_ci95_us": _interval(_medians(parts, np.random.default_rng(_SEED))),
        "init_us": init_us,
        "first_us": first_us,
        "start": start,
        "rounds": list(rounds),
    }


def speedup(cell: LatencyRow, over: LatencyRow, over_id: str) -> SpeedupRow:
    """How many times faster a cell is than another: the ratio of the medians, 2.0 being twice as fast.

    With the same number of rounds (two or more) on both sides, a resample draws the same rounds of both: rounds
    are interleaved, so what disturbs one disturbs its counterpart, and the interval narrows. Where a side has no raw
    samples, the interval is the quotient of two intervals of 97.5 % (Bonferroni), so at least a 95 % one.

    Args:
        cell: the cell.
        over: the one it is compared with.
        over_id: that one's id.

    Raises:
        ValueError: the two measured different scopes, or a median is 0; in words.
    """
    if cell["scope"] != over["scope"]:
        raise ValueError(f"no speed-up over {over_id}: it timed '{over['scope']}', this cell '{cell['scope']}'")
    if min(cell["median_us"], over["median_us"]) <= 0.0:
        raise ValueError(f"no speed-up over {over_id}: a median latency is 0 us, below the clock's resolution")
    if _statements(cell["rounds"]) or _statements(over["rounds"]):
        return {"over": over_id, "value": over["median_us"] / cell["median_us"], "ci95": _bounds_of_ratio(cell, over)}
    ours, theirs = _parts(cell), _parts(over)
    rng = np.random.default_rng(_SEED)
    picks = None
    if len(ours) == len(theirs) > 1:
        picks = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    fast, slow = _medians(ours, rng, picks), _medians(theirs, rng, picks)
    # A resample of nothing but zeros, the clock's resolution, counts as the shortest time that was seen.
    floor = min(float(part[part > 0.0].min()) for part in ours if part.any())
    return {
        "over": over_id,
        "value": over["median_us"] / cell["median_us"],
        "ci95": _interval(slow / np.maximum(fast, floor)),
    }


def latency_ratio(now: LatencyRow, before: LatencyRow) -> float:
    """Median latency now as a multiple of the one before: 2.0 is twice as slow.

    Raises:
        ValueError: the two measured different scopes, or the median before was 0; in words.
    """
    if now["scope"] != before["scope"]:
        raise ValueError(f"latency scopes differ: '{now['scope']}' now, '{before['scope']}' before")
    if before["median_us"] <= 0.0:
        raise ValueError("the median latency before was 0 us, below the clock's resolution")
    return now["median_us"] / before["median_us"]


def intervals_apart(one: LatencyRow, other: LatencyRow) -> bool:
    """Whether the 95 % intervals of two medians do not even touch."""
    (low, high), (other_low, other_high) = one["median_ci95_us"], other["median_ci95_us"]
    return high < other_low or other_high < low


def _statements(rounds: Sequence[RoundRow]) -> list[LatencySummaryRow]:
    return [one["summary"] for one in rounds if "summary" in one]


def _bounds_of_ratio(cell: LatencyRow, over: LatencyRow) -> tuple[float, float]:
    (fast_low, fast_high), (slow_low, slow_high) = _median_interval(cell, 0.975), _median_interval(over, 0.975)
    # Statistics are whole microseconds, so 0 means less than one; the median is positive here.
    return slow_low / fast_high, slow_high / (fast_low or min(1.0, cell["median_us"]))


def _median_interval(row: LatencyRow, level: float) -> tuple[float, float]:
    statements = _statements(row["rounds"])
    if statements:
        return stated.median_interval(statements, level)
    return _interval(_medians(_parts(row), np.random.default_rng(_SEED)), level)


def _parts(row: LatencyRow) -> list[Floats]:
    ordered = sorted(row["rounds"], key=lambda one: one["round"])
    parts = [np.array(one["samples_us"], dtype=np.float64) for one in ordered if one["samples_us"]]
    return parts or [np.array(row["samples_us"], dtype=np.float64)]


def _interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    tail = round(50.0 * (1.0 - level), 9)
    low, high = np.percentile(draws, (tail, 100.0 - tail))
    return float(low), float(high)


def _medians(parts: Sequence[Floats], rng: np.random.Generator, picks: NDArray[np.int64] | None = None) -> Floats:
    """Medians of RESAMPLES resamples; `picks`: which rounds each one is made of, [RESAMPLES, rounds]."""
    if len(parts) == 1:
        return _medians_of_one(np.sort(parts[0]), rng)
    if picks is None:
        picks = rng.integers(len(parts), size=(RESAMPLES, len(parts)))
    longest = _DRAWN // (RESAMPLES * len(parts))
    values = [_thinned(np.sort(part), max(longest, 1)) for part in parts]
    sizes = np.array([part.size for part in values])
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    flat = np.concatenate(values)
    widest = int(sizes.max())
    step = max(1, _AT_ONCE // (len(parts) * widest))
    medians: list[Floats] = []
    for start in range(0, RESAMPLES, step):
        block = picks[start : start + step]
        size, offset = sizes[block][..., None], offsets[block][..., None]
        places = (rng.random((*block.shape, widest)) * size).astype(np.int64)
        # Rounds that are shorter than the longest are filled up with what sorts behind everything.
        drawn = np.where(np.arange(widest) < size, flat[offset + places], np.inf).reshape(len(block), -1)
        drawn.sort(axis=1)
        total = size.sum(axis=(1, 2))
        row = np.arange(len(block))
        medians.append((drawn[row, (total - 1) // 2] + drawn[row, total // 2]) / 2.0)
    return np.concatenate(medians)


def _thinned(ordered: Floats, longest: int) -> Floats:
    """At most `longest` evenly spaced order statistics; fewer samples can only widen an interval."""
    if ordered.size <= longest:
        return ordered
    return ordered[np.linspace(0, ordered.size - 1, longest).round().astype(np.int64)]


def _medians_of_one(ordered: Floats, rng: np.random.Generator) -> Floats:
    """Medians of resamples of one sorted sample, drawn exactly and without resampling.

    A resample is n places drawn uniformly from n, and the k-th smallest of n uniform numbers follows
    Beta(k, n - k + 1); given it, the next one is the smallest of n - k uniform numbers on what is left, Beta(1, n - k)
    (David and Nagaraja, Order Statistics, 2003, chapter 2).
    """
    n = ordered.size
    middle = (n + 1) // 2
    lower = rng.beta(middle, n - middle + 1, size=RESAMPLES)
    low = ordered[np.minimum((lower * n).astype(np.int64), n - 1)]
    if n % 2:
        return low
    upper = lower + (1.0 - lower) * rng.beta(1, n - middle, size=RESAMPLES)
    high = ordered[np.minimum((upper * n).astype(np.int64), n - 1)]
    return (low + high) / 2.0
