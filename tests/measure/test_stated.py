"""Latency from a runner's own statistics."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest

from harness.measure import latency, stated
from harness.measure.gates import figures
from harness.plan.row import LatencyRow, LatencySummaryRow


def summary(samples: list[float]) -> LatencySummaryRow:
    """What benchmark_model states of its runs: percentiles are elements of the sorted runs."""
    ordered, n = sorted(samples), len(samples)
    return {
        "count": n,
        "min_us": ordered[0],
        "max_us": ordered[-1],
        "mean_us": statistics.fmean(samples),
        "stdev_us": statistics.pstdev(samples),
        "median_us": ordered[n * 50 // 100],
        "p5_us": ordered[n * 5 // 100],
        "p95_us": ordered[n * 95 // 100],
    }


def row_of(*rounds: list[float], scope: str = "benchmark_model") -> LatencyRow:
    entries: list[Any] = [
        {"round": n, "order": n, "started": "", "samples_us": [], "device_state": {}, "summary": summary(samples)}
        for n, samples in enumerate(rounds, start=1)
    ]
    return latency.summarise(entries, scope, 1000.0, 50.0, "warm")


def draw(seed: int, count: int, scale: float = 100.0) -> list[float]:
    return [float(x) for x in np.random.default_rng(seed).gamma(9, scale, count)]


def test_one_round_has_the_runners_own_figures() -> None:
    samples = draw(0, 50)
    row = row_of(samples)
    assert (row["count"], row["min_us"], row["max_us"]) == (50, min(samples), max(samples))
    assert row["median_us"] == sorted(samples)[25]
    assert row["mean_us"] == pytest.approx(statistics.fmean(samples))
    assert row["stdev_us"] == pytest.approx(statistics.stdev(samples))
    assert (row["p90_us"], row["p99_us"], row["samples_us"]) == (None, None, [])
    assert row["rounds"][0]["summary"]["count"] == 50
    assert (row["init_us"], row["first_us"], row["start"]) == (1000.0, 50.0, "warm")


def test_several_rounds_are_pooled() -> None:
    one, two, three = draw(1, 40), draw(2, 60, 120.0), draw(3, 50, 90.0)
    row, together = row_of(one, two, three), one + two + three
    assert (row["count"], row["min_us"], row["max_us"]) == (150, min(together), max(together))
    assert row["mean_us"] == pytest.approx(statistics.fmean(together))
    assert row["stdev_us"] == pytest.approx(statistics.stdev(together))
    medians = [summary(samples)["median_us"] for samples in (one, two, three)]
    assert row["median_us"] == statistics.median(medians)


def test_a_single_run() -> None:
    row = row_of([7.0])
    assert (row["median_us"], row["stdev_us"], row["median_ci95_us"]) == (7.0, 0.0, (7.0, 7.0))


@pytest.mark.parametrize(
    ("count", "ends"), [(5, "min max"), (6, "min max"), (12, "min max"), (60, "p5 p95"), (500, "p5 p95")]
)
def test_the_interval_runs_between_stated_runs(count: int, ends: str) -> None:
    one = summary(draw(count, count))
    low, high = (one[f"{end}_us"] for end in ends.split())  # type: ignore[literal-required]
    assert stated.median_interval([one]) == (low, high)


@pytest.mark.parametrize("count", [6, 8, 20, 50])
def test_the_interval_holds_the_median_often_enough(count: int) -> None:
    true = float(np.median(np.random.default_rng(99).gamma(9, 100, 400_000)))
    rng = np.random.default_rng(count)
    held = 0
    for _ in range(400):
        low, high = stated.median_interval([summary([float(x) for x in rng.gamma(9, 100, count)])])
        held += low <= true <= high
    assert held >= 0.95 * 400 - 12  # less than three standard deviations below 95 %


def test_the_interval_of_several_rounds_spans_them() -> None:
    slow, fast = draw(1, 50, 200.0), draw(2, 50, 50.0)
    low, high = row_of(slow, fast)["median_ci95_us"]
    assert (low, high) == (summary(fast)["p5_us"], summary(slow)["p95_us"])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("count", 0, "no timed run"),
        ("mean_us", float("nan"), "negative or not finite"),
        ("min_us", -1.0, "negative or not finite"),
        ("max_us", float("inf"), "negative or not finite"),
        ("median_us", 1e9, "out of order"),
    ],
)
def test_statements_that_cannot_be(field: str, value: float, words: str) -> None:
    one = summary(draw(0, 20))
    one[field] = value  # type: ignore[literal-required]
    entry: Any = {"round": 1, "order": 1, "started": "", "samples_us": [], "device_state": {}, "summary": one}
    with pytest.raises(ValueError, match=words):
        latency.summarise([entry], "s", None, None, "warm")


def test_rounds_of_both_kinds_are_not_mixed() -> None:
    with_samples: Any = {"round": 1, "order": 1, "started": "", "samples_us": [1.0], "device_state": {}}
    without: Any = {**with_samples, "samples_us": [], "summary": summary([1.0])}
    with pytest.raises(ValueError, match="with and without raw latency samples"):
        latency.summarise([with_samples, without], "s", None, None, "warm")


def test_speedup_of_statements() -> None:
    fast, slow = row_of(draw(1, 60, 100.0)), row_of(draw(2, 60, 400.0))
    found = latency.speedup(fast, slow, "cpu")
    assert found["value"] == slow["median_us"] / fast["median_us"]
    low, high = found["ci95"]
    assert low < found["value"] < high
    (fast_low, fast_high), (slow_low, slow_high) = fast["median_ci95_us"], slow["median_ci95_us"]
    assert low <= slow_low / fast_high
    assert high >= slow_high / fast_low


def test_speedup_of_statements_below_the_clocks_resolution() -> None:
    found = latency.speedup(row_of([0.0] * 5 + [1.0] * 15), row_of([4.0] * 20), "cpu")
    assert found["value"] == 4.0
    assert found["ci95"] == (4.0, 4.0)


def test_speedup_between_statements_and_samples_of_one_scope() -> None:
    raw: Any = {"round": 1, "order": 1, "started": "", "samples_us": draw(2, 60, 400.0), "device_state": {}}
    slow = latency.summarise([raw], "benchmark_model", None, None, "warm")
    found = latency.speedup(row_of(draw(1, 60, 100.0)), slow, "cpu")
    assert found["ci95"][0] < found["value"] < found["ci95"][1]


def test_scopes_are_never_mixed() -> None:
    with pytest.raises(ValueError, match="it timed 'invoke\\+read', this cell 'benchmark_model'"):
        latency.speedup(row_of([1.0]), row_of([2.0], scope="invoke+read"), "cpu")


def test_a_gate_on_the_90th_percentile_has_no_figure() -> None:
    found = figures([], row_of(draw(0, 20)), None, None, None)
    assert found["p90_us"] is None
    assert found["median_us"] is not None


def test_intervals_of_statements_can_be_apart() -> None:
    assert latency.intervals_apart(row_of(draw(1, 60, 10.0)), row_of(draw(2, 60, 1000.0)))
    assert not latency.intervals_apart(row_of(draw(1, 60)), row_of(draw(2, 60)))
