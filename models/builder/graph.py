"""A `.tflite` file as tensors and operators, written with the schema's object API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Array = NDArray[Any]

_SCHEMA_VERSION = 3
_FILE_IDENTIFIER = b"TFL3"
_LAST_8_BIT_CODE = 127
# What converters guarantee for constants, and what vector loads on ARM may rely on.
_BUFFER_ALIGNMENT = 16


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation: real = scale * (stored - zero_point).

    Attributes:
        scale: one value, or one per channel.
        zero_point: as many values as `scale`.
        axis: the dimension that the channels of a per-channel quantisation run along.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A handle to a tensor of one graph; `dtype` is a NumPy name such as "float32"."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None


def options(table: str, **fields: object) -> object:
    """An operator's options table, for example `options("Conv2DOptions", strideW=2)`.

    Args:
        table: name of a table of the TFLite schema.
        fields: its fields in the schema's camelCase; what is left out keeps the schema's default.

    Returns:
        The table as an object of the schema's object API.

    Raises:
        ValueError: the schema has no such table, or the table has no such field.
    """
    made = getattr(schema, f"{table}T", None)
    if made is None:
        raise ValueError(f"the TFLite schema has no options table '{table}'")
    instance = made()
    for field, value in fields.items():
        if not hasattr(instance, field):
            raise ValueError(f"'{table}' of the TFLite schema has no field '{field}'")
        setattr(instance, field, value)
    return instance


class _AlignedBuffer:
    """Stands in for the schema's `BufferT`, whose `Pack` does not align the data."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Write the buffer; called by the schema's `ModelT.Pack`."""
        data = None
        if self.data:
            builder.Prep(_BUFFER_ALIGNMENT, len(self.data))
            data = builder.CreateByteVector(self.data)
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class _Forgetful(dict[tuple[int, ...], int]):
    """A dictionary that stays empty."""

    def __setitem__(self, key: tuple[int, ...], value: int) -> None:
        pass


class Graph:
    """One subgraph under construction. Tensors and operators keep the order in which they were added."""

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.description = description
        self._tensors: list[Any] = []
        self._buffers: list[_AlignedBuffer] = [_AlignedBuffer(b"")]  # the format reserves buffer 0 for "no data"
        self._operators: list[Any] = []
        self._codes: list[tuple[int, int]] = []
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def input(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        quantization: Quantization | None = None,
        shape_signature: Sequence[int] | None = None,
    ) -> Tensor:
        """Add an input of the model; `shape_signature` has -1 where a dimension is dynamic."""
        tensor = self._tensor(name, shape, dtype, quantization=quantization, shape_signature=shape_signature)
        self._inputs.append(tensor)
        return tensor

    def constant(self, name: str, value: Array, *, quantization: Quantization | None = None) -> Tensor:
        """Add a tensor whose content is stored in the file, with the array's shape and dtype."""
        little_endian = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        self._buffers.append(_AlignedBuffer(little_endian.tobytes()))
        buffer = len(self._buffers) - 1
        return self._tensor(name, value.shape, value.dtype.name, buffer=buffer, quantization=quantization)

    def ints(self, name: str, *values: int) -> Tensor:
        """Add an int32 vector constant: a shape, a list of axes, paddings in a row."""
        return self.constant(name, np.array(values, dtype=np.int32))

    def op(
        self,
        code: str,
        inputs: Sequence[Tensor],
        shape: Sequence[int],
        table: object = None,
        *,
        name: str | None = None,
        dtype: str | None = None,
        version: int = 1,
        quantization: Quantization | None = None,
        shape_signature: Sequence[int] | None = None,
    ) -> Tensor:
        """Add an operator with one output.

        Args:
            code: name in the schema's `BuiltinOperator`, for example "CONV_2D".
            inputs: in the order that the operator expects.
            shape: of the output.
            table: what `options()` returned, if the operator has options.
            name: of the output; the default is the code in lower case and the operator's number.
            dtype: of the output; the default is that of the first input.
            version: of the operator.
            quantization: of the output.
            shape_signature: of the output, -1 where a dimension is dynamic.

        Returns:
            The output.
        """
        output = self._tensor(
            name or self._default_name(code),
            shape,
            dtype or inputs[0].dtype,
            quantization=quantization,
            shape_signature=shape_signature,
        )
        self._node(code, inputs, [output], table, version)
        return output

    def op_many(
        self,
        code: str,
        inputs: Sequence[Tensor],
        shapes: Sequence[Sequence[int]],
        table: object = None,
        *,
        dtypes: Sequence[str] | None = None,
        version: int = 1,
    ) -> list[Tensor]:
        """Add an operator with several outputs, such as SPLIT; `dtypes` has one entry per output."""
        stem = self._default_name(code)
        kinds = dtypes or [inputs[0].dtype] * len(shapes)
        outputs = [
            self._tensor(f"{stem}:{position}", shape, kind)
            for position, (shape, kind) in enumerate(zip(shapes, kinds, strict=True))
        ]
        self._node(code, inputs, outputs, table, version)
        return outputs

    def output(self, *tensors: Tensor) -> None:
        """Make tensors outputs of the model."""
        self._outputs.extend(tensors)

    def to_bytes(self, signature: str | None = None) -> bytes:
        """The model file.

        Args:
            signature: key of a signature over all inputs and outputs, named by their tensors; None writes none.

        Returns:
            The content of the `.tflite` file; equal graphs give equal bytes.
        """
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors = self._tensors
        subgraph.inputs = [tensor.index for tensor in self._inputs]
        subgraph.outputs = [tensor.index for tensor in self._outputs]
        subgraph.operators = self._operators
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = self.description
        model.subgraphs = [subgraph]
        model.buffers = self._buffers
        model.operatorCodes = [_operator_code(code, version) for code, version in self._codes]
        if signature is not None:
            model.signatureDefs = [self._signature(signature)]
        builder = flatbuffers.Builder(1024)
        # Releases of flatbuffers differ in which tables may share a vtable: here none does, so that bytes never differ.
        builder.vtables = _Forgetful()
        builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _default_name(self, code: str) -> str:
        return f"{code.lower()}_{len(self._operators)}"

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        buffer: int = 0,
        quantization: Quantization | None = None,
        shape_signature: Sequence[int] | None = None,
    ) -> Tensor:
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        tensor.type = getattr(schema.TensorType, dtype.upper())
        tensor.buffer = buffer
        if shape_signature is not None:
            tensor.shapeSignature = list(shape_signature)
        if quantization is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = list(quantization.scale)
            tensor.quantization.zeroPoint = list(quantization.zero_point)
            tensor.quantization.quantizedDimension = quantization.axis
        self._tensors.append(tensor)
        return Tensor(len(self._tensors) - 1, name, tuple(shape), dtype, quantization)

    def _node(
        self, code: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], table: object, version: int
    ) -> None:
        key = (getattr(schema.BuiltinOperator, code), version)
        if key not in self._codes:
            self._codes.append(key)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(key)
        operator.inputs = [tensor.index for tensor in inputs]
        operator.outputs = [tensor.index for tensor in outputs]
        if table is not None:
            kind = type(table).__name__.removesuffix("T")
            if hasattr(schema.BuiltinOptions, kind):
                operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
                operator.builtinOptions = table
            else:
                operator.builtinOptions2Type = getattr(schema.BuiltinOptions2, kind)
                operator.builtinOptions2 = table
        self._operators.append(operator)

    def _signature(self, key: str) -> object:
        signature = schema.SignatureDefT()
        signature.signatureKey = key
        signature.inputs = [_tensor_map(tensor) for tensor in self._inputs]
        signature.outputs = [_tensor_map(tensor) for tensor in self._outputs]
        return signature


def _operator_code(code: int, version: int) -> object:
    made = schema.OperatorCodeT()
    # Readers take the larger of the two: the old field has 8 bits.
    made.deprecatedBuiltinCode = min(code, _LAST_8_BIT_CODE)
    made.builtinCode = code
    made.version = version
    return made


def _tensor_map(tensor: Tensor) -> object:
    made = schema.TensorMapT()
    made.name = tensor.name
    made.tensorIndex = tensor.index
    return made
