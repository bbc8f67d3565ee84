"""Where a phone's adbd is reached on this computer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A unix socket or a port of 127.0.0.1, opened and closed again as the cable goes in and out."""

    def __init__(self, accept: Accept, buffer: int = 64 << 10) -> None:
        """`accept` serves one connection, which reads about `buffer` bytes ahead."""
        self._accept = accept
        self._buffer = buffer
        self._server: asyncio.Server | None = None
        self._socket: Path | None = None

    async def open(self, address: Path | int) -> int | None:
        """Listen.

        Args:
            address: path of a unix socket to make (at most about 100 characters), or a port, 0 for any.

        Returns:
            The port, None for a unix socket.

        Raises:
            OSError: the address cannot be had.
        """
        if isinstance(address, Path):
            self._server = await asyncio.start_unix_server(self._accept, address, limit=self._buffer)
            self._socket = address
            return None
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", address, limit=self._buffer)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Listen no longer; connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            self._socket = None
