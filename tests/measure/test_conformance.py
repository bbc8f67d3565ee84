"""Conformance rows: which cells have one, and what the numbers and failures of a cell make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from harness.measure import accuracy, conformance
from harness.measure.tensors import Array
from harness.plan.cell import InputPlan, Model, ModelRef, OpCount, TensorSpec, Values
from harness.plan.explained import ConformanceRow
from harness.plan.row import AccuracyRow, CellRow, ReferenceRow

Y = np.linspace(-1, 1, 33, dtype=np.float32)


def model(name: str, op: str = "ADD", *, count: int = 1, values: Values = "ordinary") -> Model:
    return Model(ModelRef(name, f"{name}.tflite", inputs=InputPlan(values=values)), ops=(OpCount(op, 1, count),))


def reference(kind: str = "golden") -> ReferenceRow:
    return {"kind": kind, "device": None, "runtime": None, "kernels": "reference", "fallback_reason": None}


def compared(measured: Array, wanted: Array, kind: str = "golden") -> AccuracyRow:
    spec = TensorSpec(0, "y", wanted.dtype.name, wanted.shape)
    return accuracy.compare([[measured]], [[wanted]], [spec], "other", reference(kind))


def cell(
    *rows: AccuracyRow,
    name: str = "add.odd",
    outcome: str = "PASS",
    error: Mapping[str, Any] | None = None,
    reason: str | None = None,
    delegate: str = "gpu",
) -> CellRow:
    delegation = {"nodes_total": 1, "nodes_delegated": 1} if delegate == "gpu" else None
    row: Any = {
        "id": f"s::{name}[phone:{delegate}]", "device": "phone", "delegate": delegate, "model": name,
        "outcome": outcome, "error": error, "reason": reason, "accuracy": list(rows), "delegation": delegation,
    }  # fmt: skip
    made: CellRow = row
    return made


def verdict(measured: Array, wanted: Array = Y, op: str = "ADD") -> ConformanceRow:
    (row,) = conformance.rows([cell(compared(measured, wanted))], [model("add.odd", op)])
    return row


def test_only_models_of_one_operation_have_a_row() -> None:
    row = compared(Y, Y)
    cells = [cell(row, name="add.odd"), cell(row, name="chain"), cell(row, name="two_adds")]
    chain = Model(ModelRef("chain", ""), ops=(OpCount("ADD", 1, 1), OpCount("MUL", 1, 1)))
    found = conformance.rows(cells, [model("add.odd"), chain, model("two_adds", count=2)])
    assert [(one["cell"], one["op"], one["version"]) for one in found] == [("s::add.odd[phone:gpu]", "ADD", 1)]
    assert conformance.rows([], []) == []


@pytest.mark.parametrize(
    ("name", "values", "case"),
    [
        ("add.odd", "ordinary", "odd"),
        ("add.plain.large", "large", "plain"),
        ("log.plain", "positive", "plain"),
        ("my_adder", "ordinary", "my_adder"),
    ],
)
def test_the_case_is_read_from_the_name_and_the_values_from_the_plan(name: str, values: Values, case: str) -> None:
    op = "LOG" if name.startswith("log") else "ADD"
    (row,) = conformance.rows([cell(compared(Y, Y), name=name)], [model(name, op, values=values)])
    assert (row["case"], row["values"], row["verdict"], row["error"]) == (case, values, "exact", 0.0)


def test_float32_rounding_is_exact_and_half_rounding_is_not() -> None:
    assert verdict(np.nextafter(Y, np.float32(2)))["verdict"] == "exact"
    halved = verdict(Y.astype(np.float16).astype(np.float32) * np.float32(1.0005))
    assert halved["verdict"] == "fp16"
    assert halved["error"] == pytest.approx(2.5e-4, rel=0.5)
    assert halved["reason"] is not None


@pytest.mark.parametrize(("op", "share"), [("RELU", 2**-10), ("ADD", 2**-8), ("CONV_2D", 2**-6)])
def test_what_half_precision_may_do_depends_on_the_operation(op: str, share: float) -> None:
    def off_by(error: float) -> ConformanceRow:
        return verdict(Y + np.where(np.arange(Y.size) == 5, np.float32(error), np.float32(0)), op=op)

    assert off_by(0.9 * 2 * share)["verdict"] == "fp16"
    wrong = off_by(1.1 * 2 * share)
    assert wrong["verdict"] == "wrong"
    assert f"half precision explains {100 * share:.2g} %" in (wrong["reason"] or "")


def test_operations_that_jump_are_judged_by_the_share_that_jumped() -> None:
    wanted = np.floor(np.linspace(-2, 2, 400, dtype=np.float32))
    few, many = wanted.copy(), wanted.copy()
    few[:3] += 1
    many[:60] += 1
    assert verdict(few, wanted, "FLOOR")["verdict"] == "fp16"
    assert verdict(many, wanted, "FLOOR")["verdict"] == "wrong"
    assert verdict(few, wanted, "RELU")["verdict"] == "wrong"
    few[0] = 3
    assert verdict(few, wanted, "FLOOR")["verdict"] == "wrong"  # out of the reference's range


def test_integers_are_right_or_wrong_and_quantised_ones_may_be_one_step_off() -> None:
    wanted = np.arange(-20, 20, dtype=np.int32)
    assert verdict(wanted + 1, wanted)["verdict"] == "wrong"
    eight = wanted.astype(np.int8)
    assert verdict(eight + np.int8(1), eight)["verdict"] == "fp16"
    assert verdict(eight + np.int8(2), eight)["verdict"] == "wrong"


def test_values_below_half_precision_may_become_zero() -> None:
    tiny = Y * np.float32(1e-6)
    assert verdict(np.zeros_like(tiny), tiny, "MUL")["verdict"] == "fp16"
    assert verdict(np.zeros_like(Y), Y, "MUL")["verdict"] == "wrong"


def test_overflow_of_half_precision_is_told_from_a_wrong_infinity_and_from_nan() -> None:
    large = Y * np.float32(1e6)
    with np.errstate(over="ignore"):
        overflowed = large.astype(np.float16).astype(np.float32)
    row = verdict(overflowed, large)
    assert (row["verdict"], "65504" in (row["reason"] or "")) == ("fp16", True)
    one = Y.copy()
    one[3] = np.inf
    assert verdict(one)["verdict"] == "wrong"
    overflowed[3] = np.nan  # Inf - Inf
    assert verdict(overflowed, large)["verdict"] == "fp16"
    one[3] = np.nan
    row = verdict(one)
    assert row["verdict"] == "wrong"
    assert "NaN: 1 measured, 0 in the reference" in (row["reason"] or "")
    assert verdict(large, overflowed)["verdict"] == "wrong"


def test_values_far_from_zero_are_judged_by_their_own_size() -> None:
    near_one = 1 + Y * np.float32(1e-3)
    assert verdict(near_one.astype(np.float16).astype(np.float32), near_one, "EXP")["verdict"] == "fp16"
    assert verdict(near_one * np.float32(1.03), near_one, "EXP")["verdict"] == "wrong"


def test_the_better_of_two_references_counts_and_the_reason_says_that_they_differ() -> None:
    clamped, kept = Y.copy(), Y.copy()
    clamped[0], kept[0] = 3.4e38, np.inf
    (found,) = conformance.rows([cell(compared(kept, clamped))], [model("add.odd")])
    assert found["verdict"] == "exact"
    assert (found["reason"] or "").startswith("reference disagrees: it has the largest float32")
    row = cell(compared(Y, -Y), compared(Y, Y, "same_device_cpu"))
    (found,) = conformance.rows([row], [model("add.odd")])
    assert found["verdict"] == "exact"
    assert (found["reason"] or "").startswith("reference disagrees: exact against same_device_cpu, but against golden")


def test_a_wrong_answer_says_when_the_references_do_not_agree_either() -> None:
    nan, zero, one = Y.copy(), Y.copy(), Y.copy()
    nan[0], zero[0], one[0] = np.nan, 0.0, 9.0
    gpu = cell(compared(one, nan), compared(one, zero, "same_device_cpu"), outcome="FAIL")
    cpu = cell(compared(zero, nan), delegate="cpu", outcome="FAIL")
    rows = conformance.rows([cpu, gpu], [model("add.odd")])
    assert [row["verdict"] for row in rows] == ["wrong", "wrong"]
    assert "disagree with each other too" in (rows[1]["reason"] or "")
    assert "disagree with each other" not in (rows[0]["reason"] or "")


def test_the_worst_output_counts() -> None:
    specs = [TensorSpec(0, "a", "float32", Y.shape), TensorSpec(1, "b", "float32", Y.shape)]
    row = accuracy.compare([[Y, -Y]], [[Y, Y]], specs, "other", reference())
    (found,) = conformance.rows([cell(row)], [model("add.odd")])
    assert (found["verdict"], found["error"]) == ("wrong", 1.0)


@pytest.mark.parametrize(
    ("outcome", "error_class", "expected"),
    [
        ("UNSUPPORTED", None, "unsupported"),
        ("ERROR", "runner", "crashes"),
        ("TIMEOUT", "runner", "crashes"),
        ("ERROR", "device", "not measured"),
        ("ERROR", "config", "not measured"),
        ("NOT_RUN", None, "not measured"),
    ],
)
def test_what_was_not_measured_says_why(outcome: str, error_class: str | None, expected: str) -> None:
    error = {"class": error_class, "kind": None, "signal": None, "stage": None} if error_class else None
    (row,) = conformance.rows([cell(outcome=outcome, error=error, reason="because")], [model("add.odd")])
    assert (row["verdict"], row["error"], row["reason"]) == (expected, None, "because")
    assert row["verdict"] in conformance.VERDICTS
