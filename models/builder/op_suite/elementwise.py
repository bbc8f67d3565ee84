"""Operators that work element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ai_edge_litert import schema_py_generated as schema

from models.builder.graph import Graph, Tensor, options
from models.builder.op_suite.case import BATCH, ODD, PLAIN, Maker, Shape, drawn, scalar

# With the options table that real files have; operators without an entry have none.
_UNARY = (
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG", "RELU",
    "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
)  # fmt: skip
_BINARY = (
    "ADD", "ATAN2", "DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "MUL", "POW", "SQUARED_DIFFERENCE", "SUB",
)  # fmt: skip
_COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
_TABLES = {
    "ADD": "AddOptions", "DIV": "DivOptions", "MUL": "MulOptions", "SUB": "SubOptions",
    "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions",
}  # fmt: skip


def _table(code: str) -> object:
    if code == "GELU":
        return options("GeluOptions", approximate=True)
    if code == "LEAKY_RELU":
        return options("LeakyReluOptions", alpha=0.125)
    return options(_TABLES[code]) if code in _TABLES else None


def _unary(code: str, graph: Graph, shape: Shape) -> Tensor:
    return graph.op(code, (graph.input("x", shape),), shape, _table(code), name="y")


def _binary(code: str, graph: Graph, shape: Shape, *, dtype: str = "float32", out: str | None = None) -> Tensor:
    a, b = graph.input("a", shape, dtype), graph.input("b", shape, dtype)
    return graph.op(code, (a, b), shape, _table(code), name="y", dtype=out or dtype)


def _channel_vector(code: str, graph: Graph, shape: Shape) -> Tensor:
    """The second input has one value per channel."""
    a, b = graph.input("a", shape), graph.input("b", (1, 1, 1, shape[3]))
    return graph.op(code, (a, b), shape, _table(code), name="y")


def _column(code: str, graph: Graph, shape: Shape) -> Tensor:
    """The second input has one value per row of the picture."""
    a, b = graph.input("a", shape), graph.input("b", (1, shape[1], 1, 1))
    return graph.op(code, (a, b), shape, _table(code), name="y")


def _constant(code: str, graph: Graph, shape: Shape) -> Tensor:
    """The second input is a constant, one value per channel."""
    b = graph.constant("b", drawn(shape[3]))
    return graph.op(code, (graph.input("a", shape), b), shape, _table(code), name="y")


def _fused(code: str, activation: str, graph: Graph, shape: Shape) -> Tensor:
    a, b = graph.input("a", shape), graph.input("b", shape)
    table = options(_TABLES[code], fusedActivationFunction=getattr(schema.ActivationFunctionType, activation))
    return graph.op(code, (a, b), shape, table, name="y")


def _prelu(graph: Graph, shape: Shape) -> Tensor:
    slope = graph.constant("slope", drawn(1, 1, shape[3]))
    return graph.op("PRELU", (graph.input("x", shape), slope), shape, name="y")


def _prelu_full(graph: Graph, shape: Shape) -> Tensor:
    """A slope for every element."""
    slope = graph.constant("slope", drawn(*shape[1:]))
    return graph.op("PRELU", (graph.input("x", shape), slope), shape, name="y")


def _add_n(graph: Graph, shape: Shape) -> Tensor:
    a, b = graph.input("a", shape), graph.input("b", shape)
    return graph.op("ADD_N", (a, b), shape, options("AddNOptions"), name="y")


def _select(code: str, graph: Graph, shape: Shape) -> Tensor:
    inputs = (graph.input("condition", shape, "bool"), graph.input("a", shape), graph.input("b", shape))
    return graph.op(code, inputs, shape, name="y", dtype="float32")


def _logical(code: str, graph: Graph, shape: Shape) -> Tensor:
    names: Sequence[str] = ("a",) if code == "LOGICAL_NOT" else ("a", "b")
    return graph.op(code, [graph.input(name, shape, "bool") for name in names], shape, name="y")


def _cast(source: str, target: str, graph: Graph, shape: Shape) -> Tensor:
    return graph.op("CAST", (graph.input("x", shape, source),), shape, options("CastOptions"), name="y", dtype=target)


def _right_shift(graph: Graph, shape: Shape) -> Tensor:
    x, bits = graph.input("x", shape, "int32"), scalar(graph, "bits", 1)
    return graph.op("RIGHT_SHIFT", (x, bits), shape, options("RightShiftOptions"), name="y")


MAKERS: Mapping[str, Maker] = {
    **{code: partial(_unary, code) for code in _UNARY},
    **{code: partial(_binary, code) for code in _BINARY},
    **{code: partial(_binary, code, out="bool") for code in _COMPARISONS},
    "ADD_N": _add_n,
    "BITWISE_XOR": partial(_binary, "BITWISE_XOR", dtype="int32"),
    "CAST": partial(_cast, "float32", "int32"),
    "LOGICAL_AND": partial(_logical, "LOGICAL_AND"),
    "LOGICAL_NOT": partial(_logical, "LOGICAL_NOT"),
    "LOGICAL_OR": partial(_logical, "LOGICAL_OR"),
    "PRELU": _prelu,
    "RIGHT_SHIFT": _right_shift,
    "SELECT": partial(_select, "SELECT"),
    "SELECT_V2": partial(_select, "SELECT_V2"),
}
"""Operators whose output has the shape of their input."""

EXTRA: Mapping[str, tuple[Maker, Shape]] = {
    "add.channel_vector": (partial(_channel_vector, "ADD"), ODD),
    "add.column": (partial(_column, "ADD"), ODD),
    "add.constant": (partial(_constant, "ADD"), ODD),
    "add.relu6": (partial(_fused, "ADD", "RELU6"), ODD),
    "cast.from_int": (partial(_cast, "int32", "float32"), ODD),
    "cast.from_bool": (partial(_cast, "bool", "float32"), ODD),
    "cast.to_bool": (partial(_cast, "float32", "bool"), ODD),
    "div.channel_vector": (partial(_channel_vector, "DIV"), ODD),
    "maximum.constant": (partial(_constant, "MAXIMUM"), ODD),
    "mul.channel_vector": (partial(_channel_vector, "MUL"), ODD),
    "mul.column": (partial(_column, "MUL"), ODD),
    "mul.constant": (partial(_constant, "MUL"), BATCH),
    "prelu.full": (_prelu_full, ODD),
    "sub.channel_vector": (partial(_channel_vector, "SUB"), BATCH),
    "sub.constant": (partial(_constant, "SUB"), PLAIN),
    "sub.relu": (partial(_fused, "SUB", "RELU"), ODD),
}
"""Further cases, by name, with their shape."""
