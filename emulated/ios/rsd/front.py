"""What is at the end of a tunnel to a phone with iOS 17 or later: service discovery, and a port for each service.

The tunnel itself is not emulated: all this listens on this computer's loopback, as if a tunnel were up already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

from emulated.ios.connection import Connection
from emulated.ios.dtx import instruments
from emulated.ios.phone import Handler, Phone
from emulated.ios.rsd.discovery import discover
from emulated.ios.services.table import SERVICES

_HOST = "127.0.0.1"
_HOST6 = "::1"
_INSTRUMENTS = "com.apple.instruments.dtservicehub"
_LOCKDOWN = "com.apple.mobile.lockdown.remote"
_SHIM = ".shim.remote"
_DISCOVERY = "remote service discovery"


class RsdFront:
    """Service discovery of one phone.

    A service of lockdownd has its port, under the name NAME.shim.remote, and asks for a check-in before it is as ever.
    Instruments needs no check-in, and is listed only while a developer image is mounted and developer mode is on.
    """

    def __init__(self, phone: Phone, handlers: Mapping[str, Handler]) -> None:
        """`handlers`: services of lockdownd by their names, without those of developers."""
        self._phone = phone
        self._handlers = {
            name if name.startswith(_LOCKDOWN) else name + _SHIM: handler for name, handler in handlers.items()
        }
        self._servers: list[asyncio.AbstractServer] = []
        self._ports: dict[str, int] = {}  # of the first start; later ones take them again
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> tuple[str, int]:
        """Begin to listen; returns the address of service discovery."""
        for name, handler in self._handlers.items():
            await self._listen(name, partial(_checked_in, name, handler))
        await self._listen(_INSTRUMENTS, _instruments)
        await self._listen(_DISCOVERY, self._discovery)
        return _HOST, self._ports[_DISCOVERY]

    async def stop(self) -> None:
        """Stop listening, and cut what is connected."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()

    async def _listen(self, name: str, handler: Handler) -> None:
        accept = partial(self._accept, name, handler)
        server = await asyncio.start_server(accept, _HOST, self._ports.get(name, 0))
        self._servers.append(server)
        self._ports[name] = server.sockets[0].getsockname()[1]
        # go-ios takes a tunnel's address as IPv6 or not at all; on computers without IPv6 it has to do without.
        with contextlib.suppress(OSError):
            self._servers.append(await asyncio.start_server(accept, _HOST6, self._ports[name]))

    def _accept(self, name: str, handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: streams complain about one of theirs that is cancelled.
        task = asyncio.ensure_future(self._attend(name, handler, Connection(reader, writer, name)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, name: str, handler: Handler, connection: Connection) -> None:
        try:
            if self._phone.faults.no_tunnel:
                connection.abort()
            else:
                await self._phone.serve(connection, name, handler)
            await connection.closed()
        except asyncio.CancelledError:
            connection.abort()
            await connection.closed()
            raise

    async def _discovery(self, phone: Phone, connection: Connection) -> None:
        hidden = {_DISCOVERY} if _developer(phone) else {_DISCOVERY, _INSTRUMENTS}
        await discover(phone, connection, {name: port for name, port in self._ports.items() if name not in hidden})


def _developer(phone: Phone) -> bool:
    return phone.developer_mode and phone.image_mounted


async def _instruments(phone: Phone, connection: Connection) -> None:
    if _developer(phone):
        phone.opened.append(_INSTRUMENTS)
        await instruments.serve(phone, connection)


async def _checked_in(name: str, handler: Handler, phone: Phone, connection: Connection) -> None:
    """Read the check-in that a service of lockdownd asks for, say that the service is started, and serve."""
    request = await connection.read_plist()
    if request is None or request.get("Request") != "RSDCheckin":
        return
    await connection.write_plist({"Request": "RSDCheckin"})
    service = SERVICES.get(name.removesuffix(_SHIM))
    if phone.locked and service is not None and service.needs_unlock:
        await connection.write_plist({"Request": "StartService", "Error": "PasswordProtected"})
        return
    await connection.write_plist({"Request": "StartService"})
    phone.opened.append(name)
    await handler(phone, connection)
