"""Stand-in for single-shot object detection."""

from __future__ import annotations

from models.builder import layers
from models.builder.graph import Tensor
from models.builder.mobilenets import V1_BLOCKS, backbone_v1, describe
from models.builder.net import Feature, Net

_CLASSES = 21
# (filters of the 1x1, of the 3x3 with stride 2) of the layers after the backbone.
_EXTRA_LAYERS = ((64, 128), (32, 64), (32, 64), (16, 32))


def mobilenet_ssd() -> bytes:
    """Detection, 540 anchors: box encodings and LOGISTIC class scores, as they are before non-maximum suppression."""
    net = Net("mobilenet_ssd", describe("MobileNet v1 SSD detection"), seed=4, half_weights=True)
    features = backbone_v1(net, net.image("image", 160, 3), V1_BLOCKS)
    maps = [features[10], features[12]]
    for number, (narrow, wide) in enumerate(_EXTRA_LAYERS, start=2):
        x = net.conv(maps[-1], narrow, f"extra_{number}_1x1")
        maps.append(net.conv(x, wide, f"extra_{number}_3x3", kernel=3, stride=2))
    boxes, scores = [], []
    for number, feature in enumerate(maps):
        anchors = 3 if number == 0 else 6
        boxes.append(_predictor(net, feature, anchors, 4, f"box_encodings_{number}", mean=0.0))
        scores.append(_predictor(net, feature, anchors, _CLASSES, f"class_logits_{number}", mean=-2.0))
    logits = layers.concatenation(net.graph, scores, 1, name="class_logits")
    net.graph.output(
        layers.concatenation(net.graph, boxes, 1, name="box_encodings"),
        layers.unary(net.graph, "LOGISTIC", logits, name="class_scores"),
    )
    return net.graph.to_bytes()


def _predictor(net: Net, x: Feature, anchors: int, values: int, name: str, *, mean: float) -> Tensor:
    """What one feature map predicts for each of its anchors: [1, positions * anchors, values]."""
    head = net.head(x, anchors * values, f"{name}_conv", std=1.0, mean=mean)
    positions = x.tensor.shape[1] * x.tensor.shape[2]
    return layers.reshape(net.graph, head.tensor, (1, positions * anchors, values), name=name)
