from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.measure.accuracy import compare
from harness.plan.cell import Quantization, Task, TensorSpec
from harness.plan.row import AccuracyRow, ReferenceRow

NAN, INF = float("nan"), float("inf")
FIGURES = ("max_abs", "max_abs_of_range", "mean_abs", "rmse", "max_rel", "p99_rel", "cosine", "psnr_db", "snr_db")


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def i8(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int8)


def spec_of(array: np.ndarray[Any, Any], index: int = 0, **fields: Any) -> TensorSpec:
    return TensorSpec(index, f"out{index}", fields.pop("stated", array.dtype.name), array.shape, **fields)


def one(x: Any, y: Any, dtype: Any = np.float32, task: Task = "other", **fields: Any) -> AccuracyRow:
    """Compare one output of one sample, and check that the row is plain JSON."""
    ours, theirs = np.array(x, dtype=dtype), np.array(y, dtype=dtype)
    row = compare([[ours]], [[theirs]], [spec_of(theirs, **fields)], task, REFERENCE)
    json.dumps(row, allow_nan=False)
    return row


REFERENCE: ReferenceRow = {
    "kind": "golden",
    "device": None,
    "runtime": None,
    "kernels": None,
    "fallback_reason": None,
}


def test_hand_computed_figures() -> None:
    row = one([1.0, 2.5, 3.0, 0.0], [1.0, 2.0, 4.0, 0.0])
    assert row["nonfinite"] == 0
    assert row["range"] == 4.0
    assert row["max_abs"] == 1.0
    assert row["max_abs_of_range"] == 0.25
    assert row["mean_abs"] == 0.375
    assert row["rmse"] == pytest.approx(math.sqrt(1.25 / 4))
    assert row["max_rel"] == 0.25
    assert row["cosine"] == pytest.approx(18.0 / (math.sqrt(16.25) * math.sqrt(21.0)))
    assert row["psnr_db"] == pytest.approx(20 * math.log10(4.0 / math.sqrt(1.25 / 4)))
    assert row["p99_rel"] == 0.25
    assert row["snr_db"] == pytest.approx(10 * math.log10(21.0 / 1.25))
    assert row["max_ulp"] == 1 << 22, "from 3 to 4"
    assert (row["max_steps"], row["kl"], row["top1_agreement"]) == (None, None, None)
    assert row["samples"] == 1
    assert row["worst"] == {"sample": 0, "output": 0}
    assert "task" not in row
    assert row["reference"] is REFERENCE
    output = row["outputs"][0]
    assert (output["index"], output["name"], output["dtype"], output["shape"]) == (0, "out0", "float32", [4])
    assert {name: output[name] for name in FIGURES} == {name: row[name] for name in FIGURES}  # type: ignore[literal-required]


def number_of(value: Any) -> int:
    """The place of a float among all floats of its type; both zeros are number 0."""
    bits = int(np.abs(value).view(f"u{value.itemsize}"))
    return -bits if value < 0 else bits


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64"])
def test_agrees_with_the_formulas_written_out(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    # More than two steps of the chunked computation, and not a multiple of one.
    y = (rng.standard_normal(20_011) * 20).astype(dtype)
    x = (y.astype(np.float64) + rng.standard_normal(y.shape)).astype(dtype)
    row = one(x, y, dtype)
    a, b = x.astype(np.float64), y.astype(np.float64)
    d = np.abs(a - b)
    span = b.max() - b.min()
    expected = {
        "range": span,
        "max_abs": d.max(),
        "max_abs_of_range": d.max() / span,
        "mean_abs": d.mean(),
        "rmse": np.sqrt((d**2).mean()),
        "max_rel": (d / np.maximum(np.abs(b), 1e-3 * span)).max(),
        "cosine": (a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)),
        "psnr_db": 10 * np.log10(span**2 / (d**2).mean()),
        "p99_rel": np.quantile(d / np.maximum(np.abs(b), 1e-3 * span), 0.99, method="inverted_cdf"),
        "snr_db": 10 * np.log10((b**2).sum() / (d**2).sum()),
    }
    if x.dtype.kind in "iu":
        expected["max_steps"] = d.max()
        assert row["max_ulp"] is None
    else:
        gaps = [number_of(one) - number_of(other) for one, other in zip(x, y, strict=True)]
        expected["max_ulp"] = max(abs(gap) for gap in gaps)
        assert row["max_steps"] is None
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12)  # type: ignore[literal-required]


