"""What a `.tflite` file says about itself, read without a runtime.

Pure Python over the flatbuffer, because a damaged file can end the process of a runtime that loads it. Not a
verifier of every byte: what is used here is bounds-checked, and the rest is the runtime's to refuse.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import nearest
from harness.plan.cell import (
    ErrorClass,
    Model,
    ModelRef,
    OpCount,
    Outcome,
    Problem,
    Quantization,
    TensorSpec,
)
from harness.plan.tflite_parts import (
    DAMAGE,
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

_VARIABLE_OPS = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})
_WEIGHTED_OPS = frozenset(
    {
        "BATCH_MATMUL",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "CONV_2D",
        "CONV_3D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "LSTM",
        "RNN",
        "SVDF",
        "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    }
)
_WEIGHT_DTYPES = frozenset({"int8", "uint8", "int4", "uint4", "int2"})
_INTEGER_DTYPES = frozenset({"int8", "uint8", "int16"})


@dataclass(frozen=True)
class _Signature:
    """One signature: names by tensor index."""

    key: str
    subgraph: int
    inputs: Mapping[int, str]
    outputs: Mapping[int, str]


def describe(ref: ModelRef) -> Model:
    """Read a model's file.

    Inputs and outputs are in the order of the subgraph that the signature runs, under the signature's names: that
    is how LiteRT's CompiledModel presents them, and the order in which runners feed and write them. The order in
    which the signature itself lists them is often another one and means nothing.

    Args:
        ref: how the suite names the model.

    Returns:
        What the file says. `problem` is set when it cannot be used: missing, a folder, unreadable, empty,
        truncated, not TFLite, of another schema version (ERROR, class model), or without the signature that the
        suite asks for (ERROR, class config). Nothing is raised for any content of the file.
    """
    try:
        data = read_bytes(Path(ref.path))
    except Refused as refused:
        return Model(ref, problem=_problem(ref, refused))
    digest = hashlib.sha256(data).hexdigest()
    try:
        return _parse(ref, data, digest)
    except Refused as refused:
        return Model(ref, sha256=digest, size=len(data), problem=_problem(ref, refused))
    except DAMAGE:
        damage = Refused("is damaged: its structure points outside the file or at something else")
        return Model(ref, sha256=digest, size=len(data), problem=_problem(ref, damage))


def _problem(ref: ModelRef, refused: Refused) -> Problem:
    where = f" (named in {ref.origin})" if ref.origin else ""
    kind = "model" if refused.error_class is ErrorClass.MODEL else "config"
    return Problem(Outcome.ERROR, f"{ref.path} {refused}{where}", refused.error_class, kind)


def _parse(ref: ModelRef, data: bytes, digest: str) -> Model:
    # Imported here: it takes a third of a second, and a plan without models does not need it.
    from ai_edge_litert import schema_py_generated as schema

    root = open_root(schema, data)
    subgraphs = [root.Subgraphs(i) for i in range(checked_count(root.SubgraphsLength(), data))]
    if not subgraphs:
        raise Refused("has no subgraph: nothing to run")
    buffers = _check_buffers(root, data)
    graphs = _Graphs(schema, root, data, buffers)
    for subgraph in subgraphs:
        graphs.walk(subgraph)

    signatures = [
        _signature(root.SignatureDefs(i), data) for i in range(checked_count(root.SignatureDefsLength(), data))
    ]
    chosen, notes = _choose(ref, signatures)
    number = chosen.subgraph if chosen else 0
    primary = subgraphs[number]
    inputs = graphs.specs(primary, "input", chosen)
    outputs = graphs.specs(primary, "output", chosen)
    notes += _notes(inputs)
    return Model(
        ref,
        sha256=digest,
        size=len(data),
        inputs=inputs,
        outputs=outputs,
        ops=graphs.op_counts(),
        nodes=primary.OperatorsLength(),
        subgraph=number,
        signatures=tuple(signature.key for signature in signatures),
        signature=chosen.key if chosen else None,
        hybrid=graphs.hybrid,
        quantized=graphs.quantized,
        stateful=graphs.stateful,
        notes=notes,
    )


def _check_buffers(root: tfl.Model, data: bytes) -> int:
    count = checked_count(root.BuffersLength(), data)
    for i in range(count):
        buffer = root.Buffers(i)
        end = buffer.Offset() + buffer.Size() if buffer.Offset() > 1 else 0  # 0 and 1 mean "stored in place"
        try:
            buffer.DataAsNumpy()
        except ValueError:
            end = len(data) + 1
        if end > len(data):
            raise Refused(f"is truncated: constant {i} of {count} lies beyond the end at {len(data)} bytes")
    return count


class _Graphs:
    """What is gathered over all subgraphs of one file."""

    def __init__(self, schema: ModuleType, root: tfl.Model, data: bytes, buffers: int) -> None:
        self._data = data
        self._buffers = buffers
        self._dtypes = dtype_names(schema)
        self._codes = operator_codes(schema, root, data)
        self._counts: Counter[tuple[str, int]] = Counter()
        self.hybrid = False
        self.quantized = False
        self.stateful = False

    def walk(self, subgraph: tfl.SubGraph) -> None:
        """Check one subgraph's indices and add its nodes to the counts."""
        dtypes = []
        for i in range(checked_count(subgraph.TensorsLength(), self._data)):
            tensor = subgraph.Tensors(i)
            dtypes.append(self._dtypes[tensor.Type()])
            if tensor.Buffer() >= max(self._buffers, 1):
                raise Refused(f"is damaged: tensor {i} refers to constant {tensor.Buffer()} of {self._buffers}")
            self.stateful |= tensor.IsVariable()
        for i in range(checked_count(subgraph.OperatorsLength(), self._data)):
            operator = subgraph.Operators(i)
            name, version, _ = self._codes[operator.OpcodeIndex()]
            self._counts[name, version] += 1
            inputs = [operator.Inputs(j) for j in range(checked_count(operator.InputsLength(), self._data))]
            outputs = [operator.Outputs(j) for j in range(checked_count(operator.OutputsLength(), self._data))]
            if not all(-1 <= index < len(dtypes) for index in inputs + outputs):
                raise Refused(f"is damaged: node {i} ({name}) refers to a tensor that is not there")
            self.stateful |= name in _VARIABLE_OPS
            self.quantized |= name in _WEIGHTED_OPS and bool(outputs) and dtypes[outputs[0]] in _INTEGER_DTYPES
            if name in _WEIGHTED_OPS and outputs and dtypes[outputs[0]] == "float32":
                self.hybrid |= any(index >= 0 and dtypes[index] in _WEIGHT_DTYPES for index in inputs)

    def op_counts(self) -> tuple[OpCount, ...]:
        """Operations, the most frequent first."""
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(OpCount(name, version, count) for (name, version), count in ordered)

    def specs(self, subgraph: tfl.SubGraph, side: str, signature: _Signature | None) -> tuple[TensorSpec, ...]:
        """Inputs or outputs of a subgraph, in its order, under the signature's names."""
        if side == "input":
            length, at, names = subgraph.InputsLength(), subgraph.Inputs, signature.inputs if signature else {}
        else:
            length, at, names = subgraph.OutputsLength(), subgraph.Outputs, signature.outputs if signature else {}
        indices = [at(position) for position in range(checked_count(length, self._data))]
        if not all(0 <= index < subgraph.TensorsLength() for index in indices):
            raise Refused(f"is damaged: an {side} refers to a tensor that is not there")
        if signature and set(names) != set(indices):
            raise Refused(
                f"has a signature '{signature.key}' whose {side}s are not those of its subgraph; LiteRT refuses that"
            )
        return tuple(
            self._spec(position, subgraph.Tensors(index), names.get(index, ""))
            for position, index in enumerate(indices)
        )

    def _spec(self, position: int, tensor: tfl.Tensor, alias: str) -> TensorSpec:
        shape = [tensor.Shape(i) for i in range(checked_count(tensor.ShapeLength(), self._data))]
        known = [tensor.ShapeSignature(i) for i in range(checked_count(tensor.ShapeSignatureLength(), self._data))]
        if len(known) == len(shape):
            shape = [size if stated >= 0 else -1 for size, stated in zip(shape, known, strict=True)]
        return TensorSpec(
            index=position,
            name=alias or text(tensor.Name()),
            dtype=self._dtypes[tensor.Type()],
            shape=tuple(max(size, 1) if size < 0 else size for size in shape),
            dynamic=any(size < 0 for size in shape),
            quantization=self._quantization(tensor.Quantization()),
        )

    def _quantization(self, stored: tfl.QuantizationParameters) -> Quantization | None:
        count = checked_count(stored.ScaleLength(), self._data) if stored else 0
        if not count:
            return None
        zero_points = [stored.ZeroPoint(i) for i in range(checked_count(stored.ZeroPointLength(), self._data))]
        return Quantization(
            scales=tuple(float(stored.Scale(i)) for i in range(count)),
            zero_points=tuple(int(value) for value in zero_points or [0] * count),
            axis=stored.QuantizedDimension(),
        )


