"""The bytes of a connection, and the faults that act on bytes: cut, stalled, slow, hung."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emulated.android.faults import Faults

_SLICE = 0.02
"""Seconds of bytes that move at once where there is a rate."""


class CutError(Exception):
    """The fault `drop_after` struck: the connection has to be cut here."""


class Line:
    """What all connections of one phone share: how many bytes may still move. Lives on the loop's thread."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._drop_left: int | None = None
        self._stall_left: int | None = None
        self._free_at = 0.0
        self._news = asyncio.Event()
        for name in ("drop_after", "stall_after"):
            self.changed(name)

    def changed(self, name: str) -> None:
        """The fault of that name was set."""
        if name == "drop_after":
            self._drop_left = self._faults.drop_after
        elif name == "stall_after":
            self._stall_left = self._faults.stall_after
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again whether it still has to."""
        self._news.set()
        self._news = asyncio.Event()

    @property
    def _stuck(self) -> bool:
        return self._faults.hung or self._stall_left == 0

    @property
    def free(self) -> bool:
        """Whether bytes move without anything to count or to wait for."""
        counted = self._drop_left is not None or self._stall_left is not None
        return not counted and self._faults.rate is None and not self._faults.hung

    async def gate(self, closed: Callable[[], bool] = bool) -> None:
        """Wait while nothing moves.

        Raises:
            ConnectionAbortedError: `closed` says that there is nothing to wait for any more.
        """
        while self._stuck and not closed():
            await self._news.wait()
        if closed():
            raise ConnectionAbortedError

    async def allowed(self) -> None:
        """Wait until the person in front of the phone taps Allow."""
        while not self._faults.allowed:
            await self._news.wait()

    async def grant(self, wanted: int, closed: Callable[[], bool] = bool) -> int:
        """How many of `wanted` bytes may move now, at least one; waits as `gate` does while none may."""
        await self.gate(closed)
        count = wanted
        if self._drop_left is not None:
            count = min(count, max(self._drop_left, 1))
        if self._stall_left is not None:
            count = min(count, self._stall_left)
        rate = self._faults.rate
        if rate is not None:
            count = min(count, max(1, int(rate * _SLICE)))
            now = asyncio.get_running_loop().time()
            self._free_at = max(self._free_at, now) + count / rate
            await asyncio.sleep(self._free_at - now)
        return count

    def moved(self, count: int) -> None:
        """`count` bytes have moved.

        Raises:
            CutError: They were the last ones before the cut.
        """
        if self._stall_left is not None:
            self._stall_left = max(0, self._stall_left - count)
        if self._drop_left is not None:
            self._drop_left -= count
            if self._drop_left <= 0:
                self._faults.drop_after = self._drop_left = None
                raise CutError


class Wire:
    """One connection's bytes, through the faults of its phone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
        self._reader = reader
        self._writer = writer
        self._line = line
        self._closed = False
        self._sending = asyncio.Lock()

    def closed(self) -> bool:
        """Whether this end closed the connection."""
        return self._closed

    async def read(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            EOFError: The server closed the connection (asyncio's IncompleteReadError is one).
            ConnectionError: The connection is lost.
            CutError: A fault cuts it.
        """
        if self._line.free:
            data = await self._reader.readexactly(count)
            # A fault may have been set while this waited for bytes.
            self._line.moved(count)
            await self._line.gate(self.closed)
            return data
        parts = []
        while count:
            part = await self._reader.readexactly(await self._line.grant(count, self.closed))
            self._line.moved(len(part))
            parts.append(part)
            count -= len(part)
        await self._line.gate(self.closed)
        return b"".join(parts)

    async def write(self, header: bytes, payload: bytes) -> None:
        """Send a packet whole, and wait until the server takes it.

        Raises:
            ConnectionError: The connection is lost.
            CutError: A fault cuts it.
        """
        async with self._sending:
            if self._line.free:
                self._writer.write(header)
                self._writer.write(payload)
                await self._writer.drain()
                return
            left = memoryview(header + payload)
            while left:
                count = await self._line.grant(len(left), self.closed)
                self._writer.write(bytes(left[:count]))
                await self._writer.drain()
                self._line.moved(count)
                left = left[count:]

    def close(self) -> None:
        """Close after what was written so far."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            self._line.wake()

    def abort(self) -> None:
        """Close at once."""
        self.close()
        self._writer.transport.abort()
