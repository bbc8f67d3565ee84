"""What a USB hub does for phones on a cable: whichever adb server runs finds all that are plugged in."""

from __future__ import annotations

import asyncio
import contextlib

_AGAIN = 0.1


class Hub:
    """Follows the lab's adb server, and connects plugged phones that it does not list.

    Attributes:
        plugged: serials of the phones whose cable is in; changed from any thread.
    """

    def __init__(self, port: int) -> None:
        """`port`: of the adb server on this computer; another server may take the place of the first."""
        self.plugged: set[str] = set()
        self._port = port
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(self._follow())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, ValueError):
                await self._track()
            await asyncio.sleep(_AGAIN)

    async def _track(self) -> None:
        """One server's life: after each change of its list, connect what is missing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_request("host:track-devices"))
            if await reader.readexactly(4) != b"OKAY":
                return
            while True:
                size = int(await reader.readexactly(4), 16)
                listed = {line.split("\t")[0] for line in (await reader.readexactly(size)).decode().splitlines()}
                for serial in self.plugged - listed:
                    await self._connect(serial)
        finally:
            writer.transport.abort()

    async def _connect(self, serial: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_request(f"host:connect:{serial}"))
            await reader.read()
        finally:
            writer.transport.abort()


def _request(service: str) -> bytes:
    return b"%04x%s" % (len(service), service.encode())