def test_identical_outputs() -> None:
    y = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    row = one(y, y)
    assert [row[name] for name in FIGURES] == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, None, None]  # type: ignore[literal-required]
    assert row["max_ulp"] == 0.0
    assert row["worst"] is None


def test_negative_zero_equals_zero() -> None:
    row = one([0.0, -0.0, 1.0], [-0.0, 0.0, 1.0])
    assert (row["nonfinite"], row["max_abs"], row["max_rel"], row["max_ulp"]) == (0, 0.0, 0.0, 0.0)


def test_non_finite_values_of_the_same_kind_are_equal() -> None:
    row = one([NAN, INF, -INF, 1.0, 2.5], [NAN, INF, -INF, 1.0, 2.0])
    assert (row["nonfinite"], row["max_abs"], row["range"]) == (0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("x", "y"),
    [(NAN, 1.0), (INF, 1.0), (-INF, 1.0), (NAN, INF), (INF, NAN), (INF, -INF), (1.0, NAN), (1.0, INF)],
)
def test_non_finite_values_of_another_kind_are_counted_and_left_out(x: float, y: float) -> None:
    row = one([0.0, 1.0, 2.0, x], [0.0, 1.5, 2.0, y])
    assert row["nonfinite"] == 1
    assert row["max_abs"] == 0.5
    assert row["range"] == 2.0


def test_range_counts_finite_reference_elements_wherever_the_measured_one_is_not() -> None:
    assert one([0.0, 1.0, NAN], [0.0, 1.0, 10.0])["range"] == 10.0


def test_nothing_finite_to_compare() -> None:
    row = one([NAN, NAN], [1.0, 2.0])
    assert (row["nonfinite"], row["range"]) == (2, 1.0)
    assert all(row[name] is None for name in FIGURES)  # type: ignore[literal-required]
    assert row["worst"] == {"sample": 0, "output": 0}
    both = one([NAN, INF], [NAN, INF])
    assert (both["nonfinite"], both["range"], both["max_abs"], both["worst"]) == (0, None, None, None)


def test_non_finite_elements_are_found_in_every_step() -> None:
    y = np.linspace(0, 1, 50_000, dtype=np.float32)
    x = y.copy()
    bad = [0, 8191, 8192, 30_000, 49_999]
    x[bad] = np.nan
    row = one(x, y)
    assert (row["nonfinite"], row["max_abs"]) == (5, 0.0)


def test_non_finite_elements_are_counted_on_each_side_with_positions() -> None:
    y = np.linspace(0, 1, 20_000, dtype=np.float32)
    x = y.copy()
    x[[5, 9000, 9001]], y[[9000, 12_000]] = NAN, NAN
    x[12_000], x[13_000], y[14_000] = INF, -INF, INF
    spec = TensorSpec(0, "", "float32", y.shape)
    row = compare([[y], [x]], [[y], [y]], [spec], "other", REFERENCE)
    assert row["outputs"][0]["nonfinite_values"] == {
        "nan_measured": 3 + 2,
        "nan_reference": 2 + 2,
        "inf_measured": 2 + 1,
        "inf_reference": 1 + 1,
        "positions": [[1, 5], [1, 9001], [1, 12_000], [1, 13_000], [1, 14_000]],
    }
    assert row["nonfinite"] == 5
    assert "nonfinite_values" not in one([1.0], [1.0])["outputs"][0]


def test_only_the_first_positions_are_kept() -> None:
    y = np.zeros(30_000, np.float32)
    row = compare([[y + NAN], [y + NAN]], [[y], [y]], [spec_of(y)], "other", REFERENCE)
    found = row["outputs"][0].get("nonfinite_values")
    assert found is not None
    assert (found["nan_measured"], found["positions"]) == (60_000, [[0, place] for place in range(8)])


