"""What the process that runs tidevice can be asked for: the calls of `phone_child`, by name."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tidevice.exceptions import BaseError

from harness.devices.ios.tide_device import HarmlessDevice
from harness.devices.ios.tide_errors import Refusal, classify, is_broken
from harness.devices.ios.tide_files import Documents
from harness.devices.ios.tide_process import AMFI, Instruments, image_mounted

T = TypeVar("T")
_DISK = "com.apple.disk_usage"
_BATTERY = "com.apple.mobile.battery"
_APP_KEYS = (
    "CFBundleIdentifier",
    "CFBundleShortVersionString",
    "CFBundleVersion",
    "CFBundleExecutable",
    "UIFileSharingEnabled",
    "Entitlements",
)


class Calls:
    """One phone, with the connections to it that are open."""

    def __init__(self, udid: str, address: str) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            udid: of the phone.
            address: of usbmuxd: a path or host:port.
        """
        self._udid = udid
        self._address = address
        self._device = HarmlessDevice(udid, address)
        self._documents: dict[str, Documents] = {}
        self._instruments: Instruments | None = None
        self._power: Any = None
        self._powerless = False
        self._major: int | None = None
        self._seconds = 10.0

    def do(self, name: str, seconds: float, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Do a call.

        Args:
            name: one of the public methods below, or of `Documents` with "files." before it.
            seconds: each wait of it ends after so long.
            arguments: of the method.
        """
        self._seconds = seconds
        socket.setdefaulttimeout(seconds)
        kept = self._any_open()
        try:
            return self._call(name, arguments)
        except Exception as error:
            if not is_broken(classify(error)[0]):
                raise
            self.reset()
            if not kept or _once(name, arguments) or classify(error)[0] == "timeout":
                raise
        return self._call(name, arguments)

    def reset(self) -> None:
        """Let go of all connections; the phone may have another number at usbmuxd when it is plugged in again."""
        parts: list[Any] = [*self._documents.values(), self._instruments, self._power]
        for part in parts:
            if part is not None:
                with contextlib.suppress(Exception):
                    part.close()
        self._documents = {}
        self._instruments = self._power = self._major = None
        self._device.drop_session()
        self._device = HarmlessDevice(self._udid, self._address)

    def values(self) -> dict[str, Any]:
        """What lockdown tells a computer that the phone trusts; starts the session if there is none."""
        info = self._device.info
        with self._device.create_session():
            pass
        ask = self._device.ask
        version = str(ask("ProductVersion") or "")
        battery = ask("", _BATTERY) or {}
        disk = ask("", _DISK) or {}
        return {
            "connection": "network" if info.conn_type == "network" else "usb",
            "name": ask("DeviceName"),
            "product_type": ask("ProductType"),
            "version": version,
            "build": ask("BuildVersion"),
            "hardware_model": ask("HardwareModel"),
            "architecture": ask("CPUArchitecture"),
            "emulated": ask("HarnessEmulated") is True,
            "developer_mode": ask("DeveloperModeStatus", AMFI),
            "disk": {key: value for key, value in disk.items() if isinstance(value, int)},
            "battery": _battery(battery),
        }

    def domain(self, name: str) -> dict[str, Any]:
        """All values of a domain of lockdown that JSON has a type for; "" is the main one."""
        return _plain(self._device.ask("", name) or {})

    def battery(self) -> dict[str, Any]:
        """Charge in percent, whether it charges, and temperature in degrees Celsius, where they are known."""
        found = _battery(self._device.ask("", _BATTERY) or {})
        temperature = self._temperature()
        return found if temperature is None else {**found, "temperature": temperature}

    def app(self, bundle: str) -> dict[str, Any] | None:
        """What installation_proxy says of an app; None if it is not installed."""
        connection = self._device.start_service("com.apple.mobile.installation_proxy")
        try:
            options = {"BundleIDs": [bundle], "ReturnAttributes": list(_APP_KEYS)}
            connection.send_packet({"Command": "Lookup", "ClientOptions": options})
            reply = connection.recv_packet()
        finally:
            connection.close()
        if "Error" in reply:
            raise Refusal("locked" if "Password" in str(reply["Error"]) else "refused", str(reply["Error"]))
        facts = reply["LookupResult"].get(bundle)
        if facts is None:
            return None
        entitlements = facts.get("Entitlements")
        return {
            "bundle": bundle,
            "version": facts.get("CFBundleShortVersionString"),
            "build": facts.get("CFBundleVersion"),
            "executable": facts.get("CFBundleExecutable"),
            "file_sharing": facts.get("UIFileSharingEnabled") in (True, 1, "YES"),
            "developer": None if entitlements is None else bool(entitlements.get("get-task-allow")),
        }

    def developer_image(self) -> bool:
        """Whether a developer image is mounted."""
        return image_mounted(self._device, self._version(), self._seconds)

    def launch(self, bundle: str, args: Sequence[str], env: Mapping[str, str]) -> int:
        """Start an app; its process number."""
        try:
            return self._process().launch(bundle, args, env)
        except Refusal as error:
            if error.kind == "refused" and self.app(bundle) is None:
                raise Refusal("app_missing", bundle) from error
            raise

    def alive(self, pid: int) -> bool:
        """Whether a process runs."""
        return self._process().alive(pid)

    def kill(self, pid: int) -> None:
        """End a process."""
        self._process().kill(pid)

    def crash_reports(self) -> list[str]:
        """Names of the crash reports on the phone."""
        mover = self._device.start_service("com.apple.crashreportmover")
        try:
            mover.psock.recvall(len(b"ping\0"))
        finally:
            mover.close()
        manager = self._device.start_service("com.apple.crashreportcopymobile")
        from tidevice._sync import Sync

        files = Sync(manager)
        try:
            return sorted(files.listdir("/"))
        finally:
            files.close()

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if name.startswith("files."):
            bundle = str(arguments["bundle"])
            rest = {key: value for key, value in arguments.items() if key != "bundle"}
            documents = self._files(bundle)
            documents.limit(self._seconds)
            return getattr(documents, name.removeprefix("files."))(**rest)
        return getattr(self, name)(**arguments)

    def _files(self, bundle: str) -> Documents:
        if bundle not in self._documents:
            self._documents[bundle] = Documents(self._device, bundle)
        return self._documents[bundle]

    def _process(self) -> Instruments:
        if self._instruments is None or not self._instruments.works:
            self._instruments = Instruments(self._device, self._version())
        return self._instruments

    def _version(self) -> int:
        if self._major is None:
            self._major = int(str(self._device.ask("ProductVersion")).partition(".")[0])
        return self._major

    def _any_open(self) -> bool:
        return bool(self._documents or self._instruments or self._power or self._device.has_session)

    def _temperature(self) -> float | None:
        """Of the battery; None where the phone does not say, and it is not asked again then."""
        if self._powerless:
            return None
        ask: Callable[[], Any] = self._ask_power
        try:
            try:
                value = ask()
            except BaseError:
                if self._power is None:
                    raise
                self._power = None
                value = ask()
        except Exception as error:
            self._power = None
            if is_broken(classify(error)[0]):
                raise
            self._powerless = True
            return None
        return round(value / 100, 2) if isinstance(value, (int, float)) else None

    def _ask_power(self) -> Any:  # noqa: ANN401
        if self._power is None:
            self._power = self._device.start_service("com.apple.mobile.diagnostics_relay")
        request = {"Request": "IORegistry", "EntryClass": "IOPMPowerSource", "Label": "delegate-harness"}
        reply = self._power.send_recv_packet(request, self._seconds)
        return reply.get("Diagnostics", {}).get("IORegistry", {}).get("Temperature")


def _once(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call must not be done again on a new connection: it starts an app, or goes on with a file."""
    return name == "launch" or arguments.get("offset", 0) > 0


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if isinstance(one, (str, int, float, bool))} | {
        key: _plain(one) for key, one in value.items() if isinstance(one, dict)
    }


def _battery(facts: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "level": facts.get("BatteryCurrentCapacity"),
        "charging": facts.get("BatteryIsCharging"),
        "connected": facts.get("ExternalConnected"),
    }
    return {key: value for key, value in found.items() if value is not None}
