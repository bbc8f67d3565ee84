"""Pieces of models compute what the model computes there."""

from __future__ import annotations

import numpy as np
import pytest

from harness.localise.cut import Cutter
from harness.localise.graph import Refused
from tests.conftest import MODELS
from tests.localise import models
from tests.localise.interpreter import InterpreterProcess

OPS = ["ops/conv_2d_uint8", "ops/mixed_inputs", "ops/add_dynamic_batch"]


def inputs_of(model: bytes) -> list[np.ndarray]:
    """Ones for a model."""
    dtypes = {0: np.float32, 2: np.int32, 3: np.uint8, 6: np.bool_, 9: np.int8}
    graph = models.unpacked(model).subgraphs[0]
    tensors = [graph.tensors[number] for number in graph.inputs]
    return [np.ones([max(int(size), 1) for size in tensor.shape], dtypes[tensor.type]) for tensor in tensors]


@pytest.mark.parametrize("name", ["posenet", "face_contour", "video_segmentation", *OPS])
def test_first_and_second_half_compute_what_the_model_does(interpreter: InterpreterProcess, name: str) -> None:
    model = (MODELS / f"{name}.tflite").read_bytes()
    cutter, graph = Cutter(model), Cutter(model).graph
    inputs = inputs_of(model)
    whole = interpreter.outputs(model, inputs)
    last, half = len(graph.steps) - 1, (len(graph.steps) - 1) // 2
    known = dict(zip(graph.inputs, inputs, strict=True))
    for first, cut in ((0, half), (half + 1, last)):
        if first > cut:
            continue
        entering, made = graph.entering(first, cut), graph.frontier(cut, first)
        given = [known[tensor] for tensor in entering]
        shapes = {tensor: known[tensor].shape for tensor in entering}
        piece = cutter.piece(graph.operations(first, cut, made), entering, made, shapes=shapes)
        assert len(piece) < len(model) + 1000
        known.update(zip(made, interpreter.outputs(piece, given), strict=True))
    for tensor, expected in zip(graph.outputs, whole, strict=True):
        np.testing.assert_array_equal(known[tensor], expected)


def test_what_is_alive_behind_a_cut() -> None:
    graph = Cutter(models.branches()).graph
    names = [[graph.name(tensor) for tensor in graph.frontier(cut)] for cut in (0, 4, 7, 11)]
    assert names == [["op-0"], ["op-0", "op-4"], ["op-0", "op-5", "op-7"], ["op-5", "op-11"]]
    assert [graph.name(tensor) for tensor in graph.entering(9, 9)] == ["op-0", "op-8"]


def test_a_piece_has_only_what_it_needs() -> None:
    cutter = Cutter(models.branches())
    graph = cutter.graph
    piece = models.unpacked(cutter.piece([3], graph.entering(3, 3), graph.frontier(3, 3)))
    assert [tensor.name for tensor in piece.subgraphs[0].tensors] == [b"op-2", b"op-3-weights", b"op-3-bias", b"op-3"]
    assert len(piece.buffers) == 3
    assert len(piece.operatorCodes) == 1
    assert not piece.signatureDefs
    assert not piece.metadata


def test_a_constant_may_be_baked_in(interpreter: InterpreterProcess) -> None:
    cutter = Cutter(models.half_weights())
    graph = cutter.graph
    constants = cutter.constants(0)
    made = graph.frontier(0, 0)
    baked = cutter.piece(graph.operations(0, 0, made, constants), graph.inputs, made, baked=constants)
    packed = cutter.piece(graph.operations(0, 0, made), graph.inputs, made)
    x = models.draw(9, *models.SHAPE)
    assert len(models.unpacked(baked).subgraphs[0].operators) == 1
    assert len(models.unpacked(packed).subgraphs[0].operators) == 3
    np.testing.assert_array_equal(interpreter.outputs(baked, [x])[0], interpreter.outputs(packed, [x])[0])


def test_operations_that_call_other_subgraphs(interpreter: InterpreterProcess) -> None:
    cutter = Cutter(models.choosing(), 2)
    graph = cutter.graph
    assert [step.node.type for step in graph.steps] == ["IF", "EXP"]
    piece = cutter.piece([0], graph.entering(0, 0), graph.frontier(0))
    x = np.array([-1.0, 2.0, -3.0], np.float32)
    for which, expected in ((True, -x), (False, np.abs(x))):
        (answer,) = interpreter.outputs(piece, [np.array([which]), x])
        np.testing.assert_array_equal(answer, expected)
    assert len(models.unpacked(cutter.piece([1], graph.entering(1, 1), graph.outputs)).subgraphs) == 1


def outside() -> bytes:
    model = models.unpacked(models.labels())
    model.buffers[1].offset, model.buffers[1].size = 4096, 16
    return models.packed(model)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (models.stateful(), "variable tensors"),
        (outside(), "outside of its flatbuffer"),
        (b"nonsense", "cannot be read"),
        (models.branches()[:900], "cannot be read"),
    ],
)
def test_what_cannot_be_cut_is_refused(model: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        Cutter(model)
