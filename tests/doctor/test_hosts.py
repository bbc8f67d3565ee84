"""`harness doctor` for hosts: how far it comes on the way there, what they have for phones, and their phones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.android.lab import AdbLab
from emulated.ios.lab import IosLab
from emulated.ssh import sshd
from emulated.ssh.sshd import Sshd
from harness.devices.adb.server import adb_program
from harness.doctor import hosts, links
from tests import drivers
from tests.doctor.conftest import Doctor
from tests.ios_tools import needs_tidevice

pytestmark = pytest.mark.timeout(120)

HOSTS = "\nhosts: {rack: {ssh: rack}} #"
"""Ends the list of devices in the doctor's file, and adds a host."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A computer with adb, called `rack` in ~/.ssh/config."""
    why = sshd.absent()
    if why is not None:
        drivers.absent(why)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "df", "du", "uname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "adb").symlink_to(adb_program())
    with Sshd(tmp_path / "host", env={"PATH": str(programs)}) as made:
        (home / ".ssh" / "config").write_text(made.config("rack"))
        yield made


@pytest.fixture
def far(phones: AdbLab, host: Sshd) -> Callable[..., str]:
    """A line of devices.yaml for a phone of the host, given its serial."""

    def line(serial: str, name: str = "", more: str = "") -> str:
        named = f"name: {name}, " if name else ""
        server = f'adb_server: "127.0.0.1:{phones.server_port}"'
        return f'{named}kind: android, serial: "{serial}", host: rack, {server}{more}'

    return line


def test_a_host_and_its_phones(phones: AdbLab, doctor: Doctor, far: Callable[..., str], host: Sshd) -> None:
    named, other = phones.add("pixel-8"), phones.add("galaxy-s23")
    said = doctor([far(named.serial, "flagship"), far("*") + "}" + HOSTS])
    assert (said.code, said.err) == (0, ""), said.out
    assert "rack (host)" in said.out
    assert said.words("reachable", "ok").startswith(f"rack ({host.user}@127.0.0.1:{host.port}), OpenSSH")
    assert "SHA256:" in said.words("host key", "ok")
    assert host.user in said.words("login", "ok")
    assert said.words("platform", "ok").startswith("Linux ")
    assert said.words("adb", "ok")
    assert said.words("cache", "ok").startswith("no files for phones yet, ")
    assert f"127.0.0.1:{phones.server_port}, version " in said.words("adb server", "ok")
    assert said.words("adb server", "ok").endswith("2 devices")
    phone = said.out.partition("flagship (android)")[2]
    assert named.serial in phone
    assert "on rack" in phone
    assert f"_{'S911B'}-{other.serial[-4:]} (android)" in said.out
    assert list((host.home).iterdir()) == [], "nothing is put there"


def test_an_iphone_of_a_host(tmp_path: Path, doctor: Doctor, host: Sshd) -> None:
    needs_tidevice()
    with IosLab(tmp_path / "iphones") as lab:
        phone = lab.add("iphone-13", tls=True)
        entry = f'name: phone, kind: ios, udid: "{phone.udid}", host: rack, usbmuxd: "{lab.address}"'
        said = doctor([entry + "}" + HOSTS])
        assert lab.failures == []
        assert lab.pairing == []
    assert said.code == 0, said.out
    assert said.words("usbmuxd", "ok") == f"{lab.address}, 1 device"
    assert said.words("attached", "ok") == f"by cable on rack, UDID {phone.udid}"
    assert said.words("app", "ok")


def test_a_phone_that_is_not_plugged_in_there(phones: AdbLab, doctor: Doctor, far: Callable[..., str]) -> None:
    said = doctor([far("NOTTHERE01", "gone"), far("NOTTHERE02", "guest", ", required: false") + "}" + HOSTS])
    assert said.code == 1
    words = said.out.partition("gone (android)")[2]
    assert f"127.0.0.1:{phones.server_port} of rack" in " ".join(words.split())
    assert "NOTTHERE02 is not plugged in at rack" in said.words("devices", "note")


def test_a_host_that_lets_nobody_in(phones: AdbLab, doctor: Doctor, far: Callable[..., str], host: Sshd) -> None:
    phone = phones.add("pixel-8")
    (host.folder / "authorized_keys").write_text("")
    said = doctor([far(phone.serial, "flagship"), far("*"), "name: box, kind: local}" + HOSTS])
    assert said.code == 1
    assert host.identity.name in said.words("login", "MISSING")
    assert "ssh-copy-id" in said.out.rpartition("What mends it:")[2]
    assert "flagship (android)\n  MISSING reachable  its adb server on rack does not answer, see above" in said.out
    assert "box (local)" in said.out


def test_a_key_that_known_hosts_does_not_have(doctor: Doctor, far: Callable[..., str], host: Sshd) -> None:
    host.known_hosts.unlink()
    said = doctor([far("*") + "}" + HOSTS])
    assert said.code == 1, "nobody needs the phones, but the host is there, and no use"
    assert "SHA256:" in said.words("host key", "MISSING")
    assert "ssh-keyscan" in said.out.rpartition("What mends it:")[2]


def test_a_host_that_is_switched_off(
    doctor: Doctor, far: Callable[..., str], host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_SECONDS", 1.0)
    host.stop()
    said = doctor([far("*") + "}" + HOSTS])
    assert said.code == 0
    assert said.words("reachable", "note")
    said = doctor([far("SOMESERIAL", "flagship") + "}" + HOSTS])
    assert said.code == 1
    assert said.words("reachable", "MISSING")


def test_a_host_without_adb(phones: AdbLab, doctor: Doctor, far: Callable[..., str], tmp_path: Path) -> None:
    """First its server runs all the same, started by somebody else; then it does not."""
    (tmp_path / "programs" / "adb").unlink()
    phones.add("pixel-8")
    said = doctor([far("*") + "}" + HOSTS])
    assert said.code == 0
    assert "crosses the link once for every phone" in said.words("adb", "note")
    assert said.words("adb server", "ok").endswith("1 device")
    phones.stop()
    said = doctor([far("SOMESERIAL", "flagship") + "}" + HOSTS])
    assert said.code == 1
    assert f"port {phones.server_port}" in said.words("adb server", "MISSING")


def test_a_host_that_nothing_is_plugged_into(doctor: Doctor, host: Sshd) -> None:
    said = doctor(["name: box, kind: local}" + HOSTS])
    assert said.code == 0
    assert said.words("devices", "note") == "nothing in the devices file is plugged into it"


def test_without_paramiko_the_rest_is_looked_at(
    doctor: Doctor, far: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hosts, links):
        monkeypatch.setattr(module, "paramiko_version", lambda: None)
    said = doctor([far("SOMESERIAL", "flagship"), "name: box, kind: local}" + HOSTS])
    assert said.code == 1
    assert said.words("paramiko", "MISSING")
    assert "is left out: without paramiko" in said.words("devices", "note")
    assert "box (local)" in said.out


def test_one_device_alone_and_its_host(phones: AdbLab, doctor: Doctor, far: Callable[..., str]) -> None:
    phone = phones.add("pixel-8")
    entries = [far(phone.serial, "flagship"), "name: box, kind: local}" + HOSTS]
    assert "rack (host)" in doctor(entries, "--device", "flagship").out
    assert "rack (host)" not in doctor(entries, "--device", "box").out
