from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.measure import latency
from harness.plan.row import LatencyRow

Make = Callable[..., LatencyRow]


def test_hand_computed_figures(make_latency: Make) -> None:
    row = make_latency([4.0, 1.0, 3.0], [2.0, 10.0])
    assert row["samples_us"] == [4.0, 1.0, 3.0, 2.0, 10.0]
    assert (row["count"], row["median_us"], row["mean_us"], row["min_us"], row["max_us"]) == (5, 3.0, 4.0, 1.0, 10.0)
    assert row["p90_us"] == pytest.approx(4 + 0.6 * 6)  # place 0.9 * 4 = 3.6 between 4 and 10
    assert row["stdev_us"] == pytest.approx(statistics.stdev(row["samples_us"]))
    assert row["p99_us"] is None
    assert (row["scope"], row["init_us"], row["first_us"], row["start"]) == ("invoke+read", 1000.0, 50.0, "warm")
    assert [one["round"] for one in row["rounds"]] == [1, 2]


def test_p99_needs_300_samples(make_latency: Make) -> None:
    assert make_latency([float(n) for n in range(299)])["p99_us"] is None
    assert make_latency([float(n) for n in range(300)])["p99_us"] == pytest.approx(0.99 * 299)
    assert make_latency([float(n) for n in range(150)], [float(n) for n in range(150)])["p99_us"] is not None


def test_one_sample(make_latency: Make) -> None:
    row = make_latency([7.0])
    assert (row["stdev_us"], row["median_us"], row["median_ci95_us"]) == (0.0, 7.0, (7.0, 7.0))


@pytest.mark.parametrize("rounds", [[], [[]], [[1.0, -1.0]], [[1.0, float("nan")]], [[float("inf")]]])
def test_unusable_samples(make_latency: Make, rounds: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="latency sample"):
        make_latency(*rounds)


def test_interval_is_repeatable_and_holds_the_median(make_latency: Make) -> None:
    samples = np.random.default_rng(0).gamma(9, 100, 50).tolist()
    row = make_latency(samples)
    assert row["median_ci95_us"] == make_latency(samples)["median_ci95_us"]
    low, high = row["median_ci95_us"]
    assert low < row["median_us"] < high


@pytest.mark.parametrize("count", [5, 6, 50, 51])
def test_interval_equals_that_of_plain_resampling(make_latency: Make, count: int) -> None:
    rng = np.random.default_rng(count)
    samples = rng.gamma(9, 100, count)
    plain = np.median(rng.choice(samples, size=(20_000, count)), axis=1)
    width = samples.max() - samples.min()
    assert make_latency(samples.tolist())["median_ci95_us"] == pytest.approx(
        tuple(np.percentile(plain, (2.5, 97.5))), abs=0.08 * width
    )


def test_interval_covers_the_truth_about_as_often_as_it_says(make_latency: Make) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        low, high = make_latency(rng.normal(100, 10, 40).tolist())["median_ci95_us"]
        held += low <= 100 <= high
    assert 180 <= held <= 200


def test_drift_between_rounds_widens_the_interval(make_latency: Make) -> None:
    rng = np.random.default_rng(0)
    rounds = [(rng.normal(100, 1, 40) + 10 * drift).tolist() for drift in range(3)]
    low, high = make_latency(*rounds)["median_ci95_us"]
    together_low, together_high = make_latency([one for samples in rounds for one in samples])["median_ci95_us"]
    assert high - low > 18  # from the first round's level to the last one's
    assert high - low > together_high - together_low


def test_rounds_of_different_length(make_latency: Make) -> None:
    low, high = make_latency([10.0] * 30, [20.0] * 3, [15.0])["median_ci95_us"]
    assert 10.0 <= low <= high <= 20.0
    assert make_latency([5.0] * 3, [5.0] * 9)["median_ci95_us"] == (5.0, 5.0)


