"""What the committed files are made of."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from models.builder.catalog import builders
from tests.models.runtime import STAND_INS, SUITE, path_of, unpacked

OPERATORS = {
    "mobilenet_v1": {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "SOFTMAX"},
    "posenet": {"CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "DEQUANTIZE"},
    "deeplab": {
        "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "CONCATENATION", "DEQUANTIZE",
    },
    "mobilenet_ssd": {"CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "CONCATENATION", "LOGISTIC", "DEQUANTIZE"},
    "face_contour": {"CONV_2D", "DEPTHWISE_CONV_2D", "PRELU", "ADD", "PAD", "MAX_POOL_2D", "RESHAPE", "LOGISTIC"},
    "video_segmentation": {
        "CONV_2D", "DEPTHWISE_CONV_2D", "PRELU", "ADD", "PAD", "MAX_POOL_2D", "TRANSPOSE_CONV", "SOFTMAX",
    },
}  # fmt: skip
SHAPES = {
    "mobilenet_v1": ([1, 128, 128, 3], [[1, 101]]),
    "posenet": ([1, 129, 129, 3], [[1, 9, 9, 17], [1, 9, 9, 34], [1, 9, 9, 32], [1, 9, 9, 32]]),
    "deeplab": ([1, 129, 129, 3], [[1, 129, 129, 21]]),
    "mobilenet_ssd": ([1, 160, 160, 3], [[1, 540, 4], [1, 540, 21]]),
    "face_contour": ([1, 96, 96, 3], [[1, 260], [1, 1]]),
    "video_segmentation": ([1, 128, 128, 4], [[1, 128, 128, 2]]),
}
NAMES = [name for name in builders() if not name.startswith(SUITE)]
NAME_OF_CODE = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_ins_have_the_operators_and_shapes_of_their_family(name: str) -> None:
    model = unpacked(path_of(name).read_bytes())
    graph = model.subgraphs[0]
    assert {NAME_OF_CODE[code.builtinCode] for code in model.operatorCodes} == OPERATORS[name]
    inputs, outputs = SHAPES[name]
    assert [list(graph.tensors[index].shape) for index in graph.inputs] == [inputs]
    assert [list(graph.tensors[index].shape) for index in graph.outputs] == outputs
    types = {graph.tensors[index].type for index in (*graph.inputs, *graph.outputs)}
    assert types == {schema.TensorType.FLOAT32}


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_ins_say_that_they_are_not_the_real_model(name: str) -> None:
    description = unpacked(path_of(name).read_bytes()).description.decode()
    assert description.startswith("Seeded stand-in for the ")
    assert description.endswith("Not the real model.")


@pytest.mark.parametrize("name", STAND_INS)
def test_some_files_have_a_signature_and_some_have_none(name: str) -> None:
    signatures = unpacked(path_of(name).read_bytes()).signatureDefs or []
    keys = [signature.signatureKey.decode() for signature in signatures]
    assert keys == (["serving_default"] if name in {"mobilenet_v1", "deeplab"} else [])


@pytest.mark.parametrize("name", STAND_INS)
def test_weights_lie_on_the_float16_grid(name: str) -> None:
    """Rounding errors of the machine that built the file are far below that grid."""
    model = unpacked(path_of(name).read_bytes())
    checked = 0
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if tensor.type == schema.TensorType.FLOAT32 and data is not None:
            values = np.frombuffer(bytes(data), dtype=np.float32)
            assert np.array_equal(values, values.astype(np.float16).astype(np.float32)), tensor.name
            checked += 1
    half = any(tensor.type == schema.TensorType.FLOAT16 for tensor in model.subgraphs[0].tensors)
    assert half != (checked > 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_plain_and_well_formed(name: str) -> None:
    data = path_of(name).read_bytes()
    assert data[4:8] == b"TFL3"
    model = unpacked(data)
    assert model.version == 3
    assert not model.metadata
    names = [tensor.name.decode() for tensor in model.subgraphs[0].tensors]
    assert all(names)
    assert len(set(names)) == len(names)
    assert model.buffers[0].data is None


@pytest.mark.parametrize("name", NAMES)
def test_constants_are_aligned_for_vector_loads(name: str) -> None:
    data = path_of(name).read_bytes()
    model = schema.Model.GetRootAsModel(data, 0)
    for index in range(1, model.BuffersLength()):
        buffer = model.Buffers(index)
        content = buffer._tab.Vector(buffer._tab.Offset(4))
        assert content % 16 == 0
