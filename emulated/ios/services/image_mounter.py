"""mobile_image_mounter: whether a developer image is mounted, and mounting one. Any bytes will do as an image."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone

DEVELOPER_MODE_SINCE = 16
PERSONALIZED_SINCE = 17
COMPLETE = {"Status": "Complete"}
_CHUNK = 1 << 16

Request = Mapping[str, Any]


class Mounter:
    """One client of the image mounter."""

    def __init__(self, phone: Phone, connection: Connection) -> None:
        self._phone = phone
        self._connection = connection
        self._received = False
        self._kind = "Personalized" if phone.major >= PERSONALIZED_SINCE else "Developer"
        self._place = "/System/Developer" if phone.major >= PERSONALIZED_SINCE else "/Developer"
        self._commands: dict[object, Callable[[Request], Awaitable[Mapping[str, Any]]]] = {
            "LookupImage": self._lookup,
            "CopyDevices": self._devices,
            "ReceiveBytes": self._receive,
            "MountImage": self._mount,
            "UnmountImage": self._unmount,
        }
        if phone.major >= DEVELOPER_MODE_SINCE:
            self._commands["QueryDeveloperModeStatus"] = self._developer_mode

    async def run(self) -> None:
        """Answer commands until the client hangs up."""
        while (request := await self._connection.read_plist()) is not None:
            name = request.get("Command")
            if name == "Hangup":
                await self._connection.write_plist({"Goodbye": True})
                return
            command = self._commands.get(name)
            if command is None:
                await self._connection.write_plist({"Error": "UnknownCommand"})
            elif self._phone.locked and name != "QueryDeveloperModeStatus":
                await self._connection.write_plist({"Error": "DeviceLocked"})
            else:
                await self._connection.write_plist(await command(request))

    async def _lookup(self, request: Request) -> Mapping[str, Any]:
        present = self._phone.image_mounted and request.get("ImageType") == self._kind
        if not present:
            return {**COMPLETE, "ImagePresent": False}
        return {**COMPLETE, "ImagePresent": True, "ImageSignature": [self._phone.services.image_signature]}

    async def _devices(self, request: Request) -> Mapping[str, Any]:
        entry = {
            "DiskImageType": self._kind,
            "ImageSignature": self._phone.services.image_signature,
            "IsMounted": True,
            "MountPath": self._place,
        }
        return {**COMPLETE, "EntryList": [entry] if self._phone.image_mounted else []}

    async def _developer_mode(self, request: Request) -> Mapping[str, Any]:
        return {**COMPLETE, "DeveloperModeStatus": self._phone.developer_mode}

    async def _receive(self, request: Request) -> Mapping[str, Any]:
        size = int(request.get("ImageSize", 0))
        await self._connection.write_plist({"Status": "ReceiveBytesAck"})
        while size > 0:
            size -= len(await self._connection.exactly(min(size, _CHUNK)))
        self._received = True
        return COMPLETE

    async def _mount(self, request: Request) -> Mapping[str, Any]:
        if self._phone.image_mounted:
            words = f"an image is already mounted at {self._place}"
        elif self._phone.major >= DEVELOPER_MODE_SINCE and not self._phone.developer_mode:
            words = "Developer mode is not enabled on this emulated phone"
        elif not self._received or request.get("ImageType") != self._kind:
            words = f"no {self._kind} image was sent"
        else:
            self._phone.image_mounted = True
            self._phone.services.image_signature = bytes(request.get("ImageSignature", b""))
            self._phone.services.actions.append("MountImage")
            return COMPLETE
        return {"Error": "ImageMountFailed", "DetailedError": words}

    async def _unmount(self, request: Request) -> Mapping[str, Any]:
        if not self._phone.image_mounted or request.get("MountPath") != self._place:
            return {"Error": "InternalError", "DetailedError": f"There is no matching entry for {self._place}"}
        self._phone.image_mounted = False
        self._phone.services.actions.append("UnmountImage")
        return COMPLETE


async def serve(phone: Phone, connection: Connection) -> None:
    """com.apple.mobile.mobile_image_mounter."""
    await Mounter(phone, connection).run()
