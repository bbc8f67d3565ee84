"""Small models that each stand on one side of one rule: what a GPU takes, and beside it what it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.builder.graph import Array, Graph, Quantization, Tensor, options

_SHAPE = (1, 4, 4, 8)
_INT8 = Quantization((0.1,), (0,))


def _graph() -> Graph:
    return Graph("probe", "one rule of a GPU delegate")


def _floats(*shape: int) -> Array:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _one(
    code: str,
    table: object = None,
    *,
    shape: Sequence[int] = _SHAPE,
    dtype: str = "float32",
    out: Sequence[int] | None = None,
    out_dtype: str | None = None,
    version: int = 1,
    more: Callable[[Graph], Sequence[Tensor]] = lambda graph: (),
) -> bytes:
    """One operation on one input; `more` are its further inputs."""
    graph = _graph()
    data = graph.input("x", shape, dtype)
    graph.output(graph.op(code, [data, *more(graph)], out or shape, table, name="y", dtype=out_dtype, version=version))
    return graph.to_bytes()


def _two(
    code: str, table: object = None, *, other: Sequence[int] = _SHAPE, dtype: str = "float32", **more: str
) -> bytes:
    """One operation on two inputs."""
    return _one(
        code, table, dtype=dtype, out_dtype=more.get("out_dtype"), more=lambda graph: [graph.input("z", other, dtype)]
    )


def _ints(
    *values: int, shape: Sequence[int] | None = None, dtype: str = "int32"
) -> Callable[[Graph], Sequence[Tensor]]:
    """One integer constant as a further input."""
    return lambda graph: [graph.constant("c", np.array(values, dtype=dtype).reshape(shape or (len(values),)))]


def _strided(
    begin: Sequence[int],
    end: Sequence[int],
    step: Sequence[int],
    out: Sequence[int],
    *,
    version: int = 1,
    shape: Sequence[int] = _SHAPE,
    dtype: str = "float32",
    **masks: int,
) -> bytes:
    table = options("StridedSliceOptions", **masks)
    return _one(
        "STRIDED_SLICE", table, shape=shape, dtype=dtype, out=out, version=version,
        more=lambda graph: [graph.ints("b", *begin), graph.ints("e", *end), graph.ints("s", *step)],
    )  # fmt: skip


def _twice(code: str) -> bytes:
    graph = _graph()
    data = graph.input("x", _SHAPE)
    graph.output(graph.op(code, [data, data], _SHAPE, name="y"))
    return graph.to_bytes()


def _halves(tail: bool) -> bytes:
    """A convolution with float16 weights behind DEQUANTIZE; `tail`: and an operation that no GPU takes."""
    graph = _graph()
    data = graph.input("x", _SHAPE)
    stored = graph.constant("w16", _floats(8, 1, 1, 8).astype(np.float16))
    weights = graph.op("DEQUANTIZE", [stored], (8, 1, 1, 8), options("DequantizeOptions"), name="w", dtype="float32")
    bias = graph.constant("b", np.zeros(8, np.float32))
    table = options("Conv2DOptions", strideW=1, strideH=1)
    result = graph.op("CONV_2D", [data, weights, bias], _SHAPE, table, name="y")
    if tail:
        result = graph.op("LOCAL_RESPONSE_NORMALIZATION", [result], _SHAPE, name="n")
    graph.output(result)
    return graph.to_bytes()


def _islands() -> bytes:
    """Two nodes for the GPU, one that it refuses, three for the GPU: two parts, of which it takes the larger."""
    graph = _graph()
    tensor = graph.input("x", _SHAPE)
    for code in ("RELU", "TANH", "LOCAL_RESPONSE_NORMALIZATION", "RELU6", "EXP", "ABS"):
        tensor = graph.op(code, [tensor], _SHAPE, name=f"{code}_out")
    graph.output(tensor)
    return graph.to_bytes()


def _branches() -> bytes:
    """A refused branch beside an accepted one: what does not depend on the refused node stays one part."""
    graph = _graph()
    data = graph.input("x", _SHAPE)
    first = graph.op("RELU", [data], _SHAPE, name="first")
    refused = graph.op("LOCAL_RESPONSE_NORMALIZATION", [first], _SHAPE, name="refused")
    other = graph.op("EXP", [graph.op("TANH", [first], _SHAPE, name="t")], _SHAPE, name="other")
    graph.output(graph.op("MUL", [refused, other], _SHAPE, options("MulOptions"), name="y"))
    return graph.to_bytes()


def _connected(shape: Sequence[int], out: Sequence[int], **fields: object) -> bytes:
    units, depth = out[-1], shape[-1]
    table = options("FullyConnectedOptions", **fields)
    return _one(
        "FULLY_CONNECTED", table, shape=shape, out=out, more=lambda graph: [graph.constant("w", _floats(units, depth))]
    )


def _prelu(alpha: Sequence[int]) -> bytes:
    return _one("PRELU", more=lambda graph: [graph.constant("a", _floats(*alpha))])


def _reshape_computed() -> bytes:
    return _one("RESHAPE", shape=(1, 8), out=(2, 4), more=lambda graph: [graph.input("shape", (2,), "int32")])


def _padded(mode: int | None, pairs: int) -> bytes:
    shape = _SHAPE[-pairs:] if pairs < 4 else (1,) * (pairs - 4) + _SHAPE
    out = (*shape[:-2], shape[-2] + 2, shape[-1])
    values = np.zeros((pairs, 2), np.int32)
    values[-2] = 1
    table = options("PadOptions") if mode is None else options("MirrorPadOptions", mode=mode)
    return _one(
        "PAD" if mode is None else "MIRROR_PAD", table, shape=shape, out=out,
        more=lambda graph: [graph.constant("p", values)],
    )  # fmt: skip


def _quantised_add() -> bytes:
    graph = _graph()
    data, other = (graph.input(name, _SHAPE, "int8", quantization=_INT8) for name in ("x", "z"))
    graph.output(graph.op("ADD", [data, other], _SHAPE, options("AddOptions"), name="y", quantization=_INT8))
    return graph.to_bytes()


def _connected_uint8() -> bytes:
    graph = _graph()
    data = graph.input("x", (1, 8), "uint8", quantization=Quantization((0.1,), (128,)))
    weights = graph.constant("w", np.arange(32, dtype=np.uint8).reshape(4, 8), quantization=Quantization((0.1,), (16,)))
    table = options("FullyConnectedOptions")
    graph.output(
        graph.op("FULLY_CONNECTED", [data, weights], (1, 4), table, name="y", quantization=Quantization((1.0,), (128,)))
    )
    return graph.to_bytes()


def _selected(condition: Sequence[int], branch: Sequence[int]) -> bytes:
    graph = _graph()
    chosen = graph.input("c", condition, "bool")
    first, second = graph.input("x", _SHAPE), graph.constant("z", _floats(*branch))
    graph.output(graph.op("SELECT_V2", [chosen, first, second], _SHAPE, name="y", dtype="float32"))
    return graph.to_bytes()


def _axis_int(code: str, table: str, axis: int, out: Sequence[int]) -> bytes:
    return _one(code, options(table), out=out, more=_ints(axis))


def _resize(**flags: bool) -> bytes:
    return _one("RESIZE_BILINEAR", options("ResizeBilinearOptions", **flags), out=(1, 8, 8, 8), more=_ints(8, 8))


def _argmax(dtype: str, code: int) -> bytes:
    table = options("ArgMaxOptions", outputType=code)
    return _one("ARG_MAX", table, out=_SHAPE[:3], out_dtype=dtype, more=_ints(3, shape=()))


def _shape_of_another(join: str) -> bytes:
    """RESHAPE to a shape that is put together of another tensor's, by CONCATENATION or PACK."""
    graph = _graph()
    data, other = graph.input("x", (2, 4)), graph.input("z", (4, 2))
    shape = graph.op("SHAPE", [other], (2,), options("ShapeOptions", outType=2), name="shape", dtype="int32")
    ends = [graph.ints("b", 0), graph.ints("e", 1), graph.ints("s", 1)]
    if join == "PACK":
        table = options("StridedSliceOptions", shrinkAxisMask=1)
        parts = [graph.op("STRIDED_SLICE", [shape, *ends], (), table, name="rows")]
        parts.append(graph.constant("two", np.array(2, np.int32)))
        joined = graph.op("PACK", parts, (2,), options("PackOptions", valuesCount=2), name="joined")
    else:
        parts = [graph.op("STRIDED_SLICE", [shape, *ends], (1,), options("StridedSliceOptions"), name="rows")]
        parts.append(graph.ints("two", 2))
        joined = graph.op("CONCATENATION", parts, (2,), options("ConcatenationOptions"), name="joined")
    graph.output(graph.op("RESHAPE", [data, joined], (4, 2), options("ReshapeOptions"), name="y"))
    return graph.to_bytes()


