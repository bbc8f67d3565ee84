from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.measure import gates
from harness.measure.regression import Comparison, compare, timing_differences
from harness.plan.cell import Outcome
from harness.plan.row import AccuracyRow, CellRow, LatencyRow

MakeCell = Callable[..., CellRow]
MakeAccuracy = Callable[..., AccuracyRow]


def noise(median: float, count: int = 60, spread: float = 0.01, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(one) for one in median * (1 + spread * rng.uniform(-1, 1, count))]


@pytest.fixture
def timed(make_cell: MakeCell, make_latency: Callable[..., LatencyRow]) -> MakeCell:
    """A cell with a median of `median` microseconds, in two rounds unless told."""

    def make(
        median: float, spread: float = 0.01, scope: str = "invoke+read", rounds: int = 2, **fields: Any
    ) -> CellRow:
        parts = [noise(median, spread=spread, seed=seed) for seed in range(rounds)]
        return make_cell(latency=make_latency(*parts, scope=scope), **fields)

    return make


@pytest.fixture
def compared(make_cell: MakeCell, make_accuracy: MakeAccuracy) -> MakeCell:
    """A cell whose accuracy row has the figures given."""

    def make(inputs_sha256: str | None = "abc", **figures: Any) -> CellRow:
        return make_cell(accuracy=[make_accuracy(**figures)], inputs_sha256=inputs_sha256)

    return make


def failed(comparison: Comparison) -> list[str]:
    rows = comparison.gate_rows()
    json.dumps(rows, allow_nan=False)
    return [one["gate"] for one in rows if one["verdict"] == "FAIL"]


def test_new_cells(make_cell: MakeCell) -> None:
    comparison = compare(make_cell(), None)
    row = comparison.row()
    assert (row["verdict"], row["outcome_before"], row["reasons"]) == ("NEW", None, ["not in the baseline"])
    assert comparison.gate_rows() == []


def test_nothing_changed(timed: MakeCell, make_accuracy: MakeAccuracy) -> None:
    cell = timed(100, accuracy=[make_accuracy()])
    assert compare(cell, cell).row() == {
        "verdict": "SAME",
        "reasons": [],
        "outcome_before": "PASS",
        "latency_ratio": 1.0,
        "accuracy_ratio": 1.0,
    }
    assert [(one["gate"], one["verdict"]) for one in compare(cell, cell).gate_rows()] == [
        ("baseline_outcome", "PASS"),
        ("baseline_latency", "PASS"),
        ("baseline_accuracy", "PASS"),
    ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("PASS", "MARGINAL", "SAME"),
        ("MARGINAL", "PASS", "SAME"),
        ("PASS", "FAIL", "WORSE"),
        ("PASS", "UNSUPPORTED", "WORSE"),
        ("MARGINAL", "ERROR", "WORSE"),
        ("FAIL", "TIMEOUT", "WORSE"),
        ("UNSUPPORTED", "ERROR", "WORSE"),
        ("FAIL", "UNSUPPORTED", "SAME"),
        ("FAIL", "PASS", "BETTER"),
        ("ERROR", "UNSUPPORTED", "BETTER"),
        ("TIMEOUT", "PASS", "BETTER"),
        ("PASS", "NOT_RUN", "UNCOMPARABLE"),
        ("NOT_RUN", "PASS", "UNCOMPARABLE"),
    ],
)
def test_outcomes(make_cell: MakeCell, before: str, now: str, expected: str) -> None:
    comparison = compare(make_cell(outcome=now), make_cell(outcome=before))
    row = comparison.row()
    assert (row["verdict"], row["outcome_before"]) == (expected, before)
    assert failed(comparison) == (["baseline_outcome"] if expected == "WORSE" else [])
    if expected in ("WORSE", "BETTER"):
        assert row["reasons"] == [f"outcome {expected.lower()}: {before} before, {now} now"]


@pytest.mark.parametrize(
    ("error_class", "expected"),
    [("device", "UNCOMPARABLE"), ("host", "UNCOMPARABLE"), ("runner", "WORSE"), ("model", "WORSE")],
)
def test_infrastructure_errors_are_no_regression(make_cell: MakeCell, error_class: str, expected: str) -> None:
    error = {"class": error_class, "kind": None, "signal": None, "stage": None}
    comparison = compare(make_cell(outcome="ERROR", error=error, reason="cable"), make_cell())
    row = comparison.row()
    assert row["verdict"] == expected
    if expected == "UNCOMPARABLE":
        assert row["reasons"] == ["outcome uncomparable: ERROR now: cable"]
        assert comparison.gate_rows() == []


