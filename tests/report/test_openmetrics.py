from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.plan.row import Matrix
from harness.report import openmetrics
from tests.report.sample import make_matrix


def samples(matrix: Matrix) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(openmetrics.render(matrix))  # type: ignore[no-untyped-call]
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


def test_prometheus_reads_what_the_matrix_says() -> None:
    matrix = make_matrix()
    found = samples(matrix)
    row = next(row for row in matrix["cells"] if row["latency"] and row["speedup"] and row["accuracy"])
    assert row["latency"] and row["speedup"]
    cell = labels(suite="release", model=row["model"], device=row["device"], delegate=row["delegate"])
    assert found["harness_cell_latency_median_seconds", cell] == pytest.approx(row["latency"]["median_us"] / 1e6)
    assert found["harness_cell_speedup_ratio", cell] == row["speedup"]["value"]
    assert found["harness_run_verdict", labels(verdict="FAIL")] == 1
    assert found["harness_run_verdict", labels(verdict="PASS")] == 0
    fails = sum(row["outcome"] == "FAIL" for row in matrix["cells"])
    assert found["harness_run_cells", labels(outcome="FAIL")] == fails > 0


def test_what_was_not_measured_has_no_sample() -> None:
    matrix = make_matrix()
    found = samples(matrix)
    row = next(row for row in matrix["cells"] if row["latency"] is None)
    cell = labels(suite="release", model=row["model"], device=row["device"], delegate=row["delegate"])
    assert ("harness_cell_latency_median_seconds", cell) not in found
    assert found["harness_cell_passing", cell] == 0
    assert not any(math.isnan(value) for value in found.values())


def test_a_void_timing_is_no_latency() -> None:
    matrix = make_matrix()
    row = next(row for row in matrix["cells"] if row["latency"])
    cell = labels(suite="release", model=row["model"], device=row["device"], delegate=row["delegate"])
    assert ("harness_cell_latency_median_seconds", cell) in samples(matrix)
    row["validity"] = {"void": True, "reasons": ["throttled"]}
    found = samples(matrix)
    assert ("harness_cell_latency_median_seconds", cell) not in found
    assert ("harness_cell_latency_p90_seconds", cell) not in found


def test_names_from_outside_stay_inside_their_label() -> None:
    matrix = make_matrix()
    hostile = 'a"} 1\nharness_run_verdict{verdict="PASS"} 1\\'
    matrix["cells"][0]["device"] = hostile
    found = samples(matrix)
    assert found["harness_run_verdict", labels(verdict="PASS")] == 0
    assert any(dict(pairs).get("device", "").startswith('a"} 1 harness') for _, pairs in found)


def test_a_run_that_did_not_finish_has_no_end() -> None:
    matrix = make_matrix()
    matrix["run"]["finished"] = None
    assert not any(name == "harness_run_finished_timestamp_seconds" for name, _ in samples(matrix))