PROBES: Mapping[str, Callable[[], bytes]] = {
    "relu.v2": lambda: _one("RELU", version=2),
    "relu.v3": lambda: _one("RELU", version=3),
    "abs.v5": lambda: _one("ABS", version=5),
    "strided_slice.v2": lambda: _strided((0, 0, 0, 0), (1, 4, 4, 4), (1, 1, 1, 1), (1, 4, 4, 4), version=2),
    "strided_slice.v3": lambda: _strided((0, 0, 0, 0), (1, 4, 4, 4), (1, 1, 1, 1), (1, 4, 4, 4), version=3),
    "strided_slice.shrink": lambda: _strided((0, 0, 0, 0), (1, 4, 4, 8), (1, 1, 1, 1), (4, 4, 8), shrinkAxisMask=1),
    "strided_slice.new_axis": lambda: _strided(
        (0, 0, 0), (4, 4, 8), (1, 1, 1), (1, 4, 4, 8), shape=(4, 4, 8), newAxisMask=1
    ),
    "strided_slice.ellipsis": lambda: _strided((0, 0), (0, 4), (1, 1), (1, 4, 4, 4), ellipsisMask=1),
    "strided_slice.backwards": lambda: _strided((0, 3, 0, 0), (1, -5, 4, 8), (1, -1, 1, 1), _SHAPE),
    "strided_slice.two_dimensions": lambda: _strided((0, 0), (2, 4), (1, 1), (2, 4), shape=(2, 8)),
    "strided_slice.int16": lambda: _strided((0, 0, 0, 0), (1, 4, 4, 4), (1, 1, 1, 1), (1, 4, 4, 4), dtype="int16"),
    "strided_slice.int64": lambda: _strided((0, 0, 0, 0), (1, 4, 4, 4), (1, 1, 1, 1), (1, 4, 4, 4), dtype="int64"),
    "softmax.beta_1": lambda: _one("SOFTMAX", options("SoftmaxOptions", beta=1.0)),
    "softmax.beta_2": lambda: _one("SOFTMAX", options("SoftmaxOptions", beta=2.0)),
    "gather.1d": lambda: _one("GATHER", options("GatherOptions", axis=3), out=(1, 4, 4, 2), more=_ints(1, 5)),
    "gather.2d": lambda: _one(
        "GATHER", options("GatherOptions", axis=2), shape=(1, 4, 8), out=(1, 4, 1, 2), more=_ints(1, 5, shape=(1, 2))
    ),
    "gather.int64": lambda: _one(
        "GATHER", options("GatherOptions", axis=3), out=(1, 4, 4, 2), more=_ints(1, 5, dtype="int64")
    ),
    "pad.4": lambda: _padded(None, 4),
    "pad.3": lambda: _padded(None, 3),
    "pad.2": lambda: _padded(None, 2),
    "mirror_pad.reflect": lambda: _padded(0, 4),
    "mirror_pad.symmetric": lambda: _padded(1, 4),
    "mean.keeps": lambda: _axis_int("MEAN", "ReducerOptions", 3, (1, 4, 4)),
    "sum.axis_0": lambda: _axis_int("SUM", "ReducerOptions", 0, (4, 4, 8)),
    "arg_max.int32": lambda: _argmax("int32", 2),
    "arg_max.int64": lambda: _argmax("int64", 4),
    "add.same_twice": lambda: _twice("ADD"),
    "sub.same_twice": lambda: _twice("SUB"),
    "maximum.same_twice": lambda: _twice("MAXIMUM"),
    "add.five_dimensions": lambda: _one("ADD", shape=(1, 2, 3, 4, 5), more=lambda g: [g.input("z", (1, 2, 3, 4, 5))]),
    "add.other_rank": lambda: _two("ADD", options("AddOptions"), other=(4, 8)),
    "add.computed_scalar": lambda: _two("ADD", options("AddOptions"), other=()),
    "sub.computed_scalar": lambda: _two("SUB", options("SubOptions"), other=()),
    "add.int32": lambda: _two("ADD", options("AddOptions"), dtype="int32"),
    "add.int64": lambda: _two("ADD", options("AddOptions"), dtype="int64"),
    "squared_difference.int32": lambda: _two("SQUARED_DIFFERENCE", dtype="int32"),
    "exp.five_dimensions": lambda: _one("EXP", shape=(1, 2, 2, 2, 2)),
    "mul.constant_int64": lambda: _one("MUL", options("MulOptions"), dtype="int64", more=_ints(3, dtype="int64")),
    "greater.bool": lambda: _two("GREATER", out_dtype="bool"),
    "cast.to_int32": lambda: _one("CAST", options("CastOptions"), out_dtype="int32"),
    "cast.to_int64": lambda: _one("CAST", options("CastOptions"), out_dtype="int64"),
    "cast.from_bool": lambda: _one("CAST", options("CastOptions"), dtype="bool", out_dtype="float32"),
    "transpose.4": lambda: _one("TRANSPOSE", out=(1, 8, 4, 4), more=_ints(0, 3, 1, 2)),
    "transpose.5": lambda: _one("TRANSPOSE", shape=(1, 2, 3, 4, 5), out=(1, 5, 2, 3, 4), more=_ints(0, 4, 1, 2, 3)),
    "transpose.1": lambda: _one("TRANSPOSE", shape=(8,), out=(8,), more=_ints(0)),
    "prelu.channels": lambda: _prelu((1, 1, 8)),
    "prelu.whole": lambda: _prelu((4, 4, 8)),
    "prelu.one": lambda: _prelu((1,)),
    "prelu.rows": lambda: _prelu((4, 1, 1)),
    "resize.align": lambda: _resize(alignCorners=True),
    "resize.half": lambda: _resize(halfPixelCenters=True),
    "space_to_depth.2": lambda: _one("SPACE_TO_DEPTH", options("SpaceToDepthOptions", blockSize=2), out=(1, 2, 2, 32)),
    "space_to_depth.1": lambda: _one("SPACE_TO_DEPTH", options("SpaceToDepthOptions", blockSize=1)),
    "fully_connected.2d": lambda: _connected((1, 8), (1, 4)),
    "fully_connected.kept": lambda: _connected((1, 4, 8), (1, 4, 4), keepNumDims=True),
    "fully_connected.uint8": _connected_uint8,
    "add.int8": _quantised_add,
    "select.same": lambda: _selected(_SHAPE, _SHAPE),
    "select.row": lambda: _selected(_SHAPE, (1, 1, 1, 8)),
    "slice.int8": lambda: _one(
        "SLICE", dtype="int8", out=(1, 4, 4, 4), more=lambda g: [g.ints("b", 0, 0, 0, 2), g.ints("s", 1, 4, 4, 4)]
    ),
    "reshape.computed": _reshape_computed,
    "reshape.concatenated": lambda: _shape_of_another("CONCATENATION"),
    "reshape.packed": lambda: _shape_of_another("PACK"),
    "reverse.axis": lambda: _one("REVERSE_V2", more=_ints(2)),
    "one_hot.last": lambda: _one(
        "ONE_HOT",
        options("OneHotOptions", axis=-1),
        shape=(1, 4),
        dtype="int32",
        out=(1, 4, 5),
        out_dtype="float32",
        more=lambda g: [
            g.constant("d", np.array(5, np.int32)),
            g.constant("on", np.array(1, np.float32)),
            g.constant("off", np.array(0, np.float32)),
        ],
    ),
    "leaky_relu": lambda: _one("LEAKY_RELU", options("LeakyReluOptions", alpha=0.1)),
    "squeeze": lambda: _one("SQUEEZE", options("SqueezeOptions", squeezeDims=[0]), out=(4, 4, 8)),
    "expand_dims": lambda: _one("EXPAND_DIMS", shape=(4, 4, 8), out=_SHAPE, more=_ints(0, shape=())),
    "log_softmax": lambda: _one("LOG_SOFTMAX", shape=(1, 8)),
    "l2_normalization": lambda: _one("L2_NORMALIZATION", options("L2NormOptions")),
    "tile": lambda: _one("TILE", out=(1, 4, 4, 16), more=_ints(1, 1, 1, 2)),
    "broadcast_to": lambda: _one("BROADCAST_TO", version=2, shape=(1, 1, 1, 8), out=_SHAPE, more=_ints(*_SHAPE)),
    "space_to_batch": lambda: _one(
        "SPACE_TO_BATCH_ND",
        out=(4, 2, 2, 8),
        more=lambda g: [g.ints("b", 2, 2), g.constant("p", np.zeros((2, 2), np.int32))],
    ),
    "halves.all": lambda: _halves(tail=False),
    "halves.partial": lambda: _halves(tail=True),
    "islands": _islands,
    "branches": _branches,
}
"""Models by name; the part before the dot is the rule's operation."""
