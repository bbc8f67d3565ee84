"""Phones in a run: emulated ones, through the real adb server, with the real runner and runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.android.__main__ import devices_yaml
from emulated.android.lab import AdbLab
from harness.devices.local import host_target
from tests.drivers import swiftshader
from tests.session.conftest import Lab

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only")

BOTH = "delegates:\n  cpu: {accelerator: cpu}\n  gpu: {accelerator: gpu, precision: fp32}\n"
PHONES = ("pixel-8", "galaxy-s23", "old-32bit", "no-gpu")


@pytest.fixture
def phones(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdbLab]:
    with AdbLab(tmp_path / "phones", environ=swiftshader()) as found:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(found.server_port))
        yield found


def test_the_whole_matrix_of_four_phones(lab: Lab, phones: AdbLab) -> None:
    made = [phones.add(name) for name in PHONES]
    lab.write("devices.yaml", devices_yaml(made, phones.server_port))
    lab.models("add", "conv_2d")
    lab.suite(delegates=BOTH)
    result = lab.run()
    wanted = {
        f"{model}[{phone}:{delegate}]"
        for model in ("add", "conv_2d")
        for phone in PHONES
        for delegate in ("cpu", "gpu")
    }
    refused = {f"{model}[no-gpu:gpu]" for model in ("add", "conv_2d")}
    assert lab.outcomes == {name: "UNSUPPORTED" if name in refused else "PASS" for name in wanted}
    result.assert_outcomes(passed=14, skipped=2)
    assert result.ret == 0
    for device in lab.matrix["devices"]:
        assert (device["kind"], device["emulated"]) == ("android", True)
        assert device["facts"]["target"] == host_target()
    found = {cell["id"].partition("::")[2]: cell for cell in lab.matrix["cells"]}
    for name in wanted - refused:
        assert found[name]["runner"]["context"] == "shell"
        assert found[name]["accuracy"][0]["nonfinite"] == 0
        assert found[name]["device_state"]["before"]["battery_percent"] > 0
    assert found["conv_2d[pixel-8:gpu]"]["delegation"]["nodes_delegated"] == 1
    result.stdout.fnmatch_lines(["16 cells on 4 devices *", "emulated device: cannot qualify a release."])


def test_a_second_run_moves_no_file_again(lab: Lab, phones: AdbLab) -> None:
    phone = phones.add("pixel-8")
    lab.write("devices.yaml", devices_yaml([phone], phones.server_port))
    lab.models("add")
    lab.suite()
    assert lab.inline().ret == 0
    first = phone.received_bytes
    assert first > 1 << 20, "runner and runtime"
    assert lab.inline().ret == 0
    assert phone.received_bytes == first


def test_whatever_is_plugged_in_is_found_by_auto_and_waited_for(lab: Lab, phones: AdbLab) -> None:
    phones.add("pixel-8")
    locked = phones.add("galaxy-s23")
    locked.unplug()
    locked.faults.auth = "after"
    locked.plug()
    lab.models("add")
    options = ("-p", "no:cacheprovider", "--devices", "auto", "--model", "models/add.tflite", "-k", "cpu")
    command = [sys.executable, "-m", "pytest", *options]
    with lab.pytester.popen(command, stderr=subprocess.STDOUT) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if b"tap 'Allow USB debugging' on the phone" in line:
                locked.faults.allow()
    assert run.returncode == 0
    names = [device["name"].rpartition("-")[0] for device in lab.matrix["devices"]]
    assert names == ["this", "Pixel_8", "SM_S911B"]
    assert list(lab.outcomes.values()) == ["PASS"] * 3


def test_a_required_phone_that_is_not_there_is_named_in_each_of_its_cells(lab: Lab, phones: AdbLab) -> None:
    entry = f'{{name: gone, kind: android, serial: NOTHERE, adb_server: "127.0.0.1:{phones.server_port}"}}'
    lab.write("devices.yaml", f"version: 1\ndevices:\n  - {{name: box, kind: local}}\n  - {entry}\n")
    lab.models("add")
    lab.suite()
    result = lab.inline()
    assert lab.outcomes == {"add[box:cpu]": "PASS", "add[gone:cpu]": "ERROR"}
    gone = next(cell for cell in lab.matrix["cells"] if cell["device"] == "gone")
    assert (gone["error"]["class"], gone["error"]["kind"]) == ("device", "connect")
    assert "required device gone could not be reached" in lab.matrix["summary"]["reasons"]
    assert result.ret == 1


def test_a_lab_whose_phones_are_all_absent_says_so(lab: Lab, phones: AdbLab) -> None:
    server = f'adb_server: "127.0.0.1:{phones.server_port}"'
    lab.write(
        "devices.yaml",
        f"version: 1\ndevices:\n  - {{name: guest, kind: android, serial: NOTHERE, required: false, {server}}}\n",
    )
    lab.models("add")
    lab.suite()
    result = lab.run()
    assert result.ret == 4
    result.stdout.fnmatch_lines(["devices: none (*"])
    result.stderr.fnmatch_lines(["*no device is there to measure on*", "*guest is left out*NOTHERE is not plugged in"])
