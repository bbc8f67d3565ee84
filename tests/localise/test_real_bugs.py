"""Real faults of LiteRT's GPU accelerator are found on a software GPU, without being told."""

from __future__ import annotations

import numpy as np
import pytest

from harness.localise.locate import localise
from harness.localise.task import Array, Task
from models.builder.graph import Graph, options
from tests.conftest import ROOT
from tests.drivers import absent, swiftshader
from tests.localise import models
from tests.localise.local_probe import LocalProbe
from tests.localise.models import compressed, dense, sparsity

SHARED = ROOT.parent / "shared" / "models"


def transpose_conv() -> bytes:
    """CONV_2D, RELU, TRANSPOSE_CONV of an odd size, TANH: 3x3, stride 2, SAME is off by one pixel."""
    graph = Graph("upsample", "ends in an upsampling")
    x = models.conv(graph, graph.input("x", (1, 13, 11, 4)), "conv", 1)
    x = graph.op("RELU", [x], x.shape, name="relu")
    shape = (1, 26, 22, 4)
    weights = graph.constant("weights", models.draw(2, 4, 3, 3, 4))
    table = options("TransposeConvOptions", padding=0, strideH=2, strideW=2)
    x = graph.op("TRANSPOSE_CONV", [graph.ints("shape", *shape), weights, x], shape, table, name="up", dtype="float32")
    graph.output(graph.op("TANH", [x], shape, name="tanh"))
    return graph.to_bytes()


def flattening() -> bytes:
    """CONV_2D, FULLY_CONNECTED of four dimensions, SOFTMAX: the GPU takes the wrong elements."""
    graph = Graph("flatten", "a FULLY_CONNECTED that flattens")
    x = models.conv(graph, graph.input("x", (1, 5, 4, 6)), "conv", 1)
    weights, bias = graph.constant("weights", models.draw(2, 3, 120)), graph.constant("bias", models.draw(3, 3))
    x = graph.op("FULLY_CONNECTED", [x, weights, bias], (1, 3), options("FullyConnectedOptions"), name="dense")
    graph.output(graph.op("SOFTMAX", [x], (1, 3), options("SoftmaxOptions", beta=1.0), name="softmax"))
    return graph.to_bytes()


def shared(name: str) -> bytes:
    """A public model that lies beside the checkout, or skip."""
    path = SHARED / f"{name}.tflite"
    if not path.is_file():
        absent("needs the shared models beside the checkout: ../shared/models")
    return path.read_bytes()


def named(model: bytes, inputs: list[Array]) -> str:
    """The operation that is named on SwiftShader."""
    located = localise(Task(model, inputs), LocalProbe(swiftshader()), lambda: 100.0, lambda line: None)
    assert located.row["op"] is not None, located.row["words"]
    assert located.submodel is not None
    return f"{located.row['op']['index']} {located.row['op']['type']}"


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [(transpose_conv(), (1, 13, 11, 4), "2 TRANSPOSE_CONV"), (flattening(), (1, 5, 4, 6), "1 FULLY_CONNECTED")],
    ids=["transpose_conv", "fully_connected"],
)
def test_small_models(model: bytes, shape: tuple[int, ...], expected: str) -> None:
    assert named(model, [models.draw(5, *shape)]) == expected


def test_micro_speech() -> None:
    values = np.random.default_rng(0).integers(-128, 128, (1, 1960)).astype(np.int8)
    assert named(shared("quant/micro_speech_quantized"), [values]) == "2 FULLY_CONNECTED"


def test_keras_upsampling() -> None:
    model = shared("gpu_bugs/keras_conv2dtranspose_3x3_s2_same_33x33")
    assert named(model, [models.draw(5, 1, 33, 33, 21)]) == "0 TRANSPOSE_CONV"


def test_sparse_weights() -> None:
    """DENSIFY stays on the CPU, and the GPU takes whatever lies in memory for the weights."""
    segments = compressed(list(range(0, 33, 4)), [0, 9, 17, 30] * 8)
    how = sparsity([0, 1, 2, 3], [dense(8), dense(1), dense(1), segments])
    model = models.sparse(np.linspace(-1, 1, 32).tolist(), (8, 1, 1, 32), how)
    assert named(model, [models.draw(5, 8, 1, 1, 32)]) == "0 DENSIFY"
