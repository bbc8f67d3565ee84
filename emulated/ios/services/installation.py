"""installation_proxy: which apps there are, putting one on the phone, taking one away."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.services.afc_paths import Paths
from emulated.ios.services.applications import RefusedError, chosen, describe, install, read_package

INSTALLED = "com.apple.mobile.application_installed"
UNINSTALLED = "com.apple.mobile.application_uninstalled"
COMPLETE = {"Status": "Complete"}

_PAGE = 10
_INSTALLING = {
    "CreatingStagingDirectory": 5,
    "ExtractingPackage": 15,
    "InspectingPackage": 20,
    "PreflightingApplication": 30,
    "VerifyingApplication": 40,
    "CreatingContainer": 50,
    "InstallingApplication": 60,
    "PostflightingApplication": 70,
    "SandboxingApplication": 80,
    "GeneratingApplicationMap": 90,
}
_REMOVING = {"RemovingApplication": 50, "GeneratingApplicationMap": 90}

Request = Mapping[str, Any]


class Proxy:
    """One client of installation_proxy."""

    def __init__(self, phone: Phone, connection: Connection) -> None:
        self._phone = phone
        self._connection = connection
        self._commands: dict[object, Callable[[Request], Awaitable[None]]] = {
            "Browse": self._browse,
            "Lookup": self._lookup,
            "Install": self._install,
            "Upgrade": self._install,
            "Uninstall": self._uninstall,
        }

    async def run(self) -> None:
        """Answer commands until the client closes."""
        while (request := await self._connection.read_plist()) is not None:
            command = self._commands.get(request.get("Command"))
            try:
                if command is None:
                    raise RefusedError("UnknownCommand", str(request.get("Command")))
                await command(request)
            except RefusedError as error:
                await self._connection.write_plist({"Error": error.name, "ErrorDescription": str(error)})

    def _apps(self, request: Request) -> dict[str, dict[str, Any]]:
        """What a client asked for, by bundle."""
        options = request.get("ClientOptions") or {}
        wanted = options.get("ReturnAttributes")
        return {
            app.bundle: {key: value for key, value in told.items() if wanted is None or key in wanted}
            for app in list(self._phone.apps.values())
            if chosen(told := describe(self._phone, app), options)
        }

    async def _browse(self, request: Request) -> None:
        apps = list(self._apps(request).values())
        for start in range(0, len(apps), _PAGE):
            page = apps[start : start + _PAGE]
            await self._connection.write_plist(
                {
                    "Status": "BrowsingApplications",
                    "CurrentIndex": start,
                    "CurrentAmount": len(page),
                    "CurrentList": page,
                }
            )
        await self._connection.write_plist(COMPLETE)

    async def _lookup(self, request: Request) -> None:
        await self._connection.write_plist({**COMPLETE, "LookupResult": self._apps(request)})

    async def _install(self, request: Request) -> None:
        media = self._phone.folder / "Media"
        media.mkdir(parents=True, exist_ok=True)
        package = None
        for stage, percent in _INSTALLING.items():
            await self._connection.write_plist({"Status": stage, "PercentComplete": percent})
            if stage == "InspectingPackage":
                package = read_package(Paths(media), str(request.get("PackagePath")))
        assert package is not None
        await self._end(package.bundle)
        install(self._phone, package)
        self._phone.services.actions.append(f"Install {package.bundle}")
        await self._connection.write_plist(COMPLETE)
        self._phone.services.notify(INSTALLED)

    async def _uninstall(self, request: Request) -> None:
        bundle = str(request.get("ApplicationIdentifier"))
        app = self._phone.apps.get(bundle)
        if app is not None and app.system:
            raise RefusedError("ApplicationVerificationFailed", f"{bundle} is part of the system")
        for stage, percent in _REMOVING.items():
            await self._connection.write_plist({"Status": stage, "PercentComplete": percent})
        if app is not None:
            await self._end(bundle)
            del self._phone.apps[bundle]
            shutil.rmtree(app.container)
            self._phone.services.actions.append(f"Uninstall {bundle}")
        await self._connection.write_plist(COMPLETE)
        self._phone.services.notify(UNINSTALLED)

    async def _end(self, bundle: str) -> None:
        """An app that is replaced or removed does not go on running."""
        pid = self._phone.processes.running(bundle)
        if pid is not None:
            self._phone.processes.kill(pid)
            await self._phone.processes.wait(pid)


async def serve(phone: Phone, connection: Connection) -> None:
    """com.apple.mobile.installation_proxy."""
    await Proxy(phone, connection).run()
