"""The bundle: what is in it, what is not, and how its program compares."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.localise import bundle, reproduce
from harness.localise.sides import sides_of
from harness.localise.task import Located
from harness.plan.cell import Cell, Delegate, ModelRef, Policy
from harness.plan.explained import LocalisationRow
from harness.plan.result import RoundResult
from harness.plan.tflite_file import describe
from tests.conftest import MODELS

MODEL = MODELS / "ops" / "relu.tflite"
GPU = Delegate("gpu", accelerator="gpu", precision="fp32", threads=2)


def evidence(delegate: Delegate = GPU) -> bundle.Evidence:
    ref = ModelRef("relu", str(MODEL))
    cell = Cell("suite", "box", ref, delegate, Policy())
    result = RoundResult(
        cell.id,
        1,
        1,
        0,
        "",
        1.0,
        adapter="An adapter",
        adapter_software=True,
        runtime={"version": "2.3.0", "sha256": "00"},
    )
    facts = {"model": "A board", "os": "Linux", "serial": "SECRET", "home": str(Path.home())}
    return bundle.Evidence(cell, "local", describe(ref), facts, sides_of(delegate), result, "0.1")


def located(measured: np.ndarray[Any, Any] | None = None) -> Located:
    """ReLU of what the model takes; `measured` is what the device said, None for a crash."""
    shape = describe(ModelRef("relu", str(MODEL))).inputs[0].shape
    values = np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape)
    right = np.maximum(values, 0)
    row: LocalisationRow = {
        "status": "culprit",
        "words": "op 0 RELU: wrong",
        "op": {
            "index": 0,
            "type": "RELU",
            "version": 1,
            "name": "y",
            "inputs": [list(shape)],
            "outputs": [list(shape)],
        },
        "first": 0,
        "last": 0,
        "error_before": 0.0,
        "error_after": 1.0,
        "growth": "jump",
        "reference": "",
        "invocations": 2,
        "seconds": 1.0,
        "cuts": [],
        "bundle": None,
    }
    outputs = () if measured is None else (measured.reshape(shape),)
    return Located(row, MODEL.read_bytes(), (values,), (right,), outputs)


def doubled() -> Located:
    found = located()
    return replace(found, device_outputs=(found.reference_outputs[0] * 2,))


def test_a_bundle_is_the_same_whenever_it_is_made_and_tells_nothing_of_the_computer(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "one.zip", tmp_path / "two.zip"
    assert bundle.write_bundle(first, doubled(), evidence()) is None
    assert bundle.write_bundle(second, doubled(), evidence()) is None
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert set(contents) == {
        *("README.md", "manifest.json", "model.tflite", "reproduce.py"),
        *("inputs/i0.bin", "reference/o0.bin", "device/o0.bin"),
    }
    for data in contents.values():
        assert b"SECRET" not in data
        assert str(Path.home()).encode() not in data
        assert str(MODELS).encode() not in data
    manifest = json.loads(contents["manifest.json"])
    assert manifest["max_abs_of_range"] == 1.0
    assert manifest["limit"] == 0.05
    assert manifest["device"] == {"kind": "local", "model": "A board", "os": "Linux"}
    report = contents["README.md"].decode()
    assert "# RELU: wrong result on the GPU, LiteRT 2.3.0" in report
    assert "An adapter (software)" in report
    assert "| expected | " in report


def test_a_crash_is_a_bundle_without_the_device_s_answer(tmp_path: Path) -> None:
    path = tmp_path / "crash.zip"
    assert bundle.write_bundle(path, located(), evidence()) is None
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert "device/o0.bin" not in archive.namelist()
        assert "dies" in archive.read("README.md").decode()
    assert manifest["crash"] is True
    assert manifest["max_abs_of_range"] is None
    assert manifest["title"] == "RELU: crash on the GPU, LiteRT 2.3.0"


def test_what_is_too_large_to_attach_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LARGEST", 100)
    words = bundle.write_bundle(tmp_path / "large.zip", doubled(), evidence())
    assert words is not None
    assert "more than" in words
    assert list(tmp_path.iterdir()) == []


def test_a_side_of_the_cpu_runs_anywhere_and_does_not_show_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "cpu.zip"
    assert bundle.write_bundle(path, doubled(), evidence(Delegate("cpu"))) is None
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    environment = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
    command = [sys.executable, "-I", str(tmp_path / "reproduce.py")]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1] == "the bug does not show"


def test_a_damaged_bundle_is_said(tmp_path: Path) -> None:
    (tmp_path / "reproduce.py").write_bytes(Path(reproduce.__file__).read_bytes())
    command = [sys.executable, "-I", str(tmp_path / "reproduce.py")]
    for text, words in ((None, "No such file"), ("{}", "the bundle lacks 'title'"), ("{", "cannot be tried")):
        if text is not None:
            (tmp_path / "manifest.json").write_text(text)
        answer = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert answer.returncode == 2
        assert words in answer.stdout
        assert answer.stderr == ""


@pytest.mark.parametrize(
    ("reference", "measured", "of_range", "wrong", "first"),
    [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], 0.0, 0, None),
        ([0.0, 1.0, 2.0], [0.0, 1.5, 2.0], 0.25, 1, 1),
        ([4.0, 4.0], [4.0, 5.0], 0.25, 1, 1),
        ([0.0, 0.0], [0.0, 0.5], 0.5, 1, 1),
        ([math.nan, math.inf, 1.0], [math.nan, math.inf, 1.0], 0.0, 0, None),
        ([1.0, 2.0], [1.0, math.nan], math.inf, 1, 1),
        ([math.inf, 2.0], [-math.inf, 2.0], math.inf, 1, 0),
    ],
    ids=["equal", "off", "constant", "zeros", "same non-finite", "nan", "sign of infinity"],
)
def test_differences(
    reference: list[float], measured: list[float], of_range: float, wrong: int, first: int | None
) -> None:
    found = reproduce.difference(reference, measured)
    assert (found.of_range, found.wrong, found.first) == (of_range, wrong, first)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_numbers_are_numpy_s(dtype: str) -> None:
    array = np.array([0, 1, 3, 100], dtype=dtype)
    assert reproduce.numbers(array.tobytes(), dtype) == array.tolist()


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    halves = struct.pack("<2f", 1.5, -3.0)
    assert reproduce.numbers(halves[2:4] + halves[6:8], "bfloat16") == [1.5, -3.0]
    with pytest.raises(reproduce.Trouble, match="string"):
        reproduce.numbers(b"", "string")
