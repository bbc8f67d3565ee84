"""Models that do not compile at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.plan.compatibility import predictions
from harness.plan.explained import PredictionRow
from tests.plan.compatibility.probes import PROBES
from tests.reference.real_models import ours, repacked, shared


def mldrift(source: Path | bytes) -> PredictionRow:
    return predictions(source)[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("float/mnist_lstm_float.tflite", "variable tensors"),
        ("odd/string_input_model.bin", "is string"),
        ("odd/custom_sinh.bin", "custom operation Sinh"),
        ("odd/multi_add_flex.bin", "TensorFlow operation FlexAddV2"),
        ("odd/dynamic_shapes.bin", "only when the model runs"),
        ("odd/call_once_mul.bin", "is resource"),
        ("odd/test_min_runtime.bin", "zero size"),
        ("quant/person_detect.tflite", "quantised along dimension 3"),
    ],
)
def test_real_files(name: str, words: str) -> None:
    row = mldrift(shared(name))
    assert not row["compiles"]
    assert words in str(row["why"])
    assert (row["nodes_delegated"], row["partitions"], row["refused"]) == (0, 0, [])


def test_a_computed_shape() -> None:
    assert "RESHAPE" in str(mldrift(PROBES["reshape.computed"]())["why"])


def test_a_shape_of_another_tensor() -> None:
    """The runtime works it out beforehand where all operations on the way can be, and PACK cannot."""
    assert mldrift(PROBES["reshape.concatenated"]())["compiles"]
    assert "RESHAPE" in str(mldrift(PROBES["reshape.packed"]())["why"])


def test_a_batch_that_is_open_compiles() -> None:
    assert mldrift(ours("ops/add_dynamic_batch"))["nodes_delegated"] == 1


def test_the_classic_delegate_takes_models_with_state(tmp_path: Path) -> None:
    def keep(model: Any) -> None:
        model.subgraphs[0].tensors[0].isVariable = True

    rows = predictions(repacked(ours("ops/add"), tmp_path / "m.tflite", keep))
    assert [row["compiles"] for row in rows] == [False, True]