@pytest.mark.parametrize("rounds", [1, 5])
def test_long_rounds_are_bounded_in_memory(make_latency: Make, rounds: int) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(100, 1, 20_000).tolist() for _ in range(rounds)]
    tracemalloc.start()
    try:
        low, high = make_latency(*samples)["median_ci95_us"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20  # a thousand plain resamples of this are 160 MB for every round
    assert 99.5 < low < 100 < high < 100.5


def test_speedup_of_medians(make_latency: Make) -> None:
    rng = np.random.default_rng(0)
    fast, slow = make_latency(rng.normal(100, 2, 50).tolist()), make_latency(rng.normal(250, 5, 50).tolist())
    row = latency.speedup(fast, slow, "s::m[d:cpu]")
    assert row["over"] == "s::m[d:cpu]"
    assert row["value"] == pytest.approx(slow["median_us"] / fast["median_us"])
    low, high = row["ci95"]
    assert low < row["value"] < high
    assert high - low < 0.1


def test_speedup_pairs_rounds_that_were_disturbed_together(make_latency: Make) -> None:
    rng = np.random.default_rng(1)
    levels = (1.0, 1.5, 2.2, 1.2)
    fast = [(rng.normal(100, 1, 30) * level).tolist() for level in levels]
    slow = [(rng.normal(200, 2, 30) * level).tolist() for level in levels]
    paired = latency.speedup(make_latency(*fast), make_latency(*slow), "o")["ci95"]
    unpaired = latency.speedup(make_latency(*fast), make_latency(*slow, slow[0][:1]), "o")["ci95"]
    assert paired[1] - paired[0] < 0.5 * (unpaired[1] - unpaired[0])


def test_speedup_between_one_round_and_several(make_latency: Make) -> None:
    row = latency.speedup(make_latency([10.0] * 20), make_latency([20.0] * 9, [20.0] * 9), "o")
    assert (row["value"], row["ci95"]) == (2.0, (2.0, 2.0))


def test_speedup_refuses_what_cannot_be_compared(make_latency: Make) -> None:
    with pytest.raises(ValueError, match="timed 'invoke', this cell 'invoke\\+read'"):
        latency.speedup(make_latency([1.0]), make_latency([1.0], scope="invoke"), "o")
    for cell, over in (([0.0, 0.0, 3.0], [1.0]), ([1.0], [0.0, 0.0, 3.0])):
        with pytest.raises(ValueError, match="clock's resolution"):
            latency.speedup(make_latency(cell), make_latency(over), "o")


def test_speedup_stays_finite_with_zeros_among_the_samples(make_latency: Make) -> None:
    row = latency.speedup(make_latency([0.0, 0.0, 1.0, 1.0, 1.0]), make_latency([4.0] * 5), "o")
    assert row["value"] == 4.0
    assert all(np.isfinite(row["ci95"]))


def test_ratio_and_intervals_for_regressions(make_latency: Make) -> None:
    rng = np.random.default_rng(0)
    before = make_latency(rng.normal(100, 1, 50).tolist())
    same = make_latency(rng.normal(100, 1, 50).tolist())
    slower = make_latency(rng.normal(120, 1, 50).tolist())
    assert latency.latency_ratio(slower, before) == pytest.approx(1.2, rel=0.01)
    assert latency.intervals_apart(slower, before)
    assert latency.intervals_apart(before, slower)
    assert not latency.intervals_apart(same, before)
    with pytest.raises(ValueError, match="scopes differ"):
        latency.latency_ratio(make_latency([1.0], scope="invoke"), before)
    with pytest.raises(ValueError, match="was 0 us"):
        latency.latency_ratio(before, make_latency([0.0]))


def test_summary_is_recomputable_from_the_row(make_latency: Make) -> None:
    row = make_latency([3.0, 1.0, 2.0], [5.0, 4.0, 6.0])
    rounds: Any = row["rounds"]
    assert latency.summarise(rounds, row["scope"], row["init_us"], row["first_us"], row["start"]) == row