def _signature(stored: tfl.SignatureDef, data: bytes) -> _Signature:
    inputs = [stored.Inputs(i) for i in range(checked_count(stored.InputsLength(), data))]
    outputs = [stored.Outputs(i) for i in range(checked_count(stored.OutputsLength(), data))]
    return _Signature(
        key=text(stored.SignatureKey()),
        subgraph=stored.SubgraphIndex(),
        inputs={entry.TensorIndex(): text(entry.Name()) for entry in inputs},
        outputs={entry.TensorIndex(): text(entry.Name()) for entry in outputs},
    )


def _choose(ref: ModelRef, signatures: list[_Signature]) -> tuple[_Signature | None, tuple[str, ...]]:
    """The signature to run, and a note when there was a choice and nobody made it."""
    keys = [signature.key for signature in signatures]
    listed = ", ".join(keys)
    if ref.signature is not None:
        if not keys:
            raise Refused(f"has no signatures; remove `signature: {ref.signature}`", ErrorClass.CONFIG)
        if ref.signature not in keys:
            hint = nearest(ref.signature, keys)
            raise Refused(f"has no signature '{ref.signature}'; it has: {listed}{hint}", ErrorClass.CONFIG)
        return signatures[keys.index(ref.signature)], ()
    if not signatures:
        return None, ()
    if len(signatures) == 1:
        return signatures[0], ()
    return signatures[0], (f"signature '{keys[0]}' of {len(keys)} ({listed}) is run; choose another with `signature:`",)


def _notes(inputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    notes = []
    if any(spec.dynamic for spec in inputs):
        notes.append("dynamic dimensions run at size 1")
    notes += [
        f"input '{spec.name or spec.index}' has zero size ({list(spec.shape)})" for spec in inputs if 0 in spec.shape
    ]
    return tuple(notes)
