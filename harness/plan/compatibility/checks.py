"""The kinds of rule that many operations share. Each check answers None, or why the GPU does not take a node.

Reasons are for people: they say what the node has and what the GPU would take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.plan.compatibility.graph import Graph, Node

Check = Callable[[Node, Graph], str | None]

_SIGN_BIT = 5  # of ActivationFunctionType
_FROM_INTEGERS = frozenset({"int8", "uint8", "int4"})


def shown(shape: tuple[int, ...]) -> str:
    """A shape in a message: "1x224x224x3"."""
    return "x".join(map(str, shape)) or "scalar"


def counts(computed: int | None = None, constant: int | None = None, outputs: int | None = None) -> Check:
    """So many computed inputs, constant inputs and outputs; None is any number."""

    def check(node: Node, graph: Graph) -> str | None:
        for number, wanted, what in (
            (len(node.computed), computed, "computed input(s)"),
            (node.constants, constant, "constant input(s)"),
            (len(node.outputs), outputs, "output(s)"),
        ):
            if wanted is not None and number != wanted:
                return f"it has {number} {what}; the GPU takes {wanted}"
        return None

    return check


def two_operands(node: Node, graph: Graph) -> str | None:
    """Two inputs, at least one of them computed."""
    if len(node.inputs) != 2 or not node.computed:
        return "the GPU takes two inputs, at most one of them constant"
    return None


def filtered(node: Node, graph: Graph) -> str | None:
    """A convolution: data computed, weights computed or constant."""
    computed = len(node.computed)
    return None if computed in (1, 2) else f"it has {computed} computed inputs; the GPU takes 1 or 2"


def computed_input(node: Node, graph: Graph) -> str | None:
    """Input 0 is no constant."""
    first = node.input(0)
    return "its input is a constant" if first is not None and first.constant else None


def constant_inputs(*positions: int) -> Check:
    """These inputs are constants, if they are there."""

    def check(node: Node, graph: Graph) -> str | None:
        for position in positions:
            tensor = node.input(position)
            if tensor is not None and not tensor.constant:
                return f"input {position} is computed; the GPU needs a constant there"
        return None

    return check


def single_value(position: int) -> Check:
    """One constant input holds one value."""

    def check(node: Node, graph: Graph) -> str | None:
        tensor = node.input(position)
        fits = tensor is not None and tensor.constant and tensor.size == 1
        return None if fits else f"input {position} has to be a single constant"

    return check


def input_dtypes(position: int, dtypes: Collection[str]) -> Check:
    """One input has one of these types, if it is there."""

    def check(node: Node, graph: Graph) -> str | None:
        tensor = node.input(position)
        if tensor is not None and tensor.dtype not in dtypes:
            return f"input {position} is {tensor.dtype}; the GPU takes {' or '.join(sorted(dtypes))}"
        return None

    return check


def input_ranks(position: int, *ranks: int) -> Check:
    """One input has one of these numbers of dimensions, if it is there."""

    def check(node: Node, graph: Graph) -> str | None:
        tensor = node.input(position)
        if tensor is not None and tensor.rank not in ranks:
            wanted = " or ".join(map(str, ranks))
            return f"input {position} has {tensor.rank} dimension(s) ({shown(tensor.shape)}); the GPU takes {wanted}"
        return None

    return check


def activation(node: Node, graph: Graph) -> str | None:
    """The fused activation is one that GPUs know: all but SIGN_BIT."""
    return "the GPU has no fused SIGN_BIT" if node.option("fusedActivationFunction") == _SIGN_BIT else None


def at_least(option: str, least: int, words: str) -> Check:
    """An option is not smaller than this."""

    def check(node: Node, graph: Graph) -> str | None:
        value = node.option(option)
        return f"{words} is {value}; the GPU takes {least} and more" if value < least else None

    return check


def same_dtype(node: Node, graph: Graph) -> str | None:
    """Output of the input's type."""
    data = node.input(0)
    same = data is None or data.dtype == node.outputs[0].dtype
    return None if same else "input and output differ in type"


def casts(pairs: Collection[tuple[str, str]]) -> Check:
    """CAST between these types."""

    def check(node: Node, graph: Graph) -> str | None:
        data = node.input(0)
        pair = (data.dtype if data is not None else "nothing", node.outputs[0].dtype)
        return None if pair in pairs else f"the GPU does not cast {pair[0]} to {pair[1]}"

    return check


def feeds_one(ops: Collection[str]) -> Check:
    """Exactly one node reads the result, one of these operations that gives numbers."""

    def check(node: Node, graph: Graph) -> str | None:
        readers = graph.consumers.get(node.outputs[0].index, ())
        if len(readers) == 1 and readers[0].op in ops and readers[0].outputs[0].dtype in ("float32", "float16"):
            return None
        return f"the GPU compares only for one {' or '.join(sorted(ops))} that gives float32"

    return check


def distinct_operands(node: Node, graph: Graph) -> str | None:
    """Not one tensor as both inputs."""
    first, second = node.input(0), node.input(1)
    same = first is not None and second is not None and first.index == second.index
    return "both inputs are the same tensor" if same else None


def ranks_meet(node: Node, graph: Graph) -> str | None:
    """Computed inputs of different rank broadcast, which the GPU does not do for computed scalars."""
    tensors = node.computed
    if len(tensors) != 2 or tensors[0].rank == tensors[1].rank:
        return None
    return "an input is a computed scalar, which the GPU does not broadcast" if 0 in (t.rank for t in tensors) else None


def old_broadcast(node: Node, graph: Graph) -> str | None:
    """ADD and MUL of different ranks in the few forms that the classic delegate broadcasts."""
    tensors = [tensor for tensor in node.inputs if tensor is not None]
    if len(tensors) != 2 or tensors[0].rank == tensors[1].rank or min(t.rank for t in tensors) < 2:
        return None
    short, long = sorted(tensors, key=lambda tensor: tensor.rank)
    a, b = long.shape, short.shape
    forms = (
        (long.rank, short.rank) == (4, 3) and a[0] == 1,
        (long.rank, short.rank) == (4, 2) and a[0] == 1 and b == (1, 1),
        (long.rank, short.rank) == (4, 2) and (a[0], a[3]) == b,
    )
    return None if any(forms) else f"the GPU does not broadcast {shown(b)} to {shown(a)}"


def readable_constant(node: Node, graph: Graph) -> str | None:
    """The constant operand of an element-wise operation can be read as numbers."""
    for tensor in node.inputs:
        if tensor is None or not tensor.constant or len(node.computed) != 1:
            continue
        if tensor.sparse:
            return "its constant is stored sparsely"
        floats = tensor.dtype in ("float32", "float16") or (tensor.scales and tensor.dtype in _FROM_INTEGERS)
        if tensor.size == 1 and not floats and tensor.dtype != "int32":
            return f"its constant is a single {tensor.dtype}; the GPU takes float32, float16 or int32"
    return None


def dense(*positions: int) -> Check:
    """These constants are stored densely, in a type that becomes float32."""

    def check(node: Node, graph: Graph) -> str | None:
        for position in positions:
            tensor = node.input(position)
            if tensor is None or not tensor.constant:
                continue
            if tensor.sparse:
                return f"the constant at input {position} is stored sparsely"
            if tensor.dtype not in ("float32", "float16", "int32", *_FROM_INTEGERS):
                return f"the constant at input {position} is {tensor.dtype}"
        return None

    return check