def test_each_sample_has_its_own_figures_and_range() -> None:
    spec = TensorSpec(0, "", "float32", (2,))
    row = compare([[f32(0, 1.5)], [f32(0, 102)]], [[f32(0, 1)], [f32(0, 100)]], [spec], "other", REFERENCE)
    output = row["outputs"][0]
    assert (output["max_abs"], output["max_abs_of_range"], output["range"]) == pytest.approx((2.0, 0.02, 100.0))
    first, second = output["per_sample"]
    assert (first["max_abs"], first["max_abs_of_range"], first["range"]) == pytest.approx((0.5, 0.5, 1.0))
    assert (second["max_abs"], second["max_abs_of_range"], second["range"]) == pytest.approx((2.0, 0.02, 100.0))
    assert first["psnr_db"] == one([0, 1.5], [0, 1])["psnr_db"]
    assert "per_sample" not in one([1.0], [1.0])["outputs"][0], "it would say the same again"


def test_range_is_taken_over_all_samples_together() -> None:
    spec = TensorSpec(0, "", "float32", (2,))
    reference = [[f32(0, 0)], [f32(10, 10)]]  # each one constant
    measured = [[f32(0, 1)], [f32(10, 10)]]
    row = compare(measured, reference, [spec], "other", REFERENCE)
    assert (row["range"], row["max_abs_of_range"]) == pytest.approx((10.0, 0.1))


def test_constant_reference_is_its_own_scale() -> None:
    assert one([4.0, 5.0], [4.0, 4.0])["max_abs_of_range"] == 0.25
    assert one([4.0, 4.0], [4.0, 4.0])["max_abs_of_range"] == 0.0
    zeros = one([1.0, 0.0], [0.0, 0.0])["max_abs_of_range"]
    assert zeros is not None
    assert zeros > 1e30  # wrong beyond any limit, yet a number


def test_a_single_number_is_its_own_scale_too() -> None:
    """The range of two samples of one number each is an accident."""
    spec = TensorSpec(0, "", "float32", (1,))
    row = compare([[f32(7.1)], [f32(7.5)]], [[f32(7.0)], [f32(7.5)]], [spec], "other", REFERENCE)
    assert (row["range"], row["max_abs_of_range"]) == pytest.approx((0.5, 0.1 / 7.5), rel=1e-5)
    assert one([1], [0], np.int8)["max_abs_of_range"] == 1.0, "at least one step"


def test_relative_error_has_a_floor() -> None:
    # 1e-3 of the range of 100 is 0.1, so an error of 0.01 at a reference of 0 counts as 10 %.
    assert one([0.01, 100.0], [0.0, 100.0])["max_rel"] == pytest.approx(0.1)


def test_cosine_of_zero_vectors() -> None:
    assert one([0.0, 0.0], [0.0, 0.0])["cosine"] is None
    assert one([0.0, 0.0], [1.0, 0.0])["cosine"] == 0.0
    assert one([1.0, 0.0], [0.0, 0.0])["cosine"] == 0.0
    assert one([-1.0, -2.0], [1.0, 2.0])["cosine"] == pytest.approx(-1.0)


def test_integers_are_compared_in_steps() -> None:
    row = one([-128, 127, 0], [127, -128, 3], np.int8, quantization=Quantization((0.5,), (0,)))
    assert (row["max_abs"], row["range"], row["nonfinite"]) == (255.0, 255.0, 0)
    assert one([0, 255], [255, 0], np.uint8)["max_abs"] == 255.0


def test_quantised_values_are_counted_from_their_zero_point() -> None:
    plain = one([1, 2, 50], [1, 3, 52], np.uint8)
    shifted = one([129, 130, 178], [129, 131, 180], np.uint8, quantization=Quantization((0.5,), (128,)))
    names = (*FIGURES, "max_steps", "range")
    assert {name: shifted[name] for name in names} == {name: plain[name] for name in names}  # type: ignore[literal-required]
    assert (shifted["max_steps"], shifted["max_ulp"]) == (2.0, None)


def test_64_bit_integers_do_not_lose_small_differences() -> None:
    big = 2**62
    assert one([big + 1, -big], [big, -big], np.int64)["max_abs"] == 1.0
    assert one([2**63 - 1], [-(2**63)], np.int64)["max_abs"] == float(2**64)
    assert one([2**64 - 1, 0], [2**64 - 2, 0], np.uint64)["max_abs"] == 1.0
    mixed = compare([[np.array([3], np.uint64)]], [[np.array([1], np.int64)]], [spec_of(i8(0))], "other", REFERENCE)
    assert mixed["max_abs"] == 2.0


