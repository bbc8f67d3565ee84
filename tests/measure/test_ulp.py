from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.measure.ulp import Unit, largest, unit_of
from harness.plan.cell import TensorSpec

NAMES = ("float16", "float32", "float64")


def spec(dtype: str) -> TensorSpec:
    return TensorSpec(0, "", dtype, ())


def distance(x: float, y: float, name: str) -> float:
    one, other = np.array([x], name), np.array([y], name)
    return largest(one, other, Unit(np.dtype(name)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1.0, -1.0, 1000.0, 6e-5, -3.5, 65504.0])
def test_neighbours_are_one_apart(name: str, value: float) -> None:
    start = np.array(value, name)
    beyond = np.nextafter(start, np.array(0.0, name))
    assert distance(float(start), float(beyond), name) == 1.0
    assert distance(float(beyond), float(start), name) == 1.0
    assert distance(float(start), float(start), name) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_zero_is_one_number_and_its_neighbours_are_two_apart(name: str) -> None:
    tiny = float(np.nextafter(np.array(0.0, name), np.array(1.0, name)))
    assert distance(0.0, -0.0, name) == 0.0
    assert distance(tiny, -0.0, name) == 1.0
    assert distance(-tiny, 0.0, name) == 1.0
    assert distance(-tiny, tiny, name) == 2.0


def test_across_zero_all_numbers_in_between_count() -> None:
    assert distance(-1.0, 1.0, "float32") == 2130706432.0
    assert distance(1.0, -1.0, "float16") == 30720.0
    high = np.finfo(np.float32).max
    assert distance(-float(high), float(high), "float32") == 2.0 * 0x7F7FFFFF, "more than an int32 holds"
    assert distance(-1.7e308, 1.7e308, "float64") == pytest.approx(2.0**64, rel=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_counting(name: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(500) * 10.0 ** rng.integers(-4, 4, 500)).astype(name)
    y = (x * (1 + 1e-3 * rng.standard_normal(500)) + 1e-5 * rng.standard_normal(500)).astype(name)

    def number(value: Any) -> int:
        bits = int(np.abs(value).view(f"u{value.itemsize}"))
        return -bits if math.copysign(1.0, value) < 0 else bits

    gaps = [abs(number(a) - number(b)) for a, b in zip(x, y, strict=True)]
    unit = Unit(np.dtype(name))
    assert largest(x, y, unit) == pytest.approx(max(gaps), rel=1e-15)
    for position, gap in enumerate(gaps[:50]):
        assert largest(x[position : position + 1], y[position : position + 1], unit) == pytest.approx(gap, rel=1e-15)


def test_the_less_precise_type_counts() -> None:
    half, single = np.array([1.0], np.float16), np.array([1.0 + 2**-10 + 2**-14], np.float32)
    unit = unit_of(half, single, spec("float16"))
    assert unit == Unit(np.dtype(np.float16))
    assert largest(half, single, unit) == 1.0
    assert unit_of(single, single.astype(np.float64), spec("float32")) == Unit(np.dtype(np.float32))


def test_bfloat16_in_its_own_steps() -> None:
    words = np.array([0x3F80], np.uint16)
    unit = unit_of(words, words, spec("bfloat16"))
    assert unit is not None
    one, next_one = (np.array([bits << 16], np.uint32).view(np.float32) for bits in (0x3F80, 0x3F81))
    assert largest(one, next_one, unit) == 1.0


@pytest.mark.parametrize("dtype", ["int8", "bool", "int64"])
def test_what_is_no_float_has_no_unit(dtype: str) -> None:
    array = np.zeros(1, dtype)
    assert unit_of(array, array, spec(dtype)) is None
