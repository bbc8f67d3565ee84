from __future__ import annotations

import random
from collections.abc import Sequence

from harness.plan.compatibility.graph import Graph, Node, Tensor
from harness.plan.compatibility.partition import delegated, partitions


def graph_of(*wires: Sequence[int], resource: Sequence[int] = ()) -> Graph:
    """A graph whose node N reads the outputs of the nodes `wires[N]`; nodes of `resource` have side effects."""
    outputs = [Tensor(n, "", "resource" if n in resource else "float32", (1,)) for n in range(len(wires))]
    nodes = tuple(
        Node(
            n,
            "OP",
            1,
            custom=False,
            inputs=tuple(outputs[source] for source in read),
            outputs=(outputs[n],),
            options={},
        )
        for n, read in enumerate(wires)
    )
    return Graph(nodes, (), (), tuple(outputs))


def test_a_chain_is_cut_where_a_node_is_refused() -> None:
    assert partitions(graph_of((), (0,), (1,), (2,)), {0, 1, 3}) == [[0, 1], [3]]


def test_a_part_takes_what_comes_later_but_does_not_wait() -> None:
    # 1 is refused; 3 reads 0 alone, and so belongs to the first part although it comes after.
    assert partitions(graph_of((), (0,), (1,), (0,)), {0, 2, 3}) == [[0, 3], [2]]


def test_side_effects_keep_their_order() -> None:
    free = graph_of((), (), ())
    assert partitions(free, {0, 2}) == [[0, 2]]
    assert partitions(graph_of((), (), (), resource=(0, 1, 2)), {0, 2}) == [[0], [2]]


def test_the_largest_part_and_of_equals_the_first() -> None:
    graph = graph_of((), (0,), (1,), (2,), (3,))
    assert delegated(graph, [0, 2, 3], [], most=1) == [[2, 3]]
    assert delegated(graph, [0, 4], [], most=1) == [[0]]
    assert delegated(graph, [0, 2, 3], [], most=2) == [[2, 3], [0]]
    assert delegated(graph, [], [], most=1) == []


def test_a_graph_without_nodes() -> None:
    assert delegated(graph_of(), [], [], most=1) == []


def test_parts_of_any_graph_can_run_as_one() -> None:
    """No part needs a node outside of it that needs the part: else neither could run first."""
    dice = random.Random(3)
    for _ in range(200):
        count = dice.randrange(1, 25)
        wires = [sorted(dice.sample(range(n), min(n, dice.randrange(3)))) for n in range(count)]
        supported = {n for n in range(count) if dice.random() < 0.7}
        found = partitions(graph_of(*wires), supported)
        assert sorted(n for part in found for n in part) == sorted(supported)
        for part in found:
            needs = {n for n in range(count) if n not in part and set(part) & reached(n, wires)}
            assert not any(reached(n, wires) & needs for n in part), (wires, supported, part)


def reached(node: int, wires: Sequence[Sequence[int]]) -> set[int]:
    """Every node that a node depends on."""
    found: set[int] = set()
    waiting = list(wires[node])
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting.extend(wires[source])
    return found
