"""`harness plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from tests.plan.compatibility.probes import PROBES

SUITE = """\
version: 1
models: [islands.tflite]
delegates:
  cpu: {accelerator: cpu}
  gpu: {accelerator: gpu, fallback: partial}
"""
DEVICES = 'version: 1\ndevices:\n  - {name: desk, kind: local}\n  - {kind: android, serial: "*"}\n'


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "islands.tflite").write_bytes(PROBES["islands"]())
    (tmp_path / "s.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def test_cells_on_the_devices_that_are_known(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "devices.yaml").write_text(DEVICES)
    assert main(["plan", "s.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["s::islands[desk:cpu]", "s::islands[desk:gpu]", "s: 2 cells (1 model, 2 delegates)"]
    assert "whatever is plugged in" in lines[3]


def test_without_a_lab(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "s.yaml"]) == 0
    out = capsys.readouterr().out
    assert "2 cells for each device" in out
    assert "--devices" in out


def test_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--explain", "islands.tflite"]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert "3 of 6 nodes on the GPU with `fallback: partial`" in words
    assert "1 x LOCAL_RESPONSE_NORMALIZATION v1: the GPU has no such operation (node 2)" in words
    assert "2 x RELU, TANH: could be on the GPU" in words
    assert "not checked here" in words
    assert max(map(len, out.splitlines())) <= 80


def test_for_programs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "devices.yaml").write_text(DEVICES)
    assert main(["plan", "--json", "--explain", "s.yaml"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["suites"][0]["cells"] == ["s::islands[desk:cpu]", "s::islands[desk:gpu]"]
    (model,) = found["models"]
    assert (model["nodes"], model["problem"]) == (6, None)
    assert [row["nodes_delegated"] for row in model["compatibility"]] == [3, 3]


def test_a_file_that_is_no_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "broken.tflite").write_bytes(bytes(64))
    assert main(["plan", "--explain", "broken.tflite"]) == 1
    assert "not a TFLite file" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.tflite"], "no such file"),
        (["absent.yaml"], "absent.yaml"),
        (["s.yaml", "--devices", "absent.yaml"], "absent.yaml"),
    ],
)
def test_what_is_not_there(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 4
    assert words in capsys.readouterr().err
