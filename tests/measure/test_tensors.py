from __future__ import annotations

import numpy as np
import pytest

from harness.measure.tensors import describe, numbers, real
from harness.plan.cell import Quantization, TensorSpec


def spec(dtype: str, quantization: Quantization | None = None, name: str = "") -> TensorSpec:
    return TensorSpec(2, name, dtype, (2,), quantization=quantization)


def test_plain_numbers_are_not_copied() -> None:
    array = np.array([1.0, 2.0], np.float32)
    assert numbers(array, spec("float32")) is array


def test_real_values_of_quantised_tensors() -> None:
    stored = np.array([[0, 128], [255, 130]], np.uint8)
    assert real(stored, spec("uint8", Quantization((0.5,), (128,)))).tolist() == [[-64.0, 0.0], [63.5, 1.0]]
    per_channel = Quantization((0.5, 2.0), (0, 128), axis=1)
    assert real(stored, spec("uint8", per_channel)).tolist() == [[0.0, 0.0], [127.5, 4.0]]
    shared_zero = Quantization((0.5, 2.0), (128,), axis=0)
    assert real(stored, spec("uint8", shared_zero)).tolist() == [[-64.0, 0.0], [254.0, 4.0]]


def test_real_values_of_other_tensors_are_as_stored() -> None:
    assert real(np.array([1, 2], np.int32), spec("int32")).tolist() == [1.0, 2.0]
    # A float tensor of a quantised model is real already.
    assert real(np.array([1, 2], np.float16), spec("float16", Quantization((0.5,), (0,)))).tolist() == [1.0, 2.0]
    assert real(np.array([True, False]), spec("bool")).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["int4", "uint4", "float8_e4m3fn", "bfloat16"])
def test_narrow_extension_types(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1, 2], dtype=getattr(ml_dtypes, name))
    found = numbers(array, spec(name))
    assert found.dtype == (np.int8 if "int4" in name else np.float32)
    assert found.tolist() == [1.0, 2.0]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"output 2 \('words'\) is of type object: only numbers"):
        numbers(np.array([b"a"], dtype=object), spec("string", name="words"))
    assert describe(spec("string")) == "output 2"
