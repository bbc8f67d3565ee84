"""Pieces of a model as models of their own, written with the schema's object API.

Weights, options, quantisation and sparsity stay as they are; signatures, metadata and constants that a piece does not
use are left out. Tensors keep their names.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.localise.constants import unpack
from harness.localise.graph import Graph, Refused
from harness.localise.task import Array

if TYPE_CHECKING:
    import flatbuffers  # type: ignore[import-untyped]

_LARGEST = (1 << 31) - 1  # offsets in a flatbuffer have 31 bits
_ALIGNMENT = 16  # what converters guarantee for constants
_REFERENCE = "SubgraphIndex"  # how fields of options end that name another subgraph
_DAMAGE = (struct.error, TypeError, IndexError, KeyError, ValueError, AttributeError, OverflowError, MemoryError)


class Cutter:
    """One subgraph of a model, and the pieces that are cut out of it."""

    def __init__(self, model: bytes, subgraph: int = 0) -> None:
        """Read a model.

        Args:
            model: content of the file.
            subgraph: position of the one to cut.

        Raises:
            Refused: it is no model that can be cut, in words.
        """
        if len(model) > _LARGEST:
            raise Refused("the model is larger than 2 GB: pieces of it cannot be written")
        from ai_edge_litert import schema_py_generated as schema

        try:
            self._model: Any = schema.ModelT.InitFromPackedBuf(model)
            self._source: Any = self._model.subgraphs[subgraph]
            outside = any(buffer.offset > 1 or buffer.size > 1 for buffer in self._model.buffers)
            if outside:
                raise Refused("the model keeps constants outside of its flatbuffer (it was larger than 2 GB once)")
            self._subgraph = subgraph
            self.graph = Graph(self._model, subgraph)
        except _DAMAGE as error:
            raise Refused(f"the model cannot be read: {type(error).__name__}") from None

    def constants(self, step: int) -> Mapping[int, Array]:
        """What the feeders of a step make, by tensor, as far as it can be told without running them."""
        return unpack(self._model, self._source, self.graph.steps[step].feeders, self.graph.types)

    def piece(
        self,
        operations: Sequence[int],
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        shapes: Mapping[int, Sequence[int]] | None = None,
        baked: Mapping[int, Array] | None = None,
    ) -> bytes:
        """A model of some of the operations.

        Args:
            operations: positions in the subgraph, in order.
            inputs: numbers of the tensors that become inputs.
            outputs: numbers of the tensors that become outputs.
            shapes: of inputs, where another one is fed than the file states; makes them static.
            baked: tensors that become constants, with their values.

        Returns:
            The content of a `.tflite` with the piece as its first subgraph.
        """
        from ai_edge_litert import schema_py_generated as schema

        writer = _Writer(schema, self._model)
        kept = [self._source.operators[index] for index in operations]
        order = [self._subgraph]
        if any(_names_subgraph(operator) for operator in kept):
            order += [number for number in range(len(self._model.subgraphs)) if number != self._subgraph]
        writer.places = {number: place for place, number in enumerate(order)}
        writer.add(self._source, kept, inputs, outputs, shapes or {}, baked or {})
        for number in order[1:]:
            other = self._model.subgraphs[number]
            writer.add(other, _all(other.operators), _all(other.inputs), _all(other.outputs), {}, {})
        return writer.bytes()


class AlignedBuffer:
    """Stands in for the schema's `BufferT`, whose `Pack` does not align the data."""

    def __init__(self, data: Array | None) -> None:
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Write the buffer; called by the schema's `ModelT.Pack`."""
        from ai_edge_litert import schema_py_generated as schema

        data = None
        if self.data is not None and self.data.size:
            builder.Prep(_ALIGNMENT, self.data.size)
            data = builder.CreateNumpyVector(self.data)
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class _Writer:
    """A model under construction, from parts of another one, which stays as it is."""

    def __init__(self, schema: Any, source: Any) -> None:  # noqa: ANN401 - the schema's classes have no types
        self._source = source
        self._made = schema.ModelT()
        self._made.version = source.version
        self._made.description = source.description
        self._made.subgraphs = []
        self._made.operatorCodes = []
        self._made.buffers = [AlignedBuffer(None)]  # the format reserves buffer 0 for "no data"
        self._schema = schema
        self._codes: dict[int, int] = {}
        self._buffers: dict[int, int] = {0: 0}
        self.places: dict[int, int] = {}

    def add(  # noqa: PLR0917
        self,
        source: Any,  # noqa: ANN401
        operators: Sequence[Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        shapes: Mapping[int, Sequence[int]],
        baked: Mapping[int, Array],
    ) -> None:
        """Append a subgraph."""
        numbers: dict[int, int] = {}
        tensors: list[Any] = []

        def place(tensor: int) -> int:
            if tensor < 0:
                return -1  # an optional input that is absent
            if tensor not in numbers:
                numbers[tensor] = len(tensors)
                tensors.append(self._tensor(source.tensors[tensor], shapes.get(tensor), baked.get(tensor)))
            return numbers[tensor]

        made = self._schema.SubGraphT()
        made.name = source.name
        made.inputs = [place(int(tensor)) for tensor in inputs]
        made.operators = []
        for operator in operators:
            copied = copy.copy(operator)
            copied.inputs = [place(int(tensor)) for tensor in _all(operator.inputs)]
            copied.outputs = [place(int(tensor)) for tensor in _all(operator.outputs)]
            if operator.intermediates is not None:
                copied.intermediates = [place(int(tensor)) for tensor in operator.intermediates]
            copied.opcodeIndex = self._code(operator.opcodeIndex)
            copied.builtinOptions = self._options(operator.builtinOptions)
            copied.builtinOptions2 = self._options(operator.builtinOptions2)
            copied.debugMetadataIndex = -1
            made.operators.append(copied)
        made.outputs = [place(int(tensor)) for tensor in outputs]
        made.tensors = tensors
        self._made.subgraphs.append(made)

    def bytes(self) -> bytes:
        """The model file."""
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self._made.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, source: Any, shape: Sequence[int] | None, baked: Array | None) -> Any:  # noqa: ANN401
        tensor = copy.copy(source)
        if baked is not None:
            tensor.sparsity = None
            shape = baked.shape
            tensor.buffer = self._append(np.frombuffer(baked.tobytes(), np.uint8))
        else:
            tensor.buffer = self._buffer(source.buffer)
        if shape is not None:
            tensor.shape = [int(size) for size in shape]
            tensor.shapeSignature = None
        return tensor

    def _buffer(self, number: int) -> int:
        if number not in self._buffers:
            data = self._source.buffers[number].data
            self._buffers[number] = self._append(None if data is None else np.asarray(data, np.uint8))
        return self._buffers[number]

    def _append(self, data: Array | None) -> int:
        self._made.buffers.append(AlignedBuffer(data))
        return len(self._made.buffers) - 1

    def _code(self, number: int) -> int:
        if number not in self._codes:
            self._codes[number] = len(self._made.operatorCodes)
            self._made.operatorCodes.append(self._source.operatorCodes[number])
        return self._codes[number]

    def _options(self, source: Any) -> Any:  # noqa: ANN401
        """Options, with the new places of the subgraphs that they name."""
        fields = [name for name in vars(source) if name.endswith(_REFERENCE)] if source is not None else []
        if not fields:
            return source
        options = copy.copy(source)
        for name in fields:
            number = getattr(source, name)
            setattr(options, name, self.places.get(number, number))
        return options


def _names_subgraph(operator: Any) -> bool:  # noqa: ANN401
    every = (operator.builtinOptions, operator.builtinOptions2)
    return any(name.endswith(_REFERENCE) for options in every if options is not None for name in vars(options))


def _all(values: Any) -> Sequence[Any]:  # noqa: ANN401 - a list, an array or None
    return values if values is not None else ()
