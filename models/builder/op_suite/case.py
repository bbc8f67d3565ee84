"""What a case of the op suite is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.builder.graph import Graph, Tensor

Shape = tuple[int, ...]
Maker = Callable[[Graph, Shape], "Tensor | Sequence[Tensor]"]
"""Adds inputs and one operator to a graph for an input of a shape [N, H, W, C]; returns the outputs."""

# Never square, so that exchanged sides show.
PLAIN: Shape = (1, 6, 8, 8)
ODD: Shape = (1, 7, 5, 3)
BATCH: Shape = (3, 4, 5, 6)
ONE: Shape = (1, 1, 1, 1)
SHAPES: Mapping[str, Shape] = MappingProxyType({"plain": PLAIN, "odd": ODD, "batch": BATCH, "one": ONE})
"""The shapes that an operator is tried with, by the name of the case."""

FEW_SHAPES: Mapping[str, Shape] = MappingProxyType({"plain": PLAIN, "odd": ODD, "batch": (3, 1, 5, 1)})
"""The same for operators that treat each element alike: size 1 and several in a batch are one case."""


WITHOUT_FLOATS = frozenset(
    {
        "BITWISE_XOR", "DEQUANTIZE", "EMBEDDING_LOOKUP", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "ONE_HOT",
        "REDUCE_ALL", "REDUCE_ANY", "RIGHT_SHIFT",
    }
)  # fmt: skip
"""Operators that are fed no floats: recipes of values mean nothing to them, so their case "plain" is called "basic"."""


def build(name: str, maker: Maker, shape: Shape) -> bytes:
    """The file of the case `name`, with `maker`'s operator at `shape`."""
    graph = Graph(name, f"One operator for the op suite, case '{name}', seeded random weights")
    made = maker(graph, shape)
    graph.output(*([made] if isinstance(made, Tensor) else made))
    return graph.to_bytes()


def drawn(*shape: int) -> NDArray[np.float32]:
    """Seeded weights that float16 can hold, so that storing them costs no accuracy; the seed comes from the shape."""
    values = 0.5 * np.random.RandomState(sum(shape)).standard_normal(shape)
    return values.astype(np.float16).astype(np.float32)


def scalar(graph: Graph, name: str, value: float, dtype: str = "int32") -> Tensor:
    """A constant without dimensions."""
    return graph.constant(name, np.array(value, dtype=dtype))
