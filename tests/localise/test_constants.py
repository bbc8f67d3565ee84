"""Constants are unpacked as LiteRT's reference kernels do it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.localise.cut import Cutter
from tests.localise import models
from tests.localise.interpreter import InterpreterProcess
from tests.localise.models import compressed, dense, sparsity

ROWS = sparsity([0, 1], [dense(3), compressed([0, 2, 2, 3], [0, 3, 1])])
COLUMNS = sparsity([1, 0], [dense(4), compressed([0, 1, 2, 2, 3], [0, 2, 0])])
BLOCKS = sparsity([0, 1, 2, 3], [dense(2), compressed([0, 1, 2], [1, 0]), dense(2), dense(2)], [0, 1])


@pytest.mark.parametrize(
    ("values", "shape", "how"),
    [([1, 2, 3], [3, 4], ROWS), ([1, 2, 3], [3, 4], COLUMNS), ([1, 2, 3, 4, 5, 6, 7, 8], [4, 4], BLOCKS)],
    ids=["rows", "columns", "blocks"],
)
def test_a_sparse_constant(interpreter: InterpreterProcess, values: list[float], shape: list[int], how: Any) -> None:
    model = models.sparse(values, shape, how)
    cutter = Cutter(model)
    (answer,) = interpreter.outputs(model, [np.zeros(shape, np.float32)])
    (tensor,) = set(cutter.constants(0)) & set(cutter.graph.steps[0].node.inputs)
    np.testing.assert_array_equal(cutter.constants(0)[tensor], answer)
    assert np.count_nonzero(answer) == len(values)
