"""What instruments tell of a phone, of its processes and of its apps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from emulated.ios.apps import App
from emulated.ios.dtx.channels import Link, Method
from emulated.ios.phone import Phone

DEVICE_INFO = "com.apple.instruments.server.services.deviceinfo"
APPLICATIONS = "com.apple.instruments.server.services.device.applictionListing"
"""The name is Apple's, with its spelling."""

_SYSTEM = {
    1: ("launchd", "/sbin/launchd"),
    2: ("SpringBoard", "/System/Library/CoreServices/SpringBoard.app/SpringBoard"),
}


class DeviceInfo:
    """The phone and its processes."""

    def __init__(self, phone: Phone, _link: Link, _channel: int) -> None:
        self._phone = phone

    @property
    def methods(self) -> Mapping[str, Method]:
        """Selector -> what it does."""
        return {
            "isRunningPid:": self._is_running,
            "runningProcesses": self._processes,
            "execnameForPid:": self._execname,
            "systemInformation": self._system,
            "hardwareInformation": self._hardware,
        }

    async def close(self) -> None:
        """Nothing is open."""

    async def _is_running(self, pid: int) -> bool:
        return pid in _SYSTEM or self._phone.processes.alive(pid)

    async def _execname(self, pid: int) -> str:
        return next((one["realAppName"] for one in await self._processes() if one["pid"] == pid), "")

    async def _processes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {"pid": pid, "name": name, "realAppName": path, "isApplication": False}
            for pid, (name, path) in _SYSTEM.items()
        ]
        found += [
            {
                "pid": process.pid,
                "name": process.app.executable,
                "realAppName": f"{_path(process.app)}/{process.app.executable}",
                "bundleIdentifier": process.app.bundle,
                "isApplication": True,
                "startDate": datetime.fromtimestamp(process.started, timezone.utc),
            }
            for process in self._phone.processes.live
        ]
        return found

    async def _system(self) -> dict[str, Any]:
        described = self._phone.description
        return {
            "_deviceDescription": f"Build Version {described.build}, iPhone ID {self._phone.udid}",
            "_deviceDisplayName": f"{described.name} (v{described.os_version})",
            "_deviceIdentifier": self._phone.udid,
            "_deviceVersion": described.build,
            "_productType": described.product_type,
            "_productVersion": described.os_version,
            "_xrdeviceClassName": "XRMobileDevice",
        }

    async def _hardware(self) -> dict[str, Any]:
        return {"numberOfCpus": 6, "numberOfPhysicalCpus": 6, "hwCPUtype": 16777228, "hwCPUsubtype": 2}


class Applications:
    """The apps."""

    def __init__(self, phone: Phone, _link: Link, _channel: int) -> None:
        self._phone = phone

    @property
    def methods(self) -> Mapping[str, Method]:
        """Selector -> what it does."""
        return {"installedApplicationsMatching:registerUpdateToken:": self._installed}

    async def close(self) -> None:
        """Nothing is open."""

    async def _installed(self, _matching: Mapping[str, Any], _token: str) -> list[dict[str, Any]]:
        return [
            {
                "CFBundleIdentifier": app.bundle,
                "BundlePath": _path(app),
                "DisplayName": app.name,
                "ExecutableName": app.executable,
                "Restricted": 0,
                "Type": "System" if app.system else "User",
                "Version": app.version,
            }
            for app in self._phone.apps.values()
        ]


def _path(app: App) -> str:
    return f"/private/var/containers/Bundle/Application/{app.bundle}/{app.executable}.app"
