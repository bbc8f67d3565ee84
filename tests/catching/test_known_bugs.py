"""Models that LiteRT's GPU accelerator is known to get wrong: each is a FAIL where it shows, and says what it looks like.

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
    arrays = {"one_nan": one_nan, "plain": plain, "wide": wide, "large": np.full((1, 64, 64, 8), 20, np.float32)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    for model, files in {
        "relu_nan_becomes_0": ["one_nan"],
        "maximum_nan": ["one_nan", "plain"],
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
        name: {"model": str(BUGS / f"{name}.tflite"), "inputs": {"files": files}} for name, files in inputs(folder)
    }
    exact = [{"model": str(BUGS / f"{name}.tflite")} for name in EXACT]
    exact += [special["relu_nan_becomes_0"], special["maximum_nan"]]
    exact.append({"model": str(SHARED / "quant" / "micro_speech_quantized.tflite"), "task": "classify"})
    half = [special[name] for name in ("relu_nan_becomes_0", "maximum_nan", "sum_64x64_fp16_overflow")]
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
        "exact": exactly + both + entries(exact),
        "half": halved + both + entries(half),
        # Finer than what holds where nobody wrote a limit: what float16 does to a sum of 2048 terms is no error there.
        "precise": halved + both + "gates: {'*': {max_abs_of_range: 0.005}}\n" + entries(precise),
        "sine": exactly + both + "gates: {'*': {max_abs_of_range: 1.0e-5}}\n" + entries([special["sin_driver_precision"]]),
        "sparse": exactly + partial + entries(sparse),
    }
    return run(folder, lab, suites)


def test_show(rows):
    for name, row in rows.items():
        print(name, row["outcome"], row["reason"], row.get("diagnosis"), row["notes"], [a for a in row["artifacts"] if a.endswith("png")])
    assert 0
