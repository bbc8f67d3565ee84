"""Which phones a lab has: entries with '*' become those that are plugged in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.devices.adb.errors import TAP_ALLOW
from harness.devices.base import DeviceError
from harness.devices.naming import at, clean, digest, given_names, unique_names
from harness.devices.registry import Resolved
from harness.errors import UsageError
from harness.lab.spec import AndroidSpec, DeviceSpec

if TYPE_CHECKING:
    from harness.devices.adb.server import AdbServer, ListedDevice

Lister = Callable[[str | None], "Sequence[ListedDevice]"]
"""Lists the devices of the adb server at an address, or of the default one. Raises DeviceError."""

_SECONDS = 5.0
_LOOKING_SECONDS = 2.0
_PAUSE = 0.2
_ALLOW_SECONDS = 30.0  # to take up the phone and tap
_READY = "device"
_UNAUTHORIZED = "unauthorized"
_PASSING = frozenset({"authorizing", "connecting"})
_ADVICE = {
    _UNAUTHORIZED: 'tap Allow on the phone ("Allow USB debugging?"), then run again',
    "authorizing": "it is being connected; run again in a moment",
    "connecting": "it is being connected; run again in a moment",
    "offline": "it does not answer; unplug it and plug it in again, or restart it",
    "no permissions": "this user may not open its USB device; add a udev rule for it (on Debian: package "
    "android-sdk-platform-tools-common), then plug it in again",
}
_WIRELESS = re.compile(r"adb-(.+)-[A-Za-z0-9]+(?: \(\d+\))?\._adb-tls-connect\._tcp\.?")
_NETWORK = re.compile(r"(?!usb:)(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):\d{1,5}")


@dataclass(frozen=True)
class _Unit:
    """A phone that an entry with '*' found."""

    device: ListedDevice
    server: str
    shared: bool
    """Whether another device of this server has the same serial."""

    @property
    def identity(self) -> str:
        """What it is addressed by; "" if nothing tells it from others."""
        return (self.device.path or "") if self.shared or not self.device.serial else self.device.serial

    def names(self) -> tuple[str, str, str]:
        """Names to choose from; a later one is longer, and shared with fewer others."""
        serial = _hardware(self.device.serial) or self.identity
        short = clean(f"{self.device.model or 'android'}-{serial[-4:]}")
        own = self.identity.removeprefix("usb:") if self.shared else digest(serial, 6)
        everything = f"{self.server} {self.device.serial} {self.device.path}"
        return short, f"{short}-{clean(own)}", f"{short}-{digest(everything, 16)}"


@dataclass
class _Servers:
    """What the adb servers said, each asked once, and only if somebody wants to know."""

    lister: Lister
    clock: Clock
    tell: Callable[[str], None] | None = None
    answers: dict[str, tuple[Sequence[ListedDevice], str]] = field(default_factory=dict)

    def ask(self, spec: AndroidSpec) -> tuple[Sequence[ListedDevice], str]:
        """Devices that the spec's server lists, and what is wrong with the server, if anything is."""
        key = self.key(spec)
        if key not in self.answers:
            try:
                self.answers[key] = (list(self.lister(spec.adb_server)), "")
            except DeviceError as error:
                self.answers[key] = ([], str(error))
        return self.answers[key]

    def await_people(self, spec: AndroidSpec, phones: Collection[str]) -> None:
        """Ask again, for as long as it may take a person to tap Allow on these phones; not if nobody can be told."""
        if self.tell is None or not phones:
            return
        self.tell(f"{', '.join(sorted(phones))}: {TAP_ALLOW} (waiting for {_ALLOW_SECONDS:g} s)")
        end = self.clock.monotonic() + _ALLOW_SECONDS
        while self.clock.monotonic() < end:
            self.clock.sleep(_PAUSE)
            del self.answers[self.key(spec)]
            states = {device.serial: device.state for device in self.ask(spec)[0]}
            if not any(states.get(serial) in {_UNAUTHORIZED, *_PASSING} for serial in phones):
                return

    def place(self, spec: AndroidSpec) -> str:
        """One text for each server, the same in every run."""
        return spec.host or self.key(spec)

    def words(self, spec: AndroidSpec) -> str:
        """The server, for messages."""
        return f"the adb server of {spec.host}" if spec.host else f"adb server {self.key(spec)}"

    def key(self, spec: AndroidSpec) -> str:
        """One text for each server, however its address is written."""
        from harness.devices.adb.server import LOOPBACK, open_server

        try:
            host, port = open_server(spec.adb_server, self.clock).address
        except UsageError as error:
            raise UsageError(f"{at(spec)}{error}") from None
        return f"{'localhost' if host in LOOPBACK else host}:{port}"


