from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.measure import accuracy, gates
from harness.measure.metrics import METRICS, TASK_METRICS
from harness.plan.cell import ErrorClass, GateRule, Outcome, TensorSpec
from harness.plan.row import AccuracyRow, DelegationRow, GateRow, LatencyRow, ReferenceRow

MakeAccuracy = Callable[..., AccuracyRow]
NAN = float("nan")


def verdict(metric: str, limit: float, value: float | None) -> str:
    (row,) = gates.judge([GateRule(metric, limit)], {metric: value})
    assert (row["gate"], row["limit"], row["waiver"]) == (metric, limit, None)
    json.dumps(row, allow_nan=False)
    return row["verdict"]


def gate(name: str, judged: str, limit: float = 1.0, value: float | None = 2.0) -> GateRow:
    return {"gate": name, "limit": limit, "value": value, "verdict": judged, "waiver": None}


def test_every_metric_is_documented_and_cannot_be_changed() -> None:
    assert set(TASK_METRICS) < set(METRICS)
    for metric in METRICS.values():
        assert metric.direction in ("max", "min")
        assert metric.where and metric.meaning and metric.missing
    with pytest.raises(TypeError):
        METRICS["new"] = METRICS["max_abs"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("metric", "limit", "value", "expected"),
    [
        # upper bounds
        ("max_abs_of_range", 0.02, 0.0, "PASS"),
        ("max_abs_of_range", 0.02, 0.018, "PASS"),
        ("max_abs_of_range", 0.02, 0.0181, "MARGINAL"),
        ("max_abs_of_range", 0.02, 0.02, "MARGINAL"),
        ("max_abs_of_range", 0.02, 0.0200001, "FAIL"),
        ("max_abs", 0.0, 0.0, "PASS"),
        ("max_abs", 0.0, 1e-9, "FAIL"),
        ("median_us", 1000, 950.0, "MARGINAL"),
        ("max_abs", 1.0, math.inf, "FAIL"),
        # counts have no band
        ("nonfinite", 0, 0.0, "PASS"),
        ("nonfinite", 0, 1.0, "FAIL"),
        ("partitions", 1, 1.0, "PASS"),
        ("partitions", 1, 2.0, "FAIL"),
        # lower bounds without a ceiling
        ("speedup", 1.8, 1.79, "FAIL"),
        ("speedup", 1.8, 1.8, "MARGINAL"),
        ("speedup", 1.8, 1.99, "MARGINAL"),
        ("speedup", 1.8, 2.0, "PASS"),
        ("psnr_db", 40, math.inf, "PASS"),
        ("psnr_db", 40, -math.inf, "FAIL"),
        # lower bounds of figures that end at 1
        ("top1_agreement", 0.9, 0.89, "FAIL"),
        ("top1_agreement", 0.9, 0.905, "MARGINAL"),
        ("top1_agreement", 0.9, 0.92, "PASS"),
        ("top1_agreement", 1.0, 1.0, "PASS"),
        ("delegated_nodes", 1.0, 1.0, "PASS"),
        ("delegated_nodes", 1.0, 66 / 67, "FAIL"),
        ("cosine", 0.999, 0.9999, "PASS"),
        ("cosine", 0.999, math.inf, "PASS"),
        # nothing measured
        ("max_abs", 1.0, None, "UNSET"),
        ("speedup", 1.0, NAN, "UNSET"),
    ],
)
def test_verdicts(metric: str, limit: float, value: float | None, expected: str) -> None:
    assert verdict(metric, limit, value) == expected


def test_judge_keeps_order_and_hides_infinity() -> None:
    rules = [GateRule("psnr_db", 40), GateRule("max_abs", 1), GateRule("psnr_db", 50)]
    rows = gates.judge(rules, {"psnr_db": math.inf})
    assert [(row["gate"], row["limit"], row["value"], row["verdict"]) for row in rows] == [
        ("psnr_db", 40.0, None, "PASS"),
        ("max_abs", 1.0, None, "UNSET"),
        ("psnr_db", 50.0, None, "PASS"),
    ]


def test_judge_refuses_unknown_metrics() -> None:
    with pytest.raises(ValueError, match=r"no metric 'max_bas' \(suite.yaml:9\)"):
        gates.judge([GateRule("max_bas", 1, origin="suite.yaml:9")], {})


def test_figures_of_a_complete_cell(make_accuracy: MakeAccuracy, make_latency: Callable[..., LatencyRow]) -> None:
    latency = make_latency([10.0, 20.0, 30.0])
    delegation: DelegationRow = {
        "nodes_total": 67,
        "nodes_delegated": 66,
        "partitions": 2,
        "fallback": True,
        "unsupported_ops": [],
        "evidence": "",
    }
    found = gates.figures(
        [make_accuracy(top1_agreement=0.5, task={"top1_agreement": 0.5, "top5_agreement": 1.0})],
        latency,
        delegation,
        {"peak_rss_bytes": 1 << 20},
        {"over": "other", "value": 2.5, "ci95": (2.4, 2.6)},
    )
    assert set(found) == set(METRICS)
    assert {name: value for name, value in found.items() if value is None} == dict.fromkeys(
        set(TASK_METRICS) - {"top1_agreement", "top5_agreement"}
    )
    assert found["max_abs_of_range"] == 1e-3
    assert (found["top1_agreement"], found["top5_agreement"]) == (0.5, 1.0)
    assert (found["median_us"], found["p90_us"]) == (20.0, latency["p90_us"])
    assert (found["init_us"], found["first_us"]) == (1000.0, 50.0)
    assert found["delegated_nodes"] == 66 / 67
    assert (found["partitions"], found["peak_rss_bytes"], found["speedup"]) == (2, 1 << 20, 2.5)
    empty: DelegationRow = {**delegation, "nodes_total": 0, "nodes_delegated": 0}
    assert gates.figures([], None, empty, None, None)["delegated_nodes"] is None


