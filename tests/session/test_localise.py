"""Wrong answers of a run are explained: the operation is named, and a bundle shows it again in a process of its own.

The faults are real ones of LiteRT's GPU accelerator; nothing is injected, and nothing tells the harness where they are.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ai_edge_litert
import pytest

from emulated.android.__main__ import devices_yaml
from emulated.android.lab import AdbLab
from emulated.board.board import Board
from emulated.ios.lab import IosLab
from harness.devices.adb.server import adb_program
from harness.devices.local import host_target, machine_name
from harness.runners.binaries import Binaries
from models.builder.graph import Graph, options
from tests.boards import needs_board
from tests.conftest import ROOT
from tests.drivers import absent, swiftshader
from tests.ios_tools import needs_tidevice
from tests.session.conftest import Lab
from tests.session.test_interrupt import running

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="SwiftShader and emulated phones run on Linux only"),
    pytest.mark.timeout(300),
]

SHARED = ROOT.parent / "shared" / "models"
SPEECH, TRANSPOSED = "quant/micro_speech_quantized", "gpu_bugs/keras_conv2dtranspose_3x3_s2_same_33x33"
GPU = "delegates:\n  gpu: {accelerator: gpu, precision: fp32}\n"
CPU = "delegates:\n  cpu: {accelerator: cpu}\n"


@pytest.fixture
def gpu(lab: Lab) -> Mapping[str, str]:
    """This machine with SwiftShader as `box`; the environment that names the driver."""
    env = swiftshader()
    device = {"name": "box", "kind": "local", "env": env}
    lab.write("devices.yaml", json.dumps({"version": 1, "devices": [device]}))
    return env


def copy_models(lab: Lab, *names: str) -> None:
    """Public models that are beside the checkout."""
    if not SHARED.is_dir():
        absent("needs the shared models beside the checkout: ../shared/models")
    for name in names:
        shutil.copy(SHARED / f"{name}.tflite", lab.path / "models")


def found(lab: Lab, cell: str) -> dict[str, Any]:
    """The localisation of a cell of the newest run."""
    rows = {row["id"].partition("::")[2]: row["localisation"] for row in lab.matrix["cells"]}
    assert rows[cell] is not None, cell
    row: dict[str, Any] = rows[cell]
    return row


def unpacked(lab: Lab, row: Mapping[str, Any], folder: Path) -> Path:
    """A cell's bundle in a folder of its own."""
    with zipfile.ZipFile(lab.folder / row["bundle"]) as archive:
        archive.extractall(folder)
    return folder


def reproduce(folder: Path, *options: str, env: Mapping[str, str] | None = None, code: int = 1) -> str:
    """What reproduce.py says, in a fresh process that knows nothing of the harness."""
    command = [sys.executable, "-I", str(folder / "reproduce.py"), *options]
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ} | dict(env or {})
    answer = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    assert answer.stderr == ""
    return answer.stdout


