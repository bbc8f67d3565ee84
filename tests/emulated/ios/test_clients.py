"""Files, apps and diagnostics of emulated iPhones, through clients that other projects wrote independently."""

from __future__ import annotations

import json
import os
import plistlib
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.ios.apps import OWN_BUNDLE, UPSTREAM_BUNDLE, Program
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.ios.conftest import SECONDS, Tool
from tests.emulated.ios.test_installation import NEW, package
from tests.ios_tools import go_ios, needs_tidevice, pymobiledevice3

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def content(size: int) -> bytes:
    return os.urandom(size)


# tidevice.


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_tidevice_moves_files(lab: IosLab, tide_home: Path, tls: bool) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone = lab.add("iphone-8" if tls else "iphone-17", tls=tls)
    sync = Device(phone.udid, Usbmux(lab.address)).app_sync(OWN_BUNDLE)
    data = content(2_500_000)
    assert sync.mkdir("/Documents/store") == 0
    sync.push_content("/Documents/store/model.part", data)
    assert sync.rename("/Documents/store/model.part", "/Documents/store/model") == 0
    assert sync.stat("/Documents/store/model").st_size == len(data)
    assert sync.listdir("/Documents/store") == ["model"]
    assert sync.pull_content("/Documents/store/model") == data
    assert phone.received == [("/Documents/store/model.part", len(data))]
    assert sync.rmtree("/Documents/store") == ["/Documents/store/model", "/Documents/store/"]
    assert not sync.exists("/Documents/store")
    sync.close()


def test_tidevice_sees_apps_battery_image_and_crashes(lab: IosLab, tide_home: Path) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone = lab.add("iphone-13")
    device = Device(phone.udid, Usbmux(lab.address))
    listed = [app["CFBundleIdentifier"] for app in device.installation.iter_installed()]
    assert listed == [OWN_BUNDLE, UPSTREAM_BUNDLE]
    assert device.installation.lookup(OWN_BUNDLE)["UIFileSharingEnabled"] is True
    assert device.installation.lookup("com.example.absent") is None
    assert device.get_io_power()["Diagnostics"]["IORegistry"]["Temperature"] == 2750
    assert device.imagemounter.is_developer_mounted()
    phone.image_mounted = False
    assert not device.imagemounter.is_developer_mounted()
    phone.wait_app(phone.open_app(crasher(phone)))
    (report,) = device.get_crashmanager().afc.listdir("/")
    assert report.startswith("crasher-")


def test_tidevice_installs_and_removes_an_app(lab: IosLab, tide_home: Path) -> None:
    needs_tidevice()
    from tidevice import Device, Usbmux

    phone = lab.add("iphone-11")
    ipa = tide_home / "new.ipa"
    ipa.write_bytes(package())
    device = Device(phone.udid, Usbmux(lab.address))
    assert device.app_install(str(ipa)) == NEW
    assert phone.apps[NEW].version == "2.5"
    assert device.app_uninstall(NEW)
    assert NEW not in phone.apps


def crasher(phone: Phone) -> str:
    """An app that dies of a signal."""
    phone.add_app("com.example.crasher", Program(("sh", "-c", "kill -SEGV $$")), executable="crasher")
    return "com.example.crasher"


# libimobiledevice.


def test_ideviceinstaller_lists_installs_and_removes(lab: IosLab, tool: Tool, tmp_path: Path) -> None:
    phone = lab.add("iphone-13", tls=True)
    listed = tool("ideviceinstaller", phone, "-l")
    assert listed.returncode == 0, listed.stderr
    assert {OWN_BUNDLE, UPSTREAM_BUNDLE} <= {line.partition(",")[0] for line in listed.stdout.splitlines()}
    for signed, expected in [(True, "Complete"), (False, "ApplicationVerificationFailed")]:
        ipa = tmp_path / "new.ipa"
        ipa.write_bytes(package(signed=signed, CFBundleExecutable="New", CFBundleVersion="7"))
        said = tool("ideviceinstaller", phone, "-i", str(ipa))
        assert expected in said.stdout + said.stderr
    assert phone.apps[NEW].build == "7"
    assert "Complete" in tool("ideviceinstaller", phone, "-U", NEW).stdout
    assert NEW not in phone.apps


def test_idevicediagnostics_reads_the_battery_and_presses_the_button(lab: IosLab, tool: Tool) -> None:
    phone = lab.add("iphone-11")
    shown = tool("idevicediagnostics", phone, "ioregentry", "IOPMPowerSource")
    assert plistlib.loads(shown.stdout.strip().encode())["IORegistry"]["Temperature"] == 2750
    assert tool("idevicediagnostics", phone, "sleep").returncode == 0
    assert phone.services.actions == ["Sleep"]


