"""Models that a runtime does not compile at all when a GPU is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from harness.plan.compatibility.graph import Graph, Tensor
from harness.plan.compatibility.profile import Profile

# Inputs that decide the size of an output: computed ones make it known only when the model runs.
_SIZES = {
    "BROADCAST_TO": (1,),
    "EXPAND_DIMS": (1,),
    "FILL": (0,),
    "MIRROR_PAD": (1,),
    "ONE_HOT": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "RANGE": (0, 1, 2),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SCATTER_ND": (2,),
    "SLICE": (1, 2),
    "SPACE_TO_BATCH_ND": (1, 2),
    "BATCH_TO_SPACE_ND": (1, 2),
    "SPARSE_TO_DENSE": (1,),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "TILE": (1,),
    "TOPK_V2": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
    "ARG_MAX": (1,),
    "ARG_MIN": (1,),
    "MEAN": (1,),
    "REDUCE_ALL": (1,),
    "REDUCE_ANY": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,),
    "SUM": (1,),
    "RESHAPE": (1,),
}
_ALWAYS_DYNAMIC = frozenset({"NON_MAX_SUPPRESSION_V4", "SEGMENT_SUM", "UNIQUE", "WHERE"})
_UNSIZED_DTYPES = frozenset({"resource", "string", "variant"})


def refusal(graph: Graph, profile: Profile) -> str | None:
    """Why a model does not compile for this GPU, or None if nothing speaks against it."""
    return next(_reasons(graph, profile), None)


def _reasons(graph: Graph, profile: Profile) -> Iterator[str]:
    if graph.variables and not profile.variables:
        yield "it keeps state in variable tensors, which LiteRT's compiled models do not support"
    for node in graph.nodes:
        if node.custom and node.op.startswith("Flex"):
            yield f"it needs the TensorFlow operation {node.op}, for which the runtime has no kernel"
        elif node.custom and node.op not in profile.kernels:
            yield f"it needs the custom operation {node.op}, for which the runtime has no kernel"
    for tensor in graph.tensors:
        if tensor.scales and tensor.rank and not 0 <= tensor.axis < tensor.rank:
            yield f"tensor {_called(tensor)} is quantised along dimension {tensor.axis} of {tensor.rank}"
    yield from _dynamic(graph)
    for tensor in graph.inputs:
        if tensor.size == 0 and not profile.empty_inputs:
            yield f"input {_called(tensor)} has zero size, at which the accelerator's process ends"


def _dynamic(graph: Graph) -> Iterator[str]:
    """Tensors whose size is not known before the model runs: no GPU compiles a model that has one."""
    for node in graph.nodes:
        for tensor in (*(entry for entry in node.inputs if entry), *node.outputs):
            if tensor.dtype in _UNSIZED_DTYPES and not tensor.constant:
                yield f"tensor {_called(tensor)} is {tensor.dtype}: its size is known only when the model runs"
        sizes = (node.input(position) for position in _SIZES.get(node.op, ()))
        late = any(tensor is not None and tensor.index not in graph.early for tensor in sizes)
        if node.op in _ALWAYS_DYNAMIC or late:
            yield f"the size of {node.op}'s output (node {node.index}) is known only when the model runs"


def _called(tensor: Tensor) -> str:
    return f"'{tensor.name}'" if tensor.name else str(tensor.index)