def edit(folder: Path, **keys: Any) -> None:
    """Change a bundle's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_the_operations_are_named_and_the_bundles_show_them_again(
    lab: Lab, gpu: Mapping[str, str], tmp_path: Path
) -> None:
    copy_models(lab, SPEECH, TRANSPOSED)
    lab.suite(delegates=GPU)
    result = lab.run()
    assert set(lab.outcomes.values()) == {"FAIL"}
    assert result.ret == 1
    speech = found(lab, "micro_speech_quantized[box:gpu]")
    assert (speech["status"], speech["op"]["type"], speech["op"]["index"]) == ("culprit", "FULLY_CONNECTED", 2)
    assert speech["growth"] == "jump"
    assert speech["error_before"] == 0
    assert speech["error_after"] > 0.3
    transposed = found(lab, "keras_conv2dtranspose_3x3_s2_same_33x33[box:gpu]")
    assert (transposed["status"], transposed["op"]["type"]) == ("culprit", "TRANSPOSE_CONV")
    result.stdout.fnmatch_lines(
        ["localising 1 of 2: *", "Where wrong answers come from", "*micro_speech_quantized*", "*op 2 FULLY_CONNECTED*"]
    )
    lines = [json.loads(line) for line in (lab.folder / "cells.jsonl").read_text().splitlines()]
    told = {line["cell"]: line["status"] for line in lines if line["type"] == "localisation"}
    assert told == {cell["id"]: "culprit" for cell in lab.matrix["cells"]}
    for row in lab.matrix["cells"]:
        assert row["localisation"]["bundle"] in row["artifacts"]
        assert (lab.folder / row["localisation"]["bundle"]).stat().st_size < 1 << 20

    folder = unpacked(lab, speech, tmp_path / "speech")
    said = reproduce(folder, env=gpu)
    assert "the bug shows" in said
    assert "adapter: SwiftShader" in said
    program = str(Binaries({}).file("delegate_bench", host_target()).source)
    assert "the bug shows" in reproduce(folder, "--delegate-bench", program, env=gpu)
    assert "the bug shows" in reproduce(unpacked(lab, transposed, tmp_path / "transposed"), env=gpu)

    assert "cannot be tried" in reproduce(folder, env={"VK_ICD_FILENAMES": "/none.json"}, code=2)
    sides = json.loads((folder / "manifest.json").read_text())["sides"]
    edit(folder, sides={"device": sides["reference"], "reference": sides["reference"]})
    assert "the bug does not show" in reproduce(folder, code=0)
    (folder / "inputs" / "i0.bin").unlink()
    assert "cannot be tried" in reproduce(folder, code=2)


def test_a_phone_s_fault_is_found_on_the_phone_and_shown_again_there(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_models(lab, SPEECH)
    with AdbLab(tmp_path / "phones", environ=swiftshader()) as phones:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(phones.server_port))
        phone = phones.add("pixel-8")
        lab.write("devices.yaml", devices_yaml([phone], phones.server_port))
        lab.suite(delegates=GPU)
        assert lab.inline().ret == 1
        row = found(lab, "micro_speech_quantized[pixel-8:gpu]")
        assert (row["status"], row["op"]["type"]) == ("culprit", "FULLY_CONNECTED")
        folder = unpacked(lab, row, tmp_path / "bundle")
        device = json.loads((folder / "manifest.json").read_text())["device"]
        assert (device["kind"], device["emulated"]) == ("android", True)
        program = Binaries({}).file("delegate_bench", host_target()).source
        env = {
            "ANDROID_ADB_SERVER_PORT": str(phones.server_port),
            "PATH": f"{Path(adb_program()).parent}:{os.environ['PATH']}",
        }
        options = ("--android", "--serial", phone.serial, "--delegate-bench", str(program))
        said = reproduce(folder, *options, "--runtime", str(Path(ai_edge_litert.__file__).parent), env=env)
        assert "the bug shows" in said
        assert "needs" in reproduce(folder, "--android", env=env, code=2)


def test_an_iphone_s_fault_is_found_on_the_iphone(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_tidevice()
    copy_models(lab, SPEECH)
    monkeypatch.setenv("HOME", str(tmp_path))
    with IosLab(tmp_path / "iphones", environ={"PATH": "/usr/bin:/bin", **swiftshader()}) as iphones:
        phone = iphones.add("iphone-13", tls=True)
        entry = {"name": "iphone-13", "kind": "ios", "udid": phone.udid, "usbmuxd": iphones.address}
        lab.write("devices.yaml", json.dumps({"version": 1, "devices": [{**entry, "machine": machine_name()}]}))
        lab.suite(delegates=GPU)
        assert lab.inline().ret == 1
        assert iphones.failures == []
    row = found(lab, "micro_speech_quantized[iphone-13:gpu]")
    assert (row["status"], row["op"]["type"]) == ("culprit", "FULLY_CONNECTED")
    folder = unpacked(lab, row, tmp_path / "bundle")
    assert json.loads((folder / "manifest.json").read_text())["device"]["kind"] == "ios"
    assert "the bug shows" in reproduce(folder, env=swiftshader()), "on this computer's GPU"


def test_a_board_s_kernels_are_compared_on_the_board(lab: Lab, tmp_path: Path) -> None:
    needs_board("native")
    graph = Graph("lrn", "the window of the reference kernel is one short: docs/findings/lrn.md")
    table = options("LocalResponseNormalizationOptions", radius=2, bias=1.0, alpha=0.5, beta=0.5)
    x = graph.input("x", (1, 5, 4, 7))
    graph.output(graph.op("LOCAL_RESPONSE_NORMALIZATION", [x], (1, 5, 4, 7), table))
    (lab.path / "models" / "lrn.tflite").write_bytes(graph.to_bytes())
    ssh = Path.home() / ".ssh"  # that of pytester, which `lab` is made of
    ssh.mkdir(mode=0o700)
    with Board(tmp_path / "board", "native") as board:
        (ssh / "config").write_text(board.ssh_config.read_text())
        entry = {"name": "bench", "kind": "ssh", "address": "board", "machine": machine_name()}
        lab.write("devices.yaml", json.dumps({"version": 1, "devices": [entry]}))
        lab.suite(delegates=CPU)
        assert lab.inline().ret == 1
        assert board.processes() == []
    row = found(lab, "lrn[bench:cpu]")
    assert (row["status"], row["op"]["type"]) == ("culprit", "LOCAL_RESPONSE_NORMALIZATION")
    assert row["reference"] == "the same device's CPU, reference kernels"
    assert "the bug shows" in reproduce(unpacked(lab, row, tmp_path / "bundle"))


@pytest.mark.usefixtures("gpu")
def test_ctrl_c_while_localising_loses_nothing(lab: Lab) -> None:
    copy_models(lab, SPEECH, TRANSPOSED)
    lab.suite(delegates=GPU)
    command = [sys.executable, "-m", "pytest", "--devices", "devices.yaml"]
    environment = {**os.environ, "TMPDIR": str(lab.path)}  # other runs on this machine are none of ours
    with subprocess.Popen(command, cwd=lab.path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("localising 1 of 2"):
                process.send_signal(signal.SIGINT)
                break
        process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert running(lab.path) == []
    assert list(lab.path.glob("harness-localise-*")) == []
    assert list(lab.outcomes.values()) == ["FAIL"] * 2, "what was measured is kept"
    searches = [cell["localisation"] for cell in lab.matrix["cells"]]
    assert "the run ended before" in {row["status"]: row["words"] for row in searches}["gave_up"]
    assert (lab.folder / "index.html").is_file()


@pytest.mark.usefixtures("gpu")
def test_a_suite_bounds_it_and_the_largest_error_is_first(lab: Lab) -> None:
    copy_models(lab, SPEECH, TRANSPOSED)
    lab.suite("localise: {cells: 1}\n", delegates=GPU)
    lab.inline()
    rows = {cell["model"]: cell for cell in lab.matrix["cells"]}
    errors = {name: row["accuracy"][0]["max_abs_of_range"] for name, row in rows.items()}
    first, second = sorted(rows, key=lambda name: -errors[name])
    assert rows[first]["localisation"]["status"] == "culprit"
    assert rows[second]["localisation"]["status"] == "gave_up"
    assert "`localise: {cells: ...}`" in rows[second]["localisation"]["words"]
    assert rows[second]["localisation"]["bundle"] is None

    lab.suite("localise: {cells: 0}\n", delegates=GPU)
    lab.inline()
    assert [cell["localisation"] for cell in lab.matrix["cells"]] == [None, None]

    lab.suite("localise: {seconds: 0.001}\n", delegates=GPU)
    lab.inline()
    assert {cell["localisation"]["status"] for cell in lab.matrix["cells"]} == {"gave_up"}


def test_on_demand_right_cells_are_looked_into_as_well(lab: Lab) -> None:
    lab.models("add", "conv_2d")
    lab.suite(delegates=CPU)
    assert lab.inline("--localise", "-k", "add").ret == 0
    (cell,) = lab.matrix["cells"]
    assert cell["outcome"] == "PASS"
    assert cell["localisation"]["status"] == "not_found"
    assert cell["localisation"]["reference"] == "the same device's CPU, reference kernels"
    assert lab.inline("-k", "add").ret == 0
    assert lab.matrix["cells"][0]["localisation"] is None


def test_the_option_needs_devices(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--localise")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--localise needs --devices*"])
