"""The builder: graphs run as they were described, and calibration computes what the runtime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.builder import layers
from models.builder.graph import Graph, Quantization, options
from models.builder.net import Feature, Net
from tests.models.runtime import run, unpacked


def every_layer(net: Net) -> list[Feature]:
    """A small network of all layers; odd sizes, so that asymmetric padding counts."""
    image = net.image("image", 19, 3)
    x = net.conv(image, 6, "conv", kernel=3, stride=2)
    dilated = net.depthwise(x, "dilated", dilation=2)
    strided = net.depthwise(x, "strided", stride=2, activation="NONE")
    slope = net.prelu(strided, "prelu")
    padded = net.pad_channels(slope, 8, "padded")
    pooled = net.max_pool(x, "pooled")
    added = net.add(pooled, strided, "added")
    large = net.transpose_conv(added, 4, "large", kernel=4)
    small = net.transpose_conv(added, 4, "small", std=2.0)
    average = net.global_average(x, "average")
    wide = net.resize(average, 10, 10, "wide")
    resized = net.resize(added, 7, 8, "resized")
    joined = net.concat([large, small], "joined")
    valid = net.head(added, 5, "valid", std=1.5, mean=0.5, kernel=3, padding="VALID")
    return [x, dilated, strided, slope, padded, pooled, added, large, small, average, wide, resized, joined, valid]


@pytest.mark.parametrize("half_weights", [False, True])
def test_calibration_computes_what_the_runtime_computes(half_weights: bool, tmp_path: Path) -> None:
    net = Net("layers", "all layers", seed=3, half_weights=half_weights)
    features = every_layer(net)
    net.graph.output(*(feature.tensor for feature in features))
    path = tmp_path / "layers.tflite"
    path.write_bytes(net.graph.to_bytes())
    images = Net("layers", "the same seed", seed=3).image("image", 19, 3).value.astype(np.float32)
    answers = run(tmp_path, {"layers": path}, {"layers": [[image[None]] for image in images]}, ("xnnpack",))
    for number in range(len(images)):
        for feature, output in zip(features, answers.of("layers", sample=number), strict=True):
            np.testing.assert_allclose(output[0], feature.value[number], atol=2e-5, err_msg=feature.tensor.name)


def test_calibrated_channels_are_alike() -> None:
    net = Net("net", "one layer", seed=5)
    x = net.image("image", 32, 3)
    linear = net.conv(x, 16, "linear", kernel=3, activation="NONE").value
    assert np.abs(linear.mean(axis=(0, 1, 2))).max() < 1.0
    deviation = linear.std(axis=(0, 1, 2))
    assert 0.25 < deviation.min() < deviation.max() < 1.5


def test_the_same_seed_gives_the_same_file_and_another_seed_another() -> None:
    def build(seed: int) -> bytes:
        net = Net("net", "seeded", seed=seed)
        net.graph.output(net.conv(net.image("image", 8, 3), 4, "conv").tensor)
        return net.graph.to_bytes()

    assert build(1) == build(1)
    assert build(1) != build(2)


def test_an_operator_may_have_several_outputs_and_newer_codes(tmp_path: Path) -> None:
    graph = Graph("split", "SPLIT and BROADCAST_TO, whose code is beyond the old 8-bit field")
    x = graph.input("x", (1, 4))
    axis = graph.constant("axis", np.array(1, dtype=np.int32))
    halves = graph.op_many(
        "SPLIT", (axis, x), [(1, 2), (1, 2)], options("SplitOptions", numSplits=2), dtypes=["float32"] * 2
    )
    wide = graph.op(
        "BROADCAST_TO", (halves[1], graph.ints("shape", 3, 2)), (3, 2), options("BroadcastToOptions"), version=2
    )
    graph.output(halves[0], wide)
    path = tmp_path / "split.tflite"
    path.write_bytes(graph.to_bytes())
    value = np.array([[1, 2, 3, 4]], dtype=np.float32)
    first, second = run(tmp_path, {"split": path}, {"split": [[value]]}, ("xnnpack",)).of("split")
    assert first.tolist() == [[1, 2]]
    assert second.tolist() == [[3, 4]] * 3


def test_quantization_signature_and_dynamic_shape_are_recorded() -> None:
    graph = Graph("fc", "a per-channel quantised constant and a dynamic batch")
    x = graph.input("x", (1, 3), shape_signature=(-1, 3))
    channels = Quantization((0.5, 0.25), (0, 0), axis=0)
    weights = graph.constant("weights", np.ones((2, 3), dtype=np.int8), quantization=channels)
    bias = graph.constant("bias", np.zeros(2, dtype=np.float32))
    graph.output(layers.fully_connected(graph, x, weights, bias, name="y"))
    model = unpacked(graph.to_bytes("serve"))
    tensors = {tensor.name.decode(): tensor for tensor in model.subgraphs[0].tensors}
    assert list(tensors["x"].shapeSignature) == [-1, 3]
    assert list(tensors["weights"].quantization.scale) == [0.5, 0.25]
    assert tensors["weights"].quantization.quantizedDimension == 0
    (signature,) = model.signatureDefs
    assert signature.signatureKey == b"serve"
    assert [entry.name for entry in (*signature.inputs, *signature.outputs)] == [b"x", b"y"]


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValueError, match="'Conv2DOptions' of the TFLite schema has no field 'stride'"):
        options("Conv2DOptions", stride=2)
    with pytest.raises(ValueError, match="no options table 'ConvOptions'"):
        options("ConvOptions")
