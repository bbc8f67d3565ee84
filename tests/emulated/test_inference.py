"""This computer's delegate_bench with the real LiteRT runs on an emulated phone, on its CPU and on its GPU."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from harness.runners.build import build_runner
from tests.conftest import MODELS
from tests.drivers import swiftshader
from tests.emulated.bench import adb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only")
FOLDER = "/data/local/tmp/job"
LIBRARIES = ("libLiteRt.so", "libLiteRtWebGpuAccelerator.so")
INPUT_BYTES = 4 * 1 * 6 * 8 * 3


@pytest.mark.parametrize(("name", "error"), [("pixel-8", None), ("no-gpu", "accelerator_unavailable")])
def test_inference_runs_on_a_phone_with_the_gpu_that_it_has(tmp_path: Path, name: str, error: str | None) -> None:
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    runtime = Path(spec.submodule_search_locations[0])
    files = [build_runner(), *(runtime / library for library in LIBRARIES), MODELS / "ops" / "logistic.tflite"]
    with AdbLab(tmp_path / "lab", environ=swiftshader()) as lab:
        phone = lab.add(name)
        phone.set_file(f"{FOLDER}/input", "\0" * INPUT_BYTES)
        assert adb(lab, phone, "push", *map(str, files), f"{FOLDER}/").returncode == 0
        assert infer(lab, phone, "cpu")["status"] == "ok"
        record = infer(lab, phone, "gpu")
    assert (record["error"] or {}).get("kind") == error
    if error is None:
        assert "SwiftShader" in record["adapter"]


def infer(lab: AdbLab, phone: Phone, accelerator: str) -> dict[str, Any]:
    """The record that delegate_bench leaves."""
    options = "--lib ./libLiteRt.so --accel-dir . --model logistic.tflite --input input --samples 1 --run-id 1"
    command = f"exec ./delegate_bench {options} --out {accelerator} --accelerator {accelerator}"
    adb(lab, phone, "shell", f"mkdir {FOLDER}/{accelerator} && cd {FOLDER} && {command}")
    record: dict[str, Any] = json.loads((phone.root / FOLDER[1:] / accelerator / "result.json").read_text())
    return record
