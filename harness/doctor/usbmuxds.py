"""What this computer has for iPhones: tidevice, the usbmuxds that a lab needs, and programs that start apps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.clock import Clock
from harness.devices.base import DeviceError
from harness.devices.ios import tide_version
from harness.devices.ios.discovery import Found, find
from harness.devices.ios.errors import IosError, Subject
from harness.devices.ios.routes import found_tools
from harness.devices.ios.routes.tool import Tool
from harness.devices.ios.usbmux import ListedIphone, address_of, list_devices
from harness.doctor.findings import Finding, missing, note, ok
from harness.doctor.hosts import Place, SshHosts
from harness.errors import UsageError
from harness.lab.spec import DeviceSpec, IosSpec

_LIST_SECONDS = 5.0
_TOOL_SECONDS = 20.0  # pymobiledevice3 takes a second or two to start, on a busy computer more
_VERSION_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "devicectl": ("--version",),
    "go-ios": ("version",),
    "pymobiledevice3": ("version",),
}
_NUMBER = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True)
class Usbmuxd:
    """A usbmuxd, and what it lists; `problem` when it does not answer, which matters if it is `needed`.

    Attributes:
        place: where it is, if that is another computer that is reached through ssh.
    """

    address: str
    needed: bool
    place: Place | None = None
    listed: Sequence[ListedIphone] = ()
    problem: DeviceError | UsageError | None = None


class Usbmuxds:
    """The usbmuxds of a lab, each asked once what is plugged in."""

    def __init__(self, specs: Iterable[DeviceSpec], hosts: SshHosts, clock: Clock) -> None:
        """Ask each of them.

        Args:
            specs: of the lab.
            hosts: that some of them are on.
            clock: time.
        """
        self._clock = clock
        self._hosts = hosts
        self._phones = [spec for spec in specs if isinstance(spec, IosSpec)]
        needed = {spec.usbmuxd for spec in self._phones if spec.required}
        addresses = dict.fromkeys(spec.usbmuxd for spec in self._phones)
        self._servers = {address: self._ask(address, needed=address in needed) for address in addresses}

    def of(self, spec: IosSpec) -> Usbmuxd:
        """The usbmuxd that has a phone."""
        return self._servers[spec.usbmuxd]

    def find(self, specs: Sequence[DeviceSpec]) -> Found:
        """The entries of a lab with '*' replaced by what is plugged in; without tidevice, those that need no search.

        Raises:
            UsageError: an entry asks for what cannot be driven yet.
        """
        if tide_version.installed() == tide_version.PINNED:
            return find(specs, self._clock, self._listed)
        return Found(tuple(spec for spec in specs if not (isinstance(spec, IosSpec) and spec.wildcard)), ())

    def findings(self) -> list[Finding]:
        """What this computer has for iPhones; nothing in a lab that needs none."""
        servers = list(self._servers.values())
        needed = any(found.needed or found.listed for found in servers)
        here = [found for found in servers if found.place is None]
        if needed:
            return [_tidevice(needed), *map(_answer, here), *check_launchers(os.environ)]
        # `--devices auto` looks for iPhones, and nobody has to have one.
        if any(spec.origin for spec in self._phones):
            return [_tidevice(needed), *map(_answer, here)]
        return [_answer(found) if found.problem is None else _unsought(found.problem) for found in here]

    def on_host(self, address: str) -> list[Finding]:
        """What another computer has for iPhones, by the address of this one that leads there."""
        return [_answer(self._servers[address])] if address in self._servers else []

    def left_out(self, text: str) -> Finding | None:
        """A phone that is there and cannot be used is missing; None if the text is of no such phone."""
        for found in self._servers.values():
            if any(f"{phone.udid} is left out" in text for phone in found.listed):
                words, _, mend = text.partition("; ")
                return missing("phone", words, f"{mend}, then run harness doctor again" if mend else None)
        return None

    def _listed(self, address: str | None) -> Sequence[ListedIphone]:
        found = self._servers[address]
        if found.problem is not None:
            raise found.problem
        return found.listed

    def _ask(self, address: str | None, *, needed: bool) -> Usbmuxd:
        try:
            shown = str(address_of(address))
        except UsageError as error:
            return Usbmuxd(address or "the system's", needed, problem=error)
        place = self._hosts.place(address)
        try:
            self._hosts.ready_usbmuxd(address)
            return Usbmuxd(shown, needed, place, list_devices(address, _LIST_SECONDS, self._clock))
        except DeviceError as error:
            return Usbmuxd(shown, needed, place, problem=error)


def check_launchers(environ: Mapping[str, str]) -> list[Finding]:
    """Programs that start apps on iOS 17 and later; a phone's own section says whether it needs one."""
    found = found_tools(environ)
    if not found:
        return [note("launchers", "none of devicectl, go-ios, pymobiledevice3: iOS 16 and older need none of them")]
    return [_launcher(name, program) for name, program in found.items()]


def _launcher(name: str, program: Sequence[str]) -> Finding:
    shown = " ".join(program)
    try:
        said = Tool(name, program, Subject(name), {}).run(_VERSION_OPTIONS[name], _TOOL_SECONDS)
    except IosError as error:
        return note("launcher", str(error))
    number = _NUMBER.search(f"{said.out}\n{said.err}")
    if said.code != 0 or number is None:
        return note("launcher", f"{name} ({shown}) does not say its version, and may not work")
    return ok("launcher", f"{name} {number.group()} ({shown})")


def _tidevice(needed: bool) -> Finding:
    try:
        tide_version.require()
    except UsageError as error:
        return (missing if needed else note)("tidevice", str(error), tide_version.INSTALL)
    return ok("tidevice", tide_version.PINNED)


def _unsought(problem: DeviceError | UsageError) -> Finding:
    return note("usbmuxd", f"no iPhone is looked for: {str(problem).removeprefix('usbmuxd: ')}")


def _answer(found: Usbmuxd) -> Finding:
    if found.problem is None:
        count = len(found.listed)
        where = found.place.far if found.place else found.address
        return ok("usbmuxd", f"{where}, {'1 device' if count == 1 else f'{count} devices'}")
    advice = found.problem.advice if isinstance(found.problem, IosError) else ""
    words = str(found.problem).removeprefix("usbmuxd: ").removesuffix(f"; {advice}")
    mend = f"{advice}, then run harness doctor again" if advice else None
    return (missing if found.needed else note)("usbmuxd", words, mend)
