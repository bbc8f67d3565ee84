"""A subgraph as the rules see it: nodes with their operations, options and tensors.

Only what decides where a node runs is kept; of constants, the values are read when a rule asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan.tflite_parts import (
    DAMAGE,
    OpCode,
    Refused,
    checked_count,
    dtype_names,
    open_root,
    operator_codes,
    read_bytes,
    text,
)

if TYPE_CHECKING:
    from types import ModuleType

    from ai_edge_litert import schema_py_generated as tfl

# What the runtime works out while it prepares a model, if it has the inputs by then.
_AT_ONCE = frozenset({"RANK", "SHAPE"})
_FOLDED = frozenset(
    {
        "BROADCAST_ARGS",
        "CONCATENATION",
        "GATHER",
        "MUL",
        "RANGE",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "REDUCE_PROD",
        "RESHAPE",
        "STRIDED_SLICE",
        "SUM",
        "TILE",
    }
)
_INTEGERS = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "int32": 4, "int64": 8}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        index: position in the subgraph.
        name: may be empty.
        dtype: numpy's name where there is one ("float32", "int4", "string", "resource", ...).
        shape: with every unknown dimension at 1, as LiteRT runs it.
        constant: whether the file holds its values.
        variable: whether it keeps its values from call to call.
        scales: number of quantisation scales; 0 for a tensor without affine quantisation.
        axis: dimension that the scales go along.
        blockwise: whether it is quantised in blocks.
        sparse: whether its values are stored sparsely.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool = False
    variable: bool = False
    scales: int = 0
    axis: int = 0
    blockwise: bool = False
    sparse: bool = False
    read: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @cached_property
    def integers(self) -> tuple[int, ...] | None:
        """Values of a small integer constant, such as axes or paddings; None for anything else."""
        width = _INTEGERS.get(self.dtype)
        if not self.constant or width is None:
            return None
        data = self.read()
        signed = not self.dtype.startswith("u")
        return tuple(
            int.from_bytes(data[at : at + width], "little", signed=signed) for at in range(0, len(data), width)
        )


@dataclass(frozen=True)
class Node:
    """One operation in a graph. An optional input that is left out is None."""

    index: int
    op: str
    version: int
    custom: bool
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]

    @property
    def computed(self) -> list[Tensor]:
        """The inputs that are not constant."""
        return [tensor for tensor in self.inputs if tensor is not None and not tensor.constant]

    @property
    def constants(self) -> int:
        """How many inputs are constant."""
        return sum(tensor is not None and tensor.constant for tensor in self.inputs)

    def input(self, position: int) -> Tensor | None:
        """An input, None where there is none."""
        return self.inputs[position] if position < len(self.inputs) else None

    def option(self, name: str) -> float:
        """A number or a flag among the options, 0 where the file states none; `name` as in the schema's object API."""
        return self.options.get(name) or 0


@dataclass(frozen=True)
class Graph:
    """A subgraph that is run, and what the runtime asks of the whole file.

    Attributes:
        nodes: in the order of execution.
        inputs: tensors that are fed.
        outputs: tensors that are read.
        tensors: all of the subgraph's.
        variables: whether any subgraph of the file has variable tensors.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...]
    variables: bool = False

    @cached_property
    def consumers(self) -> Mapping[int, Sequence[Node]]:
        """Nodes that read a tensor, by the tensor's index."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor is not None:
                    found.setdefault(tensor.index, []).append(node)
        return found

    @cached_property
    def early(self) -> frozenset[int]:
        """Tensors, by index, that the runtime has before the model runs: constants, and shapes worked out of shapes."""
        known = {tensor.index for tensor in self.tensors if tensor.constant}
        for node in self.nodes:
            inputs = {tensor.index for tensor in node.inputs if tensor is not None}
            if node.op in _AT_ONCE or (node.op in _FOLDED and inputs <= known):
                known.update(tensor.index for tensor in node.outputs)
        return frozenset(known)


