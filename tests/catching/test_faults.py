"""Wrong answers of every kind that a runner can give with a whole record: each is a FAIL, with the right words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.devices.local import host_target
from harness.runners.binaries import Binaries
from models.builder.net import Net
from tests.catching.runs import Row, run, said
from tests.conftest import MODELS
from tests.drivers import swiftshader

FAULTS = ("cpu_copy", "swap", "nchw", "nan", "zeros")
DELEGATES = "delegates: {cpu: {accelerator: cpu}, gpu: {accelerator: gpu, precision: fp32}}\ninputs: {samples: 2}\n"


def heads() -> bytes:
    """A small network that can show every fault: four outputs, two of one size, and enough sums for `cpu_copy`."""
    net = Net("heads", "four outputs of one small network", seed=4)
    x = net.conv(net.conv(net.image("image", 12, 3), 16, "first", kernel=3), 16, "second", kernel=3)
    tensors = [net.head(x, channels, f"head{channels}", std=1.0).tensor for channels in (8, 6, 4)]
    net.graph.output(*tensors, net.head(x, 4, "other", std=1.0).tensor)
    return net.graph.to_bytes()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> dict[str, Row]:
    """One run; a device for each fault, and an honest one."""
    folder = tmp_path_factory.mktemp("faults")
    program = folder / "lying_bench"
    program.write_text(f"#!{sys.executable}\n{Path(__file__).with_name('tamper.py').read_text()}")
    program.chmod(0o755)
    environ = {
        **swiftshader(),
        "TRUE_RUNNER": str(Binaries({}).file("delegate_bench", host_target()).source),
        "STALE_FOLDER": str(folder),
    }
    devices = [
        {"name": fault, "kind": "local", "env": {**environ, "FAULT": fault}, "labels": ["layers"]} for fault in FAULTS
    ]
    stale = {"name": "stale", "kind": "local", "env": {**environ, "FAULT": "stale"}, "labels": ["ops"]}
    lab = {
        "devices": [*devices, stale],
        "runners": {"delegate_bench": {host_target(): {"path": str(program)}}},
    }
    ops = json.dumps([str(MODELS / "ops" / f"{name}.tflite") for name in ("add", "mul")])
    (folder / "heads.tflite").write_bytes(heads())
    suites = {
        "layers": f"models: [{folder / 'heads.tflite'}]\ndevices: {{labels: [layers]}}\n{DELEGATES}",
        "ops": f"models: {ops}\ndevices: {{labels: [ops]}}\n{DELEGATES}",
    }
    return run(folder, lab, suites)


def test_cells_of_the_cpu_are_not_touched(rows: dict[str, Row]) -> None:
    outcomes = {row["outcome"] for name, row in rows.items() if name.endswith(":cpu]")}
    assert outcomes == {"PASS"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cpu_copy", "bit for bit that of layers::heads[cpu_copy:cpu]"),
        ("swap", "outputs 2 and 3 are exchanged"),
        ("nchw", "laid out NCHW, not NHWC"),
        ("nan", "is NaN at [0, 3, 4, 5] of sample 1"),
        ("zeros", "is all zeros"),
    ],
)
def test_a_fault_is_a_fail_that_names_it(rows: dict[str, Row], fault: str, words: str) -> None:
    row = rows[f"heads[{fault}:gpu]"]
    assert row["outcome"] == "FAIL"
    assert row["error"] is None
    assert words in said(row)
    assert row["delegation"]["fallback"] is False, "the runner claims that the GPU computed all of it"


def test_outputs_of_the_cell_before(rows: dict[str, Row]) -> None:
    assert rows["add[stale:gpu]"]["outcome"] == "PASS"
    row = rows["mul[stale:gpu]"]
    assert row["outcome"] == "FAIL"
    assert "byte for byte that of an earlier cell, ops::add[stale:gpu]: stale" in said(row)


def test_what_is_wrong_is_the_delegate(rows: dict[str, Row]) -> None:
    for fault in ("swap", "nchw", "zeros"):
        diagnosis = rows[f"heads[{fault}:gpu]"]["diagnosis"]
        assert diagnosis["kind"] == "delegate"
        assert diagnosis["cpu_max_abs_of_range"] < 1e-4 < diagnosis["delegate_max_abs_of_range"]
    assert rows["heads[cpu_copy:gpu]"]["diagnosis"]["delegate_max_abs_of_range"] == 0.0


def test_gpu_cells_stand_beside_golden_and_the_same_devices_cpu(rows: dict[str, Row]) -> None:
    for name, row in rows.items():
        kinds = [(one["reference"]["kind"], one.get("judged", True)) for one in row["accuracy"]]
        wanted = [("golden", True)] + ([("same_device_cpu", False)] if name.endswith(":gpu]") else [])
        assert kinds == wanted, name
