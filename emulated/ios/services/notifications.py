"""notification_proxy: what happens on the phone, told to those who asked for it by name."""

from __future__ import annotations

import asyncio

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone


async def serve(phone: Phone, connection: Connection) -> None:
    """com.apple.mobile.notification_proxy."""
    names: set[str] = set()
    happened = phone.services.observe()
    telling = asyncio.ensure_future(_tell(connection, names, happened))
    try:
        while (request := await connection.read_plist()) is not None:
            name = str(request.get("Name"))
            if request.get("Command") == "ObserveNotification":
                names.add(name)
            elif request.get("Command") == "PostNotification":
                phone.services.notify(name)
            elif request.get("Command") == "Shutdown":
                await connection.write_plist({"Command": "ProxyDeath"})
                return
    finally:
        phone.services.forget(happened)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(connection: Connection, names: set[str], happened: asyncio.Queue[str]) -> None:
    while True:
        name = await happened.get()
        if name in names:
            await connection.write_plist({"Command": "RelayNotification", "Name": name})
