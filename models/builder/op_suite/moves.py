"""Operators that move elements about: the answer is made of the input's own values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.builder import layers
from models.builder.graph import Graph, Quantization, Tensor, options
from models.builder.op_suite.case import BATCH, ODD, PLAIN, Maker, Shape, drawn, scalar


def _reshape(graph: Graph, shape: Shape) -> Tensor:
    height, width, channels = shape[1:]
    return layers.reshape(graph, graph.input("x", shape), (shape[0], width, channels, height), name="y")


def _reshape_rank(graph: Graph, shape: Shape) -> Tensor:
    return layers.reshape(graph, graph.input("x", shape), (shape[0], math.prod(shape[1:])), name="y")


def _transpose(order: tuple[int, ...], graph: Graph, shape: Shape) -> Tensor:
    inputs = (graph.input("x", shape), graph.ints("order", *order))
    return graph.op("TRANSPOSE", inputs, [shape[axis] for axis in order], options("TransposeOptions"), name="y")


def _pad(code: str, graph: Graph, shape: Shape, *, channels: tuple[int, int] = (0, 0)) -> Tensor:
    amounts = ((0, 0), (1, 2), (2, 1), channels)
    inputs = [graph.input("x", shape), graph.constant("amounts", np.array(amounts, dtype=np.int32))]
    table = options("PadOptions")
    if code == "PADV2":
        inputs.append(scalar(graph, "value", -1.5, "float32"))
        table = options("PadV2Options")
    padded = [size + before + after for size, (before, after) in zip(shape, amounts, strict=True)]
    return graph.op(code, inputs, padded, table, name="y")


def _mirror_pad(graph: Graph, shape: Shape) -> Tensor:
    """Reflects; a side of 1 has nothing to reflect."""
    ends = [(0, 0), *((min(1, size - 1), min(2, size - 1)) for size in shape[1:3]), (0, 0)]
    inputs = (graph.input("x", shape), graph.constant("amounts", np.array(ends, dtype=np.int32)))
    padded = [size + before + after for size, (before, after) in zip(shape, ends, strict=True)]
    table = options("MirrorPadOptions", mode=schema.MirrorPadMode.REFLECT)
    return graph.op("MIRROR_PAD", inputs, padded, table, name="y")


def _concatenation(axis: int, graph: Graph, shape: Shape, *, parts: int = 2) -> Tensor:
    """Parts that differ in size along the axis."""
    sizes = [shape[axis] + part for part in range(parts)]
    inputs = [
        graph.input("abcdef"[part], [size if at == axis else shape[at] for at in range(4)])
        for part, size in enumerate(sizes)
    ]
    return layers.concatenation(graph, inputs, axis, name="y")


def _slice(graph: Graph, shape: Shape) -> Tensor:
    begin = [0, *(min(1, size - 1) for size in shape[1:])]
    size = [whole - start for whole, start in zip(shape, begin, strict=True)]
    inputs = (graph.input("x", shape), graph.ints("begin", *begin), graph.ints("size", *size))
    return graph.op("SLICE", inputs, size, options("SliceOptions"), name="y")


def _strided_slice(graph: Graph, shape: Shape) -> Tensor:
    begin = [0, min(1, shape[1] - 1), 0, 0]
    strides = (1, 2, 3, 2)
    out = [-(-(size - start) // step) for size, start, step in zip(shape, begin, strides, strict=True)]
    inputs = (graph.input("x", shape), graph.ints("begin", *begin), graph.ints("end", *shape))
    return graph.op("STRIDED_SLICE", (*inputs, graph.ints("strides", *strides)), out, options("StridedSliceOptions"),
                    name="y")  # fmt: skip


def _split(graph: Graph, shape: Shape, *, axis: int = 3) -> list[Tensor]:
    """Into halves, thirds, or one part where the size is 1."""
    count = next(parts for parts in (2, 3, 1) if shape[axis] % parts == 0)
    out = tuple(size // count if at == axis else size for at, size in enumerate(shape))
    inputs = (scalar(graph, "axis", axis), graph.input("x", shape))
    table = options("SplitOptions", numSplits=count)
    return graph.op_many("SPLIT", inputs, [out] * count, table, dtypes=["float32"] * count)


def _split_v(graph: Graph, shape: Shape) -> list[Tensor]:
    channels = shape[3]
    sizes = [1, channels - 1] if channels > 1 else [1]
    inputs = (graph.input("x", shape), graph.ints("sizes", *sizes), scalar(graph, "axis", 3))
    table = options("SplitVOptions", numSplits=len(sizes))
    return graph.op_many("SPLIT_V", inputs, [(*shape[:3], size) for size in sizes], table)


def _pack(graph: Graph, shape: Shape) -> Tensor:
    """Of pictures without batch, so that the result has four dimensions."""
    inputs = [graph.input(name, shape[1:]) for name in "abc"]
    return graph.op("PACK", inputs, (3, *shape[1:]), options("PackOptions", axis=0, valuesCount=3), name="y")


def _unpack(graph: Graph, shape: Shape) -> list[Tensor]:
    """Into the rows."""
    shapes = [(shape[0], *shape[2:])] * shape[1]
    return graph.op_many("UNPACK", (graph.input("x", shape),), shapes, options("UnpackOptions", axis=1, num=shape[1]))


def _tile(graph: Graph, shape: Shape) -> Tensor:
    times = (1, 2, 1, 3)
    inputs = (graph.input("x", shape), graph.ints("times", *times))
    out = [size * count for size, count in zip(shape, times, strict=True)]
    return graph.op("TILE", inputs, out, options("TileOptions"), name="y")


def _depth_to_space(graph: Graph, shape: Shape) -> Tensor:
    """Of four times the channels."""
    batch, height, width, channels = shape
    x = graph.input("x", (batch, height, width, 4 * channels))
    table = options("DepthToSpaceOptions", blockSize=2)
    return graph.op("DEPTH_TO_SPACE", (x,), (batch, 2 * height, 2 * width, channels), table, name="y")


def _space_to_depth(graph: Graph, shape: Shape) -> Tensor:
    """Of twice the sides."""
    batch, height, width, channels = shape
    x = graph.input("x", (batch, 2 * height, 2 * width, channels))
    table = options("SpaceToDepthOptions", blockSize=2)
    return graph.op("SPACE_TO_DEPTH", (x,), (batch, height, width, 4 * channels), table, name="y")


def _gather(axis: int, graph: Graph, shape: Shape) -> Tensor:
    chosen = [shape[axis] - 1, 0, shape[axis] // 2]
    inputs = (graph.input("x", shape), graph.ints("indices", *chosen))
    out = [3 if at == axis else size for at, size in enumerate(shape)]
    return graph.op("GATHER", inputs, out, options("GatherOptions", axis=axis), name="y")


def _embedding_lookup(graph: Graph, shape: Shape) -> Tensor:
    table = graph.constant("table", drawn(10, shape[3]))  # generated integers are 0 to 9
    ids = graph.input("ids", (shape[1],), "int32")
    return graph.op("EMBEDDING_LOOKUP", (ids, table), (shape[1], shape[3]), name="y", dtype="float32")


def _one_hot(graph: Graph, shape: Shape) -> Tensor:
    depth = 10
    inputs = (
        graph.input("indices", shape[:3], "int32"),
        scalar(graph, "depth", depth),
        scalar(graph, "on", 1.0, "float32"),
        scalar(graph, "off", -1.0, "float32"),
    )
    table = options("OneHotOptions", axis=-1)
    return graph.op("ONE_HOT", inputs, (*shape[:3], depth), table, name="y", dtype="float32")


def _reverse(graph: Graph, shape: Shape) -> Tensor:
    inputs = (graph.input("x", shape), graph.ints("axes", 2))
    return graph.op("REVERSE_V2", inputs, shape, options("ReverseV2Options"), name="y")


def _update_slice(graph: Graph, shape: Shape, *, constant: bool = False) -> Tensor:
    """One row; the place, where it is an input, is moved to where the patch fits."""
    patch = graph.input("patch", (shape[0], 1, shape[2], shape[3]))
    at = graph.ints("at", 0, shape[1] - 1, 0, 0) if constant else graph.input("at", (4,), "int32")
    inputs = (graph.input("x", shape), patch, at)
    table = options("DynamicUpdateSliceOptions")
    return graph.op("DYNAMIC_UPDATE_SLICE", inputs, shape, table, name="y", dtype="float32")


def _bitcast(graph: Graph, shape: Shape) -> Tensor:
    return graph.op("BITCAST", (graph.input("x", shape),), shape, options("BitcastOptions"), name="y", dtype="int32")


_STEP = Quantization((1 / 64,), (5,))


def _quantize(graph: Graph, shape: Shape) -> Tensor:
    x = graph.input("x", shape)
    return graph.op("QUANTIZE", (x,), shape, options("QuantizeOptions"), name="y", dtype="int8", quantization=_STEP)


def _dequantize(graph: Graph, shape: Shape) -> Tensor:
    x = graph.input("x", shape, "int8", quantization=_STEP)
    return graph.op("DEQUANTIZE", (x,), shape, options("DequantizeOptions"), name="y", dtype="float32")


MAKERS: Mapping[str, Maker] = {
    "BITCAST": _bitcast,
    "CONCATENATION": partial(_concatenation, 3),
    "DEPTH_TO_SPACE": _depth_to_space,
    "DEQUANTIZE": _dequantize,
    "DYNAMIC_UPDATE_SLICE": _update_slice,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "GATHER": partial(_gather, 2),
    "MIRROR_PAD": _mirror_pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": partial(_pad, "PAD"),
    "PADV2": partial(_pad, "PADV2"),
    "QUANTIZE": _quantize,
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": partial(_transpose, (0, 2, 3, 1)),
    "UNPACK": _unpack,
}
"""Operators that compute nothing, or next to nothing."""

EXTRA: Mapping[str, tuple[Maker, Shape]] = {
    "concatenation.four": (partial(_concatenation, 3, parts=4), ODD),
    "concatenation.rows": (partial(_concatenation, 1), ODD),
    "concatenation.batch_axis": (partial(_concatenation, 0), ODD),
    "dynamic_update_slice.constant": (partial(_update_slice, constant=True), ODD),
    "gather.channels": (partial(_gather, 3), ODD),
    "pad.channels": (partial(_pad, "PAD", channels=(1, 2)), ODD),
    "reshape.to_rank_2": (_reshape_rank, ODD),
    "split.rows": (partial(_split, axis=1), PLAIN),
    "transpose.batch": (partial(_transpose, (3, 0, 1, 2)), BATCH),
    "transpose.sides": (partial(_transpose, (0, 2, 1, 3)), ODD),
}
"""Further cases, by name, with their shape."""