def find(
    specs: Sequence[DeviceSpec],
    clock: Clock,
    lister: Lister | None = None,
    tell: Callable[[str], None] | None = None,
) -> Resolved:
    """The devices of a lab: each entry with serial '*' replaced by the phones that no other entry claims.

    A phone found by '*' is named after its model and the last four characters of its serial, so that it has the same
    name in every run. Of several that would share a name, each has a part of its serial's digest added; those that
    share the serial itself have their USB path added, and are addressed by it. An optional phone that is not plugged in
    is left out, but for those that are connected on demand (`host:port`). All other entries are returned as they are.

    Args:
        specs: in the order of the file.
        clock: time.
        lister: lists the devices of an adb server; by default that server is asked, for at most 5 seconds, and started
            if it is the local one.
        tell: gets what a person has to do for a phone that '*' finds unauthorised, and is then given half a minute for;
            None leaves such a phone out at once.

    Raises:
        UsageError: an entry asks for what cannot be driven yet.
    """
    phones = [spec for spec in specs if isinstance(spec, AndroidSpec)]
    problems = [problem for spec in phones if (problem := _not_yet(spec))]
    if problems:
        raise UsageError("\n".join(problems))
    servers = _Servers(lister or asking(clock), clock, tell)
    claimed = {(servers.place(spec), spec.serial) for spec in phones if not spec.wildcard and spec.serial}
    notes: list[str] = []
    rows: list[tuple[DeviceSpec, list[_Unit] | None]] = []
    for spec in specs:
        if not isinstance(spec, AndroidSpec):
            rows.append((spec, None))
        elif spec.wildcard:
            rows.append((spec, _plugged_in(spec, servers, claimed, notes)))
        elif spec.required or _reachable(spec, servers, notes):
            rows.append((spec, None))
    names = unique_names([unit for _, units in rows for unit in units or ()], given_names(specs))
    found: dict[str, DeviceSpec] = {}
    for spec, units in rows:
        if units is None:
            found[spec.name] = spec
        elif isinstance(spec, AndroidSpec):
            for unit in sorted(units, key=lambda unit: names[unit]):
                found[names[unit]] = spec.as_found(names[unit], unit.identity)
    return Resolved(found, tuple(notes))


def asking(clock: Clock) -> Lister:
    """Lists what is plugged in; each server gets at most 5 seconds, and is started if it is the local one."""

    def listed(address: str | None) -> Sequence[ListedDevice]:
        from harness.devices.adb.server import open_server

        server = open_server(address, clock)
        try:
            return list_devices(server, clock)
        finally:
            server.close()

    return listed


def list_devices(server: AdbServer, clock: Clock) -> Sequence[ListedDevice]:
    """What an adb server lists, once it has seen what is plugged in; it is started if it is the local one.

    A server that has just been started looks for phones, and shakes hands with them, in the background: it gets 2
    seconds for the former and 5 for the latter.

    Raises:
        DeviceError: it does not answer, or cannot be started.
    """
    fresh = server.ensure()
    began = clock.monotonic()
    while True:
        devices = server.devices(max(_PAUSE, _SECONDS - (clock.monotonic() - began)))
        waited = clock.monotonic() - began
        looking = fresh and not devices and waited < _LOOKING_SECONDS
        passing = any(device.state in _PASSING for device in devices) and waited < _SECONDS
        if not looking and not passing:
            return devices
        clock.sleep(_PAUSE)


def _not_yet(spec: AndroidSpec) -> str | None:
    if spec.any:
        return f"{at(spec)}'any' cannot be driven yet; list the phones one by one, each with its 'serial'"
    return None


def _reachable(spec: AndroidSpec, servers: _Servers, notes: list[str]) -> bool:
    """Whether an optional phone is there, or may be once it is connected."""
    if _NETWORK.fullmatch(spec.serial or ""):
        return True
    devices, problem = servers.ask(spec)
    if any(spec.serial in (device.serial, device.path) for device in devices):
        return True
    why = problem or f"{spec.serial} is not plugged in{f' at {spec.host}' if spec.host else ''}"
    notes.append(f"{at(spec)}{spec.name} is left out, as it is not required: {why}")
    return False


def _plugged_in(spec: AndroidSpec, servers: _Servers, claimed: set[tuple[str, str]], notes: list[str]) -> list[_Unit]:
    """Phones that an entry with '*' stands for. All that it looked at are claimed: the next such entry skips them."""
    server = servers.place(spec)
    locked = [one for one in servers.ask(spec)[0] if one.state == _UNAUTHORIZED]
    servers.await_people(spec, {one.serial for one in locked if not _left_alone(spec, one, server, claimed)})
    devices, problem = servers.ask(spec)
    serials = Counter(device.serial for device in devices)
    ready = {device.serial for device in devices if device.state == _READY}
    units = []
    for device in devices:
        if _left_alone(spec, device, server, claimed):
            continue
        unit = _Unit(device, server, serials[device.serial] > 1)
        if unit.identity:
            claimed.add((server, unit.identity))
        why = _unusable(unit, ready)
        if why:
            shown = unit.identity or device.serial or "a phone without a serial"
            notes.append(f"{at(spec)}{shown} is left out: {why}")
        else:
            units.append(unit)
    if not units:
        words = servers.words(spec)
        listed = f"of {len(devices)} on {words} none is left" if devices else f"{words} has none"
        notes.append(f"{at(spec)}no phone was found for serial '*': {problem or listed}")
    return units


def _left_alone(spec: AndroidSpec, device: ListedDevice, server: str, claimed: set[tuple[str, str]]) -> bool:
    """Whether another entry has the phone, or this one excludes it."""
    identities = {text for text in (device.serial, _hardware(device.serial), device.path) if text}
    excluded = any(fnmatchcase(identity, pattern) for identity in identities for pattern in spec.exclude)
    return excluded or any((server, identity) in claimed for identity in identities)


def _unusable(unit: _Unit, ready: set[str]) -> str | None:
    """Why a phone cannot be used, and what to do about it."""
    device, state = unit.device, unit.device.state
    if state != _READY:
        known = next((advice for start, advice in _ADVICE.items() if state.startswith(start)), None)
        return f"{state}: {known}" if known else f"its state is '{state}'; restart it into Android"
    if not unit.identity:
        return "another phone has the same serial or none, and no USB path tells them apart; connect one at a time"
    if _hardware(device.serial) != device.serial and _hardware(device.serial) in ready:
        return "it is the wireless connection of a phone that is plugged in as well"
    return None


def _hardware(serial: str) -> str:
    """The phone's own serial, also when it is connected without a cable (Android 11 and newer)."""
    match = _WIRELESS.fullmatch(serial)
    return match[1] if match else serial
