"""Operators that add up or compare many elements: convolutions, pools, reductions, resizing, attention's parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ai_edge_litert import schema_py_generated as schema

from models.builder import layers
from models.builder.graph import Graph, Tensor, options
from models.builder.op_suite.case import ODD, PLAIN, Maker, Shape, drawn, scalar

_OUT = 3  # output channels: no multiple of 4


def _conv(graph: Graph, shape: Shape, *, kernel: int = 3, stride: int = 1, dilation: int = 1, padding: str = "SAME",
          out: int = _OUT, activation: str = "NONE") -> Tensor:  # fmt: skip
    weights = graph.constant("weights", drawn(out, kernel, kernel, shape[3]))
    return layers.conv_2d(
        graph, graph.input("x", shape), weights, graph.constant("bias", drawn(out)),
        name="y", stride=stride, dilation=dilation, padding=padding, activation=activation,
    )  # fmt: skip


def _depthwise(graph: Graph, shape: Shape, *, kernel: int = 3, stride: int = 1, dilation: int = 1,
               multiplier: int = 1, padding: str = "SAME") -> Tensor:  # fmt: skip
    out = shape[3] * multiplier
    weights = graph.constant("weights", drawn(1, kernel, kernel, out))
    return layers.depthwise_conv_2d(
        graph, graph.input("x", shape), weights, graph.constant("bias", drawn(out)),
        name="y", stride=stride, dilation=dilation, padding=padding,
    )  # fmt: skip


def _transpose_conv(graph: Graph, shape: Shape, *, kernel: int = 2, stride: int = 2) -> Tensor:
    weights = graph.constant("weights", drawn(_OUT, kernel, kernel, shape[3]))
    bias = graph.constant("bias", drawn(_OUT))
    return layers.transpose_conv(graph, graph.input("x", shape), weights, bias, stride=stride, name="y")


def _fully_connected(graph: Graph, shape: Shape) -> Tensor:
    """Of the shape, batch and channels count."""
    weights = graph.constant("weights", drawn(_OUT, shape[3]))
    x = graph.input("x", (shape[0], shape[3]))
    return layers.fully_connected(graph, x, weights, graph.constant("bias", drawn(_OUT)), name="y")


def _flattening(graph: Graph, shape: Shape) -> Tensor:
    """FULLY_CONNECTED that has to flatten its input."""
    inner = shape[1] * shape[2] * shape[3]
    weights, bias = graph.constant("weights", drawn(3, inner)), graph.constant("bias", drawn(3))
    inputs = (graph.input("x", shape), weights, bias)
    return graph.op("FULLY_CONNECTED", inputs, (shape[0], 3), options("FullyConnectedOptions"), name="y")


def _batch_matmul(graph: Graph, shape: Shape, *, transposed: bool = False) -> Tensor:
    batch, heads, rows, inner = shape
    b = graph.input("b", (batch, heads, _OUT, inner) if transposed else (batch, heads, inner, _OUT))
    table = options("BatchMatMulOptions", adjX=False, adjY=transposed)
    return graph.op("BATCH_MATMUL", (graph.input("a", shape), b), (batch, heads, rows, _OUT), table, name="y")


def _pool(code: str, graph: Graph, shape: Shape, *, size: int = 2, stride: int = 2, padding: str = "SAME") -> Tensor:
    x = graph.input("x", shape)
    return layers.pool_2d(graph, code, x, size=(size, size), stride=stride, padding=padding, name="y")


def _softmax(graph: Graph, shape: Shape) -> Tensor:
    return layers.softmax(graph, graph.input("x", shape), name="y")


def _softmax_row(graph: Graph, shape: Shape) -> Tensor:
    return layers.softmax(graph, graph.input("x", (shape[0], 37)), name="y")


def _reduce(code: str, axes: tuple[int, ...], graph: Graph, shape: Shape, *, keep: bool = True,
            dtype: str = "float32") -> Tensor:  # fmt: skip
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    dropped = [size for axis, size in enumerate(shape) if axis not in axes]
    inputs = (graph.input("x", shape, dtype), graph.ints("axes", *axes))
    return graph.op(code, inputs, kept if keep else dropped, options("ReducerOptions", keepDims=keep), name="y")


def _arg_max(graph: Graph, shape: Shape) -> Tensor:
    table = options("ArgMaxOptions", outputType=schema.TensorType.INT32)
    inputs = (graph.input("x", shape), scalar(graph, "axis", 3))
    return graph.op("ARG_MAX", inputs, shape[:3], table, name="y", dtype="int32")


def _cumsum(graph: Graph, shape: Shape, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    inputs = (graph.input("x", shape), scalar(graph, "axis", 3))
    return graph.op("CUMSUM", inputs, shape, options("CumsumOptions", exclusive=exclusive, reverse=reverse), name="y")


def _top_k(graph: Graph, shape: Shape) -> list[Tensor]:
    count = min(2, shape[3])
    inputs = (graph.input("x", shape), scalar(graph, "k", count))
    shapes = [(*shape[:3], count)] * 2
    return graph.op_many("TOPK_V2", inputs, shapes, options("TopKV2Options"), dtypes=["float32", "int32"])


def _resize(code: str, graph: Graph, shape: Shape, *, align: bool = False, half: bool = False,
            factor: tuple[int, int] = (2, 3)) -> Tensor:  # fmt: skip
    height, width = shape[1] * factor[0] - 1, shape[2] * factor[1] - 1
    name = "ResizeBilinearOptions" if code == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    table = options(name, alignCorners=align, halfPixelCenters=half)
    inputs = (graph.input("x", shape), graph.ints("size", height, width))
    out = (shape[0], height, width, shape[3])
    return graph.op(code, inputs, out, table, name="y", version=3 if half else 1)


MAKERS: Mapping[str, Maker] = {
    "ARG_MAX": _arg_max,
    "AVERAGE_POOL_2D": partial(_pool, "AVERAGE_POOL_2D"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "CUMSUM": _cumsum,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": partial(_pool, "MAX_POOL_2D"),
    "MEAN": partial(_reduce, "MEAN", (1, 2)),
    "REDUCE_ALL": partial(_reduce, "REDUCE_ALL", (3,), dtype="bool"),
    "REDUCE_ANY": partial(_reduce, "REDUCE_ANY", (2,), dtype="bool"),
    "REDUCE_MAX": partial(_reduce, "REDUCE_MAX", (1, 2)),
    "REDUCE_MIN": partial(_reduce, "REDUCE_MIN", (1, 2)),
    "REDUCE_PROD": partial(_reduce, "REDUCE_PROD", (3,)),
    "RESIZE_BILINEAR": partial(_resize, "RESIZE_BILINEAR"),
    "RESIZE_NEAREST_NEIGHBOR": partial(_resize, "RESIZE_NEAREST_NEIGHBOR"),
    "SOFTMAX": _softmax,
    "SUM": partial(_reduce, "SUM", (1, 2)),
    "TOPK_V2": _top_k,
    "TRANSPOSE_CONV": _transpose_conv,
}
"""Operators that many elements of the input go into each element of the output of."""

EXTRA: Mapping[str, tuple[Maker, Shape]] = {
    "average_pool_2d.3x3_valid": (partial(_pool, "AVERAGE_POOL_2D", size=3, stride=1, padding="VALID"), ODD),
    "average_pool_2d.3x3_same": (partial(_pool, "AVERAGE_POOL_2D", size=3), ODD),
    "batch_matmul.transposed": (partial(_batch_matmul, transposed=True), ODD),
    "conv_2d.1x1": (partial(_conv, kernel=1), ODD),
    "conv_2d.dilated": (partial(_conv, dilation=2), ODD),
    "conv_2d.stride2_relu6": (partial(_conv, stride=2, activation="RELU6"), ODD),
    "conv_2d.valid": (partial(_conv, padding="VALID", out=4), PLAIN),
    "cumsum.exclusive_reverse": (partial(_cumsum, exclusive=True, reverse=True), ODD),
    "depthwise_conv_2d.dilated": (partial(_depthwise, dilation=2), ODD),
    "depthwise_conv_2d.multiplier2": (partial(_depthwise, multiplier=2), ODD),
    "depthwise_conv_2d.stride2": (partial(_depthwise, stride=2), PLAIN),
    "depthwise_conv_2d.valid_5x5": (partial(_depthwise, kernel=5, padding="VALID"), ODD),
    "fully_connected.flattens_4d": (_flattening, ODD),
    "max_pool_2d.3x3_valid": (partial(_pool, "MAX_POOL_2D", size=3, stride=1, padding="VALID"), ODD),
    "mean.all": (partial(_reduce, "MEAN", (1, 2, 3)), ODD),
    "mean.channels": (partial(_reduce, "MEAN", (3,)), ODD),
    "mean.dropped": (partial(_reduce, "MEAN", (1, 2), keep=False), PLAIN),
    "reduce_max.channels": (partial(_reduce, "REDUCE_MAX", (3,)), ODD),
    "reduce_min.channels": (partial(_reduce, "REDUCE_MIN", (3,)), ODD),
    "resize_bilinear.align_corners": (partial(_resize, "RESIZE_BILINEAR", align=True), ODD),
    "resize_bilinear.half_pixel": (partial(_resize, "RESIZE_BILINEAR", half=True), ODD),
    "resize_nearest_neighbor.align_corners": (partial(_resize, "RESIZE_NEAREST_NEIGHBOR", align=True), ODD),
    "resize_nearest_neighbor.half_pixel": (partial(_resize, "RESIZE_NEAREST_NEIGHBOR", half=True), ODD),
    "softmax.row": (_softmax_row, PLAIN),
    "sum.channels": (partial(_reduce, "SUM", (3,)), ODD),
    "transpose_conv.3x3": (partial(_transpose_conv, kernel=3), PLAIN),
    "transpose_conv.3x3_odd": (partial(_transpose_conv, kernel=3), ODD),
    "transpose_conv.4x4_odd": (partial(_transpose_conv, kernel=4), ODD),
    "transpose_conv.5x5_odd": (partial(_transpose_conv, kernel=5), ODD),
    "transpose_conv.stride1_odd": (partial(_transpose_conv, kernel=3, stride=1), ODD),
}
"""Further cases, by name, with their shape."""