@pytest.mark.parametrize(
    ("now", "spread", "expected"),
    [
        (120, 0.01, "WORSE"),
        (80, 0.01, "BETTER"),
        (103, 0.001, "SAME"),  # apart, but not worth a person's time
        (97, 0.001, "SAME"),
        (115, 0.9, "SAME"),  # large, but within what the noise allows
    ],
)
def test_latency(timed: MakeCell, now: float, spread: float, expected: str) -> None:
    comparison = compare(timed(now, spread), timed(100, spread))
    row = comparison.row()
    assert row["verdict"] == expected
    assert row["latency_ratio"] == pytest.approx(now / 100, rel=1e-2)
    assert failed(comparison) == (["baseline_latency"] if expected == "WORSE" else [])
    if expected == "WORSE":
        assert row["reasons"][0].startswith("latency worse: median ")
        assert gates.outcome(comparison.gate_rows())[:2] == (Outcome.FAIL, "baseline_latency 1.2 > 1.05")


@pytest.mark.parametrize(("now", "expected"), [(120, "SAME"), (130, "WORSE"), (85, "SAME"), (75, "BETTER")])
@pytest.mark.parametrize("single", ["now", "before"])
def test_one_round_knows_nothing_of_drift(timed: MakeCell, now: float, expected: str, single: str) -> None:
    ours, theirs = timed(now, rounds=1 + (single == "before")), timed(100, rounds=1 + (single == "now"))
    assert compare(ours, theirs).row()["verdict"] == expected


def runner(**fields: str) -> dict[str, str | None]:
    return {"name": "delegate_bench", "context": "shell", "version": "1", "sha256": None, "command": None, **fields}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runner": runner(name="benchmark_model")}, "runner name 'benchmark_model' against 'delegate_bench'"),
        ({"runner": runner(context="app")}, "runner context 'app' against 'shell'"),
        ({"runtime": {"version": "tflite 2.14.0", "sha256": None}}, "runtime 'tflite' against 'litert'"),
        ({"scope": "invoke"}, "latency scope 'invoke' against 'invoke+read'"),
        ({"validity": {"void": True, "reasons": ["throttled"]}}, "the new timing is void (throttled)"),
    ],
)
def test_timings_that_mean_different_things(timed: MakeCell, fields: dict[str, Any], words: str) -> None:
    comparison = compare(timed(500, **fields), timed(100))
    row = comparison.row()
    assert (row["verdict"], row["latency_ratio"]) == ("UNCOMPARABLE", None)
    assert row["reasons"] == [f"latency uncomparable: {words}"]
    assert [one["gate"] for one in comparison.gate_rows()] == ["baseline_outcome"]


def test_versions_may_differ(timed: MakeCell) -> None:
    newer = timed(120, runner=runner(version="2"), runtime={"version": "litert 2.4.0", "sha256": "x"})
    assert compare(newer, timed(100)).row()["verdict"] == "WORSE"
    bare = timed(100, runtime={"version": "2.3.0", "sha256": None})
    assert timing_differences(bare, timed(100)) == []
    assert timing_differences(timed(100, runner=None, runtime=None), timed(100)) == []


def test_a_median_of_zero_is_not_compared(make_cell: MakeCell, make_latency: Callable[..., LatencyRow]) -> None:
    comparison = compare(make_cell(latency=make_latency([1.0])), make_cell(latency=make_latency([0.0])))
    row = comparison.row()
    assert row["verdict"] == "UNCOMPARABLE"
    assert "clock's resolution" in row["reasons"][0]


def test_timing_differences_do_not_hide_other_regressions(timed: MakeCell, make_accuracy: MakeAccuracy) -> None:
    now = timed(100, runner=runner(context="app"), accuracy=[make_accuracy(max_abs_of_range=0.5)])
    comparison = compare(now, timed(100, accuracy=[make_accuracy()]))
    row = comparison.row()
    assert row["verdict"] == "WORSE"
    assert [reason.split(":")[0] for reason in row["reasons"]] == ["latency uncomparable", "accuracy worse"]
    assert failed(comparison) == ["baseline_accuracy"]


