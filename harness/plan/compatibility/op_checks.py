"""Rules that one operation has, or a few that are alike; see `checks` for what a check is."""

from __future__ import annotations

from harness.plan.compatibility.checks import shown
from harness.plan.compatibility.graph import Graph, Node

_MIRROR_REFLECT = 0  # of MirrorPadMode
_MASKS = (("ellipsisMask", "ellipsis_mask"), ("newAxisMask", "new_axis_mask"), ("shrinkAxisMask", "shrink_axis_mask"))


def depthwise_shapes(node: Node, graph: Graph) -> str | None:
    """Four dimensions throughout, and channels x multiplier coming out."""
    data, weights, bias, result = node.input(0), node.input(1), node.input(2), node.outputs[0]
    if data is None or weights is None or {data.rank, weights.rank, result.rank} != {4}:
        return "input, weights and output need 4 dimensions each"
    if data.shape[0] != result.shape[0]:
        return "input and output differ in batch size"
    channels = data.shape[3] * node.option("depthMultiplier")
    if not channels == result.shape[3] == weights.shape[3]:
        return f"{result.shape[3]} output channels are not input channels x multiplier ({channels})"
    if bias is not None and bias.size != result.shape[3]:
        return f"{bias.size} bias values for {result.shape[3]} channels"
    return None


def plain_weights(node: Node, graph: Graph) -> str | None:
    """Weights of FULLY_CONNECTED in the default order, with at most one other computed input."""
    if node.option("weightsFormat"):
        return "its weights are shuffled; the GPU takes the default order"
    return "it has more than 2 computed inputs" if len(node.computed) > 2 else None


def kept_rank(node: Node, graph: Graph) -> str | None:
    """keep_num_dims only where the number of dimensions is kept."""
    data = node.input(0)
    if node.option("keepNumDims") and data is not None and data.rank != node.outputs[0].rank:
        return "keep_num_dims with another number of dimensions at the output"
    return None


def signed_weights(node: Node, graph: Graph) -> str | None:
    """Quantised weights of FULLY_CONNECTED are signed, in 2 dimensions or 1x1 in space."""
    weights = node.input(1)
    if weights is None or not weights.scales or weights.blockwise:
        return None
    if weights.dtype not in ("int8", "int4", "int2"):
        return f"its weights are quantised {weights.dtype}; the GPU takes int8, int4 or int2"
    fits = weights.rank == 2 or (weights.rank == 4 and weights.shape[1:3] == (1, 1))
    return None if fits else f"its quantised weights are {shown(weights.shape)}; the GPU takes 2 dimensions"


def slice_masks(node: Node, graph: Graph) -> str | None:
    """STRIDED_SLICE without the masks that change the number of dimensions."""
    for option, word in _MASKS:
        if node.option(option):
            example = {"shrink_axis_mask": " (as x[0] in Python)", "new_axis_mask": " (as x[None])"}.get(word, "")
            return f"it uses {word}{example}, which the GPU does not take"
    return None


def slice_parameters(node: Node, graph: Graph) -> str | None:
    """Begins, ends and strides for all dimensions, or for all but the first; no way backwards."""
    data, strides = node.input(0), node.input(3)
    if data is None or strides is None:
        return "it lacks begins, ends or strides"
    if data.rank - strides.size not in (0, 1):
        return f"it gives {strides.size} strides for {data.rank} dimensions"
    backwards = any(value < 0 for value in strides.integers or ())
    return "a stride is negative: the GPU does not reverse" if backwards else None


def slice_arguments(node: Node, graph: Graph) -> str | None:
    """SLICE: starts and sizes fit the input."""
    data, starts, sizes = node.input(0), node.input(1), node.input(2)
    if data is None or starts is None or sizes is None:
        return "it lacks starts or sizes"
    fits = starts.size == sizes.size and (starts.size == data.rank or (data.rank, starts.size) == (4, 3))
    return None if fits else f"it gives {starts.size} starts for {data.rank} dimensions"


def paddings(node: Node, graph: Graph) -> str | None:
    """Paddings for 3 or 4 dimensions."""
    tensor = node.input(1)
    if tensor is None or tensor.shape not in ((3, 2), (4, 2)):
        given = shown(tensor.shape) if tensor is not None else "missing"
        return f"its paddings are {given}; the GPU takes 3x2 or 4x2"
    return None


def reflects(node: Node, graph: Graph) -> str | None:
    """MIRROR_PAD in mode REFLECT."""
    return "the GPU mirrors in mode REFLECT alone" if node.option("mode") != _MIRROR_REFLECT else None