def test_booleans_are_zero_and_one() -> None:
    row = one([True, False, True, True], [True, True, True, False], np.bool_)
    assert (row["max_abs"], row["mean_abs"], row["range"]) == (1.0, 0.5, 1.0)


def test_float16_is_compared_without_overflow() -> None:
    row = one([60000.0, -60000.0], [-60000.0, 60000.0], np.float16)
    assert row["max_abs"] == pytest.approx(120000, rel=1e-3)
    assert row["nonfinite"] == 0


def test_bfloat16_as_raw_words_and_as_an_extension_type() -> None:
    words = np.array([0x3F80, 0x4000, 0x7FC0], dtype=np.uint16)  # 1, 2, NaN
    other = np.array([0x3F80, 0x4040, 0x7FC0], dtype=np.uint16)  # 1, 3, NaN
    row = one(other, words, np.uint16, stated="bfloat16")
    assert (row["max_abs"], row["range"], row["nonfinite"]) == (1.0, 1.0, 0)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    again = one(other.view(ml_dtypes.bfloat16), words.view(ml_dtypes.bfloat16), ml_dtypes.bfloat16)
    assert {name: again[name] for name in FIGURES} == {name: row[name] for name in FIGURES}  # type: ignore[literal-required]


def test_complex_numbers_are_pairs() -> None:
    row = one([1 + 2j, 3 + 4j], [1 + 2j, 3 + 6j], np.complex64)
    assert (row["max_abs"], row["range"]) == (2.0, 5.0)


def test_four_bit_integers_are_steps() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    y, x = (np.array(values, np.int8).astype(ml_dtypes.int4) for values in ([-8, 7, 0], [-7, 7, 3]))
    row = compare([[x]], [[y]], [spec_of(y)], "other", REFERENCE)
    assert (row["max_steps"], row["max_ulp"], row["range"]) == (3.0, None, 15.0)


def test_every_type_says_what_its_error_is_counted_in() -> None:
    """Exactly the types that an output may have; text is refused, see below."""
    ulps = ("float16", "float32", "float64", "complex64", "complex128", "bfloat16")
    steps = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "int4", "uint4")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in (*ulps, *steps, "bool"):
        dtype = getattr(ml_dtypes, name) if name in ("bfloat16", "int4", "uint4") else np.dtype(name)
        y, x = np.array([0, 1, 1, 1]).astype(dtype), np.array([0, 1, 1, 0]).astype(dtype)
        row = compare([[x]], [[y]], [TensorSpec(0, "", name, (4,))], "other", REFERENCE)
        assert (row["max_abs"], row["range"]) == (1.0, 1.0), name
        assert (row["max_ulp"] is not None, row["max_steps"] is not None) == (name in ulps, name in steps), name


