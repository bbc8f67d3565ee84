"""A farm: this machine, an arm64 board, and Android phones and an iPhone behind another host. One matrix, one command.

All of it is emulated, none of it is made up: OpenSSH's sshd for the board and for the host, arm64 programs and the
arm64 LiteRT under qemu on the board, the real adb server and a usbmuxd on the host, inference in every cell.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.android.lab import AdbLab
from emulated.board.board import Board
from emulated.ios.lab import IosLab
from emulated.ssh.sshd import Sshd
from harness.devices.adb.server import adb_program
from harness.devices.local import host_target, machine_name
from harness.lab.spec import IOS_TARGET
from tests.boards import arm64_runner, needs_board
from tests.drivers import swiftshader
from tests.ios_tools import needs_tidevice
from tests.session.conftest import Lab

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="emulated devices run on Linux only"),
    pytest.mark.timeout(400),
]

PHONES = ("pixel-8", "galaxy-s23")
MODELS = ("conv_2d",)
DELEGATES = "delegates:\n  cpu: {accelerator: cpu}\n  gpu: {accelerator: gpu, precision: fp32, expect: if_available}\n"


@pytest.fixture(scope="module", autouse=True)
def runner() -> Path:
    """The board's runner, built before a test has a home of its own: zig keeps the C library that it makes at home."""
    needs_board()
    return arm64_runner()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Board(tmp_path / "board") as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    """A computer with adb, and nothing else of ours."""
    path = f"{Path(adb_program()).parent}:{os.environ['PATH']}"
    with Sshd(tmp_path / "host", env={"PATH": path}) as made:
        yield made


@pytest.fixture
def ssh_config(lab: Lab, board: Board, host: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home whose ~/.ssh/config knows both, as a person would have written it."""
    monkeypatch.setenv("HOME", str(lab.path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lab.write(".ssh/config", host.config("rack") + board.sshd.config("rpi"))


def entry(**keys: object) -> str:
    """An entry of devices.yaml; what is emulated shares this machine's processor."""
    return f"  - {json.dumps({'machine': machine_name(), **keys})}\n"


@pytest.mark.usefixtures("ssh_config")
def test_one_command_measures_a_whole_farm(tmp_path: Path, lab: Lab, board: Board, host: Sshd) -> None:
    needs_tidevice()
    gpu = swiftshader()
    with (
        AdbLab(tmp_path / "phones", environ={**os.environ, **gpu}) as phones,
        IosLab(tmp_path / "iphones", environ={"PATH": "/usr/bin:/bin", **gpu}) as iphones,
    ):
        android = [phones.add(name) for name in PHONES]
        iphone = iphones.add("iphone-13", tls=True)
        text = "version: 1\nhosts: {rack: {ssh: rack}}\ndevices:\n"
        text += entry(name="box", kind="local", env=gpu)
        text += entry(name="rpi", kind="ssh", address="rpi")
        for phone in android:
            far = {"host": "rack", "adb_server": f"127.0.0.1:{phones.server_port}"}
            text += entry(name=phone.description.name, kind="android", serial=phone.serial, **far)
        text += entry(name="iphone-13", kind="ios", udid=iphone.udid, host="rack", usbmuxd=iphones.address)
        lab.write("devices.yaml", text)
        lab.models(*MODELS)
        lab.suite(delegates=DELEGATES)
        result = lab.run()
        assert iphones.failures == []
        assert iphones.pairing == []
    names = ("box", "rpi", *PHONES, "iphone-13")
    wanted = {f"{model}[{name}:{delegate}]" for model in MODELS for name in names for delegate in ("cpu", "gpu")}
    refused = {f"{model}[rpi:gpu]" for model in MODELS}  # qemu has no GPU for it
    assert lab.outcomes == {name: "UNSUPPORTED" if name in refused else "PASS" for name in wanted}, [
        cell["reason"] for cell in lab.matrix["cells"]
    ]
    assert result.ret == 0
    result.assert_outcomes(passed=9, skipped=1)
    assert board.processes() == host.alive() == [], "nothing outlives the run"
    assert list((board.home / ".cache" / "harness" / "jobs").iterdir()) == []
    kept = [path.stat().st_size for path in (host.home / ".cache" / "harness" / "sha256").iterdir()]
    assert sum(kept) > 1 << 20, "the phones' runner and runtime crossed the link once, and are kept"
    check_devices({device["name"]: device for device in lab.matrix["devices"]}, names)
    for cell in lab.matrix["cells"]:
        if cell["outcome"] == "PASS":
            assert cell["latency"]["count"] >= 3
            assert cell["accuracy"][0]["nonfinite"] == 0
            assert cell["device_state"]["before"]


def check_devices(devices: dict[str, Any], names: tuple[str, ...]) -> None:
    """Each is what it is, and each that is emulated says so."""
    assert list(devices) == list(names)
    assert {name: (device["kind"], device["emulated"]) for name, device in devices.items()} == {
        "box": ("local", False),
        "rpi": ("ssh", True),
        **dict.fromkeys(PHONES, ("android", True)),
        "iphone-13": ("ios", True),
    }
    assert devices["box"]["facts"]["architecture"] == platform.machine()
    targets = {name: device["facts"].get("target") for name, device in devices.items() if name != "box"}
    assert targets == {
        "rpi": "aarch64-linux",
        **dict.fromkeys(PHONES, host_target()),
        "iphone-13": IOS_TARGET,
    }
    hosts = {name: device["facts"].get("host") for name, device in devices.items()}
    assert hosts == {"box": None, "rpi": None, **dict.fromkeys((*PHONES, "iphone-13"), "rack")}
