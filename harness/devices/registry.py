"""From a device's spec to a way to reach it. Each kind's module is imported only when a spec names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.devices.base import Device
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import AndroidSpec, DeviceSpec, IosSpec, LocalSpec, PluggedSpec, SshSpec

if TYPE_CHECKING:
    from harness.devices.hosts.hosts import Hosts


@dataclass(frozen=True)
class Resolved:
    """The devices of a lab.

    Attributes:
        specs: by name, in the file's order, wildcards replaced by what is plugged in: none stands for several devices.
        notes: what a person may want to know: what was left out and why, entries that matched nothing.
        hosts: what some of them are plugged into; None if none is.
    """

    specs: Mapping[str, DeviceSpec]
    notes: tuple[str, ...] = ()
    hosts: Hosts | None = None

    def open(self, spec: DeviceSpec, clock: Clock) -> Device:
        """One of the devices, not yet connected. Raises UsageError if what drives it is not installed."""
        if isinstance(spec, PluggedSpec) and spec.host is not None and self.hosts is not None:
            return self.hosts.open(spec)
        return open_device(spec, clock)

    def close(self) -> None:
        """Let go of the hosts, when all devices are closed."""
        if self.hosts is not None:
            self.hosts.close()


def open_device(spec: DeviceSpec, clock: Clock) -> Device:
    """A device for a spec, not yet connected. Raises UsageError if what drives it is not installed."""
    if isinstance(spec, LocalSpec):
        from harness.devices.local import LocalDevice

        return LocalDevice(spec.name, clock, spec.env, () if spec.cores == "big" else spec.cores)
    if isinstance(spec, AndroidSpec):
        from harness.devices.android.device import AndroidDevice

        return AndroidDevice(spec, clock)
    if isinstance(spec, IosSpec):
        from harness.devices.ios.device import IosDevice

        return IosDevice(spec, clock)
    if isinstance(spec, SshSpec):
        from harness.devices.board.device import BoardDevice

        return BoardDevice(spec, clock)
    raise TypeError(type(spec))


def kind_of(spec: DeviceSpec) -> str:
    """`kind` of a spec: "local", "android", "ios", ..."""
    return str(getattr(spec, "kind", "unknown"))


def machine_of(spec: DeviceSpec) -> str:
    """The machine whose timed work takes turns with this device's."""
    if spec.machine:
        return spec.machine
    if isinstance(spec, LocalSpec):
        from harness.devices.local import machine_name

        return machine_name()
    if isinstance(spec, SshSpec) and spec.address:
        return spec.address.rpartition("@")[2]  # entries for one board, each with an `env` of its own, take turns
    return spec.name


def resolve(lab: Inventory, clock: Clock, tell: Callable[[str], None]) -> Resolved:
    """The devices of a lab.

    Args:
        lab: as its file says.
        clock: time.
        tell: gets what a person has to do meanwhile.

    Raises:
        UsageError: an entry asks for what cannot be driven yet, or what drives its device is not installed.
    """
    for spec in lab.specs:
        if isinstance(spec, SshSpec) and spec.any:
            what = "'any' cannot be driven yet; list the boards one by one, each with its 'address'"
            raise UsageError(f"{spec.origin}: {what}")
    specs = lab.specs
    hosts: Hosts | None = None
    if any(isinstance(spec, PluggedSpec) and spec.host is not None for spec in specs):
        from harness.devices.hosts.hosts import Hosts

        hosts = Hosts(lab.hosts, clock)
    try:
        return _found(specs, hosts, clock, tell)
    except BaseException:
        if hosts is not None:
            hosts.close()
        raise


def _found(specs: Sequence[DeviceSpec], hosts: Hosts | None, clock: Clock, tell: Callable[[str], None]) -> Resolved:
    if hosts is not None:
        specs = [hosts.placed(spec) for spec in specs]
    notes: tuple[str, ...] = ()
    if any(isinstance(spec, IosSpec) for spec in specs):
        from harness.devices.ios.discovery import find as find_iphones

        iphones = find_iphones(specs, clock, hosts.ios_lister() if hosts else None)
        specs, notes = iphones.specs, iphones.notes
    if not any(isinstance(spec, AndroidSpec) for spec in specs):
        return Resolved({spec.name: spec for spec in specs}, notes, hosts)
    from harness.devices.android.discovery import find

    found = find(specs, clock, hosts.android_lister() if hosts else None, tell)
    return Resolved(found.specs, (*notes, *found.notes), hosts)
