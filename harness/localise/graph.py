"""The operations of a subgraph as steps: what each needs, and which values are alive behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as tfl

# Element types whose values can be compared, with their bytes.
_SIZES = {
    "FLOAT32": 4, "FLOAT16": 2, "FLOAT64": 8, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "INT32": 4, "UINT32": 4,
    "INT64": 8, "UINT64": 8, "BOOL": 1,
}  # fmt: skip
_STATEFUL = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})


class Refused(Exception):
    """A model that cannot be cut, with the reason in words."""


@dataclass(frozen=True)
class Node:
    """One operation; tensors by number, without absent optional ones.

    Attributes:
        index: position in the subgraph.
        type: name of the operation; a custom operation's own name.
        version: of the operation.
        inputs: tensors.
        outputs: tensors.
    """

    index: int
    type: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One operation on data.

    Attributes:
        node: the operation.
        feeders: operations before it that only unpack its constants (DEQUANTIZE of float16 weights, DENSIFY), in order.
    """

    node: Node
    feeders: tuple[Node, ...]


class Graph:
    """One subgraph of a model that was unpacked with the schema's object API."""

    def __init__(self, model: tfl.ModelT, subgraph: int) -> None:
        """Read the subgraph.

        Raises:
            Refused: it keeps state between runs, or no operation leads from an input to an output.
        """
        self._graph: Any = model.subgraphs[subgraph]
        self.inputs = tuple(int(tensor) for tensor in self._graph.inputs)
        self.outputs = tuple(int(tensor) for tensor in self._graph.outputs)
        types = _type_names()
        self.types = [types[tensor.type] for tensor in self._graph.tensors]
        self.quantised = frozenset(
            number
            for number, tensor in enumerate(self._graph.tensors)
            if tensor.quantization is not None and _length(tensor.quantization.scale)
        )
        nodes = _nodes(model, self._graph)
        self._check(nodes)
        self.steps = self._steps(nodes)
        if not self.steps:
            raise Refused("the model has no operation between its inputs and its outputs")
        self._made = {tensor: at for at, step in enumerate(self.steps) for tensor in step.node.outputs}
        self._last = self._last_uses()

    @property
    def integer(self) -> bool:
        """Whether the model computes in quantised integers, at least in part."""
        return any(tensor in self.quantised and self.types[tensor] != "FLOAT32" for tensor in self._made)

    def shape(self, tensor: int) -> list[int]:
        """Shape of a tensor as the file states it."""
        stored = self._graph.tensors[tensor].shape
        return [int(size) for size in stored] if stored is not None else []

    def name(self, tensor: int) -> str:
        """Name of a tensor; may be empty or repeated."""
        stored = self._graph.tensors[tensor].name
        return stored.decode("utf-8", errors="replace") if isinstance(stored, bytes) else (stored or "")

    def bytes(self, tensor: int) -> int:
        """Size of a tensor, as far as the file states it."""
        size = _SIZES.get(self.types[tensor], 0)
        for extent in self.shape(tensor):
            size *= max(extent, 1)
        return size

    def frontier(self, cut: int, first: int = 0) -> tuple[int, ...]:
        """Tensors that steps `first` to `cut` make and later ones use, or outputs; only those that can be compared."""
        return tuple(
            tensor
            for tensor, made in sorted(self._made.items(), key=lambda item: (item[1], item[0]))
            if first <= made <= cut < self._last.get(tensor, -1) and self.types[tensor] in _SIZES
        )

    def maker(self, tensor: int) -> int:
        """The step that makes a tensor."""
        return self._made[tensor]

    def operations(self, first: int, last: int, outputs: Iterable[int], without: Collection[int] = ()) -> list[int]:
        """Positions of the operations of some steps that tensors depend on, in order.

        Operations whose results nobody uses are left out.

        Args:
            first: step.
            last: step.
            outputs: the tensors.
            without: constants that nobody has to unpack.
        """
        kept: set[int] = set()
        needed = set(outputs)
        for step in reversed(self.steps[first : last + 1]):
            for node in (step.node, *reversed(step.feeders)):
                if not needed.isdisjoint(node.outputs):
                    kept.add(node.index)
                    needed.update(set(node.inputs).difference(without))
        return sorted(kept)

    def entering(self, first: int, last: int) -> tuple[int, ...]:
        """Tensors that come into some steps from before: inputs of the model, or made by earlier steps."""
        used = {tensor for step in self.steps[first : last + 1] for tensor in step.node.inputs}
        before = [tensor for tensor in self.inputs if tensor in used]
        return (*before, *sorted(tensor for tensor in used if self._made.get(tensor, first) < first))

    def _check(self, nodes: Iterable[Node]) -> None:
        if any(tensor.isVariable for tensor in self._graph.tensors):
            raise Refused("the model has variable tensors: its outputs depend on earlier runs, which no cut repeats")
        for node in nodes:
            if node.type in _STATEFUL:
                raise Refused(f"the model keeps state ({node.type}), which no cut repeats")

    def _steps(self, nodes: list[Node]) -> tuple[Step, ...]:
        """Operations that depend on an input and matter for an output, in the file's order."""
        data = set(self.inputs)
        makers: dict[int, Node] = {}
        found: list[Node] = []
        for node in nodes:
            if data.isdisjoint(node.inputs) and node.inputs:
                makers.update(dict.fromkeys(node.outputs, node))
            else:
                data.update(node.outputs)
                found.append(node)
        needed = set(self.outputs)
        for node in reversed(found):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
        return tuple(Step(node, _feeders(node, makers)) for node in found if not needed.isdisjoint(node.outputs))

    def _last_uses(self) -> dict[int, int]:
        """The last step that uses each tensor; one behind the last for outputs of the model."""
        last = {tensor: at for at, step in enumerate(self.steps) for tensor in step.node.inputs}
        return last | dict.fromkeys(self.outputs, len(self.steps))


def _feeders(node: Node, makers: dict[int, Node]) -> tuple[Node, ...]:
    found: dict[int, Node] = {}
    waiting = list(node.inputs)
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is not None and maker.index not in found:
            found[maker.index] = maker
            waiting += maker.inputs
    return tuple(found[index] for index in sorted(found))


def _nodes(model: Any, graph: Any) -> list[Node]:  # noqa: ANN401 - the schema's classes have no types
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    for index, operator in enumerate(graph.operators if graph.operators is not None else []):
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = names.get(number, f"BUILTIN_{number}")
        if name == "CUSTOM" and code.customCode:
            stored = code.customCode
            name = stored.decode("utf-8", errors="replace") if isinstance(stored, bytes) else str(stored)
        found.append(Node(index, name, int(code.version), _present(operator.inputs), _present(operator.outputs)))
    return found


def _present(tensors: Any) -> tuple[int, ...]:  # noqa: ANN401 - a list or an array
    return tuple(int(tensor) for tensor in tensors if tensor >= 0) if tensors is not None else ()


def _length(values: Any) -> int:  # noqa: ANN401 - a list, an array or None
    return 0 if values is None else len(values)


def _type_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