def beta_is_one(node: Node, graph: Graph) -> str | None:
    """SOFTMAX without a scaling of its own."""
    beta = node.option("beta")
    return f"beta is {beta:g}; the GPU takes 1" if beta != 1 else None


def one_resize_rule(node: Node, graph: Graph) -> str | None:
    """Not both align_corners and half_pixel_centers."""
    both = node.option("alignCorners") and node.option("halfPixelCenters")
    return "it has both align_corners and half_pixel_centers" if both else None


def permutation(node: Node, graph: Graph) -> str | None:
    """TRANSPOSE of 2 to 4 dimensions."""
    tensor = node.input(1)
    fits = tensor is not None and tensor.integers is not None and 2 <= tensor.size <= 4
    return None if fits else "the GPU transposes 2 to 4 dimensions, by a constant permutation"


def alpha_fits(node: Node, graph: Graph) -> str | None:
    """PRELU: constant slopes, one per channel or one per value."""
    data, alpha = node.input(0), node.input(1)
    if data is None or alpha is None or not alpha.constant or alpha.sparse:
        return "the GPU needs constant slopes"
    channels = data.shape[-1] if data.rank > 1 else 1
    linear = alpha.rank > 0 and all(size == 1 for size in alpha.shape[:-1])
    if linear and alpha.shape[-1] == channels:
        return None
    whole = alpha.rank in (3, 4) and alpha.shape[-3:] == data.shape[-3:] and alpha.size == data.size // data.shape[0]
    return None if whole and not linear else f"its slopes are {shown(alpha.shape)} for an input {shown(data.shape)}"


def select_shapes(node: Node, graph: Graph) -> str | None:
    """SELECT: both branches as large as the output, or single values."""
    result = node.outputs[0].shape
    for tensor in node.inputs[1:]:
        if tensor is None or not tensor.shape or tensor.shape in (result, (1,)):
            continue
        words = f"a branch is {shown(tensor.shape)} and the output {shown(result)}"
        return f"{words}; the GPU takes equal shapes or single values"
    return None


def one_hot_axis(node: Node, graph: Graph) -> str | None:
    """ONE_HOT along the last dimension."""
    data = node.input(0)
    axis = node.option("axis")
    # The delegate compares the axis with the last dimension's length, not with its position.
    if data is not None and axis != -1 and (not data.shape or axis != data.shape[-1]):
        return f"its axis is {axis}; the GPU takes -1"
    return "its indices have more than one channel" if data and data.rank == 4 and data.shape[3] != 1 else None


def matrix_constant(node: Node, graph: Graph) -> str | None:
    """BATCH_MATMUL: a constant comes second, with 2 to 4 dimensions."""
    first, second = node.input(0), node.input(1)
    if first is None or second is None or not node.computed:
        return "the GPU takes two matrices, the first of them computed"
    if first.constant:
        return "its first matrix is the constant; the GPU takes that second"
    return f"its constant is {shown(second.shape)}" if second.constant and not 2 <= second.rank <= 4 else None


def unpacked_from(node: Node, graph: Graph) -> str | None:
    """DEQUANTIZE of one scale, or of a constant with 2 to 4 dimensions."""
    tensor = node.input(0)
    if tensor is None:
        return "it has no input"
    if tensor.constant:
        fits = 2 <= tensor.rank <= 4 and not tensor.sparse
        return None if fits else f"it unpacks a constant {'stored sparsely' if tensor.sparse else shown(tensor.shape)}"
    return None if tensor.scales else "its input is computed and has no scale, as after DENSIFY"


def packs_with_scale(node: Node, graph: Graph) -> str | None:
    """QUANTIZE to a tensor that has a scale."""
    return None if node.outputs[0].scales else "its output has no scale"


def computed_start(node: Node, graph: Graph) -> str | None:
    """DYNAMIC_UPDATE_SLICE at a place that is computed."""
    start = node.input(2)
    return "its start is a constant; the GPU takes a computed one" if start is not None and start.constant else None


def embedding_weights(node: Node, graph: Graph) -> str | None:
    """EMBEDDING_LOOKUP in float32 weights, or in quantised ones that have scales and 2 dimensions."""
    weights = node.input(1)
    if weights is None or weights.rank < 2:
        return "its table needs 2 dimensions"
    if weights.dtype == "float32":
        return None
    return None if weights.scales and weights.rank in (2, 4) else "its quantised table needs scales and 2 dimensions"
