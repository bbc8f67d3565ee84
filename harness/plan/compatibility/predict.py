"""From a graph and a profile to what the GPU should take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.plan.compatibility.checks import shown
from harness.plan.compatibility.graph import Graph, Node, Tensor
from harness.plan.compatibility.partition import delegated
from harness.plan.compatibility.profile import OpRule, Profile
from harness.plan.compatibility.refusals import refusal
from harness.plan.explained import PredictionRow, RefusedOpRow

UNPACKS = "only widens float16 constants, which the GPU reads itself unless anything is left to the CPU"
OUTSIDE = "could be on the GPU, but it takes one connected part of the model alone, and this is outside the largest"
NOT_REFUSED = frozenset({UNPACKS, OUTSIDE})
"""Reasons of nodes that stay on the CPU although the GPU does not refuse them; an accelerator's log lacks them."""

_MIXED = frozenset({"int8", "uint8"})


def prediction(graph: Graph, profile: Profile) -> PredictionRow:
    """What a profile says of a graph: nodes that it takes, and why it does not take the others."""
    why = refusal(graph, profile)
    if why is not None:
        return _row(graph, profile, why, [], [])
    halves = _widened(graph)
    reasons: dict[int, str] = {}
    unpacked = []
    for node in graph.nodes:
        if any(tensor.index in halves for tensor in node.outputs):
            reasons[node.index] = UNPACKS
            unpacked.append(node.index)
            continue
        inputs = tuple(halves.get(tensor.index, tensor) if tensor is not None else None for tensor in node.inputs)
        reason = refused(dataclasses.replace(node, inputs=inputs), graph, profile)
        if reason is not None:
            reasons[node.index] = reason
    supported = [node.index for node in graph.nodes if node.index not in reasons]
    parts = delegated(graph, supported, unpacked, profile.partitions)
    taken = {index for part in parts for index in part}
    left = [(node, reasons.get(node.index, OUTSIDE)) for node in graph.nodes if node.index not in taken]
    return _row(graph, profile, None, parts, left)


def refused(node: Node, graph: Graph, profile: Profile) -> str | None:
    """Why a profile does not take a node, or None if it does."""
    rule = _rule(node, profile)
    if rule is None:
        return "the GPU has no such operation"
    if rule.version is not None and node.version > rule.version:
        return f"it is version {node.version}; the GPU knows up to {rule.version}"
    for check in rule.checks:
        reason = check(node, graph)
        if reason is not None:
            return reason
    sides = (
        ("input", [tensor for tensor in node.inputs if tensor is not None], rule.inputs or profile.inputs),
        ("output", node.outputs, rule.outputs or profile.outputs),
    )
    for side, tensors, dtypes in sides:
        for tensor in tensors:
            reason = _unfit(side, tensor, dtypes, graph, profile)
            if reason is not None:
                return reason
    return None


def _rule(node: Node, profile: Profile) -> OpRule | None:
    if node.custom:
        return profile.custom.get(node.op)
    if node.op == "STABLEHLO_COMPOSITE":
        name = node.options.get("name")
        return OpRule() if isinstance(name, bytes) and name.decode() in profile.composites else None
    return profile.ops.get(node.op)


def _unfit(side: str, tensor: Tensor, dtypes: frozenset[str], graph: Graph, profile: Profile) -> str | None:
    if tensor.rank > profile.most_dimensions:
        return (
            f"an {side} has {tensor.rank} dimensions ({shown(tensor.shape)}); the GPU takes {profile.most_dimensions}"
        )
    if tensor.constant or tensor.index in graph.early:
        return None
    if tensor.dtype not in dtypes:
        return f"an {side} is {tensor.dtype}, which the GPU does not take here"
    if tensor.dtype in _MIXED and tensor.scales > 1:
        return f"an {side} has {tensor.scales} quantisation scales; the GPU takes one"
    return None


def _widened(graph: Graph) -> dict[int, Tensor]:
    """The float16 constant behind each tensor that a DEQUANTIZE makes of one."""
    return {
        node.outputs[0].index: constant
        for node in graph.nodes
        if node.op == "DEQUANTIZE" and node.outputs
        if (constant := node.input(0)) is not None and constant.constant and constant.dtype == "float16"
    }


def _row(
    graph: Graph, profile: Profile, why: str | None, parts: Sequence[Sequence[int]], left: Sequence[tuple[Node, str]]
) -> PredictionRow:
    groups: dict[tuple[str, int, str], list[int]] = {}
    for node, reason in left:
        groups.setdefault((node.op, node.version, reason), []).append(node.index)
    # What the GPU refuses comes first, in the order of the graph.
    ordered = sorted(groups.items(), key=lambda item: (item[0][2] in NOT_REFUSED, item[1]))
    rows: list[RefusedOpRow] = [
        {"op": op, "version": version, "why": reason, "nodes": nodes} for (op, version, reason), nodes in ordered
    ]
    return {
        "profile": profile.name,
        "checked": profile.checked,
        "compiles": why is None,
        "why": why,
        "nodes_total": len(graph.nodes),
        "nodes_delegated": sum(map(len, parts)),
        "partitions": len(parts),
        "refused": rows,
    }
