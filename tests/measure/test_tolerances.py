from __future__ import annotations

from typing import Any

import pytest

from harness.measure.metrics import METRICS
from harness.measure.tolerances import Circumstances, for_outputs
from harness.plan.cell import Quantization, TensorSpec

SCALE = Quantization((0.5,), (0,))


def output(dtype: str, **fields: Any) -> TensorSpec:
    return TensorSpec(0, "", dtype, (1,), **fields)


def limits(*outputs: TensorSpec, **changed: Any) -> dict[str, float]:
    circumstances: Circumstances = {
        "quantized": False,
        "hybrid": False,
        "accelerator": "gpu",
        "precision": "default",
        "adapter_fp16": None,
        "reference_kernels": True,
        "task": "other",
        "nodes": 60,
    }
    circumstances.update(changed)  # type: ignore[typeddict-item]
    return dict(for_outputs(outputs, **circumstances).limits)


FLOAT = output("float32")
STEPPED = output("int8", quantization=SCALE)


@pytest.mark.parametrize(
    ("changed", "share"),
    [
        ({"accelerator": "cpu"}, 1e-4),
        ({"accelerator": "cpu", "precision": "fp16"}, 1e-4),
        ({"precision": "fp32"}, 1e-4),
        ({"adapter_fp16": False}, 1e-4),
        ({"precision": "fp16", "adapter_fp16": False}, 0.05),  # stored in halves all the same
        ({"precision": "fp16acc32"}, 0.05),
        ({}, 0.05),
        ({"adapter_fp16": True, "task": "classify"}, 0.1),
        ({"task": "keypoints"}, 0.25),
        ({"accelerator": "cpu", "hybrid": True}, 0.1),
        ({"accelerator": "cpu", "hybrid": True, "reference_kernels": False}, 1e-4),
        ({"accelerator": "cpu", "quantized": True}, 0.3),
        ({"accelerator": "cpu", "quantized": True, "reference_kernels": False}, 0.05),
        ({"quantized": True, "task": "keypoints"}, 0.4),
        ({"quantized": True, "precision": "fp32"}, 0.3),
    ],
)
def test_floats(changed: dict[str, Any], share: float) -> None:
    assert limits(FLOAT, **changed) == {"max_abs_of_range": share}


def test_narrow_floats_are_allowed_their_rounding() -> None:
    assert limits(output("float16"), accelerator="cpu") == {"max_abs_of_range": 2e-3}
    assert limits(output("bfloat16"), precision="fp32") == {"max_abs_of_range": 1.6e-2}


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({"accelerator": "cpu"}, 32.0),
        ({"accelerator": "cpu", "reference_kernels": False}, 3.0),
        ({"reference_kernels": False}, 32.0),
        ({"precision": "fp32"}, 32.0),
        ({"nodes": 1}, 5.0),  # one operation has nothing to add up
        ({"nodes": 12}, 16.0),
        ({"nodes": 1, "accelerator": "cpu", "reference_kernels": False}, 3.0),
    ],
)
def test_quantised_outputs_are_judged_in_steps(changed: dict[str, Any], steps: float) -> None:
    assert limits(STEPPED, quantized=True, **changed) == {"max_steps": steps}


def test_other_integers() -> None:
    assert limits(output("int32")) == {"max_abs_of_range": 0.05}
    assert limits(output("int64"), quantized=True) == {"max_abs_of_range": 0.05}, (
        "a label, though the model is quantised"
    )
    assert limits(output("int16", quantization=SCALE), quantized=True) == {"max_abs_of_range": 0.4}
    assert limits(output("bool")) == {"max_abs_of_range": 0.05}


def test_maps_of_labels_are_judged_by_their_pixels() -> None:
    assert limits(output("int64"), task="segment", accelerator="cpu") == {"label_agreement": 0.999}
    assert limits(output("int64"), task="segment", accelerator="cpu", quantized=True) == {"label_agreement": 0.95}
    assert limits(FLOAT, task="segment") == {"max_abs_of_range": 0.25, "label_agreement": 0.95}
    assert limits(FLOAT, output("int64"), task="segment") == {"label_agreement": 0.95}


def test_detections_are_matched() -> None:
    assert limits(FLOAT, task="detect", precision="fp32") == {
        "max_abs_of_range": 1e-4,
        "detections_matched": 0.8,
        "box_iou": 0.8,
        "score_agreement": 0.9,
    }


def test_fewer_detections_are_matched_after_quantisation() -> None:
    found = limits(FLOAT, task="detect", quantized=True)
    assert (found["detections_matched"], found["box_iou"], found["score_agreement"]) == (0.5, 0.8, 0.7)


def test_of_several_outputs_the_loosest_limit_holds() -> None:
    found = limits(STEPPED, FLOAT, output("float16"), accelerator="cpu", reference_kernels=False)
    assert found == {"max_steps": 3.0, "max_abs_of_range": 2e-3}


def test_a_model_without_outputs_has_no_limits() -> None:
    assert limits() == {}


def test_limits_are_on_figures_that_exist_and_say_what_for() -> None:
    for task in ("classify", "detect", "keypoints", "segment", "other"):
        assert set(limits(FLOAT, STEPPED, task=task)) <= set(METRICS)
    tolerance = for_outputs(
        [FLOAT],
        quantized=False,
        hybrid=False,
        accelerator="gpu",
        precision="fp16",
        adapter_fp16=True,
        reference_kernels=True,
        task="classify",
        nodes=60,
    )
    assert tolerance.words == "float32, GPU in half precision, task classify"
