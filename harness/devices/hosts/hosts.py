"""The hosts of a lab, and its phones that are plugged into one of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from harness.clock import Clock
from harness.devices.base import Device
from harness.devices.hosts.device import HostedDevice
from harness.devices.hosts.host import Host
from harness.devices.naming import at
from harness.errors import UsageError
from harness.lab.spec import AndroidSpec, DeviceSpec, HostSpec, IosSpec, PluggedSpec

if TYPE_CHECKING:
    from harness.devices.adb.server import ListedDevice
    from harness.devices.android.discovery import Lister as AndroidLister
    from harness.devices.ios.discovery import Lister as IosLister
    from harness.devices.ios.usbmux import ListedIphone

S = TypeVar("S", bound=DeviceSpec)

_LIST_SECONDS = 5.0
_NO_TUNNEL = (
    "'rsd' and 'host' do not go together: behind a tunnel each service of a phone has a port of its own, which an SSH "
    "connection does not lead to; leave 'rsd' out (from iOS 17.4 on pymobiledevice3 makes a tunnel through the host's "
    "usbmuxd), or plug the phone into this computer"
)


class Hosts:
    """The hosts of a lab. Nothing is opened before it is used; `close` ends everything."""

    def __init__(self, specs: Mapping[str, HostSpec], clock: Clock) -> None:
        """Stand for them.

        Args:
            specs: by name, as in devices.yaml.
            clock: time.
        """
        self._specs = specs
        self._clock = clock
        self._hosts: dict[str, Host] = {}

    def host(self, name: str) -> Host:
        """One of them. Raises UsageError if paramiko is not installed."""
        if name not in self._hosts:
            self._hosts[name] = Host(name, self._specs[name], self._clock)
        return self._hosts[name]

    def placed(self, spec: S) -> S:
        """An entry with the addresses, on this computer, of what leads to its phones; others as they are.

        Nothing is connected.

        Raises:
            UsageError: paramiko is not installed, an address is none, or the entry names a tunnel of its host.
        """
        if not isinstance(spec, PluggedSpec) or spec.host is None:
            return spec
        try:
            host = self.host(spec.host)
            if isinstance(spec, AndroidSpec):
                return spec.model_copy(update={"adb_server": host.adb_address(spec.adb_server)})
            assert isinstance(spec, IosSpec)
            if spec.rsd is not None:
                raise UsageError(_NO_TUNNEL)
            return spec.model_copy(update={"usbmuxd": host.usbmuxd_address(spec.usbmuxd)})
        except UsageError as error:
            raise UsageError(f"{at(spec)}{error}") from None

    def open(self, spec: DeviceSpec) -> Device:
        """A phone of a host, not yet connected.

        Args:
            spec: its entry, as `placed` made it.

        Raises:
            UsageError: what drives it is not installed.
        """
        assert isinstance(spec, PluggedSpec)
        assert spec.host is not None
        host = self.host(spec.host)
        if isinstance(spec, AndroidSpec):
            return self._android(spec, host)
        assert isinstance(spec, IosSpec)
        return self._ios(spec, host)

    def android_lister(self) -> AndroidLister:
        """Lists the phones of an adb server, of a host or of this computer."""
        from harness.devices.android.discovery import asking, list_devices

        ask, never = asking(self._clock), threading.Event()

        def listed(address: str | None) -> Sequence[ListedDevice]:
            for near, host in self._leading(address):
                host.ready_adb(near, never)
                return list_devices(host.adb_server(near), self._clock)
            return ask(address)

        return listed

    def ios_lister(self) -> IosLister:
        """Lists the phones of a usbmuxd, of a host or of this computer."""
        from harness.devices.ios.usbmux import list_devices

        never = threading.Event()

        def listed(address: str | None) -> Sequence[ListedIphone]:
            for near, host in self._leading(address):
                host.ready_usbmuxd(near, never)
            return list_devices(address, _LIST_SECONDS, self._clock)

        return listed

    def close(self) -> None:
        """Close all connections."""
        for host in self._hosts.values():
            host.close()

    def _leading(self, address: str | None) -> list[tuple[str, Host]]:
        """An address and the host that it leads to; nothing if it leads to none."""
        return [(address, host) for host in self._hosts.values() if address is not None and host.leads(address)]

    def _android(self, spec: AndroidSpec, host: Host) -> Device:
        from harness.devices.android.device import AndroidDevice
        from harness.devices.hosts.near import NearAdb

        near = spec.adb_server or ""
        way = NearAdb(host.adb_server(near), host.behind(near, spec.serial or ""), spec.name, self._clock, host.cache)
        device = AndroidDevice(spec, self._clock, way)
        return HostedDevice(device, host, lambda cancelled: host.ready_adb(near, cancelled))

    def _ios(self, spec: IosSpec, host: Host) -> Device:
        from harness.devices.ios.device import IosDevice

        near = spec.usbmuxd or ""
        device = IosDevice(spec, self._clock)
        return HostedDevice(device, host, lambda cancelled: host.ready_usbmuxd(near, cancelled))