def test_ideviceimagemounter_mounts(lab: IosLab, tool: Tool, tmp_path: Path) -> None:
    phone = lab.add("iphone-8")
    phone.image_mounted = False
    for name, size in [("image", 300_000), ("signature", 128)]:
        (tmp_path / name).write_bytes(content(size))
    said = tool("ideviceimagemounter", phone, str(tmp_path / "image"), str(tmp_path / "signature"))
    assert "Complete" in said.stdout, said.stderr
    assert phone.image_mounted
    assert "ImageSignature" in tool("ideviceimagemounter", phone, "-l").stdout


def test_idevicecrashreport_fetches_reports(lab: IosLab, tool: Tool, tmp_path: Path) -> None:
    phone = lab.add("iphone-13")
    phone.wait_app(phone.open_app(crasher(phone)))
    fetched = tmp_path / "reports"
    fetched.mkdir()
    assert tool("idevicecrashreport", phone, str(fetched)).returncode == 0
    (report,) = fetched.iterdir()
    assert signal.Signals.SIGSEGV.name in report.read_text()
    assert list((phone.folder / "CrashReports").iterdir()) == [], "they are moved"


# pymobiledevice3 and go-ios.


@pytest.fixture
def mobile(lab: IosLab, tmp_path: Path) -> Run:
    """Starts pymobiledevice3 for a phone, as a process of its own: `mobile(phone, "apps", "list")`."""
    program = pymobiledevice3()

    def run(phone: Phone, *words: object) -> subprocess.CompletedProcess[str]:
        return started(lab, tmp_path, program, *words, "--udid", phone.udid)

    return run


def started(lab: IosLab, home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environ = {**lab.environ, "HOME": str(home), "COLUMNS": "1000", "NO_COLOR": "1"}
    argv = [str(word) for word in words]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_pymobiledevice3_moves_files(lab: IosLab, mobile: Run, tmp_path: Path) -> None:
    phone = lab.add("iphone-13", tls=True)
    model = tmp_path / "model"
    model.write_bytes(content(5_000_001))
    pushed = mobile(phone, "apps", "push", OWN_BUNDLE, model, "/Documents/model")
    assert pushed.returncode == 0, pushed.stderr
    assert phone.received == [("/Documents/model", 5_000_001)]
    pulled = mobile(phone, "apps", "pull", OWN_BUNDLE, "/Documents/model", tmp_path / "back")
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "back").read_bytes() == model.read_bytes()
    absent = mobile(phone, "apps", "push", "com.example.absent", model, "/Documents/model")
    assert absent.returncode == 1
    assert "No app with bundle ID com.example.absent is installed" in absent.stderr


def test_pymobiledevice3_sees_apps_battery_and_developer_mode(lab: IosLab, mobile: Run) -> None:
    phone = lab.add("iphone-17")
    phone.developer_mode = False
    assert set(json.loads(mobile(phone, "apps", "list").stdout)) == {OWN_BUNDLE, UPSTREAM_BUNDLE}
    assert json.loads(mobile(phone, "diagnostics", "battery", "single").stdout)["Temperature"] == 2750
    assert json.loads(mobile(phone, "mounter", "query-developer-mode-status").stdout) is False
    (image,) = json.loads(mobile(phone, "mounter", "list").stdout)
    assert image["DiskImageType"] == "Personalized"


def test_go_ios_moves_files_and_sees_apps(lab: IosLab, tmp_path: Path) -> None:
    program, phone = go_ios(), lab.add("iphone-17")
    model = tmp_path / "model"
    model.write_bytes(content(1_000_001))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return started(lab, tmp_path, program, *words, f"--udid={phone.udid}")

    assert {app["CFBundleIdentifier"] for app in json.loads(run("apps").stdout)} == {OWN_BUNDLE, UPSTREAM_BUNDLE}
    files = ("fsync", f"--app={OWN_BUNDLE}")
    assert run(*files, "push", f"--srcPath={model}", "--dstPath=/Documents/model").returncode == 0
    assert (phone.apps[OWN_BUNDLE].documents / "model").read_bytes() == model.read_bytes()
    assert phone.received == [("/Documents/model", 1_000_001)]
    assert run(*files, "rm", "--path=/Documents/model").returncode == 0
    assert list(phone.apps[OWN_BUNDLE].documents.iterdir()) == []
    assert json.loads(run("diskspace").stdout)["FreeBytes"] == phone.free_bytes
    assert json.loads(run("batteryregistry").stdout)["Temperature"] == 2750
