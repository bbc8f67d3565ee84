"""The adb program of this computer, the adb servers that a lab needs, and what they list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from harness.clock import Clock
from harness.devices.adb.errors import AdbError
from harness.devices.adb.server import AdbServer, ListedDevice, adb_program, open_server
from harness.devices.android.discovery import list_devices
from harness.devices.base import DeviceError
from harness.doctor.android import REPLUG, TAP
from harness.doctor.findings import Finding, missing, note, ok
from harness.doctor.hosts import Place, SshHosts
from harness.lab.spec import AndroidSpec, DeviceSpec

_READY = "device"
_MENDS = {
    "unauthorized": TAP,
    "offline": REPLUG,
    "no permissions": "add a udev rule for it (on Debian: apt-get install android-sdk-platform-tools-common), "
    "then plug it in again",
}


@dataclass(frozen=True)
class Server:
    """An adb server, and what it lists; `problem` when it does not answer, which matters if it is `needed`.

    Attributes:
        place: where it is, if that is another computer that is reached through ssh.
    """

    server: AdbServer
    needed: bool
    place: Place | None = None
    listed: Sequence[ListedDevice] = ()
    problem: DeviceError | None = None


class AdbServers:
    """The adb servers of a lab, each asked once what is plugged in. A context manager: it lets go of them."""

    def __init__(self, specs: Iterable[DeviceSpec], hosts: SshHosts, clock: Clock) -> None:
        """Ask each of them.

        Args:
            specs: of the lab.
            hosts: that some of them are on.
            clock: time.
        """
        self._clock = clock
        self._hosts = hosts
        self._stack = ExitStack()
        phones = [spec for spec in specs if isinstance(spec, AndroidSpec)]
        needed = {spec.adb_server for spec in phones if spec.required}
        addresses = dict.fromkeys(spec.adb_server for spec in phones)
        self._servers = {address: self._open(address, needed=address in needed) for address in addresses}

    def __enter__(self) -> AdbServers:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def of(self, spec: AndroidSpec) -> Server:
        """The server that has a phone."""
        return self._servers[spec.adb_server]

    def listed(self, address: str | None) -> Sequence[ListedDevice]:
        """What a server lists. Raises DeviceError."""
        found = self._servers[address]
        if found.problem is not None:
            raise found.problem
        return found.listed

    def findings(self) -> list[Finding]:
        """What this computer has for adb; nothing in a lab that needs none here."""
        own = [found for found in self._servers.values() if found.place is None]
        if not own:
            return []
        return [_program(any(found.needed for found in own)), *(_answer(found) for found in own)]

    def on_host(self, address: str) -> list[Finding]:
        """What another computer has for adb, by the address of this one that leads there."""
        return [_answer(self._servers[address])] if address in self._servers else []

    def left_out(self, text: str) -> Finding | None:
        """A phone that is there and cannot be used is missing; None if the text is of no such phone."""
        for found in self._servers.values():
            for device in found.listed:
                names = {device.serial, device.path} - {None, ""}
                if device.state != _READY and any(f"{name} is left out" in text for name in names):
                    mend = next((words for state, words in _MENDS.items() if device.state.startswith(state)), None)
                    return missing("phone", text, mend)
        return None

    def _open(self, address: str | None, *, needed: bool) -> Server:
        place = self._hosts.place(address)
        server = self._hosts.adb_server(address) or open_server(address, self._clock)
        self._stack.callback(server.close)
        try:
            self._hosts.ready_adb(address)
            return Server(server, needed, place, list_devices(server, self._clock))
        except DeviceError as error:
            return Server(server, needed, place, problem=error)


def _program(needed: bool) -> Finding:
    try:
        return ok("adb", adb_program())
    except AdbError as error:
        return (missing if needed else note)("adb", str(error))


def _answer(found: Server) -> Finding:
    host, port = found.server.address
    where = found.place.far if found.place else f"{host}:{port}"
    try:
        if found.problem is not None:
            raise found.problem
        count = len(found.listed)
        devices = "1 device" if count == 1 else f"{count} devices"
        return ok("adb server", f"{where}, version {found.server.version()}, {devices}")
    except DeviceError as error:
        return (missing if found.needed else note)("adb server", str(error))
