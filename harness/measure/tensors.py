"""Tensors as numbers: which element types can be compared, and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.plan.cell import TensorSpec

Array = NDArray[Any]
Samples = Sequence[Sequence[Array]]
"""Output tensors: one sequence per sample, one array per output in it."""

# Extension types of numpy (kind "V") that hold small numbers, exactly.
_SMALL_FLOATS = ("bfloat16", "float8", "float6", "float4")
_SMALL_INTEGERS = ("int4", "uint4", "int2", "uint2")


def describe(spec: TensorSpec) -> str:
    """An output as messages name it: its position, and its name if it has one."""
    return f"output {spec.index} ({spec.name!r})" if spec.name else f"output {spec.index}"


def is_bfloat16(array: Array, spec: TensorSpec) -> bool:
    """Whether a tensor holds bfloat16, as an extension type or as raw 16-bit words."""
    if array.dtype.kind == "V":
        return array.dtype.name == "bfloat16"
    return spec.dtype == "bfloat16" and array.dtype == np.uint16


def numbers(array: Array, spec: TensorSpec) -> Array:
    """The stored values of a tensor, in an element type that numpy computes with.

    Integers and floats stay as they are (no copy), booleans become 0 and 1, bfloat16 (also as raw 16-bit
    words) and narrower floats become float32, integers of 2 and 4 bits become int8, and a complex element becomes
    its real and imaginary part, side by side on a new last axis.

    Raises:
        ValueError: the tensor does not hold numbers (strings, say).
    """
    kind = array.dtype.kind
    if is_bfloat16(array, spec) and kind == "u":
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if kind in "fiu":
        return array
    if kind == "b":
        return array.view(np.uint8)
    if kind == "c":
        return np.stack([array.real, array.imag], axis=-1)
    if kind == "V" and array.dtype.name.startswith(_SMALL_FLOATS):
        return array.astype(np.float32)
    if kind == "V" and array.dtype.name.startswith(_SMALL_INTEGERS):
        return array.astype(np.int8)
    raise ValueError(f"{describe(spec)} is of type {array.dtype.name}: only numbers and booleans can be compared")


def real(array: Array, spec: TensorSpec) -> NDArray[np.float64]:
    """The values that a tensor stands for: real = scale * (stored - zero_point) if quantised, else as stored.

    Raises:
        ValueError: as `numbers`.
    """
    values = numbers(array, spec).astype(np.float64)
    quantization = spec.quantization
    if quantization is None or array.dtype.kind not in "iu":
        return values
    scales, zeros = np.array(quantization.scales), np.array(quantization.zero_points, dtype=np.float64)
    if scales.size > 1:
        shape = [1] * values.ndim
        shape[quantization.axis] = scales.size
        scales = scales.reshape(shape)
        zeros = zeros.reshape(shape) if zeros.size > 1 else zeros
    result: NDArray[np.float64] = (values - zeros) * scales
    return result
