"""Models that LiteRT's GPU accelerator is known to get wrong: each is a FAIL where it shows, in the right words.

Where a model shows it (which driver, which inputs) is from ../shared/models/MANIFEST.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catching.runs import Row, entries, run, said
from tests.conftest import ROOT
from tests.drivers import absent, lavapipe, swiftshader

SHARED = ROOT.parent / "shared" / "models"
BUGS = SHARED / "gpu_bugs"
SHAPE = (1, 13, 11, 7)
EXACT = (
    "fully_connected_flattens_3d",
    "fully_connected_flattens_4d",
    "transpose_conv_3x3_s2_same_13x11",
    "keras_conv2dtranspose_3x3_s2_same_33x33",
    "argmax_all_negative_21",
    "argmax_c7",
    "log_negative_driver_dependent",
    "pow_negative_base_driver_dependent",
    "add_5d_claims_full_runs_on_cpu",
    "lrn_reference_kernel_wrong",
)
"""Models that show it in float32, with the harness's own inputs."""


def inputs(folder: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Models that need special values, and the files that hold them."""
    spread = np.random.default_rng(7)
    one_nan = spread.uniform(-1, 1, SHAPE).astype(np.float32)
    one_nan[0, 2, 3, 4] = np.nan
    plain = spread.uniform(-1, 1, SHAPE).astype(np.float32)
    wide = spread.normal(0, 3.7, SHAPE).astype(np.float32)
    arrays = {
        "nans": np.full(SHAPE, np.nan, np.float32),
        "one_nan": one_nan,
        "plain": plain,
        "wide": wide,
        "large": np.full((1, 64, 64, 8), 20, np.float32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    for model, files in {
        "relu_nan_becomes_0": ["one_nan"],
        "maximum_nan": ["plain", "one_nan"],
        "maximum_nan_first": ["one_nan", "plain"],
        "maximum_nan_all": ["nans", "nans"],
        "sum_64x64_fp16_overflow": ["large"],
        "floor_fp16_flips": ["wide"],
        "sin_driver_precision": ["wide"],
    }.items():
        yield model, {str(index): [str(folder / f"{name}.npy")] for index, name in enumerate(files)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """One run: a device of float32 and one of float16."""
    if not BUGS.is_dir():
        absent("needs the shared models beside the checkout: ../shared/models")
    folder = tmp_path_factory.mktemp("known")
    special: dict[str, dict[str, Any]] = {
        name: {
            "name": name,
            "model": str(BUGS / f"{name.removesuffix('_first').removesuffix('_all')}.tflite"),
            "inputs": {"files": files},
        }
        for name, files in inputs(folder)
    }
    exact = [{"model": str(BUGS / f"{name}.tflite")} for name in EXACT]
    nans = [special[name] for name in ("relu_nan_becomes_0", "maximum_nan", "maximum_nan_first")]
    nothing = special["maximum_nan_all"]
    exact.append({"model": str(SHARED / "quant" / "micro_speech_quantized.tflite"), "task": "classify"})
    half = [*nans, special["sum_64x64_fp16_overflow"]]
    precise = [special["floor_fp16_flips"], {"model": str(BUGS / "conv1x1_k2048_fp16_error.tflite")}]
    sparse = [{"model": str(SHARED / "float" / "face_detection_full_range_sparse.tflite"), "task": "detect"}]
    both = "delegates: {cpu: {accelerator: cpu}, gpu: {accelerator: gpu}}\ninputs: {samples: 1}\n"
    partial = both.replace("accelerator: gpu}", "accelerator: gpu, fallback: partial}")
    exactly, halved = "devices: {names: [f32]}\n", "devices: {names: [f16]}\n"
    lab = {
        "devices": [
            {"name": "f32", "kind": "local", "env": swiftshader()},
            {"name": "f16", "kind": "local", "env": lavapipe()},
        ]
    }
    suites = {
        "exact": exactly + both + entries([*exact, *nans, nothing]),
        "half": halved + both + entries(half),
        # Finer than what holds where nobody wrote a limit: what float16 does to a sum of 2048 terms is no error there.
        "precise": halved + both + "gates: {'*': {max_abs_of_range: 0.005}}\n" + entries(precise),
        "sine": exactly
        + both
        + "gates: {'*': {max_abs_of_range: 1.0e-5}}\n"
        + entries([special["sin_driver_precision"]]),
        "sparse": exactly + partial + entries(sparse),
    }
    return run(folder, lab, suites)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("transpose_conv_3x3_s2_same_13x11", "is shifted by one pixel up and one pixel left"),
        ("keras_conv2dtranspose_3x3_s2_same_33x33", "is shifted by one pixel up and one pixel left"),
        ("argmax_all_negative_21", "holds nothing but 21"),
        ("argmax_c7", "reaches 7; the reference stays within 0..6"),
        ("fully_connected_flattens_3d", "max_abs_of_range"),
        ("fully_connected_flattens_4d", "max_abs_of_range"),
        ("micro_speech_quantized", "max_steps"),
        ("log_negative_driver_dependent", "where the reference is NaN"),
        ("pow_negative_base_driver_dependent", "where the reference is NaN"),
        ("relu_nan_becomes_0", "is finite (0) at [0, 2, 3, 4] of sample 0, where the reference is NaN"),
        ("maximum_nan", "at [0, 2, 3, 4] of sample 0, where the reference is NaN"),
        ("sin_driver_precision", "max_abs_of_range"),
    ],
)
def test_wrong_in_float32(rows: dict[str, Row], model: str, words: str) -> None:
    check(rows, model, "f32", words)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("relu_nan_becomes_0", "is finite (0) at [0, 2, 3, 4] of sample 0, where the reference is NaN"),
        ("maximum_nan", "at [0, 2, 3, 4] of sample 0, where the reference is NaN"),
        ("sum_64x64_fp16_overflow", "where float16 ends"),
        ("floor_fp16_flips", "max_abs_of_range"),
        ("conv1x1_k2048_fp16_error", "max_abs_of_range"),
    ],
)
def test_wrong_in_float16(rows: dict[str, Row], model: str, words: str) -> None:
    check(rows, model, "f16", words)


def check(rows: dict[str, Row], model: str, device: str, words: str) -> None:
    """The CPU is right, the GPU alone is wrong and says what it looks like, and it did run on the GPU."""
    assert rows[f"{model}[{device}:cpu]"]["outcome"] == "PASS"
    gpu = rows[f"{model}[{device}:gpu]"]
    assert gpu["outcome"] == "FAIL"
    assert words in said(gpu)
    assert "stale" not in said(gpu)
    assert gpu["diagnosis"]["kind"] == "delegate"
    assert gpu["delegation"]["nodes_delegated"] == gpu["delegation"]["nodes_total"]


def test_sparse_weights(rows: dict[str, Row]) -> None:
    assert rows["face_detection_full_range_sparse[f32:cpu]"]["outcome"] == "PASS"
    gpu = rows["face_detection_full_range_sparse[f32:gpu]"]
    assert gpu["outcome"] == "FAIL"
    assert gpu["diagnosis"]["kind"] == "delegate"
    assert gpu["delegation"]["fallback"] is True
    assert "DENSIFY: Operation is not supported." in gpu["delegation"]["unsupported_ops"]


def test_a_nan_that_every_kernel_drops_cannot_be_seen(rows: dict[str, Row]) -> None:
    """MAXIMUM(NaN, x) is x everywhere, by golden too; only MAXIMUM(x, NaN) tells them apart."""
    for device in ("f32", "f16"):
        assert rows[f"maximum_nan_first[{device}:gpu]"]["outcome"] == "PASS"


def test_outputs_without_any_number_are_no_pass(rows: dict[str, Row]) -> None:
    """They agree, NaN by NaN, but an answer of which nothing can be compared may not count as right."""
    row = rows["maximum_nan_all[f32:cpu]"]
    assert (row["outcome"], row["error"]["kind"]) == ("ERROR", "gate_unset")
    assert row["accuracy"][0]["nonfinite"] == 0
    assert any("every output element is NaN or infinite on both sides" in note for note in row["notes"])


def test_five_dimensions_are_no_gpu_result(rows: dict[str, Row]) -> None:
    assert rows["add_5d_claims_full_runs_on_cpu[f32:cpu]"]["outcome"] == "PASS"
    gpu = rows["add_5d_claims_full_runs_on_cpu[f32:gpu]"]
    assert gpu["outcome"] == "UNSUPPORTED"
    assert "ADD" in said(gpu)
    assert not gpu["accuracy"]


def test_reference_kernels_that_are_wrong_are_not_the_delegates_fault(rows: dict[str, Row]) -> None:
    cpu = rows["lrn_reference_kernel_wrong[f32:cpu]"]
    assert cpu["outcome"] == "FAIL"
    assert cpu["diagnosis"]["kind"] == "model"
    assert "golden (reference kernels) disagree" in cpu["diagnosis"]["words"]
    assert cpu["diagnosis"]["delegate_max_abs_of_range"] is None
    assert rows["lrn_reference_kernel_wrong[f32:gpu]"]["outcome"] == "UNSUPPORTED"


def test_pictures_of_what_is_wrong(rows: dict[str, Row]) -> None:
    drawn = pictures(rows["transpose_conv_3x3_s2_same_13x11[f32:gpu]"])
    assert drawn == ["output0_sample0_device.png", "output0_sample0_difference.png", "output0_sample0_reference.png"]
    assert pictures(rows["transpose_conv_3x3_s2_same_13x11[f32:cpu]"]) == []
    assert pictures(rows["fully_connected_flattens_3d[f32:gpu]"]) == [], "no image"


def pictures(row: Row) -> list[str]:
    """Names of a cell's pictures."""
    return sorted(path.rpartition("/")[2] for path in row["artifacts"] if path.endswith(".png"))


def test_what_was_foretold_stands_beside(rows: dict[str, Row]) -> None:
    for name, row in rows.items():
        assert (row["compatibility"] is not None) == name.endswith(":gpu]"), name
    assert rows["argmax_c7[f32:gpu]"]["compatibility"]["agrees"] is True