def read_graph(source: Path | bytes, subgraph: int = 0) -> Graph:
    """The graph of a model's subgraph.

    Args:
        source: a file, or its content.
        subgraph: position of the subgraph that is run.

    Raises:
        ValueError: what the file lacks, in words; a file that `tflite_file.describe` accepts lacks nothing.
    """
    from ai_edge_litert import schema_py_generated as schema

    name = "the model" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read_bytes(source)
        return _Reader(schema, data).graph(subgraph)
    except Refused as refused:
        raise ValueError(f"{name} {refused}") from None
    except DAMAGE:
        raise ValueError(f"{name} is damaged: its structure points outside the file or at something else") from None


class _Reader:
    def __init__(self, schema: ModuleType, data: bytes) -> None:
        self._schema = schema
        self._data = data
        self._root = open_root(schema, data)
        self._dtypes = dtype_names(schema)
        self._codes = operator_codes(schema, self._root, data)

    def graph(self, number: int) -> Graph:
        root = self._root
        subgraph = root.Subgraphs(number)
        tensors = tuple(
            self._tensor(index, subgraph.Tensors(index))
            for index in range(checked_count(subgraph.TensorsLength(), self._data))
        )
        nodes = tuple(
            self._node(index, subgraph.Operators(index), tensors)
            for index in range(checked_count(subgraph.OperatorsLength(), self._data))
        )
        others = (root.Subgraphs(i) for i in range(root.SubgraphsLength()))
        return Graph(
            nodes,
            tuple(tensors[subgraph.Inputs(i)] for i in range(subgraph.InputsLength())),
            tuple(tensors[subgraph.Outputs(i)] for i in range(subgraph.OutputsLength())),
            tensors,
            any(other.Tensors(i).IsVariable() for other in others for i in range(other.TensorsLength())),
        )

    def _tensor(self, index: int, stored: tfl.Tensor) -> Tensor:
        shape = tuple(stored.Shape(i) for i in range(checked_count(stored.ShapeLength(), self._data)))
        buffer = self._root.Buffers(stored.Buffer()) if stored.Buffer() else None
        empty = 0 in shape and buffer is not None and not buffer.DataIsNone()
        held = buffer is not None and (buffer.DataLength() > 0 or buffer.Offset() > 1 or empty)
        quantization = stored.Quantization()
        return Tensor(
            index=index,
            name=text(stored.Name()),
            dtype=self._dtypes[stored.Type()],
            shape=tuple(1 if size < 0 else size for size in shape),
            constant=held and not stored.IsVariable(),
            variable=stored.IsVariable(),
            scales=quantization.ScaleLength() if quantization else 0,
            axis=quantization.QuantizedDimension() if quantization else 0,
            blockwise=bool(quantization)
            and quantization.DetailsType() == self._schema.QuantizationDetails.BlockwiseQuantization,
            sparse=stored.Sparsity() is not None,
            read=lambda: self._content(buffer),
        )

    def _content(self, buffer: tfl.Buffer | None) -> bytes:
        if buffer is None:
            return b""
        if buffer.Offset() > 1:
            return self._data[buffer.Offset() : buffer.Offset() + buffer.Size()]
        return bytes(buffer.DataAsNumpy().tobytes()) if buffer.DataLength() else b""

    def _node(self, index: int, stored: tfl.Operator, tensors: Sequence[Tensor]) -> Node:
        code: OpCode = self._codes[stored.OpcodeIndex()]
        inputs = [stored.Inputs(i) for i in range(checked_count(stored.InputsLength(), self._data))]
        outputs = [stored.Outputs(i) for i in range(checked_count(stored.OutputsLength(), self._data))]
        return Node(
            index=index,
            op=code.name,
            version=code.version,
            custom=code.custom,
            inputs=tuple(None if position < 0 else tensors[position] for position in inputs),
            outputs=tuple(tensors[position] for position in outputs if position >= 0),
            options=self._options(stored),
        )

    def _options(self, stored: tfl.Operator) -> Mapping[str, Any]:
        """The options by their names in the schema's object API; empty where the operation has none."""
        schema = self._schema
        found: dict[str, Any] = {}
        if stored.BuiltinOptionsType():
            found = vars(schema.BuiltinOptionsCreator(stored.BuiltinOptionsType(), stored.BuiltinOptions()))
        elif stored.BuiltinOptions2Type():
            found = vars(schema.BuiltinOptions2Creator(stored.BuiltinOptions2Type(), stored.BuiltinOptions2()))
        return found