@pytest.mark.parametrize(
    ("before", "now", "expected", "ratio"),
    [
        (0.01, 0.0151, "WORSE", 1.51),
        (0.01, 0.0149, "SAME", 1.49),
        (0.0151, 0.01, "BETTER", 0.662),
        (1e-7, 5e-7, "SAME", 5.0),  # float32 rounding
        (0.0, 0.0, "SAME", 1.0),
        (0.0, 0.01, "WORSE", None),
        (0.01, 0.0, "BETTER", 0.0),
        (None, 0.01, "SAME", None),
    ],
)
def test_accuracy(
    compared: MakeCell, before: float | None, now: float | None, expected: str, ratio: float | None
) -> None:
    comparison = compare(compared(max_abs_of_range=now), compared(max_abs_of_range=before))
    row = comparison.row()
    assert row["verdict"] == expected
    assert row["accuracy_ratio"] == (None if ratio is None else pytest.approx(ratio, rel=1e-2))
    assert failed(comparison) == (["baseline_accuracy"] if expected == "WORSE" else [])


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"nonfinite": 0}, {"nonfinite": 3}, "WORSE"),
        ({"nonfinite": 3}, {"nonfinite": 0}, "BETTER"),
        ({"top1_agreement": 1.0}, {"top1_agreement": 0.9}, "WORSE"),
        ({"top1_agreement": 0.9}, {"top1_agreement": 1.0}, "BETTER"),
        ({"top1_agreement": None}, {"top1_agreement": 0.1}, "SAME"),
        ({"nonfinite": 3, "top1_agreement": 1.0}, {"nonfinite": 0, "top1_agreement": 0.9}, "WORSE"),
    ],
)
def test_other_accuracy_figures(compared: MakeCell, before: Any, now: Any, expected: str) -> None:
    comparison = compare(compared(**now), compared(**before))
    row = comparison.row()
    assert row["verdict"] == expected
    if expected == "WORSE":
        (gate,) = [one for one in comparison.gate_rows() if one["verdict"] == "FAIL"]
        assert (gate["gate"], gate["value"]) == ("baseline_accuracy", None)  # the ratio of 1 is not why
        assert gates.outcome([gate])[1] == "baseline_accuracy is worse than in the baseline"


@pytest.mark.parametrize(
    "fields", [{"inputs_sha256": "other"}, {"inputs_sha256": None}, {"reference": {"kind": "golden", "device": None,
              "runtime": None, "kernels": "xnnpack", "fallback_reason": None}}]
)  # fmt: skip
def test_accuracy_against_other_inputs_or_references(compared: MakeCell, fields: dict[str, Any]) -> None:
    comparison = compare(compared(max_abs_of_range=0.9, **fields), compared())
    row = comparison.row()
    assert (row["verdict"], row["accuracy_ratio"]) == ("UNCOMPARABLE", None)
    assert row["reasons"][0].startswith("accuracy uncomparable: the ")
    assert failed(comparison) == []


def test_accuracy_that_is_not_measured_any_more(timed: MakeCell, make_accuracy: MakeAccuracy) -> None:
    before = timed(100.0, accuracy=[make_accuracy()], inputs_sha256="abc")
    comparison = compare(timed(100.0, inputs_sha256="abc"), before)
    assert comparison.row()["verdict"] == "UNCOMPARABLE"
    assert comparison.row()["reasons"] == [
        "accuracy uncomparable: outputs were compared in the baseline, and not now",
    ]
    assert failed(comparison) == []
    assert compare(before, timed(100.0, inputs_sha256="abc")).row()["verdict"] == "SAME"


def test_only_shared_references_are_compared(make_cell: MakeCell, make_accuracy: MakeAccuracy) -> None:
    other = make_accuracy(max_abs_of_range=0.9)
    other["reference"] = {**other["reference"], "kind": "same_device_cpu", "device": "d"}
    comparison = compare(make_cell(accuracy=[other, make_accuracy()]), make_cell(accuracy=[make_accuracy()]))
    row = comparison.row()
    assert (row["verdict"], row["accuracy_ratio"]) == ("SAME", 1.0)
