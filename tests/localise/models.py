"""Small models to cut open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from harness.localise.task import Array
from models.builder.graph import Graph, Tensor, options

SHAPE = (1, 6, 6, 4)


def draw(seed: int, *shape: int) -> Array:
    """Values in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def conv(graph: Graph, x: Tensor, name: str, seed: int) -> Tensor:
    """CONV_2D, 1x1, that keeps the shape."""
    channels = x.shape[3]
    weights = graph.constant(f"{name}-weights", draw(seed, channels, 1, 1, channels))
    bias = graph.constant(f"{name}-bias", draw(seed + 100, channels))
    table = options("Conv2DOptions", strideW=1, strideH=1)
    return graph.op("CONV_2D", [x, weights, bias], x.shape, table, name=name)


def branches() -> bytes:
    """Two inputs, a long skip connection, two outputs: 12 operations."""
    graph = Graph("branches", "two inputs, branches")
    a, b = graph.input("a", SHAPE), graph.input("b", SHAPE)
    skip = conv(graph, a, "op-0", 0)
    x = conv(graph, skip, "op-1", 1)
    x = graph.op("ADD", [x, b], SHAPE, options("AddOptions"), name="op-2")
    for number in range(3, 9):
        x = conv(graph, x, f"op-{number}", number)
        if number == 5:
            graph.output(x)
    x = graph.op("ADD", [x, skip], SHAPE, options("AddOptions"), name="op-9")
    x = graph.op("TANH", [x], SHAPE, name="op-10")
    graph.output(graph.op("SOFTMAX", [x], SHAPE, options("SoftmaxOptions", beta=1.0), name="op-11"))
    return graph.to_bytes("serving_default")


def labels() -> bytes:
    """Convolutions and an ARG_MAX: 4 operations."""
    graph = Graph("labels", "label map")
    x = graph.input("x", (1, 16, 16, 4))
    for number in range(3):
        x = conv(graph, x, f"op-{number}", number)
    axis = graph.constant("axis", np.array(3, np.int32))
    table = options("ArgMaxOptions", outputType=schema.TensorType.INT32)
    graph.output(graph.op("ARG_MAX", [x, axis], x.shape[:3], table, name="op-3", dtype="int32"))
    return graph.to_bytes()


def half_weights() -> bytes:
    """CONV_2D whose weights and bias are float16, each behind a DEQUANTIZE, in front of a RELU."""
    graph = Graph("half", "float16 weights")
    x = graph.input("x", SHAPE)
    stored = graph.constant("weights", draw(1, 4, 1, 1, 4).astype(np.float16))
    bias = graph.constant("bias", draw(2, 4).astype(np.float16))
    unpacked = graph.op("DEQUANTIZE", [stored], stored.shape, dtype="float32", name="op-0")
    more = graph.op("DEQUANTIZE", [bias], bias.shape, dtype="float32", name="op-1")
    table = options("Conv2DOptions", strideW=1, strideH=1)
    y = graph.op("CONV_2D", [x, unpacked, more], SHAPE, table, name="op-2")
    graph.output(graph.op("RELU", [y], SHAPE, name="op-3"))
    return graph.to_bytes()


def stateful() -> bytes:
    """A model with a variable tensor."""
    model = unpacked(labels())
    model.subgraphs[0].tensors[1].isVariable = True
    return packed(model)


def choosing() -> bytes:
    """IF in the last of three subgraphs: the negative or the absolute value of x."""
    models = [unpacked(_unary("NEG")), unpacked(_unary("ABS"))]
    graph = Graph("main", "chooses")
    which, x = graph.input("which", (1,), "bool"), graph.input("x", (3,))
    table = options("IfOptions", thenSubgraphIndex=0, elseSubgraphIndex=1)
    made = graph.op("IF", [which, x], (3,), table, dtype="float32", name="op-0")
    graph.output(graph.op("EXP", [made], (3,), options("ExpOptions"), name="op-1"))
    whole = unpacked(graph.to_bytes())
    for model in models:
        for operator in model.subgraphs[0].operators:
            operator.opcodeIndex = len(whole.operatorCodes)
        whole.operatorCodes += model.operatorCodes
        for tensor in model.subgraphs[0].tensors:
            tensor.buffer = 0
    whole.subgraphs = [*(model.subgraphs[0] for model in models), whole.subgraphs[0]]
    return packed(whole)


def _unary(code: str) -> bytes:
    graph = Graph(code.lower(), code)
    graph.output(graph.op(code, [graph.input("x", (3,))], (3,), options(f"{code.capitalize()}Options")))
    return graph.to_bytes()


def sparse(values: Sequence[float], shape: Sequence[int], sparsity: Any) -> bytes:
    """ADD of an input and a sparse float16 constant: DENSIFY, DEQUANTIZE, ADD."""
    graph = Graph("sparse", "a sparse constant")
    stored = graph.constant("stored", np.array(values, np.float16))
    dense = graph.op("DENSIFY", [stored], shape, options("DensifyOptions"), name="op-0")
    wide = graph.op("DEQUANTIZE", [dense], shape, dtype="float32", name="op-1")
    x = graph.input("x", shape)
    graph.output(graph.op("ADD", [x, wide], shape, options("AddOptions"), name="op-2"))
    model = unpacked(graph.to_bytes())
    model.subgraphs[0].tensors[0].sparsity = sparsity
    model.subgraphs[0].tensors[0].shape = list(shape)
    return packed(model)


def dense(size: int) -> Any:
    """A dimension of a sparse constant that has all its indices."""
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def compressed(segments: list[int], indices: list[int]) -> Any:
    """One that lists its indices, by segment."""
    level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.SPARSE_CSR
    for kind, values in (("arraySegments", segments), ("arrayIndices", indices)):
        stored = schema.Int32VectorT()
        stored.values = values
        setattr(level, kind, stored)
        setattr(level, f"{kind}Type", schema.SparseIndexVector.Int32Vector)
    return level


def sparsity(order: list[int], levels: list[Any], blocks: list[int] | None = None) -> Any:
    """How a sparse constant is stored."""
    made = schema.SparsityParametersT()
    made.traversalOrder, made.dimMetadata, made.blockMap = order, levels, blocks
    return made


def unpacked(model: bytes) -> Any:
    """A model as the schema's objects."""
    return schema.ModelT.InitFromPackedBuf(model)


def packed(model: Any) -> bytes:
    """The schema's objects as a model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
