"""Constants that a model keeps packed (float16, quantised, sparse), unpacked here.

Runtimes fold the operations that do it away and then show nothing, or rubbish, as their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.localise.graph import Node
from harness.localise.task import Array

_DENSE = 0
_DTYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4"}


def unpack(model: Any, graph: Any, feeders: Sequence[Node], types: Sequence[str]) -> Mapping[int, Array]:  # noqa: ANN401
    """Values of what operations on constants make, by tensor, in the dtype of that tensor.

    Args:
        model: unpacked with the schema's object API.
        graph: its subgraph.
        feeders: operations on constants, in order.
        types: element types of the subgraph's tensors.

    Returns:
        The values. Those that are not of DEQUANTIZE or DENSIFY, or of types not known here, are left out.
    """
    found: dict[int, Array] = {}
    for node in feeders:
        source, made = node.inputs[0], node.outputs[0]
        tensor = graph.tensors[source]
        values = found.get(source)
        if values is None:
            values = _stored(model.buffers[tensor.buffer].data, types[source])
        if values is None or types[made] not in _DTYPES:
            continue
        if node.type == "DENSIFY" and tensor.sparsity is not None:
            found[made] = _dense(values, _shape(tensor), tensor.sparsity)
        elif node.type == "DEQUANTIZE" and types[made] == "FLOAT32":
            found[made] = _dequantised(values.reshape(_shape(tensor)), tensor.quantization)
    return found


def _shape(tensor: Any) -> list[int]:  # noqa: ANN401 - the schema's classes have no types
    return [int(size) for size in tensor.shape] if tensor.shape is not None else []


def _stored(data: Any, kind: str) -> Array | None:  # noqa: ANN401 - an array, a list or None
    if data is None or kind not in _DTYPES:
        return None
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[kind])


def _dequantised(values: Array, quantization: Any) -> Array:  # noqa: ANN401
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scales = np.array(quantization.scale, np.float32)
    zeros = np.array(quantization.zeroPoint, np.float32)
    if scales.size > 1:
        shape = [1] * values.ndim
        shape[quantization.quantizedDimension] = scales.size
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    unpacked: Array = (values.astype(np.float32) - zeros) * scales
    return unpacked


def _dense(values: Array, shape: Sequence[int], sparsity: Any) -> Array:  # noqa: ANN401
    """A sparse constant as a dense one (format: the `SparsityParameters` of TFLite's schema).

    The dimensions, and after them the inner dimensions of blocks, are walked in the traversal order. A dense one has
    all its indices, a compressed one those that its segments list.
    """
    order = [int(dimension) for dimension in sparsity.traversalOrder]
    blocked = [int(dimension) for dimension in sparsity.blockMap] if sparsity.blockMap is not None else []
    levels = sparsity.dimMetadata
    places = np.zeros((1, len(order)), np.int64)  # one row per element so far: its index in each dimension
    segments = np.zeros(1, np.int64)  # where each element is within its level
    sizes = [0] * len(order)
    for dimension, level in zip(order, levels, strict=True):
        if level.format == _DENSE:
            size = int(level.denseSize)
            counts = np.full(len(places), size)
            indices = np.tile(np.arange(size), len(places))
            inner = np.repeat(segments * size, size) + indices
        else:
            starts = np.array(level.arraySegments.values, np.int64)
            listed = np.array(level.arrayIndices.values, np.int64)
            counts = starts[segments + 1] - starts[segments]
            inner = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in segments])
            indices = listed[inner]
        places = np.repeat(places, counts, axis=0)
        places[:, dimension] = indices
        segments = inner
        sizes[dimension] = int(level.denseSize) if level.format == _DENSE else 0
    rank = len(shape)
    for inner_dimension, outer in enumerate(blocked):
        block = sizes[rank + inner_dimension]
        places[:, outer] = places[:, outer] * block + places[:, rank + inner_dimension]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(places[:, :rank].T)] = values[: len(places)]
    return dense
