"""Common operators over a `Graph`: each adds one node, works out the output's shape, and returns the output.

`name` is the output tensor's name. Activations are names of the schema's ActivationFunctionType ("NONE", "RELU6"),
paddings "SAME" or "VALID". A `quantization` or `dtype` left out is that of the first input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.builder.forward import Window
from models.builder.graph import Graph, Quantization, Tensor, options

# Tables whose only field that matters here is the fused activation.
_ELEMENTWISE = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}


def _activation(name: str) -> int:
    return int(getattr(schema.ActivationFunctionType, name))


def _padding(name: str) -> int:
    return int(getattr(schema.Padding, name))


def conv_2d(
    graph: Graph,
    x: Tensor,
    weights: Tensor,
    bias: Tensor,
    *,
    name: str | None = None,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
    activation: str = "NONE",
    quantization: Quantization | None = None,
) -> Tensor:
    """CONV_2D; weights [out, height, width, in]."""
    out, rows, columns, _ = weights.shape
    table = options(
        "Conv2DOptions",
        padding=_padding(padding),
        strideH=stride,
        strideW=stride,
        dilationHFactor=dilation,
        dilationWFactor=dilation,
        fusedActivationFunction=_activation(activation),
    )
    window = Window(rows, columns, stride, dilation, padding)
    shape = (x.shape[0], *window.output_size(x.shape[1], x.shape[2]), out)
    return graph.op("CONV_2D", (x, weights, bias), shape, table, name=name, quantization=quantization)


def depthwise_conv_2d(
    graph: Graph,
    x: Tensor,
    weights: Tensor,
    bias: Tensor,
    *,
    name: str | None = None,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
    activation: str = "NONE",
) -> Tensor:
    """DEPTHWISE_CONV_2D; weights [1, height, width, channels * multiplier]. Dilation needs operator version 2."""
    _, rows, columns, out = weights.shape
    table = options(
        "DepthwiseConv2DOptions",
        padding=_padding(padding),
        strideH=stride,
        strideW=stride,
        depthMultiplier=out // x.shape[3],
        dilationHFactor=dilation,
        dilationWFactor=dilation,
        fusedActivationFunction=_activation(activation),
    )
    window = Window(rows, columns, stride, dilation, padding)
    shape = (x.shape[0], *window.output_size(x.shape[1], x.shape[2]), out)
    version = 2 if dilation > 1 else 1
    return graph.op("DEPTHWISE_CONV_2D", (x, weights, bias), shape, table, name=name, version=version)


def transpose_conv(graph: Graph, x: Tensor, weights: Tensor, bias: Tensor, *, stride: int, name: str) -> Tensor:
    """TRANSPOSE_CONV with SAME padding and a bias (operator version 3); weights [out, height, width, in]."""
    batch, height, width, _ = x.shape
    shape = (batch, height * stride, width * stride, weights.shape[0])
    table = options("TransposeConvOptions", padding=_padding("SAME"), strideH=stride, strideW=stride)
    inputs = (graph.ints(f"{name}/shape", *shape), weights, x, bias)
    return graph.op("TRANSPOSE_CONV", inputs, shape, table, name=name, dtype=x.dtype, version=3)


def fully_connected(graph: Graph, x: Tensor, weights: Tensor, bias: Tensor, *, name: str | None = None) -> Tensor:
    """FULLY_CONNECTED; x [batch, in], weights [out, in]."""
    table = options("FullyConnectedOptions")
    return graph.op("FULLY_CONNECTED", (x, weights, bias), (x.shape[0], weights.shape[0]), table, name=name)


def pool_2d(
    graph: Graph,
    code: str,
    x: Tensor,
    *,
    size: tuple[int, int],
    stride: int,
    name: str | None = None,
    padding: str = "SAME",
) -> Tensor:
    """AVERAGE_POOL_2D or MAX_POOL_2D; `size` is (rows, columns)."""
    table = options(
        "Pool2DOptions",
        padding=_padding(padding),
        strideH=stride,
        strideW=stride,
        filterHeight=size[0],
        filterWidth=size[1],
    )
    window = Window(size[0], size[1], stride, padding=padding)
    shape = (x.shape[0], *window.output_size(x.shape[1], x.shape[2]), x.shape[3])
    return graph.op(code, (x,), shape, table, name=name)


def binary(
    graph: Graph,
    code: str,
    a: Tensor,
    b: Tensor,
    *,
    name: str | None = None,
    activation: str = "NONE",
    quantization: Quantization | None = None,
) -> Tensor:
    """ADD, SUB, MUL or DIV of `a` and something that broadcasts to it."""
    table = options(_ELEMENTWISE[code], fusedActivationFunction=_activation(activation))
    return graph.op(code, (a, b), a.shape, table, name=name, quantization=quantization)


def unary(graph: Graph, code: str, x: Tensor, *, name: str | None = None) -> Tensor:
    """An operator without options whose output has the shape of its input: RELU, LOGISTIC, EXP, ..."""
    return graph.op(code, (x,), x.shape, name=name)


def softmax(graph: Graph, x: Tensor, *, name: str | None = None) -> Tensor:
    """SOFTMAX over the last dimension."""
    return graph.op("SOFTMAX", (x,), x.shape, options("SoftmaxOptions", beta=1.0), name=name)


def prelu(graph: Graph, x: Tensor, slope: Tensor, *, name: str | None = None) -> Tensor:
    """PRELU; slope [1, 1, channels]."""
    return graph.op("PRELU", (x, slope), x.shape, name=name)


def pad(graph: Graph, x: Tensor, amounts: Sequence[tuple[int, int]], *, name: str) -> Tensor:
    """PAD with zeros; `amounts` is (before, after) for each dimension."""
    paddings = graph.constant(f"{name}/paddings", np.array(amounts, dtype=np.int32))
    shape = [size + before + after for size, (before, after) in zip(x.shape, amounts, strict=True)]
    return graph.op("PAD", (x, paddings), shape, options("PadOptions"), name=name)


def concatenation(graph: Graph, tensors: Sequence[Tensor], axis: int, *, name: str | None = None) -> Tensor:
    """CONCATENATION along `axis` (not negative)."""
    shape = list(tensors[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
    return graph.op("CONCATENATION", tensors, shape, options("ConcatenationOptions", axis=axis), name=name)


def reshape(graph: Graph, x: Tensor, shape: Sequence[int], *, name: str) -> Tensor:
    """RESHAPE to a shape that is known now."""
    table = options("ReshapeOptions", newShape=list(shape))
    return graph.op("RESHAPE", (x, graph.ints(f"{name}/shape", *shape)), shape, table, name=name)


def resize_bilinear(
    graph: Graph, x: Tensor, height: int, width: int, *, name: str, align_corners: bool = False
) -> Tensor:
    """RESIZE_BILINEAR; half-pixel centres unless the corners are aligned (operator version 3)."""
    table = options("ResizeBilinearOptions", alignCorners=align_corners, halfPixelCenters=not align_corners)
    shape = (x.shape[0], height, width, x.shape[3])
    inputs = (x, graph.ints(f"{name}/size", height, width))
    return graph.op("RESIZE_BILINEAR", inputs, shape, table, name=name, version=1 if align_corners else 3)


def dequantize(graph: Graph, x: Tensor, *, name: str) -> Tensor:
    """DEQUANTIZE to float32; float16 input needs operator version 3."""
    version = 3 if x.dtype == "float16" else 1
    table = options("DequantizeOptions")
    return graph.op("DEQUANTIZE", (x,), x.shape, table, name=name, dtype="float32", version=version)
