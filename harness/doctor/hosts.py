"""The hosts of a lab: can they be logged in to, and what do they have for phones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.hosts.hosts import Hosts
from harness.devices.ios.usbmux import SYSTEM
from harness.devices.shell.replies import FREE_SPACE, free_bytes, script, sections
from harness.devices.ssh.connection import SshConnection
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.links import Link, check_link, failed
from harness.doctor.supplies import size
from harness.doctor.ways import Ways
from harness.lab.inventory import Inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, IosSpec, PluggedSpec

DEFAULT_ADB = "127.0.0.1:5037"
_AT_ONCE = 16
_SECONDS = 20.0

# The folder is where a host keeps what its phones need. `adb version` asks no server, and starts none.
_SCRIPT = "ROOT=$HOME/.cache/harness\n" + script(
    "host", {"system": "uname -sm", "adb": "adb version", "kept": 'du -sk "$ROOT/sha256"', "df": FREE_SPACE}
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
        self.specs = tuple(self._hosts.placed(spec) for spec in inventory.specs)
        pairs = zip(inventory.specs, self.specs, strict=True)
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

    def ready_adb(self, near: str | None) -> None:
        """Have the host's adb server answer where `near` leads to one, as its own `adb devices` would. DeviceError."""
        if near is not None and (place := self.place(near)) is not None:
            self._hosts.host(self._up(place)).ready_adb(near, self._ways.cancelled)

    def ready_usbmuxd(self, near: str | None) -> None:
        """Have the host's usbmuxd answer where `near` leads to one. Raises DeviceError."""
        if near is not None and (place := self.place(near)) is not None:
            self._hosts.host(self._up(place)).ready_usbmuxd(near, self._ways.cancelled)

    def sections(self, servers: Callable[[str], Iterable[Finding]]) -> list[Section]:
        """What was found on each host.

        Args:
            servers: gives the findings about the servers that the address of this computer leads to.
        """
        return [Section(f"{name} (host)", tuple(self._findings(name, servers))) for name in self._links]

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