def test_mapped_files_are_compared_in_little_memory(tmp_path: Path) -> None:
    shape = (1, 256, 256, 64)  # 16 MB
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        rng.random(shape, np.float32).tofile(tmp_path / name)
    x, y = (np.memmap(tmp_path / name, np.float32, "r", shape=shape) for name in ("x", "y"))
    spec = TensorSpec(0, "", "float32", shape)
    compare([[x[:, :8]]], [[y[:, :8]]], [spec], "segment", REFERENCE)  # what is imported or cached once
    tracemalloc.start()
    try:
        row = compare([[x]], [[y]], [spec], "segment", REFERENCE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert row["max_abs"] == float(np.max(np.abs(x.astype(np.float64) - y)))
    assert peak <= y.nbytes / 4


def test_huge_float64_values_stay_json() -> None:
    row = one([1.7e308, -1.7e308], [-1.7e308, 1.7e308], np.float64)
    assert row["nonfinite"] == 0
    assert row["max_abs"] == np.finfo(np.float64).max


def test_scalars_and_empty_outputs() -> None:
    scalar = one(1.5, 1.0)
    assert (scalar["max_abs"], scalar["outputs"][0]["shape"]) == (0.5, [])
    empty = one(np.zeros((0, 4)), np.zeros((0, 4)))
    assert (empty["nonfinite"], empty["max_abs"], empty["worst"]) == (0, None, None)


def test_a_model_without_outputs() -> None:
    row = compare([[]], [[]], [], "other", REFERENCE)
    assert (row["outputs"], row["max_abs"], row["range"], row["nonfinite"]) == ([], None, None, 0)


def test_worst_of_outputs_and_samples() -> None:
    specs = [TensorSpec(0, "a", "float32", (3,)), TensorSpec(1, "b", "int8", (3,))]
    a, b = f32(0, 5, 10), i8(0, 50, 100)
    reference = [[a, b], [a, b]]
    measured = [[a + f32(1, 0, 0), b], [a, b + i8(0, 5, 2)]]
    row = compare(measured, reference, specs, "other", REFERENCE)
    first, second = row["outputs"]
    assert (first["max_abs"], first["max_abs_of_range"]) == pytest.approx((1.0, 0.1))
    assert (second["max_abs"], second["max_abs_of_range"]) == pytest.approx((5.0, 0.05))
    assert first["psnr_db"] is not None and second["psnr_db"] is not None
    assert row["psnr_db"] == min(first["psnr_db"], second["psnr_db"])
    assert row["cosine"] == min(one(*pair)["cosine"] or 2 for pair in ((measured[0][0], a), (measured[1][1], b)))
    assert (row["max_abs"], row["max_abs_of_range"], row["range"]) == pytest.approx((5.0, 0.1, 10.0))
    assert row["worst"] == {"sample": 0, "output": 0}
    assert row["samples"] == 2


def test_worst_prefers_what_cannot_be_compared() -> None:
    spec = TensorSpec(0, "a", "float32", (2,))
    y = f32(0, 1)
    row = compare([[y * 3], [y * np.float32(NAN)]], [[y], [y]], [spec], "other", REFERENCE)
    assert row["worst"] == {"sample": 1, "output": 0}
    assert (row["max_abs"], row["nonfinite"]) == (2.0, 2)


def test_non_contiguous_arrays() -> None:
    y = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert one(y.T + 1, y.T)["max_abs"] == 1.0
    row = compare([[(y + 1)[:, ::2]]], [[y[:, ::2]]], [spec_of(y[:, ::2])], "other", REFERENCE)
    assert (row["max_abs"], row["range"]) == (1.0, 10.0)


def test_classification_fills_top1_and_task() -> None:
    spec = TensorSpec(0, "scores", "float32", (1, 10))
    y = [np.eye(10, dtype=np.float32)[[k]] for k in range(4)]
    x = [*y[:3], np.eye(10, dtype=np.float32)[[9]]]
    row = compare([[a] for a in x], [[a] for a in y], [spec], "classify", REFERENCE)
    assert row["top1_agreement"] == row["outputs"][0]["top1_agreement"] == 0.75
    assert row["task"]["top1_agreement"] == 0.75


def test_a_task_that_does_not_fit_leaves_its_figures_empty() -> None:
    row = one([1.0, 2.0], [1.0, 2.0], task="segment")
    assert row["task"] == {}
    assert row["top1_agreement"] is None


def samples(*shapes: tuple[int, ...]) -> Sequence[Sequence[np.ndarray[Any, Any]]]:
    return [[np.zeros(shape, np.float32) for shape in shapes]]


@pytest.mark.parametrize(
    ("measured", "reference", "words"),
    [
        ([], [], "no samples"),
        (samples((2,)), [*samples((2,)), *samples((2,))], "1 samples were measured, the reference has 2"),
        (samples((2,), (2,)), samples((2,)), "sample 0: the model has 1 outputs, the measured one has 2"),
        (samples((2,)), [[]], "sample 0: the model has 1 outputs, the reference one has 0"),
        (samples((1, 2)), samples((2,)), r"sample 0, output 0 \('out'\): the measured shape is \(1, 2\)"),
        ([[i8(1, 2)]], samples((2,)), "measured as int8, but the reference is float32"),
        ([[np.array(["a", "b"])]], samples((2,)), "only numbers and booleans"),
        ([[np.array([b"a", b"b"], dtype=object)]], samples((2,)), "is of type object"),
    ],
)
def test_what_cannot_be_compared_is_said_in_words(measured: Any, reference: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(measured, reference, [TensorSpec(0, "out", "float32", (2,))], "other", REFERENCE)
