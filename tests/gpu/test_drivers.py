"""The real LiteRT GPU accelerator, on two Vulkan drivers in software."""

from __future__ import annotations

import json

import pytest

from tests.conftest import MODELS
from tests.drivers import DRIVERS, swiftshader
from tests.session.conftest import DELEGATES, Lab

STAND_INS = ("mobilenet_v1", "posenet", "deeplab", "mobilenet_ssd", "face_contour", "video_segmentation")
OPS = ("add", "conv_2d", "depthwise_conv_2d", "fully_connected", "logistic", "prelu", "resize_bilinear", "softmax")
GPU = DELEGATES + "  gpu: {accelerator: gpu}\n"

TEST = """
@pytest.mark.cell(model="{path}", delegate="gpu-fp32")
def test_{name}(cell):
    check(cell)
"""
HEAD = """
import numpy as np
import pytest

def check(cell):
    assert cell.row["outcome"] == "PASS"
    assert len(cell.row["latency"]["samples_us"]) >= 3
    assert cell.row["delegation"]["fallback"] is False
    assert cell.row["delegation"]["nodes_delegated"] == cell.row["delegation"]["nodes_total"]
    for mine, theirs in zip(cell.outputs, cell.reference):
        for index, output in enumerate(mine):
            spread = max(float(np.ptp(sample[index])) for sample in cell.reference)
            assert np.abs(output.astype(float) - theirs[index]).max() <= 1e-3 * max(spread, 1e-3)
    assert any((first != second).any() for first, second in zip(*cell.outputs[:2]))
"""


def use(lab: Lab, environ: dict[str, str], name: str = "gpu-box") -> None:
    """Make the lab's only device one with this environment."""
    device = {"name": name, "kind": "local", "env": environ}
    lab.write("devices.yaml", json.dumps({"version": 1, "devices": [device]}))


@pytest.mark.parametrize("driver", DRIVERS)
def test_at_least_twelve_cells_pass_on_each_driver(lab: Lab, driver: str) -> None:
    use(lab, DRIVERS[driver](), driver)
    paths = [MODELS / f"{name}.tflite" for name in STAND_INS] + [MODELS / "ops" / f"{name}.tflite" for name in OPS]
    tests = [TEST.format(path=path, name=path.stem) for path in paths]
    lab.write("test_cells.py", HEAD + "".join(tests))
    result = lab.run("test_cells.py")
    result.assert_outcomes(passed=len(paths))
    matrix = lab.matrix
    assert sum(cell["outcome"] == "PASS" for cell in matrix["cells"]) == len(paths) >= 12
    (device,) = matrix["devices"]
    assert device["adapter_software"] is True
    assert {"swiftshader": "SwiftShader", "lavapipe": "llvmpipe"}[driver] in device["adapter"]


def test_default_precision_is_float16_on_lavapipe_and_shows_in_the_error(lab: Lab) -> None:
    use(lab, DRIVERS["lavapipe"]())
    lab.models("conv_2d")
    lab.suite(delegates="delegates:\n  half: {accelerator: gpu}\n  full: {accelerator: gpu, precision: fp32}\n")
    assert lab.inline().ret == 0
    error = {cell["delegate"]: cell["accuracy"][0]["max_abs_of_range"] for cell in lab.matrix["cells"]}
    assert error["full"] < 1e-5
    assert 1e-4 < error["half"] < 2e-2


def test_an_operation_that_the_gpu_does_not_take(lab: Lab) -> None:
    use(lab, swiftshader())
    lab.models("add_squeeze")
    lab.suite(delegates=GPU + "  partial: {accelerator: gpu, fallback: partial}\n")
    assert lab.inline().ret == 0
    rows = {cell["delegate"]: cell for cell in lab.matrix["cells"]}
    assert rows["gpu"]["outcome"] == "UNSUPPORTED"
    assert "SQUEEZE" in rows["gpu"]["reason"]
    split = rows["partial"]["delegation"]
    assert rows["partial"]["outcome"] == "PASS"
    assert (split["nodes_delegated"], split["nodes_total"], split["fallback"]) == (1, 2, True)
    assert split["unsupported_ops"] == ["SQUEEZE: Operation is not supported."]


def test_no_node_on_the_gpu_is_unsupported_even_where_a_mix_is_allowed(lab: Lab) -> None:
    use(lab, swiftshader())
    lab.models("squeeze")
    lab.suite(delegates="delegates:\n  partial: {accelerator: gpu, fallback: partial}\n")
    lab.inline()
    assert lab.outcomes == {"squeeze[gpu-box:partial]": "UNSUPPORTED"}
    assert "SQUEEZE" in lab.matrix["cells"][0]["reason"]


def test_non_finite_outputs_fail(lab: Lab) -> None:
    use(lab, DRIVERS["lavapipe"]())
    lab.models("exp_overflow")
    lab.suite(delegates="delegates:\n  half: {accelerator: gpu, precision: fp16}\n")
    lab.inline()
    (cell,) = lab.matrix["cells"]
    assert cell["outcome"] == "FAIL"
    assert "nonfinite" in cell["reason"]
    assert cell["accuracy"][0]["nonfinite"] > 0


def test_without_an_adapter_gpu_cells_are_unsupported_and_the_run_passes(lab: Lab) -> None:
    use(lab, {"VK_ICD_FILENAMES": "/nonexistent.json", "VK_DRIVER_FILES": "/nonexistent.json"})
    lab.models("add")
    lab.suite(delegates=GPU)
    result = lab.inline()
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=1)
    gpu = next(cell for cell in lab.matrix["cells"] if cell["delegate"] == "gpu")
    assert gpu["outcome"] == "UNSUPPORTED"
    assert "install" in gpu["reason"]
    assert lab.matrix["summary"]["verdict"] == "PASS"


def test_expect_measured_turns_unsupported_into_a_failure(lab: Lab) -> None:
    use(lab, {"VK_ICD_FILENAMES": "/nonexistent.json", "VK_DRIVER_FILES": "/nonexistent.json"})
    lab.models("add")
    lab.suite(delegates=GPU.replace("gpu}", "gpu, expect: measured}"))
    result = lab.inline()
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    assert lab.matrix["summary"]["verdict"] == "INCOMPLETE"
