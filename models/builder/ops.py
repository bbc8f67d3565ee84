"""Models of one or two operators: one for each operator that mobile GPUs have long run, and some odd ones for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from models.builder import layers
from models.builder.graph import Graph, Quantization, Tensor, options

# Neither square nor a multiple of 4 channels, so that a wrong layout shows.
_IMAGE = (1, 6, 8, 3)
_ROW = (1, 12)


def _graph(name: str) -> Graph:
    return Graph(name, f"One-operator model '{name}' for tests, seeded random weights")


def _values(*shape: int) -> NDArray[np.float32]:
    """Seeded values on the float16 grid; the seed comes from the shape."""
    drawn = 0.5 * np.random.RandomState(sum(shape)).standard_normal(shape)
    return drawn.astype(np.float16).astype(np.float32)


def _weights(graph: Graph, *shape: int) -> tuple[Tensor, Tensor]:
    """Weights, and a bias as long as the dimension of the output channels."""
    channels = shape[3] if shape[0] == 1 else shape[0]
    return graph.constant("weights", _values(*shape)), graph.constant("bias", _values(channels))


def _unary(name: str, code: str) -> Graph:
    graph = _graph(name)
    graph.output(layers.unary(graph, code, graph.input("x", _IMAGE), name="y"))
    return graph


def _binary(name: str, code: str) -> Graph:
    graph = _graph(name)
    a, b = graph.input("a", _IMAGE), graph.input("b", _IMAGE)
    graph.output(layers.binary(graph, code, a, b, name="y"))
    return graph


def _pool(name: str, code: str) -> Graph:
    graph = _graph(name)
    graph.output(layers.pool_2d(graph, code, graph.input("x", _IMAGE), size=(2, 2), stride=2, name="y"))
    return graph


def _concatenation() -> Graph:
    graph = _graph("concatenation")
    a, b = graph.input("a", _IMAGE), graph.input("b", (*_IMAGE[:3], 2))
    graph.output(layers.concatenation(graph, [a, b], 3, name="y"))
    return graph


def _conv_2d() -> Graph:
    graph = _graph("conv_2d")
    x = graph.input("x", _IMAGE)
    graph.output(layers.conv_2d(graph, x, *_weights(graph, 5, 3, 3, 3), name="y", stride=2))
    return graph


def _depthwise_conv_2d() -> Graph:
    graph = _graph("depthwise_conv_2d")
    x = graph.input("x", _IMAGE)
    graph.output(layers.depthwise_conv_2d(graph, x, *_weights(graph, 1, 3, 3, 3), name="y"))
    return graph


def _fully_connected() -> Graph:
    graph = _graph("fully_connected")
    x = graph.input("x", _ROW)
    graph.output(layers.fully_connected(graph, x, *_weights(graph, 5, 12), name="y"))
    return graph


def _pad() -> Graph:
    graph = _graph("pad")
    amounts = [(0, 0), (1, 2), (2, 1), (0, 0)]
    graph.output(layers.pad(graph, graph.input("x", _IMAGE), amounts, name="y"))
    return graph


def _prelu() -> Graph:
    graph = _graph("prelu")
    slope = graph.constant("slope", _values(1, 1, 3))
    graph.output(layers.prelu(graph, graph.input("x", _IMAGE), slope, name="y"))
    return graph


def _reshape() -> Graph:
    graph = _graph("reshape")
    graph.output(layers.reshape(graph, graph.input("x", _IMAGE), (1, 4, 3, 12), name="y"))
    return graph


def _resize_bilinear() -> Graph:
    graph = _graph("resize_bilinear")
    graph.output(layers.resize_bilinear(graph, graph.input("x", _IMAGE), 11, 15, name="y"))
    return graph


def _softmax() -> Graph:
    graph = _graph("softmax")
    graph.output(layers.softmax(graph, graph.input("x", _ROW), name="y"))
    return graph


def _strided_slice() -> Graph:
    graph = _graph("strided_slice")
    x = graph.input("x", _IMAGE)
    bounds = (graph.ints("begin", 0, 1, 0, 0), graph.ints("end", 1, 6, 8, 3), graph.ints("strides", 1, 2, 3, 1))
    graph.output(graph.op("STRIDED_SLICE", (x, *bounds), (1, 3, 3, 3), options("StridedSliceOptions"), name="y"))
    return graph


def _transpose_conv() -> Graph:
    graph = _graph("transpose_conv")
    x = graph.input("x", _IMAGE)
    graph.output(layers.transpose_conv(graph, x, *_weights(graph, 5, 2, 2, 3), stride=2, name="y"))
    return graph


def _add_int8() -> Graph:
    graph = _graph("add_int8")
    a = graph.input("a", _IMAGE, "int8", quantization=Quantization((0.05,), (3,)))
    b = graph.input("b", _IMAGE, "int8", quantization=Quantization((0.04,), (-5,)))
    graph.output(layers.binary(graph, "ADD", a, b, name="y", quantization=Quantization((0.08,), (0,))))
    return graph


def _conv_2d_uint8() -> Graph:
    graph = _graph("conv_2d_uint8")
    x = graph.input("x", _IMAGE, "uint8", quantization=Quantization((1 / 128,), (128,)))
    drawn = np.random.RandomState(0).randint(0, 256, (5, 3, 3, 3)).astype(np.uint8)
    weights = graph.constant("weights", drawn, quantization=Quantization((1 / 256,), (128,)))
    # A bias is stored in units of input scale times weight scale.
    bias = graph.constant(
        "bias", np.arange(-2000, 3000, 1000, dtype=np.int32), quantization=Quantization((1 / 32768,), (0,))
    )
    out = Quantization((1 / 32,), (128,))
    graph.output(layers.conv_2d(graph, x, weights, bias, name="y", quantization=out))
    return graph


def _fully_connected_hybrid() -> Graph:
    graph = _graph("fully_connected_hybrid")
    x = graph.input("x", _ROW)
    drawn = np.random.RandomState(0).randint(-127, 128, (5, 12)).astype(np.int8)
    weights = graph.constant("weights", drawn, quantization=Quantization((1 / 128,), (0,)))
    bias = graph.constant("bias", _values(5))
    table = options("FullyConnectedOptions", asymmetricQuantizeInputs=True)
    graph.output(graph.op("FULLY_CONNECTED", (x, weights, bias), (1, 5), table, name="y", version=9))
    return graph


def _squeeze() -> Graph:
    graph = _graph("squeeze")
    graph.output(_squeezed(graph, graph.input("x", _IMAGE)))
    return graph


def _squeezed(graph: Graph, x: Tensor) -> Tensor:
    return graph.op("SQUEEZE", (x,), x.shape[1:], options("SqueezeOptions", squeezeDims=[0]), name="y")


def _add_squeeze() -> Graph:
    graph = _graph("add_squeeze")
    a, b = graph.input("a", _IMAGE), graph.input("b", _IMAGE)
    graph.output(_squeezed(graph, layers.binary(graph, "ADD", a, b, name="sum")))
    return graph


def _mixed_inputs() -> Graph:
    graph = _graph("mixed_inputs")
    a, b = graph.input("a", _ROW), graph.input("b", _ROW, "int32")
    cast = graph.op("CAST", (b,), _ROW, options("CastOptions"), name="b_float", dtype="float32")
    graph.output(layers.binary(graph, "ADD", a, cast, name="y"))
    return graph


def _arg_max_int64() -> Graph:
    graph = _graph("arg_max_int64")
    x = graph.input("x", _IMAGE)
    axis = graph.constant("axis", np.array(3, dtype=np.int32))
    table = options("ArgMaxOptions", outputType=schema.TensorType.INT64)
    graph.output(graph.op("ARG_MAX", (x, axis), _IMAGE[:3], table, name="y", dtype="int64"))
    return graph


def _add_dynamic_batch() -> Graph:
    graph = _graph("add_dynamic_batch")
    signature = (-1, *_IMAGE[1:])
    a, b = (graph.input(name, _IMAGE, shape_signature=signature) for name in ("a", "b"))
    graph.output(graph.op("ADD", (a, b), _IMAGE, options("AddOptions"), name="y", shape_signature=signature))
    return graph


def _exp_overflow() -> Graph:
    graph = _graph("exp_overflow")
    factor = graph.constant("factor", np.array([1000.0], dtype=np.float32))
    scaled = layers.binary(graph, "MUL", graph.input("x", _IMAGE), factor, name="scaled")
    graph.output(layers.unary(graph, "EXP", scaled, name="y"))
    return graph


def _identity() -> Graph:
    graph = _graph("identity")
    graph.output(layers.reshape(graph, graph.input("x", _IMAGE), _IMAGE, name="y"))
    return graph


# The operators of the first mobile GPU delegate (2019).
GPU_OPS: Mapping[str, Callable[[], Graph]] = MappingProxyType(
    {
        "add": lambda: _binary("add", "ADD"),
        "average_pool_2d": lambda: _pool("average_pool_2d", "AVERAGE_POOL_2D"),
        "concatenation": _concatenation,
        "conv_2d": _conv_2d,
        "depthwise_conv_2d": _depthwise_conv_2d,
        "fully_connected": _fully_connected,
        "logistic": lambda: _unary("logistic", "LOGISTIC"),
        "max_pool_2d": lambda: _pool("max_pool_2d", "MAX_POOL_2D"),
        "mul": lambda: _binary("mul", "MUL"),
        "pad": _pad,
        "prelu": _prelu,
        "relu": lambda: _unary("relu", "RELU"),
        "relu6": lambda: _unary("relu6", "RELU6"),
        "reshape": _reshape,
        "resize_bilinear": _resize_bilinear,
        "softmax": _softmax,
        "strided_slice": _strided_slice,
        "sub": lambda: _binary("sub", "SUB"),
        "transpose_conv": _transpose_conv,
    }
)

# What real files also come with: other types, dynamic shapes, operators that an accelerator or a kernel set lacks.
ODD_OPS: Mapping[str, Callable[[], Graph]] = MappingProxyType(
    {
        "add_dynamic_batch": _add_dynamic_batch,
        "add_int8": _add_int8,
        "add_squeeze": _add_squeeze,
        "arg_max_int64": _arg_max_int64,
        "conv_2d_uint8": _conv_2d_uint8,
        "elu": lambda: _unary("elu", "ELU"),
        "exp": lambda: _unary("exp", "EXP"),
        "exp_overflow": _exp_overflow,
        "fully_connected_hybrid": _fully_connected_hybrid,
        "identity": _identity,
        "mixed_inputs": _mixed_inputs,
        "squeeze": _squeeze,
    }
)
