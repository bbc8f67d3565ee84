"""A whole lab: this computer, its adb servers, and every device, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.clock import Clock, iso
from harness.devices.adb.errors import AdbError
from harness.devices.adb.server import AdbServer, ListedDevice, adb_program, open_server
from harness.devices.android.discovery import find, list_devices
from harness.doctor.android import REPLUG, TAP, Ways, check_android, title_of
from harness.doctor.computer import check_compiler, check_packages
from harness.doctor.findings import Finding, Section, missing, note, ok
from harness.doctor.local import check_local
from harness.doctor.record import RECORD_SCRIPT, as_text, describe
from harness.doctor.supplies import Supplies
from harness.errors import UsageError, nearest
from harness.lab.inventory import AUTO, Inventory, load_inventory, open_inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, LocalSpec
from harness.paths import write_atomically

FILE = "devices.yaml"
_READY = "device"
_AT_ONCE = 16
_RECORD_SECONDS = 60.0
_MENDS = {
    "unauthorized": TAP,
    "offline": REPLUG,
    "no permissions": "add a udev rule for it (on Debian: apt-get install android-sdk-platform-tools-common), "
    "then plug it in again",
}


@dataclass(frozen=True)
class _Server:
    """An adb server, and what it lists; `problem` when it does not answer, which matters if it is `needed`."""

    server: AdbServer
    needed: bool
    listed: Sequence[ListedDevice] = ()
    problem: AdbError | None = None


class Lab:
    """The devices of a lab as they are now. A context manager: it lets go of the adb servers at the end."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        """Ask each adb server that the lab needs what is plugged in.

        Args:
            inventory: of the lab.
            clock: time.

        Raises:
            UsageError: an entry asks for what cannot be driven yet.
        """
        self._inventory = inventory
        self._clock = clock
        self._supplies = Supplies(inventory)
        self._ways = Ways(clock)
        self._stack = ExitStack()
        phones = [spec for spec in inventory.specs if isinstance(spec, AndroidSpec)]
        needed = {spec.adb_server for spec in phones if spec.required}
        addresses = dict.fromkeys(spec.adb_server for spec in phones)
        self._servers = {address: self._open(address, needed=address in needed) for address in addresses}
        found = find(inventory.specs, clock, self._list)
        self.specs = found.specs
        self._notes = found.notes

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def one(self, name: str) -> DeviceSpec:
        """The device of that name. Raises UsageError."""
        if name not in self.specs:
            known = ", ".join(self.specs) or "none"
            left_out = "".join(f"\n{text}" for text in self._notes)
            raise UsageError(f"no device is called '{name}'{nearest(name, self.specs)}; there are: {known}{left_out}")
        return self.specs[name]

    def record(self, name: str | None, file: Path) -> str:
        """Write a phone's replies to a file, without what names it or its owner.

        Args:
            name: of the phone; None for the only one there is.
            file: is replaced if it exists.

        Returns:
            What a person should know about it.

        Raises:
            UsageError: there is no such phone, there are several, or the file cannot be written.
            AdbError: it cannot be reached, or does not answer in time.
        """
        spec = self._phone(name)
        found = self._servers[spec.adb_server]
        if found.problem is not None:
            raise found.problem
        phone = self._ways.reach(spec, found.server, found.listed)
        reply = phone.device.shell(RECORD_SCRIPT, _RECORD_SECONDS).text
        names = [one for device in found.listed for one in (device.serial, device.path) if one]
        text = as_text(
            describe(reply, phone.facts, phone.device.features, names), iso(self._clock.now()).partition("T")[0]
        )
        try:
            write_atomically(file, text.encode())
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}") from None
        return f"{file}: {len(text.splitlines())} lines from {spec.name}; please look through it before you send it"

    def sections(self, only: str | None = None) -> Iterator[Section]:
        """What was found, in order: this computer first, then each device as soon as it and those before are done.

        Args:
            only: name of a device; None for all.

        Raises:
            UsageError: there is no such device.
        """
        specs = [self.one(only)] if only is not None else list(self.specs.values())
        yield self._computer(with_notes=only is None)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="harness-doctor") as pool:
            try:
                yield from pool.map(self._device, specs)
            except BaseException:
                self._ways.interrupt()  # else the pool waits for the slowest phone
                raise

    def _phone(self, name: str | None) -> AndroidSpec:
        phones = [spec for spec in self.specs.values() if isinstance(spec, AndroidSpec)]
        if name is None and len(phones) > 1:
            raise UsageError(f"there are several phones: {', '.join(spec.name for spec in phones)}; add --device NAME")
        if name is None and not phones:
            raise UsageError("\n".join(["there is no phone that is ready", *self._notes]))
        spec = self.one(name) if name is not None else phones[0]
        if not isinstance(spec, AndroidSpec):
            raise UsageError(f"'{spec.name}' is no phone: only devices of kind 'android' can be recorded")
        return spec

    def _open(self, address: str | None, *, needed: bool) -> _Server:
        server = open_server(address, self._clock)
        self._stack.callback(server.close)
        try:
            return _Server(server, needed, list_devices(server, self._clock))
        except AdbError as error:
            return _Server(server, needed, problem=error)

    def _list(self, address: str | None) -> Sequence[ListedDevice]:
        found = self._servers[address]
        if found.problem is not None:
            raise found.problem
        return found.listed

    def _computer(self, *, with_notes: bool) -> Section:
        findings = [check_packages(), check_compiler()]
        if self._servers:
            findings.append(_program(any(found.needed for found in self._servers.values())))
            findings += [_answer(found) for found in self._servers.values()]
        if with_notes:
            findings += [self._left_out(text) for text in self._notes]
        return Section("This computer", tuple(findings))

    def _left_out(self, text: str) -> Finding:
        """A phone that is there and cannot be used is missing; an entry that matches nothing is not."""
        for found in self._servers.values():
            for device in found.listed:
                names = {device.serial, device.path} - {None, ""}
                if device.state != _READY and any(f"{name} is left out" in text for name in names):
                    mend = next((words for state, words in _MENDS.items() if device.state.startswith(state)), None)
                    return missing("phone", text, mend)
        return note("devices", text)

    def _device(self, spec: DeviceSpec) -> Section:
        if isinstance(spec, LocalSpec):
            return check_local(spec, self._supplies, self._clock)
        if isinstance(spec, AndroidSpec):
            found = self._servers[spec.adb_server]
            if found.problem is not None:
                words = "its adb server does not answer, see above"
                return Section(title_of(spec), ((missing if spec.required else note)("reachable", words),))
            return check_android(spec, found.server, found.listed, self._supplies, self._ways)
        words = f"devices of kind '{spec.kind}' cannot be driven yet"
        return Section(f"{spec.name} ({spec.kind})", (missing("kind", f"{spec.origin}: {words}"),))


def inventory_of(devices: str | None) -> Inventory:
    """The lab that was asked for; without a word, devices.yaml if it is there, else what is plugged in.

    Raises:
        UsageError: the file is wrong.
    """
    if devices is not None:
        return open_inventory(devices)
    return load_inventory(Path(FILE)) if Path(FILE).is_file() else open_inventory(AUTO)


def _program(needed: bool) -> Finding:
    try:
        return ok("adb", adb_program())
    except AdbError as error:
        return (missing if needed else note)("adb", str(error))


def _answer(found: _Server) -> Finding:
    host, port = found.server.address
    try:
        if found.problem is not None:
            raise found.problem
        count = len(found.listed)
        devices = "1 device" if count == 1 else f"{count} devices"
        return ok("adb server", f"{host}:{port}, version {found.server.version()}, {devices}")
    except AdbError as error:
        return (missing if found.needed else note)("adb server", str(error))
