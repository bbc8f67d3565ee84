"""suites/real_models.yaml over ../shared/models: exactly the outcomes that are known of these files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.drivers import absent, swiftshader

SHARED = ROOT.parent / "shared" / "models"
BOTH_PASS = ("blazeface_mlkit_v1", "face_landmark", "deeplabv3_257_mv_gpu", "mlperftiny_vww96_int8")
GPU_WRONG = (
    "micro_speech_quantized",
    "keras_conv2dtranspose_3x3_s2_same_33x33",
    "fully_connected_flattens_4d",
    "argmax_all_negative_21",
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Rows of the run by `model:delegate`."""
    if not SHARED.is_dir():
        absent("needs the shared models beside the checkout: ../shared/models")
    folder = tmp_path_factory.mktemp("real")
    device = {"name": "f32", "kind": "local", "env": swiftshader()}
    (folder / "devices.yaml").write_text(json.dumps({"version": 1, "devices": [device]}))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--devices={folder / 'devices.yaml'}"]
    command += [f"--reports={folder / 'reports'}", "suites/real_models.yaml"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 1, answer.stdout[-3000:] + answer.stderr[-3000:]
    matrix = json.loads((folder / "reports" / "latest" / "matrix.json").read_text())
    assert matrix["summary"]["planned"] == len(matrix["cells"]) == 36
    return {f"{cell['model']}:{cell['delegate']}": cell for cell in matrix["cells"]}


def kind(cell: dict[str, Any]) -> tuple[str, str | None]:
    """Outcome and error class of a cell."""
    return cell["outcome"], cell["error"]["class"] if cell["error"] else None


@pytest.mark.parametrize("model", BOTH_PASS)
def test_right_on_both(cells: dict[str, dict[str, Any]], model: str) -> None:
    assert cells[f"{model}:cpu"]["outcome"] == cells[f"{model}:gpu"]["outcome"] == "PASS"
    assert cells[f"{model}:gpu"]["delegation"]["fallback"] is False
    assert cells[f"{model}:gpu"]["diagnosis"]["kind"] == "none"


def test_a_part_fits_the_gpu(cells: dict[str, dict[str, Any]]) -> None:
    name = "mobilenet_v1_0.25_224_float_meta"
    assert cells[f"{name}:cpu"]["outcome"] == "PASS"
    assert cells[f"{name}:gpu"]["outcome"] == "UNSUPPORTED"
    assert "SQUEEZE" in cells[f"{name}:gpu"]["reason"]
    partial = cells[f"{name}:gpu-partial"]
    assert partial["outcome"] == "PASS"
    assert (partial["delegation"]["nodes_delegated"], partial["delegation"]["nodes_total"]) == (29, 31)


@pytest.mark.parametrize("model", GPU_WRONG)
def test_the_gpu_is_wrong(cells: dict[str, dict[str, Any]], model: str) -> None:
    assert cells[f"{model}:cpu"]["outcome"] == "PASS"
    gpu = cells[f"{model}:gpu"]
    assert gpu["outcome"] == "FAIL"
    assert ("max_steps" if model == "micro_speech_quantized" else "max_abs_of_range") in gpu["reason"]
    assert gpu["diagnosis"]["kind"] == "delegate"
    assert gpu["delegation"]["nodes_delegated"] == gpu["delegation"]["nodes_total"]


def test_sparse_weights(cells: dict[str, dict[str, Any]]) -> None:
    name = "face_detection_full_range_sparse"
    assert cells[f"{name}:cpu"]["outcome"] == "PASS"
    assert cells[f"{name}:gpu"]["outcome"] == "UNSUPPORTED"
    assert "DENSIFY" in cells[f"{name}:gpu"]["reason"]
    partial = cells[f"{name}:gpu-partial"]
    assert partial["outcome"] == "FAIL"
    assert "max_abs_of_range" in partial["reason"] or "nonfinite" in partial["reason"]


def test_a_crash_of_the_accelerator_leaves_its_neighbours_alone(cells: dict[str, dict[str, Any]]) -> None:
    assert cells["yamnet:cpu"]["outcome"] == "PASS"
    gpu = cells["yamnet:gpu"]
    assert kind(gpu) == ("ERROR", "runner")
    assert gpu["error"]["signal"] == 6
    assert len(gpu["attempts"]) == 1


@pytest.mark.parametrize("delegate", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("model", "words"), [("mnist_lstm_float", "variable tensors"), ("string_input_model", "string")]
)
def test_what_no_compiled_model_can_run(
    cells: dict[str, dict[str, Any]], model: str, delegate: str, words: str
) -> None:
    cell = cells[f"{model}:{delegate}"]
    assert cell["outcome"] == "UNSUPPORTED"
    assert words in cell["reason"]


@pytest.mark.parametrize("delegate", ["cpu", "gpu"])
@pytest.mark.parametrize("model", ["test_model_broken", "invalid_model", "transpose"])
def test_files_that_are_no_models(cells: dict[str, dict[str, Any]], model: str, delegate: str) -> None:
    assert kind(cells[f"{model}:{delegate}"]) == ("ERROR", "model")


@pytest.mark.parametrize("delegate", ["cpu", "gpu"])
def test_a_memory_bomb_is_refused(cells: dict[str, dict[str, Any]], delegate: str) -> None:
    cell = cells[f"conv3d_huge_im2col:{delegate}"]
    assert cell["outcome"] in ("ERROR", "UNSUPPORTED")
    assert "memory limit" in cell["reason"]


def test_every_cell_without_a_pass_has_a_reason(cells: dict[str, dict[str, Any]]) -> None:
    assert all(cell["reason"] for cell in cells.values() if cell["outcome"] != "PASS")
