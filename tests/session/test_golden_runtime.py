"""The older reference runtime, chosen by a suite."""

from __future__ import annotations

import os

import pytest

from tests.session.conftest import Lab

VARIABLE = "HARNESS_TFLITE_RUNTIME_PYTHON"


@pytest.mark.skipif(
    VARIABLE not in os.environ,
    reason=f"needs {VARIABLE}: a Python up to 3.11 with: pip install 'tflite-runtime==2.14.0' 'numpy<2'",
)
def test_tflite_runtime_computes_the_reference(lab: Lab) -> None:
    lab.models("conv_2d")
    lab.suite("golden_runtime: tflite-runtime\n")
    assert lab.inline().ret == 0
    reference = lab.matrix["cells"][0]["accuracy"][0]["reference"]
    assert reference["runtime"] == "tflite-runtime 2.14.0"
    assert reference["kernels"] == "reference"


def test_without_it_the_cell_is_an_error_that_says_what_to_install(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    lab.models("conv_2d")
    lab.suite("golden_runtime: tflite-runtime\n")
    assert lab.inline().ret == 1
    (cell,) = lab.matrix["cells"]
    assert cell["outcome"] == "ERROR"
    assert "tflite-runtime" in cell["reason"]
    assert "install" in cell["reason"]
    assert cell["latency"]["count"] == 3  # what was measured is kept
