"""Which of the supported nodes a delegate takes: TensorFlow Lite's partitioning, and the delegates' choice among parts.

The runtime goes over the nodes again and again. Each pass takes its kind, supported or not, from the first node whose
inputs are there, and takes every node of that kind that can follow. A pass over supported nodes is one partition.
Operations with side effects keep their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.plan.compatibility.graph import Graph, Node

_STATEFUL_DTYPES = frozenset({"resource", "variant"})
_CONTROL_FLOW = frozenset({"CALL_ONCE", "IF", "STABLEHLO_CASE", "STABLEHLO_WHILE", "WHILE"})


def partitions(graph: Graph, supported: Collection[int]) -> list[list[int]]:
    """The sets of supported nodes that could run as one, by the nodes' positions, in the order they are found."""
    wanted = set(supported)
    missing = {tensor.index for node in graph.nodes for tensor in node.outputs}
    after = _ordered(graph)
    done: set[int] = set()
    waiting = list(graph.nodes)
    found: list[list[int]] = []
    while waiting:
        kind: bool | None = None
        taken: list[int] = []
        progress = True
        while progress:
            progress, rest = False, []
            for node in waiting:
                ready = _ready(node, missing, done, after)
                mine = node.index in wanted
                if not ready or (kind is not None and mine is not kind):
                    rest.append(node)
                    continue
                kind, progress = mine, True
                taken.append(node.index)
                done.add(node.index)
                missing.difference_update(tensor.index for tensor in node.outputs)
            waiting = rest
        if not taken:
            break  # a loop of nodes that wait for each other: no runtime runs it
        if kind:
            found.append(taken)
    return found


def _ready(node: Node, missing: Collection[int], done: Collection[int], after: Mapping[int, int]) -> bool:
    earlier = after.get(node.index)
    if earlier is not None and earlier not in done:
        return False
    return all(tensor is None or tensor.index not in missing for tensor in node.inputs)


def _ordered(graph: Graph) -> dict[int, int]:
    """For each node with side effects, the one with side effects before it."""
    chain = [node.index for node in graph.nodes if _has_side_effects(node)]
    return dict(zip(chain[1:], chain, strict=False))


def _has_side_effects(node: Node) -> bool:
    tensors = [*node.inputs, *node.outputs]
    return node.op in _CONTROL_FLOW or any(tensor and tensor.dtype in _STATEFUL_DTYPES for tensor in tensors)


def delegated(graph: Graph, supported: Collection[int], unpacked: Collection[int], most: int) -> list[list[int]]:
    """What a delegate really takes.

    Args:
        graph: of the model.
        supported: positions of the nodes that its rules accept.
        unpacked: positions of the nodes that only widen float16 constants. The delegate reads the constants itself; it
            takes these nodes along when nothing else is left over, and leaves them all to the CPU otherwise.
        most: number of partitions that it takes: the largest ones; of equals, the earlier.
    """
    if graph.nodes and len(supported) + len(unpacked) == len(graph.nodes):
        return [[node.index for node in graph.nodes]]
    return sorted(partitions(graph, supported), key=len, reverse=True)[:most]
