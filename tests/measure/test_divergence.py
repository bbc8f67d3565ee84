from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.measure.accuracy import compare
from harness.plan.cell import Quantization, TensorSpec
from harness.plan.row import ReferenceRow

REFERENCE: ReferenceRow = {"kind": "golden", "device": None, "runtime": None, "kernels": None, "fallback_reason": None}


def kl(x: Any, y: Any, **fields: Any) -> float | None:
    spec = TensorSpec(0, "", y.dtype.name, y.shape, **fields)
    return compare([[x]], [[y]], [spec], "other", REFERENCE).get("kl")


def rows(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    powers = np.exp(2.0 * np.random.default_rng(seed).standard_normal(shape))
    made: np.ndarray[Any, np.dtype[np.float32]] = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return made


def test_hand_computed() -> None:
    p, q = np.array([[0.5, 0.5]], np.float32), np.array([[0.25, 0.75]], np.float32)
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert kl(q, p) == pytest.approx(expected, rel=1e-9)
    assert kl(p, p) == 0.0


@pytest.mark.parametrize("shape", [(1, 7), (3, 1001), (1, 40, 50, 21), (2, 20_000)])
def test_mean_over_rows_however_long_they_are(shape: tuple[int, ...]) -> None:
    p, q = rows(*shape), rows(*shape, seed=1)
    a, b = np.maximum(p.astype(np.float64), 1e-7), np.maximum(q.astype(np.float64), 1e-7)
    assert kl(q, p) == pytest.approx((a * np.log(a / b) - a + b).sum(axis=-1).mean(), rel=1e-9)


def test_a_measured_zero_costs_sixteen_nats_at_most() -> None:
    p, q = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    assert kl(q, p) == pytest.approx(math.log(1e7), rel=1e-5)


def test_a_row_that_does_not_sum_to_one_counts_as_error() -> None:
    p = rows(1, 10)
    assert (kl(p * np.float32(0.5), p) or 0.0) > 0.1


def test_quantised_probabilities() -> None:
    y = np.array([[128, 64, 64, 0]], np.uint8)
    x = np.array([[64, 128, 64, 0]], np.uint8)
    quantization = Quantization((1 / 256,), (0,))
    expected = 0.5 * math.log(2.0) - 0.25 * math.log(2.0)
    assert kl(x, y, quantization=quantization) == pytest.approx(expected, rel=1e-9)
    shifted = [(one.astype(np.int16) - 128).astype(np.int8) for one in (x, y)]
    assert kl(*shifted, quantization=Quantization((1 / 256,), (-128,))) == pytest.approx(expected, rel=1e-9)
    assert kl(x, y) is None, "without a scale they are numbers"


@pytest.mark.parametrize(
    "reference",
    [
        np.array([[0.5, 0.6]], np.float32),
        np.array([[1.5, -0.5]], np.float32),
        np.array([[0.5, 0.5], [0.5, 0.1]], np.float32),
        np.array([[1.0], [1.0]], np.float32),
        np.array([0.5, np.nan], np.float32),
        np.array([True, False]),
        np.array([0.6 + 0j, 0.4]),
        np.array(1.0, np.float32),
        np.zeros((0, 3), np.float32),
    ],
    ids=["sum", "negative", "one row", "single", "nan", "bool", "complex", "scalar", "empty"],
)
def test_what_is_no_probability_has_none(reference: Any) -> None:
    assert kl(reference, reference) is None


def test_measured_elements_that_are_not_finite_are_left_out() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5]], np.float32)
    q = np.array([[0.5, np.nan], [0.5, 0.5]], np.float32)
    assert kl(q, p) == 0.0


def test_huge_measured_values_stay_numbers() -> None:
    p, q = np.array([[0.5, 0.5]]), np.array([[1e308, 1.7e308]])
    assert kl(q, p) == np.finfo(np.float64).max