def test_figures_of_an_empty_cell_are_all_missing() -> None:
    assert gates.figures([], None, None, None, None) == dict.fromkeys(METRICS)


def accuracy_figures(*rows: AccuracyRow) -> dict[str, float | None]:
    return gates.figures(rows, None, None, None, None)


def test_several_references_count_by_the_worst(make_accuracy: MakeAccuracy) -> None:
    rows = [make_accuracy(max_abs=1.0, cosine=0.9), make_accuracy(max_abs=0.5, cosine=0.8)]
    found = accuracy_figures(*rows)
    assert (found["max_abs"], found["cosine"]) == (1.0, 0.8)
    assert accuracy_figures(*rows, make_accuracy(max_abs=None))["max_abs"] is None


def compared(x: list[float], y: list[float], reference_row: ReferenceRow) -> AccuracyRow:
    spec = TensorSpec(0, "o", "float32", (len(y),))
    return accuracy.compare([[np.array(x, np.float32)]], [[np.array(y, np.float32)]], [spec], "other", reference_row)


RULES = [
    GateRule(name, limit)
    for name, limit in (("nonfinite", 0), ("max_abs_of_range", 0.02), ("cosine", 0.99), ("psnr_db", 60), ("rmse", 0.1))
]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], Outcome.PASS),  # identical: PSNR is infinite, not missing
        ([0.0, 0.0], [0.0, 0.0], Outcome.PASS),  # identical zeros: the cosine is not missing either
        ([NAN, NAN], [1.0, 2.0], Outcome.FAIL),  # nothing left to compare is a wrong answer, not a missing one
        ([0.0, 0.0], [1.0, 2.0], Outcome.FAIL),
        ([NAN, NAN], [NAN, NAN], Outcome.ERROR),  # the reference itself holds nothing to compare with
    ],
)
def test_outcome_of_real_comparisons(
    x: list[float], y: list[float], expected: Outcome, reference_row: ReferenceRow
) -> None:
    rows = gates.judge(RULES, accuracy_figures(compared(x, y, reference_row)))
    judgement = gates.outcome(rows)
    assert judgement.outcome is expected
    assert judgement.error_class is (ErrorClass.CONFIG if expected is Outcome.ERROR else None)


def test_outcome_names_what_failed() -> None:
    failing = gate("max_abs_of_range", "FAIL", 0.02, 0.5621)
    slow = gate("speedup", "FAIL", 1.8, 1.5)
    gone = gate("cosine", "FAIL", 0.9, None)
    baseline = gate("baseline_latency", "FAIL", 1.05, 1.213)
    accuracy_row = gate("baseline_accuracy", "FAIL", 1.5, None)
    fine = gate("max_abs", "PASS")
    assert gates.outcome([fine, failing, slow, gone, baseline, accuracy_row])[:2] == (
        Outcome.FAIL,
        "max_abs_of_range 0.562 > 0.02; speedup 1.5 < 1.8; cosine cannot hold: no finite element is left to compare;"
        " baseline_latency 1.21 > 1.05; baseline_accuracy is worse than in the baseline",
    )


def test_outcome_shows_digits_until_they_differ() -> None:
    assert gates.outcome([gate("max_abs", "FAIL", 0.02, 0.0200001)])[1] == "max_abs 0.0200001 > 0.02"


def test_outcome_order() -> None:
    unset = gate("speedup", "UNSET", 2, None)
    failed = gate("max_abs", "FAIL")
    near = gate("max_abs", "MARGINAL", 1.0, 0.95)
    assert gates.outcome([]) == (Outcome.PASS, None, None)
    assert gates.outcome([gate("max_abs", "PASS")]) == (Outcome.PASS, None, None)
    assert gates.outcome([near]) == (Outcome.MARGINAL, "max_abs 0.95 is close to its limit 1", None)
    assert gates.outcome([near, failed])[0] is Outcome.FAIL
    assert gates.outcome([near, failed, unset]) == (
        Outcome.ERROR,
        "gate speedup has no figure: no partner was measured that this cell can be compared with (its notes say more); "
        "max_abs 2 > 1",
        ErrorClass.CONFIG,
    )
    at_limit = gates.outcome([gate("max_abs", "MARGINAL", 0.1, 0.1)])
    assert at_limit[1] == "max_abs 0.1 is close to its limit 0.1"


def test_only_judged_references_count(make_accuracy: Callable[..., AccuracyRow]) -> None:
    judged, beside = make_accuracy(judged=True), make_accuracy(max_abs_of_range=0.9, judged=False)
    assert gates.figures([judged, beside], None, None, None, None)["max_abs_of_range"] == 1e-3
    assert gates.figures([make_accuracy(), beside], None, None, None, None)["max_abs_of_range"] == 1e-3
    assert gates.figures([beside], None, None, None, None)["max_abs_of_range"] is None


def test_a_figure_that_is_not_defined_for_an_output_is_not_infinite(make_accuracy: Callable[..., AccuracyRow]) -> None:
    row = make_accuracy(nonfinite=3, kl=None, max_steps=None)
    found = gates.figures([row], None, None, None, None)
    assert (found["kl"], found["max_steps"], found["max_ulp"]) == (None, None, 9000.0)
    nothing = make_accuracy(nonfinite=3, max_abs=None, max_ulp=None)
    assert gates.figures([nothing], None, None, None, None)["max_ulp"] == math.inf


def test_rows_of_earlier_versions_lack_the_newer_figures(make_accuracy: Callable[..., AccuracyRow]) -> None:
    row = make_accuracy()
    del row["kl"]
    assert gates.figures([row], None, None, None, None)["kl"] is None
