"""Asynchronous reading and writing of sockets and pseudo-terminals.

asyncio's own pipe transports lose what a pseudo-terminal still holds when its last process ends (EIO).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

_CHUNK = 64 << 10


class Descriptor:
    """A file descriptor that does not block the loop; owns it. One task reads and one writes at most."""

    def __init__(self, number: int) -> None:
        os.set_blocking(number, False)
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def number(self) -> int:
        """The descriptor, -1 when closed."""
        return self._number

    async def readable(self) -> None:
        """Wait until reading does not block, or this is closed."""
        await self._wait(self._loop.add_reader, self._loop.remove_reader)

    async def _wait(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        future = self._loop.create_future()
        self._waiting.add(future)
        add(self._number, _done, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            # Closed: the number may be another file's by now.
            if self._number >= 0:
                remove(self._number)

    async def read(self) -> bytes:
        """What there is, b"" at the end."""
        while self._number >= 0:
            try:
                return os.read(self._number, _CHUNK)
            except BlockingIOError:
                await self.readable()
            except OSError as error:
                # A pseudo-terminal that no process holds open any more; a socket whose other end was closed unread.
                if error.errno in (errno.EIO, errno.ECONNRESET):
                    break
                raise
        return b""

    async def write(self, data: bytes) -> None:
        """Write everything.

        Raises:
            OSError: Nobody reads any more (EPIPE, EIO, ...).
        """
        left = memoryview(data)
        while left:
            if self._number < 0:
                raise BrokenPipeError
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                await self._wait(self._loop.add_writer, self._loop.remove_writer)

    def close(self) -> None:
        """Close; whoever waits stops waiting."""
        if self._number < 0:
            return
        self._loop.remove_reader(self._number)
        self._loop.remove_writer(self._number)
        os.close(self._number)
        self._number = -1
        for future in self._waiting:
            _done(future)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
