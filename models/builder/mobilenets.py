"""Stand-ins on a MobileNet backbone: classification, pose estimation, segmentation."""

from __future__ import annotations

from collections.abc import Sequence

from models.builder import layers
from models.builder.net import Feature, Net

# (filters, stride, dilation) of the 13 separable blocks of MobileNet v1 with width 0.25.
V1_BLOCKS = (
    (16, 1, 1),
    (32, 2, 1),
    (32, 1, 1),
    (64, 2, 1),
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (128, 1, 1),
    (128, 1, 1),
    (128, 1, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
)
# The same with output stride 16: the last stride became a dilation.
_V1_BLOCKS_STRIDE_16 = (*V1_BLOCKS[:11], (256, 1, 1), (256, 1, 2))
# (filters, blocks, stride, dilation) of the stages of MobileNet v2 with width 0.25 and output stride 16.
_V2_STAGES = ((8, 2, 2, 1), (8, 3, 2, 1), (16, 4, 2, 1), (24, 3, 1, 1), (40, 3, 1, 2), (80, 1, 1, 2))
_EXPANSION = 6


def describe(family: str) -> str:
    """What a stand-in says about itself, so that nobody takes it for the real model."""
    return f"Seeded stand-in for the {family} family: random weights, never trained. Not the real model."


def backbone_v1(net: Net, x: Feature, blocks: Sequence[tuple[int, int, int]]) -> list[Feature]:
    """MobileNet v1; the outputs of all its blocks."""
    x = net.conv(x, 8, "conv_0", kernel=3, stride=2)
    outputs = []
    for number, (filters, stride, dilation) in enumerate(blocks, start=1):
        x = net.depthwise(x, f"conv_{number}_depthwise", stride=stride, dilation=dilation)
        x = net.conv(x, filters, f"conv_{number}_pointwise")
        outputs.append(x)
    return outputs


def mobilenet_v1() -> bytes:
    """Classification, 101 classes: logits of the pooled features, SOFTMAX."""
    net = Net("mobilenet_v1", describe("MobileNet v1 classification"), seed=11)
    x = backbone_v1(net, net.image("image", 128, 3), V1_BLOCKS)[-1]
    x = net.head(net.global_average(x, "pool"), 101, "logits_1x1", std=1.0)
    logits = layers.reshape(net.graph, x.tensor, (1, 101), name="logits")
    net.graph.output(layers.softmax(net.graph, logits, name="probabilities"))
    return net.graph.to_bytes("serving_default")


def posenet() -> bytes:
    """Pose estimation, 17 key points: heat maps, offsets, and displacements along the 16 edges of the skeleton."""
    net = Net("posenet", describe("PoseNet pose estimation"), seed=2, half_weights=True)
    x = backbone_v1(net, net.image("image", 129, 3), _V1_BLOCKS_STRIDE_16)[-1]
    heatmaps = net.head(x, 17, "heatmap_logits", std=1.0, mean=-1.5)
    net.graph.output(
        layers.unary(net.graph, "LOGISTIC", heatmaps.tensor, name="heatmaps"),
        net.head(x, 34, "offsets", std=5.0).tensor,
        net.head(x, 32, "displacements_forward", std=8.0).tensor,
        net.head(x, 32, "displacements_backward", std=8.0).tensor,
    )
    return net.graph.to_bytes()


def deeplab() -> bytes:
    """Segmentation, 21 classes: MobileNet v2 with image pooling, logits resized to the size of the input."""
    net = Net("deeplab", describe("DeepLab v3 segmentation"), seed=3, half_weights=True)
    x = net.conv(net.image("image", 129, 3), 8, "conv", kernel=3, stride=2)
    x = net.conv(net.depthwise(x, "block_0_depthwise"), 8, "block_0_project", activation="NONE")
    number = 1
    for filters, blocks, stride, dilation in _V2_STAGES:
        for position in range(blocks):
            first = stride if position == 0 else 1
            x = _inverted_residual(net, x, filters, f"block_{number}", stride=first, dilation=dilation)
            number += 1
    size = x.tensor.shape[1]
    pooled = net.conv(net.global_average(x, "image_pooling"), 64, "image_pooling_conv")
    pooled = net.resize(pooled, size, size, "image_pooling_resize")
    x = net.concat([net.conv(x, 64, "aspp_conv"), pooled], "aspp_concat")
    x = net.head(net.conv(x, 64, "aspp_project"), 21, "logits", std=1.5)
    net.graph.output(net.resize(x, 129, 129, "segmentation").tensor)
    return net.graph.to_bytes("serving_default")


def _inverted_residual(net: Net, x: Feature, filters: int, name: str, *, stride: int, dilation: int) -> Feature:
    channels = x.tensor.shape[3]
    y = net.conv(x, channels * _EXPANSION, f"{name}_expand")
    y = net.depthwise(y, f"{name}_depthwise", stride=stride, dilation=dilation)
    y = net.conv(y, filters, f"{name}_project", activation="NONE")
    return net.add(x, y, f"{name}_add") if stride == 1 and channels == filters else y
