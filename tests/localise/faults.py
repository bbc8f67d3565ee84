"""Devices that are wrong on purpose: an interpreter on this computer that runs an altered copy of what it is given.

One operation of a model is chosen by the name of its first output, which pieces keep; so wherever it turns up, its
answer is wrong, and that of all others right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from harness.localise.cut import AlignedBuffer
from harness.localise.task import Array, Side
from harness.plan.cell import ErrorClass, Outcome, Problem
from tests.localise.interpreter import InterpreterProcess

Change = Callable[["Copy", int], None]
_FLOAT = schema.TensorType.FLOAT32


class Unfit(Exception):
    """The operation cannot be wrong in this way."""


class Crash(Exception):
    """The accelerator's process is gone."""


class Copy:
    """A model that is changed; its first subgraph."""

    def __init__(self, model: bytes) -> None:
        self.model: Any = schema.ModelT.InitFromPackedBuf(model)
        self.graph: Any = self.model.subgraphs[0]

    def find(self, name: str) -> int | None:
        """Position of the operation whose first output has this name."""
        for index, operator in enumerate(self.graph.operators):
            if self.graph.tensors[operator.outputs[0]].name == name.encode():
                return index
        return None

    def constant(self, tensor: int) -> Array | None:
        """Bytes of a constant."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return None if data is None else np.array(data, np.uint8)

    def replace(self, tensor: int, data: Array) -> None:
        """Other bytes for a constant."""
        self.model.buffers.append(AlignedBuffer(np.frombuffer(data.tobytes(), np.uint8)))
        self.graph.tensors[tensor].buffer = len(self.model.buffers) - 1

    def tensor(self, like: int, **changes: object) -> int:
        """A new tensor without data, like another one."""
        made = copy.copy(self.graph.tensors[like])
        made.buffer = 0
        for name, value in {"name": b"extra", **changes}.items():
            setattr(made, name, value)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def new_constant(self, like: int, values: Array) -> int:
        """A new constant of the type of another tensor."""
        made = self.tensor(like, shape=list(values.shape), shapeSignature=None)
        self.replace(made, values)
        return made

    def operator(self, code: str, inputs: Sequence[int], output: int, options: str = "") -> Any:
        """An operation that is not in the graph yet."""
        number = schema.OperatorCodeT()
        number.builtinCode = getattr(schema.BuiltinOperator, code)
        number.deprecatedBuiltinCode = min(number.builtinCode, 127)
        number.version = 1
        self.model.operatorCodes.append(number)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = list(inputs), [output]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
        return made

    def redirect(self, index: int) -> tuple[int, int]:
        """Have an operation write its first output elsewhere: (there, where its users look)."""
        operator = self.graph.operators[index]
        output = int(operator.outputs[0])
        hidden = self.tensor(output)
        operator.outputs = [hidden, *[int(one) for one in operator.outputs[1:]]]
        return hidden, output

    def bytes(self) -> bytes:
        """The changed model."""
        self.model.buffers = [AlignedBuffer(buffer.data) for buffer in self.model.buffers]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def with_names(model: bytes) -> bytes:
    """The model with a name of its own for each tensor."""
    named = Copy(model)
    for number, tensor in enumerate(named.graph.tensors):
        tensor.name = f"tensor-{number}".encode()
    named.model.signatureDefs = None
    return named.bytes()


def scaled(factor: float) -> Change:
    """A float output that is multiplied by a factor."""

    def change(model: Copy, index: int) -> None:
        output = int(model.graph.operators[index].outputs[0])
        if model.graph.tensors[output].type != _FLOAT:
            raise Unfit
        hidden, output = model.redirect(index)
        by = model.new_constant(output, np.array([factor], np.float32))
        model.graph.operators.insert(index + 1, model.operator("MUL", [hidden, by], output, "MulOptions"))

    return change


def shifted(model: Copy, index: int) -> None:
    """An output whose rows are in the opposite order."""
    output = int(model.graph.operators[index].outputs[0])
    shape = model.graph.tensors[output].shape
    if shape is None or len(shape) != 4 or shape[1] < 3:
        raise Unfit
    hidden, output = model.redirect(index)
    axis = model.tensor(output, type=schema.TensorType.INT32, shape=[1], shapeSignature=None, quantization=None)
    model.replace(axis, np.array([1], np.int32))
    model.graph.operators.insert(index + 1, model.operator("REVERSE_V2", [hidden, axis], output, "ReverseV2Options"))


def not_a_number(model: Copy, index: int) -> None:
    """A float output with one NaN per pixel, or one in all."""
    output = int(model.graph.operators[index].outputs[0])
    tensor = model.graph.tensors[output]
    if tensor.type != _FLOAT or tensor.shape is None or not len(tensor.shape):
        raise Unfit
    factors = np.ones(int(tensor.shape[-1]), np.float32)
    factors[0] = np.nan
    hidden, output = model.redirect(index)
    by = model.new_constant(output, factors)
    model.graph.operators.insert(index + 1, model.operator("MUL", [hidden, by], output, "MulOptions"))


def other_weights(model: Copy, index: int) -> None:
    """Weights that lie one further than they should."""
    operator = model.graph.operators[index]
    if len(operator.inputs) < 3:
        raise Unfit
    sizes = {int(one): model.constant(int(one)) for one in operator.inputs if one >= 0}
    constants = {one: data for one, data in sizes.items() if data is not None and data.size > 16}
    if not constants:
        raise Unfit
    weights = max(constants, key=lambda one: constants[one].size)
    model.replace(weights, np.roll(constants[weights], 4 if constants[weights].size % 4 == 0 else 1))


def crashing(model: Copy, index: int) -> None:
    """See `FaultyProbe`: a piece with this operation ends the process."""
    raise Crash


def halved(model: Copy) -> None:
    """Every float output rounded to half precision, but for what unpacks constants."""
    data = {int(tensor) for tensor in model.graph.inputs}
    for operator in model.graph.operators:
        if not data.isdisjoint(int(tensor) for tensor in operator.inputs):
            data.update(int(tensor) for tensor in operator.outputs)
    for index in reversed(range(len(model.graph.operators))):
        output = int(model.graph.operators[index].outputs[0])
        if model.graph.tensors[output].type != _FLOAT or output not in data:
            continue
        hidden, output = model.redirect(index)
        half = model.tensor(output, type=schema.TensorType.FLOAT16)
        model.graph.operators.insert(index + 1, model.operator("CAST", [hidden], half, "CastOptions"))
        model.graph.operators.insert(index + 2, model.operator("CAST", [half], output, "CastOptions"))


@dataclass(frozen=True)
class Fault:
    """What is wrong with which operation, by the name of its first output."""

    output: str
    change: Change


class FaultyProbe:
    """Both sides on this computer: XNNPACK, and the same with faults."""

    def __init__(self, interpreter: InterpreterProcess, *faults: Fault, half: bool = False) -> None:
        """Choose what computes, the faults, and whether the device rounds to half precision."""
        self._interpreter = interpreter
        self._faults = faults
        self._half = half
        self.runs: list[Side] = []

    def run(self, side: Side, model: bytes, inputs: Sequence[Array], seconds: float) -> Sequence[Array] | Problem:
        """See `harness.localise.task.Probe`."""
        self.runs.append(side)
        if side == "device":
            try:
                model = self._altered(model)
            except Crash:
                return Problem(Outcome.ERROR, "the runner was killed by signal 11", ErrorClass.RUNNER, "crash", 11)
        return self._interpreter.run(model, inputs)

    def _altered(self, model: bytes) -> bytes:
        changed = Copy(model)
        if self._half:
            halved(changed)
        for fault in self._faults:
            index = changed.find(fault.output)
            if index is not None:
                fault.change(changed, index)
        return changed.bytes()
