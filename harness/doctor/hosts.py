"""The hosts of a lab: can they be logged in to, and what do they have for phones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.clock import Clock
from harness.devices.adb.server import DEFAULT_PORT, AdbServer
from harness.devices.base import DeviceError
from harness.devices.board.way import SshWay
from harness.devices.hosts.cache import FIND_ADB
from harness.devices.hosts.hosts import Hosts
from harness.devices.ios.usbmux import SYSTEM
from harness.devices.naming import at
from harness.devices.shell.replies import FREE_SPACE, free_bytes, script, sections
from harness.devices.ssh.connection import SshConnection
from harness.doctor.findings import Finding, note, ok
from harness.doctor.links import WITHOUT, Link, check_link, failed, paramiko_version
from harness.doctor.supplies import size
from harness.doctor.ways import Ways
from harness.lab.inventory import Inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, IosSpec, PluggedSpec

_AT_ONCE = 16
_SECONDS = 20.0

# The folder is where a host keeps what its phones need. `adb version` asks no server, and starts none.
_SCRIPT = "ROOT=$HOME/.cache/harness\n" + script(
    "host",
    {
        "system": "uname -sm",
        "adb": f'{FIND_ADB}[ -z "$ADB" ] || "$ADB" version',
        "kept": 'du -sk "$ROOT/sha256"',
        "df": FREE_SPACE,
    },
)


@dataclass(frozen=True)
class Place:
    """A server of a host.

    Attributes:
        host: its name in devices.yaml.
        far: the server's address, as the host sees it.
    """

    host: str
    far: str


class SshHosts:
    """The hosts of a lab, each connected to once. A context manager: it lets go of them.

    Attributes:
        specs: of the lab; for phones of hosts with addresses of this computer, which lead to the hosts' servers.
        notes: what was left out, and why.
    """

    def __init__(self, inventory: Inventory, ways: Ways, clock: Clock) -> None:
        """Connect to every host.

        Args:
            inventory: of the lab.
            ways: to devices.
            clock: time.

        Raises:
            UsageError: an address of a server of a host is none.
        """
        self._ways = ways
        self._hosts = Hosts(inventory.hosts, clock)
        here = inventory.specs if paramiko_version() else [spec for spec in inventory.specs if not _far(spec)]
        self.notes = tuple(f"{at(spec)}is left out: {WITHOUT}" for spec in inventory.specs if spec not in here)
        pairs = [(spec, self._hosts.placed(spec)) for spec in here]
        self.specs = tuple(placed for _, placed in pairs)
        self._places = dict(place for spec, placed in pairs for place in _places(spec, placed))
        self._needed = {spec.host for spec in self.specs if isinstance(spec, PluggedSpec) and spec.required}
        self._links = self._connect(list(inventory.hosts))

    def __enter__(self) -> SshHosts:
        return self

    def __exit__(self, *exception: object) -> None:
        self._hosts.close()

    def place(self, near: str | None) -> Place | None:
        """What an address of this computer leads to; None if that is this computer itself."""
        return self._places.get(near or "")

    def adb_server(self, near: str | None) -> AdbServer | None:
        """The host's adb server that `near` leads to; None if it leads to none."""
        place = self.place(near)
        return self._hosts.host(place.host).adb_server(near) if near and place else None

    def ready_adb(self, near: str | None) -> None:
        """Have the host's adb server answer where `near` leads to one, as its own `adb devices` would. DeviceError."""
        if near is not None and (place := self.place(near)) is not None:
            self._hosts.host(self._up(place)).ready_adb(near, self._ways.cancelled)

    def ready_usbmuxd(self, near: str | None) -> None:
        """Have the host's usbmuxd answer where `near` leads to one. Raises DeviceError."""
        if near is not None and (place := self.place(near)) is not None:
            self._hosts.host(self._up(place)).ready_usbmuxd(near, self._ways.cancelled)

    @property
    def names(self) -> list[str]:
        """All hosts, in the file's order."""
        return list(self._links)

    def addresses(self, name: str) -> list[str]:
        """The addresses of this computer that lead to servers of a host which answers."""
        if self._links[name].connection is None:
            return []
        return [near for near, place in self._places.items() if place.host == name]

    def findings(self, name: str) -> list[Finding]:
        """What was found on a host."""
        link = self._links[name]
        found = [*link.findings]
        if link.connection is None:
            return found
        phones = [spec for spec in self.specs if isinstance(spec, PluggedSpec) and spec.host == name]
        if not phones:
            found.append(note("devices", "nothing in the devices file is plugged into it"))
        try:
            return found + _computer(link.connection, adb=any(isinstance(spec, AndroidSpec) for spec in phones))
        except DeviceError as error:
            return [*found, failed(error, name, "shell")]

    def _connect(self, names: list[str]) -> dict[str, Link]:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="harness-doctor") as pool:
            try:
                return dict(zip(names, pool.map(self._link, names), strict=True))
            except BaseException:
                self._ways.interrupt()  # else the pool waits for the slowest host
                raise

    def _link(self, name: str) -> Link:
        def opened() -> SshConnection:
            return self._hosts.host(name).connection

        return check_link(opened, name, self._ways, required=name in self._needed)

    def _up(self, place: Place) -> str:
        """The host of a place. Raises DeviceError if it could not be connected to."""
        if self._links[place.host].connection is None:
            raise DeviceError(f"{place.host} cannot be used", device=place.host)
        return place.host


def _far(spec: DeviceSpec) -> bool:
    return isinstance(spec, PluggedSpec) and spec.host is not None


def _places(spec: DeviceSpec, placed: DeviceSpec) -> Iterable[tuple[str, Place]]:
    """The address of this computer that leads to a phone's server on its host."""
    if isinstance(spec, PluggedSpec) and spec.host is not None:
        if isinstance(spec, AndroidSpec) and isinstance(placed, AndroidSpec) and placed.adb_server:
            yield placed.adb_server, Place(spec.host, spec.adb_server or f"127.0.0.1:{DEFAULT_PORT}")
        if isinstance(spec, IosSpec) and isinstance(placed, IosSpec) and placed.usbmuxd:
            yield placed.usbmuxd, Place(spec.host, spec.usbmuxd or SYSTEM)


def _computer(connection: SshConnection, *, adb: bool) -> list[Finding]:
    """What the host is, and what its phones' files go through."""
    parts = sections(SshWay(connection).shell(_SCRIPT, _SECONDS, shown="a script of the doctor").text, "host")
    platform = ok("platform", parts.get("system", "").strip() or "it does not say what it is")
    if not adb:
        return [platform]
    version = re.search(r"^Version (\S+)", parts.get("adb", ""), re.MULTILINE)
    if version is None:
        words = "it has no adb program: each file crosses the link once for every phone, not once for all"
        return [platform, note("adb", words)]
    kept, free = re.match(r"(\d+)", parts.get("kept", "")), free_bytes(parts.get("df", ""))
    words = f"{size(int(kept[1]) << 10)} of files for phones" if kept else "no files for phones yet"
    words += f", {size(free)} free" if free is not None else ""
    return [platform, ok("adb", version[1]), ok("cache", words)]
