"""A whole lab: this computer, its hosts, adb servers and usbmuxds, and every device, several at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from harness.clock import Clock, iso
from harness.devices.android import discovery as androids
from harness.doctor import record, record_ios
from harness.doctor.adb_servers import AdbServers
from harness.doctor.android import check_android, reach
from harness.doctor.android import title_of as android_title
from harness.doctor.board import check_board
from harness.doctor.computer import check_compiler, check_packages
from harness.doctor.findings import Finding, Section, missing, note
from harness.doctor.hosts import SshHosts
from harness.doctor.ios import check_ios
from harness.doctor.links import check_paramiko
from harness.doctor.local import check_local
from harness.doctor.supplies import Supplies
from harness.doctor.usbmuxds import Usbmuxds
from harness.doctor.ways import Ways
from harness.errors import UsageError, nearest
from harness.lab.inventory import AUTO, Inventory, load_inventory, open_inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, IosSpec, LocalSpec, PluggedSpec, SshSpec
from harness.paths import write_atomically

FILE = "devices.yaml"
_AT_ONCE = 16
_RECORD_SECONDS = 60.0


class Lab:
    """The devices of a lab as they are now. A context manager: it lets go of hosts and adb servers at the end."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        """Connect to each host, and ask each adb server and usbmuxd that the lab needs what is plugged in.

        Args:
            inventory: of the lab.
            clock: time.

        Raises:
            UsageError: an entry asks for what cannot be driven yet.
        """
        self._clock = clock
        self._supplies = Supplies(inventory)
        self._ways = Ways()
        self._stack = ExitStack()
        try:
            self._hosts = self._stack.enter_context(SshHosts(inventory, self._ways, clock))
            self._usbmuxds = Usbmuxds(self._hosts.specs, self._hosts, clock)
            self._servers = self._stack.enter_context(AdbServers(self._hosts.specs, self._hosts, clock))
            plugged = self._usbmuxds.find(self._hosts.specs)
            found = androids.find(plugged.specs, clock, self._servers.listed)
        except BaseException:
            self._stack.close()
            raise
        self._far = bool(inventory.hosts) or any(isinstance(spec, SshSpec) for spec in inventory.specs)
        self.specs = found.specs
        self._notes = (*self._hosts.notes, *plugged.notes, *found.notes)

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
            DeviceError: it cannot be reached, or does not answer in time.
        """
        spec = self._phone(name)
        today = iso(self._clock.now()).partition("T")[0]
        text = self._record_android(spec, today) if isinstance(spec, AndroidSpec) else self._record_ios(spec, today)
        try:
            write_atomically(file, text.encode())
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}") from None
        return f"{file}: {len(text.splitlines())} lines from {spec.name}; please look through it before you send it"

    def sections(self, only: str | None = None) -> Iterator[Section]:
        """What was found, in order: this computer, its hosts, then each device as soon as it and those before are done.

        Args:
            only: name of a device; None for all.

        Raises:
            UsageError: there is no such device.
        """
        specs = [self.one(only)] if only is not None else list(self.specs.values())
        yield self._computer(with_notes=only is None)
        hosts = {spec.host for spec in specs if isinstance(spec, PluggedSpec)}
        for name in self._hosts.names:
            if only is None or name in hosts:
                yield self._host(name)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="harness-doctor") as pool:
            try:
                yield from pool.map(self._device, specs)
            except BaseException:
                self._ways.interrupt()  # else the pool waits for the slowest phone
                raise

    def _phone(self, name: str | None) -> AndroidSpec | IosSpec:
        phones = [spec for spec in self.specs.values() if isinstance(spec, (AndroidSpec, IosSpec))]
        if name is None and len(phones) > 1:
            raise UsageError(f"there are several phones: {', '.join(spec.name for spec in phones)}; add --device NAME")
        if name is None and not phones:
            raise UsageError("\n".join(["there is no phone that is ready", *self._notes]))
        spec = self.one(name) if name is not None else phones[0]
        if not isinstance(spec, (AndroidSpec, IosSpec)):
            words = "only devices of the kinds 'android' and 'ios' can be recorded"
            raise UsageError(f"'{spec.name}' is no phone: {words}")
        return spec

    def _record_android(self, spec: AndroidSpec, today: str) -> str:
        found = self._servers.of(spec)
        if found.problem is not None:
            raise found.problem
        phone = reach(spec, found.server, found.listed, self._ways, self._clock)
        reply = phone.device.shell(record.RECORD_SCRIPT, _RECORD_SECONDS).text
        names = [one for device in found.listed for one in (device.serial, device.path) if one]
        return record.as_text(record.describe(reply, phone.facts, phone.device.features, names), today)

    def _record_ios(self, spec: IosSpec, today: str) -> str:
        found = self._usbmuxds.of(spec)
        if found.problem is not None:
            raise found.problem
        return record.as_text(record_ios.read(spec, self._ways, self._clock), today)

    def _computer(self, *, with_notes: bool) -> Section:
        findings = [check_packages(), check_compiler(), *([check_paramiko()] if self._far else [])]
        findings += [*self._servers.findings(), *self._usbmuxds.findings()]
        if with_notes:
            findings += [self._left_out(text) for text in self._notes]
        return Section("This computer", tuple(findings))

    def _host(self, name: str) -> Section:
        """A host, and the servers on it by the addresses of this computer that lead there."""
        near = self._hosts.addresses(name)
        servers = [finding for one in near for finding in (*self._servers.on_host(one), *self._usbmuxds.on_host(one))]
        return Section(f"{name} (host)", (*self._hosts.findings(name), *servers))

    def _left_out(self, text: str) -> Finding:
        """A phone that is there and cannot be used is missing; an entry that matches nothing is not."""
        return self._servers.left_out(text) or self._usbmuxds.left_out(text) or note("devices", text)

    def _device(self, spec: DeviceSpec) -> Section:
        if isinstance(spec, LocalSpec):
            return check_local(spec, self._supplies, self._clock)
        if isinstance(spec, AndroidSpec):
            found = self._servers.of(spec)
            if found.problem is not None:
                where = "" if found.place is None else f" on {found.place.host}"
                words = f"its adb server{where} does not answer, see above"
                return Section(android_title(spec), ((missing if spec.required else note)("reachable", words),))
            return check_android(spec, found.server, found.listed, self._supplies, ways=self._ways, clock=self._clock)
        if isinstance(spec, IosSpec):
            return check_ios(spec, self._usbmuxds.of(spec), self._ways, self._clock)
        if isinstance(spec, SshSpec):
            return check_board(spec, self._supplies, self._ways, self._clock)
        raise TypeError(type(spec))


def inventory_of(devices: str | None) -> Inventory:
    """The lab that was asked for; without a word, devices.yaml if it is there, else what is plugged in.

    Raises:
        UsageError: the file is wrong.
    """
    if devices is not None:
        return open_inventory(devices)
    return load_inventory(Path(FILE)) if Path(FILE).is_file() else open_inventory(AUTO)
