"""Stand-ins built of residual depthwise blocks with PRELU: face contour, video segmentation."""

from __future__ import annotations

from models.builder import layers
from models.builder.mobilenets import describe
from models.builder.net import Feature, Net

_CONTOUR_POINTS = 130
# (filters, stride) of the blocks of the face contour model.
_CONTOUR_BLOCKS = (
    (16, 1),
    (16, 1),
    (32, 2),
    (32, 1),
    (32, 1),
    (64, 2),
    (64, 1),
    (64, 1),
    (96, 2),
    (96, 1),
    (96, 2),
    (96, 1),
)
# Filters of the encoder levels of the video segmentation model, each half the size of the one before.
_LEVELS = (8, 16, 24, 32)


def face_contour() -> bytes:
    """Key points: 130 points (x, y) in pixels of a 96 x 96 face, and the probability that there is a face."""
    net = Net("face_contour", describe("face contour"), seed=5)
    x = net.conv(net.image("image", 96, 3), 16, "conv", kernel=3, stride=2, activation="NONE")
    x = net.prelu(x, "conv_prelu")
    for number, (filters, stride) in enumerate(_CONTOUR_BLOCKS):
        x = _block(net, x, filters, stride, f"block_{number}")
    points = net.prelu(net.conv(x, 32, "contour_conv", activation="NONE"), "contour_prelu")
    points = net.head(points, 2 * _CONTOUR_POINTS, "contour_3x3", std=12.0, mean=48.0, kernel=3, padding="VALID")
    face = net.head(x, 1, "face_3x3", std=1.5, kernel=3, padding="VALID")
    net.graph.output(
        layers.reshape(net.graph, points.tensor, (1, 2 * _CONTOUR_POINTS), name="contour"),
        layers.unary(
            net.graph, "LOGISTIC", layers.reshape(net.graph, face.tensor, (1, 1), name="face_logit"), name="face"
        ),
    )
    return net.graph.to_bytes()


def video_segmentation() -> bytes:
    """Segmentation of video: colours and the mask of the frame before in, probabilities of two classes out."""
    net = Net("video_segmentation", describe("video segmentation"), seed=6)
    x = net.image("image_and_mask", 128, 4)
    x = net.prelu(net.conv(x, _LEVELS[0], "conv", kernel=3, stride=2, activation="NONE"), "conv_prelu")
    skips = []
    for level, filters in enumerate(_LEVELS):
        if level > 0:
            skips.append(x)
            x = _block(net, x, filters, 2, f"down_{level}")
        x = _block(net, x, filters, 1, f"encoder_{level}")
    for level in (2, 1, 0):
        x = net.add(net.transpose_conv(x, _LEVELS[level], f"up_{level}"), skips.pop(), f"up_{level}_add")
        x = net.prelu(x, f"up_{level}_prelu")
        x = _block(net, x, _LEVELS[level], 1, f"decoder_{level}")
    x = net.transpose_conv(x, 2, "logits", kernel=4, std=1.5)
    net.graph.output(layers.softmax(net.graph, x.tensor, name="segmentation"))
    return net.graph.to_bytes()


def _block(net: Net, x: Feature, filters: int, stride: int, name: str) -> Feature:
    """PRELU(shortcut + separable convolution); the shortcut is pooled and padded with zero channels to fit."""
    y = net.depthwise(x, f"{name}_depthwise", stride=stride, activation="NONE")
    y = net.conv(y, filters, f"{name}_pointwise", activation="NONE")
    if stride == 2:
        x = net.max_pool(x, f"{name}_pool")
    if x.tensor.shape[3] != filters:
        x = net.pad_channels(x, filters, f"{name}_pad")
    return net.prelu(net.add(x, y, f"{name}_add"), f"{name}_prelu")
