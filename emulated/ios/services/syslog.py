"""syslog_relay: what apps print, line by line, from when a client connects."""

from __future__ import annotations

import asyncio
from datetime import datetime

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone


async def serve(phone: Phone, connection: Connection) -> None:
    """com.apple.syslog_relay: until the client closes."""
    lines = phone.processes.follow()
    telling = asyncio.ensure_future(_tell(phone, connection, lines))
    try:
        while await connection.read():
            pass
    finally:
        phone.processes.unfollow(lines)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(phone: Phone, connection: Connection, lines: asyncio.Queue[tuple[int, str, str]]) -> None:
    while True:
        pid, bundle, text = await lines.get()
        app = phone.apps.get(bundle)
        process = app.executable if app is not None else bundle
        # The host's time: lines carry the phone's, which nothing here measures with.
        at = datetime.now().strftime("%b %e %H:%M:%S")
        name = phone.description.name
        await connection.write(f"{at} {name} {process}[{pid}] <Notice>: {text}\n\0".encode())
