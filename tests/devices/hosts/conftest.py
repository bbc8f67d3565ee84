"""A host: OpenSSH's sshd on loopback, with emulated phones behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adbutils
import pytest

from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from emulated.ssh.sshd import Sshd
from emulated.ssh.sshd import absent as no_sshd
from harness.devices.hosts.host import Host
from harness.devices.hosts.hosts import Hosts
from harness.lab.spec import AndroidSpec, HostSpec
from tests.devices import jobs
from tests.devices.android.conftest import ROOT
from tests.devices.jobs import CLOCK
from tests.drivers import absent
from tests.faults.conftest import end_servers

MakeRack = Callable[..., "Rack"]


@dataclass
class Bench(jobs.Bench):
    """A phone behind a host, and a device of the harness for it."""

    phone: Phone

    @property
    def root(self) -> Path:
        return self.phone.root / ROOT


@dataclass
class Rack:
    """A host and its Android phones, and the harness's way to them."""

    sshd: Sshd
    phones: AdbLab
    folder: Path
    hosts: list[Hosts] = field(default_factory=list)

    @property
    def far(self) -> str:
        """The adb server's address, as the host sees it."""
        return f"127.0.0.1:{self.phones.server_port}"

    @property
    def kept(self) -> Mapping[str, int]:
        """Files in the host's cache: name -> size."""
        folder = self.sshd.home / ".cache" / "harness" / "sha256"
        return {path.name: path.stat().st_size for path in folder.iterdir()} if folder.is_dir() else {}

    def open(self) -> Hosts:
        """The host, as another run of the harness has it."""
        self.hosts.append(Hosts({"rack": HostSpec(ssh="rack")}, CLOCK))
        return self.hosts[-1]

    @property
    def host(self) -> Host:
        return (self.hosts[-1] if self.hosts else self.open()).host("rack")

    def spec(self, serial: str, **keys: Any) -> AndroidSpec:
        entry = {"kind": "android", "serial": serial, "host": "rack", "adb_server": self.far, **keys}
        if serial != "*":
            entry.setdefault("name", "phone")
        return AndroidSpec.model_validate(entry).at("devices.yaml:4")

    def bench(self, phone: Phone, **keys: Any) -> Bench:
        """A phone behind the host, not yet connected."""
        hosts = self.hosts[-1] if self.hosts else self.open()
        return Bench(hosts.open(hosts.placed(self.spec(phone.serial, **keys))), self.folder, phone)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ssh's files of this user are."""
    folder = tmp_path / "controller-home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


def commands(folder: Path) -> Path:
    """A folder with this computer's commands, but for adb."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin"):
        for path in Path(place).iterdir():
            if path.name != "adb" and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def make_rack(tmp_path: Path, home: Path) -> Iterator[MakeRack]:
    """Makes a host; afterwards no thread of the harness is left."""
    if why := no_sshd():
        absent(why)
    before = set(threading.enumerate())
    racks: list[Rack] = []
    with ExitStack() as stack:

        def make(*, adb: bool = True, **keys: Any) -> Rack:
            folder = tmp_path / "controller"
            folder.mkdir()
            phones = stack.enter_context(AdbLab(tmp_path / "phones"))
            programs = commands(tmp_path / "bin")
            if adb:
                (programs / "adb").symlink_to(adbutils.adb_path())
            sshd = stack.enter_context(Sshd(tmp_path / "sshd", env={"PATH": str(programs)}, **keys))
            config = home / ".ssh" / "config"
            config.write_text(sshd.config("rack"))
            config.chmod(0o600)
            racks.append(Rack(sshd, phones, folder))
            return racks[-1]

        yield make
        for rack in racks:
            rack.sshd.resume()
            rack.phones.continue_server()
            for hosts in rack.hosts:
                hosts.close()
    for rack in racks:
        end_servers(rack.phones.server_port)
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith(("to ", "ssh"))]
    for thread in left:
        thread.join(10)
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture
def rack(make_rack: MakeRack) -> Rack:
    return make_rack()
