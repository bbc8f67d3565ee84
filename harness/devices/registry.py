"""From a device's spec to a way to reach it. Each kind's module is imported only when a spec names it."""

from __future__ import annotations

from harness.clock import Clock
from harness.devices.base import Device
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import DeviceSpec, LocalSpec


def open_device(spec: DeviceSpec, clock: Clock) -> Device:
    """A device for a spec, not yet connected. Raises UsageError for a kind that cannot be driven yet."""
    if isinstance(spec, LocalSpec):
        from harness.devices.local import LocalDevice

        return LocalDevice(spec.name, clock, spec.env, spec.cores)
    raise _unknown_kind(spec)


def kind_of(spec: DeviceSpec) -> str:
    """`kind` of a spec: "local", "android", ..."""
    return str(getattr(spec, "kind", "unknown"))


def machine_of(spec: DeviceSpec) -> str:
    """The machine whose timed work takes turns with this device's."""
    if spec.machine:
        return spec.machine
    if isinstance(spec, LocalSpec):
        from harness.devices.local import machine_name

        return machine_name()
    return spec.name


def resolve(lab: Inventory) -> dict[str, DeviceSpec]:
    """The devices of a lab by name, wildcards replaced by what is plugged in, in the file's order.

    Raises:
        UsageError: a device of a kind that cannot be driven yet.
    """
    for spec in lab.specs:
        if not isinstance(spec, LocalSpec):
            raise _unknown_kind(spec)
    return {spec.name: spec for spec in lab.specs}


def _unknown_kind(spec: DeviceSpec) -> UsageError:
    return UsageError(f"{spec.origin}: devices of kind '{kind_of(spec)}' cannot be driven yet; only kind 'local' can")
