"""`harness doctor` for iPhones: one line for each thing that has to be true, and nothing on the phone is touched."""

from __future__ import annotations

import importlib
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.clock import SystemClock
from harness.devices.ios import tide_version
from harness.doctor.findings import Level
from harness.doctor.hosts import SshHosts
from harness.doctor.usbmuxds import Usbmuxds
from harness.doctor.ways import Ways
from harness.lab.inventory import open_inventory
from tests.conftest import ROOT
from tests.doctor.conftest import Doctor, Said
from tests.ios_tools import needs_tidevice, pymobiledevice3

pytestmark = pytest.mark.timeout(200)

CLOCK = SystemClock()
OWN, UPSTREAM = "com.example.delegatebench", "com.example.LiteRTBenchmark"
Change = Callable[[Phone], None]


@pytest.fixture(autouse=True)
def no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What this computer happens to have for iOS 17 is no matter, unless a test says so."""
    needs_tidevice()
    for name in ("HARNESS_GO_IOS", "HARNESS_PYMOBILEDEVICE3", "USBMUXD_SOCKET_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[IosLab]:
    with IosLab(tmp_path / "lab") as lab:
        yield lab
        assert lab.pairing == []
        assert lab.failures == []


def entry(lab: IosLab, phone: Phone, more: str = "") -> str:
    return f'name: phone, kind: ios, udid: "{phone.udid}", usbmuxd: "{lab.address}"{more}'


def delete(bundle: str) -> Change:
    def change(phone: Phone) -> None:
        del phone.apps[bundle]

    return change


def hide(bundle: str) -> Change:
    def change(phone: Phone) -> None:
        phone.apps[bundle].file_sharing = False

    return change


def set_to(name: str, value: object) -> Change:
    return lambda phone: setattr(phone, name, value)


def test_a_phone_that_has_everything(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13", tls=True)
    said = doctor([entry(lab, phone)])
    assert (said.code, said.err) == (0, "")
    assert said.words("tidevice", "ok") == tide_version.PINNED
    assert said.words("usbmuxd", "ok") == f"{lab.address}, 1 device"
    assert said.words("attached", "ok") == f"by cable, UDID {phone.udid}"
    assert said.words("trusted", "ok")
    platform = said.words("platform", "ok")
    assert platform.startswith("iPhone 13 (iPhone14,5), A15 Bionic, iOS 16.4 (")
    assert "EMULATED" in platform
    assert said.words("unlocked", "ok")
    assert said.words("app", "ok").startswith(f"{OWN} ")
    assert said.words("route", "ok") == "tidevice: it needs no root, no tunnel and no Mac"
    assert said.words("developer", "ok")
    assert said.words("image", "ok")
    assert said.words("battery", "ok").endswith("%, charging")
    assert "°C" in said.words("heat", "ok")
    assert said.words("space", "ok").endswith("free on the phone")
    assert said.out.endswith("\nEverything needed is there.\n")


def test_nothing_is_started_and_nothing_is_changed(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    assert doctor([entry(lab, phone)]).code == 0
    assert phone.processes.history == []
    assert phone.received == []
    assert phone.services.actions == []
    assert phone.asked == []


@pytest.mark.parametrize(
    ("change", "what", "words", "mend"),
    [
        (set_to("paired", False), "trusted", "does not trust this computer", "tap Trust"),
        (Phone.revoke_pairing, "trusted", "does not trust this computer", "tap Trust"),
        (Phone.lock, "unlocked", "is locked", "unlock it"),
        (delete(OWN), "app", f"{OWN} is not installed: only suites", ""),
        (hide(OWN), "app", "does not share its Documents folder", "UIFileSharingEnabled"),
        (set_to("developer_mode", False), "developer", "its Developer Mode is off", "Privacy & Security"),
        (set_to("image_mounted", False), "image", "no developer image is mounted", "Xcode"),
        (set_to("free_bytes", 1 << 20), "space", "1 MB free on the phone", "free at least"),
    ],
)
def test_one_thing_is_missing(lab: IosLab, doctor: Doctor, *, change: Change, what: str, words: str, mend: str) -> None:
    phone = lab.add("iphone-13")
    change(phone)
    said = doctor([entry(lab, phone)])
    assert words in said.words(what, "MISSING" if mend else "note"), said.out
    assert said.code == (1 if mend else 0)
    mends = " ".join(said.out.rpartition("What mends it:")[2].split())
    assert mend in mends
    assert "1 thing is missing" in said.out or not mend


def test_the_app_that_devices_yaml_names_is_not_installed(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-8")
    said = doctor([entry(lab, phone, ", bundle: org.example.misspelt")])
    assert (said.code, said.words("app", "MISSING")) == (1, "org.example.misspelt is not installed")


def test_neither_app_is_installed(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-8")
    phone.apps.clear()
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert "docs/ios-app.md" in said.out.rpartition("What mends it:")[2]
    assert not said.words("developer")  # there is no such mode before iOS 16


def test_a_phone_that_is_not_plugged_in(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    phone.unplug()
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert said.words("attached", "MISSING") == f"{lab.address} does not list {phone.udid}"
    assert "What mends it:\n  plug phone in and unlock it" in said.out
    # `required: false`: it is left out, as an absent Android phone is.
    optional = doctor([entry(lab, phone, ", required: false")])
    assert optional.code == 0
    assert not optional.words("attached", "MISSING")


def test_a_phone_over_the_network_only(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13", network=True)
    assert doctor([entry(lab, phone)]).words("attached", "ok").startswith("by cable")


def test_whatever_is_plugged_in(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    said = doctor([f'kind: ios, udid: "*", usbmuxd: "{lab.address}"'])
    assert said.code == 0
    assert f"UDID {phone.udid}" in said.words("attached", "ok")
    assert f"iPhone_13-{phone.udid[-4:]} (ios)" in said.out.replace("iPhone-13", "iPhone_13")


def test_a_phone_that_an_asterisk_found_and_that_trusts_nobody(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    phone.paired = False
    said = doctor([f'kind: ios, udid: "*", usbmuxd: "{lab.address}"'])
    assert said.code == 1
    assert f"{phone.udid} is left out" in said.words("phone", "MISSING")
    assert "tap Trust" in said.out.rpartition("What mends it:")[2]


def test_no_usbmuxd_answers(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = doctor([f'name: phone, kind: ios, udid: X1, usbmuxd: "127.0.0.1:{port}"'])
    assert said.code == 1
    assert f"no usbmuxd answers at 127.0.0.1:{port}" in said.words("usbmuxd", "MISSING")
    assert said.words("attached", "MISSING") == "its usbmuxd does not answer, see above"
    assert "apt-get install usbmuxd" in " ".join(said.out.rpartition("What mends it:")[2].split())
    optional = doctor([f'kind: ios, udid: "*", usbmuxd: "127.0.0.1:{port}"', "name: box, kind: local"])
    assert (optional.code, bool(optional.words("usbmuxd", "note"))) == (0, True)


def test_auto_without_usbmuxd_looks_for_no_iphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBMUXD_SOCKET_ADDRESS", str(tmp_path / "none"))
    lab = open_inventory("auto")
    with SshHosts(lab, Ways(), CLOCK) as hosts:
        (found,) = Usbmuxds(lab.specs, hosts, CLOCK).findings()
    assert (found.what, found.level) == ("usbmuxd", Level.NOTE)
    assert "no iPhone is looked for: no usbmuxd answers" in found.words
    assert "apt-get install usbmuxd" in found.words


def test_tidevice_is_not_installed(lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tide_version, "installed", lambda: None)
    phone = lab.add("iphone-13")
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert "is not installed" in said.words("tidevice", "MISSING")
    assert "What mends it:\n  pip install 'delegate-harness[ios]'\n" in said.out


def test_ios_17_without_a_launcher(lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("harness.devices.ios.routes.choice")
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # whatever this Python has
    phone = lab.add("iphone-14")
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert "nothing here can start an app on iOS 17.5" in said.words("route", "MISSING")
    mends = " ".join(said.out.rpartition("What mends it:")[2].split())
    for tool in ("Xcode 15", "npm install -g go-ios", "pipx install pymobiledevice3", "launcher: manual"):
        assert tool in mends
    assert said.words("launchers", "note")
    assert said.words("developer", "ok")  # which each of those tools needs
    by_hand = doctor([entry(lab, phone, ", launcher: manual")])
    assert (by_hand.code, by_hand.words("route", "ok")) == (0, "manual")
    assert "A person opens the app" in by_hand.words("needs", "note")


def test_ios_17_with_the_real_pymobiledevice3(lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    program = pymobiledevice3()
    monkeypatch.setenv("HARNESS_PYMOBILEDEVICE3", program)
    phone = lab.add("iphone-17")
    said = doctor([entry(lab, phone)])
    assert said.code == 0
    assert said.words("launcher", "ok").startswith("pymobiledevice3 11.")
    assert said.words("route", "ok") == "pymobiledevice3"
    assert "No root" in said.words("needs", "note")
    phone.reboot()
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert said.words("image", "MISSING")
    assert "pymobiledevice3 mounter auto-mount" in said.out.rpartition("What mends it:")[2]


def test_the_tunnel_that_devices_yaml_names(lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PYMOBILEDEVICE3", pymobiledevice3())
    phone = lab.add("iphone-17")
    assert phone.rsd_address is not None
    rsd = f"{phone.rsd_address[0]}:{phone.rsd_address[1]}"
    assert doctor([entry(lab, phone, f', rsd: "{rsd}"')]).words("tunnel", "ok") == rsd
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = doctor([entry(lab, phone, f', rsd: "127.0.0.1:{port}"')])
    assert said.code == 1
    assert f"nothing answers at 127.0.0.1:{port}" in said.words("tunnel", "MISSING")


def test_a_tool_that_is_broken_is_named(
    lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "bin" / "ios"
    tool.write_text("#!/bin/sh\necho no shared library >&2\nexit 1\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    phone = lab.add("iphone-13")
    said = doctor([entry(lab, phone)])
    assert said.code == 0  # iOS 16 needs none
    assert "does not say its version" in said.words("launcher", "note")


def test_limits_of_the_devices_file(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    phone.battery.level = 12
    said = doctor([entry(lab, phone, ", limits: {battery: 30, temperature: 20}")])
    assert said.code == 0
    assert "below the limit of 30 %" in said.words("battery", "note")
    assert "above the limit of 20 °C" in said.words("heat", "note")


def test_a_phone_that_hangs(lab: IosLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.doctor.ios._SECONDS", 3.0)
    phone = lab.add("iphone-13")
    phone.faults.silent.add("lockdown")
    said = doctor([entry(lab, phone)])
    assert said.code == 1
    assert "did not answer in time" in said.words("trusted", "MISSING")


def test_an_interrupted_doctor_leaves_at_once(lab: IosLab, tmp_path: Path) -> None:
    phone = lab.add("iphone-13")
    phone.faults.silent.add("lockdown")
    file = tmp_path / "devices.yaml"
    file.write_text(f"version: 1\ndevices:\n  - {{{entry(lab, phone)}}}\n")
    code = f"import sys; from harness.cli import main; sys.exit(main(['doctor', '--devices', {str(file)!r}]))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "This computer\n"
        CLOCK.sleep(1.0)
        process.send_signal(signal.SIGINT)
        began = CLOCK.monotonic()
        assert process.wait(30) == 2
        assert CLOCK.monotonic() - began < 12


def test_android_and_ios_in_one_lab(lab: IosLab, doctor: Doctor) -> None:
    phone = lab.add("iphone-13")
    said: Said = doctor([entry(lab, phone), "name: box, kind: local"])
    assert said.code == 0
    assert said.out.index("This computer") < said.out.index("phone (ios)") < said.out.index("box (local)")
