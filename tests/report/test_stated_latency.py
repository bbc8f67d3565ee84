"""Rows of runners that state statistics instead of single latencies, from the measurement to every report."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.engine.rows import latency_row
from harness.plan.result import Measurement, RoundResult
from harness.plan.row import LatencyRow, LatencySummaryRow, Matrix
from harness.report import csvfile, markdown
from tests.report import sample

SUMMARY: LatencySummaryRow = {
    "count": 50, "min_us": 900.0, "max_us": 1500.0, "mean_us": 1013.4, "stdev_us": 60.0,
    "median_us": 1000.0, "p5_us": 910.0, "p95_us": 1200.0,
}  # fmt: skip


def measured(number: int, summary: LatencySummaryRow) -> RoundResult:
    measurement = Measurement((), scope="benchmark_model", init_us=7e3, first_us=3e3, summary=summary)
    return RoundResult("c", number, 1, number, sample.STARTED, 1.0, measurement, state_before={"temperature_c": 31.0})


@pytest.fixture
def stated() -> LatencyRow:
    return latency_row([measured(1, SUMMARY), measured(2, SUMMARY)])


@pytest.fixture
def matrix(stated: LatencyRow) -> Matrix:
    """A matrix whose first measured cell has statistics only."""
    matrix = sample.make_matrix()
    next(row for row in matrix["cells"] if row["latency"])["latency"] = stated
    return matrix


def test_the_row_keeps_what_the_runner_states(stated: LatencyRow) -> None:
    assert (stated["count"], stated["median_us"], stated["scope"]) == (100, 1000.0, "benchmark_model")
    assert [entry["summary"]["p95_us"] for entry in stated["rounds"]] == [1200.0, 1200.0]
    assert [entry["samples_us"] for entry in stated["rounds"]] == [[], []]
    assert json.loads(json.dumps(stated))["p90_us"] is None


def test_csv_leaves_the_90th_percentile_empty(matrix: Matrix) -> None:
    rows = list(csv.DictReader(io.StringIO(csvfile.render(matrix))))
    (row,) = (row for row in rows if row["latency_scope"] == "benchmark_model")
    assert (row["median_us"], row["p90_us"], row["min_us"]) == ("1000.0", "", "900.0")


def test_markdown_has_the_median(matrix: Matrix) -> None:
    assert "1.00 ms" in markdown.render(matrix)
    assert "1.00 ms" not in markdown.render(sample.make_matrix())
