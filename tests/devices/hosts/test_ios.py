"""iPhones behind a host: through its usbmuxd's port, its socket, or a program that connects to that."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.lab import IosLab
from harness.devices.base import DeviceError
from harness.devices.ios.routes import choose
from harness.devices.registry import resolve
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import HostSpec, IosSpec
from harness.plan.cell import ErrorClass
from tests.devices.hosts.conftest import MakeRack, Rack
from tests.devices.ios.bench import Bench, Watch
from tests.devices.ios.conftest import homes, lab
from tests.devices.jobs import CLOCK
from tests.drivers import absent
from tests.ios_tools import needs_tidevice

__all__ = ["homes", "lab"]

pytestmark = pytest.mark.timeout(200)

PACKAGES = {"socat": "socat", "python3": "python3", "nc": "netcat-openbsd"}
"""Programs that stand in, and what has them."""


class Door:
    """A unix socket that leads to a TCP port, as usbmuxd's own does."""

    def __init__(self, port: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mux-", dir="/tmp"))  # a socket's path is short
        self.path = self.folder / "usbmuxd"
        self._port = port
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(20)
        self._listener.close()
        for near in self._open:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(near)
            self._threads.append(threading.Thread(target=self._lead, args=(near,)))
            self._threads[-1].start()

    def _lead(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._port)) as far:
            back = threading.Thread(target=self._pump, args=(far, near))
            back.start()
            self._pump(near, far)
            back.join()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def door(lab: IosLab) -> Iterator[Door]:
    needs_tidevice()
    made = Door(int(lab.address.rpartition(":")[2]))
    yield made
    made.close()


def spec_of(udid: str, usbmuxd: str, **keys: Any) -> IosSpec:
    entry = {"kind": "ios", "udid": udid, "host": "rack", "usbmuxd": usbmuxd, **keys}
    if udid != "*":
        entry.setdefault("name", "iphone")
    return IosSpec.model_validate(entry).at("devices.yaml:5")


def does_a_job(rack: Rack, lab: IosLab, usbmuxd: str, folder: Path) -> None:
    phone = lab.add("iphone-13")
    hosts = rack.open()
    device: Any = hosts.open(hosts.placed(spec_of(phone.udid, usbmuxd)))
    bench = Bench(lab, phone, device, folder, Watch())
    try:
        assert bench.connect()["host"] == "rack"
        output = bench.run()
        assert output.exit_code == 0
        assert (output.folder / "result.json").is_file()
    finally:
        device.close()


def test_a_phone_behind_a_hosts_socket_does_a_job(rack: Rack, lab: IosLab, door: Door, tmp_path: Path) -> None:
    does_a_job(rack, lab, str(door.path), tmp_path)


@pytest.mark.parametrize("program", PACKAGES)
def test_a_program_stands_in_where_sshd_leads_to_no_socket(
    make_rack: MakeRack, lab: IosLab, door: Door, program: str, tmp_path: Path
) -> None:
    if shutil.which(program, path="/usr/bin:/bin") is None:
        absent(f"needs {program}: apt-get install {PACKAGES[program]}")
    make_rack(options="AllowStreamLocalForwarding no")
    for other in PACKAGES.keys() - {program}:
        (tmp_path / "bin" / other).unlink(missing_ok=True)
    phone = lab.add("iphone-13")
    host = HostSpec(ssh="rack")
    found = resolve(Inventory(specs=(spec_of("*", str(door.path)),), hosts={"rack": host}), CLOCK, lambda _: None)
    found.close()
    assert [spec.identity for spec in found.specs.values()] == [phone.udid]
    assert found.notes == ()


def test_a_job_is_done_through_a_program(make_rack: MakeRack, lab: IosLab, door: Door, tmp_path: Path) -> None:
    does_a_job(make_rack(options="AllowStreamLocalForwarding no"), lab, str(door.path), tmp_path)


def test_a_port_of_the_host_will_do_as_well(rack: Rack, lab: IosLab) -> None:
    needs_tidevice()
    phone = lab.add("iphone-13")
    listed = rack.open().ios_lister()
    near = rack.host.usbmuxd_address(lab.address)
    assert near != lab.address
    assert [one.udid for one in listed(near)] == [phone.udid]


def test_without_usbmuxd_the_host_is_at_fault(rack: Rack, lab: IosLab, tmp_path: Path) -> None:
    needs_tidevice()
    hosts = rack.open()
    device = hosts.open(hosts.placed(spec_of("NOTHERE", str(tmp_path / "nothing"))))
    with pytest.raises(DeviceError, match=r"iphone: rack: no usbmuxd answers at .*/nothing there") as caught:
        device.connect(lambda _: None)
    assert caught.value.error_class is ErrorClass.HOST
    device.close()


def test_a_tunnel_of_the_host_is_refused_with_a_way_out(rack: Rack) -> None:
    with pytest.raises(UsageError, match=r"^devices\.yaml:5: 'rsd' and 'host' do not go together"):
        rack.open().placed(spec_of("00008140-1", "/var/run/usbmuxd", rsd="127.0.0.1:50123"))


def test_apples_tool_is_not_for_phones_of_other_computers() -> None:
    spec = spec_of("00008140-1", "/var/run/usbmuxd", launcher="devicectl")
    with pytest.raises(DeviceError, match="it is plugged into rack"):
        choose(spec, "17.5", {"PATH": ""})
