"""One lab of everything: this machine, Android phones and iPhones, one matrix from one command, inference in each cell.

All phones are emulated: real protocols, through the real adb server, the real tidevice and the real pymobiledevice3.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.local import machine_name
from harness.lab.spec import IOS_TARGET
from tests.drivers import swiftshader
from tests.ios_tools import needs_tidevice, pymobiledevice3
from tests.session.conftest import Lab

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="emulated phones run on Linux only"),
    pytest.mark.timeout(400),
]

BOTH = "delegates:\n  cpu: {accelerator: cpu}\n  gpu: {accelerator: gpu, precision: fp32}\n"
TOOL = "pymobiledevice3"


@pytest.fixture
def iphones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IosLab]:
    """A lab whose iPhones have a GPU; no tool of the run may reach the internet, or a home that is not the test's."""
    needs_tidevice()
    monkeypatch.setenv("HARNESS_PYMOBILEDEVICE3", pymobiledevice3())
    monkeypatch.setenv("HOME", str(tmp_path))
    with IosLab(tmp_path / "iphones", environ={"PATH": "/usr/bin:/bin", **swiftshader()}) as made:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "USBMUXD_SOCKET_ADDRESS"):
            monkeypatch.setenv(name, made.environ[name])
        yield made
        assert made.failures == []
        assert made.pairing == []


@pytest.fixture
def phones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdbLab]:
    with AdbLab(tmp_path / "phones", environ=swiftshader()) as found:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(found.server_port))
        yield found


def entry(name: str, phone: Phone, **keys: str) -> str:
    """An entry of devices.yaml; emulated phones share this machine's processor."""
    keys = {"kind": "ios", "udid": phone.udid, "machine": machine_name(), **keys}
    return f"  - {json.dumps({'name': name, **keys})}\n"


def rsd(phone: Phone) -> str:
    """The tunnel that is up already."""
    assert phone.rsd_address is not None
    host, port = phone.rsd_address
    return f"{host}:{port}"


def test_one_command_measures_this_machine_two_android_phones_and_two_iphones(
    lab: Lab, phones: AdbLab, iphones: IosLab
) -> None:
    android = [phones.add(name) for name in ("pixel-8", "galaxy-s23")]
    old, new = iphones.add("iphone-13", tls=True), iphones.add("iphone-17", tls=True)
    text = "version: 1\ndevices:\n  - {name: box, kind: local, env: {VK_ICD_FILENAMES: %s}}\n"
    text %= swiftshader()["VK_ICD_FILENAMES"]
    for one in android:
        text += f'  - {{name: {one.description.name}, kind: android, serial: "{one.serial}", '
        text += f'adb_server: "127.0.0.1:{phones.server_port}", machine: "{machine_name()}"}}\n'
    text += entry("iphone-13", old) + entry("iphone-17", new, launcher=TOOL, rsd=rsd(new))
    lab.write("devices.yaml", text)
    lab.models("add", "conv_2d")
    lab.suite(delegates=BOTH)
    result = lab.run()
    names = ("box", "pixel-8", "galaxy-s23", "iphone-13", "iphone-17")
    wanted = {f"{model}[{name}:{delegate}]" for model in ("add", "conv_2d") for name in names
              for delegate in ("cpu", "gpu")}  # fmt: skip
    assert lab.outcomes == dict.fromkeys(wanted, "PASS"), [cell["reason"] for cell in lab.matrix["cells"]]
    assert result.ret == 0
    result.assert_outcomes(passed=20)
    devices = {device["name"]: device for device in lab.matrix["devices"]}
    assert list(devices) == list(names)
    for name, route, version in (("iphone-13", "tidevice", "16.4"), ("iphone-17", TOOL, "26.1")):
        facts = devices[name]["facts"]
        assert (devices[name]["kind"], devices[name]["emulated"]) == ("ios", True)
        assert (facts["route"], facts["os_version"], facts["target"]) == (route, version, IOS_TARGET)
    cells = {cell["id"].partition("::")[2]: cell for cell in lab.matrix["cells"]}
    for name in wanted:
        assert cells[name]["latency"]["count"] >= 3
        assert cells[name]["accuracy"][0]["nonfinite"] == 0
        if "iphone" in name:
            assert cells[name]["runner"]["context"] == "app"
            assert cells[name]["device_state"]["before"]["thermal_state"] == "nominal"
            assert cells[name]["device_state"]["before"]["battery_percent"] > 0
    for phone in (old, new):
        pushed = [path for path, _ in phone.received if "/store/" in path]
        assert len(pushed) == len(set(pushed)) >= 2, "each file is pushed once"
