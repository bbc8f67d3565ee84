"""A connection with a client: bytes, property lists, TLS that can be put on and taken off."""

from __future__ import annotations

import asyncio
import contextlib
import plistlib
import ssl
import struct
from collections.abc import Mapping
from typing import Any, Protocol

from emulated.ios import tls
from emulated.ios.faults import Faults

CHUNK = 1 << 16
_LONGEST_PLIST = 64 << 20


class Peer(Protocol):
    """The phone at the other end of a connection."""

    faults: Faults

    def lose_cable(self) -> None:
        """The cable comes out, now. On the lab's loop."""


class Connection:
    """A stream whose other end is a client. For the lab's loop only.

    Attributes:
        service: who serves it: "usbmuxd", "lockdown", or a service's name.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str = "usbmuxd") -> None:
        self.service = service
        self._reader = reader
        self._writer = writer
        self._drain = asyncio.Lock()
        self._peer: Peer | None = None
        self._left = b""  # read ahead, and not used by TLS
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def reach(self, peer: Peer, service: str) -> None:
        """From now on a phone's service is at this end, with whatever is wrong with that phone."""
        self._peer = peer
        self.service = service

    async def read(self, limit: int = CHUNK) -> bytes:
        """What has come, at most `limit` bytes; waits for the first; b"" at the end. Raises EOFError for a cut."""
        data = await (self._read_secure(limit) if self._tls is not None else self._read_plain(limit))
        if data:
            await self._carry(len(data))
        return data

    async def exactly(self, size: int) -> bytes:
        """`size` bytes. Raises EOFError at an end before."""
        data = bytearray()
        while len(data) < size:
            part = await self.read(min(size - len(data), 1 << 20))
            if not part:
                raise EOFError(f"{self.service}: {len(data)} of {size} bytes came")
            data += part
        return bytes(data)

    async def read_plist(self) -> dict[str, Any] | None:
        """A property list behind its length (4 bytes, big-endian); None at the end."""
        first = await self.read(4)
        if not first:
            return None
        (size,) = struct.unpack(">I", first + await self.exactly(4 - len(first)))
        if size > _LONGEST_PLIST:
            raise EOFError(f"{self.service}: a property list of {size} bytes")
        return dictionary(await self.exactly(size))

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises EOFError for a cut, ConnectionError if the client has gone."""
        await self._carry(len(data))
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self._writer.write(data)
        async with self._drain:
            await self._writer.drain()

    async def write_plist(self, value: Mapping[str, Any], *, binary: bool = False) -> None:
        """Send a property list behind its length (4 bytes, big-endian)."""
        data = plistlib.dumps(dict(value), fmt=plistlib.FMT_BINARY if binary else plistlib.FMT_XML)
        await self.write(struct.pack(">I", len(data)) + data)

    async def secure(self, *, then_plain: bool = False) -> None:
        """Put on TLS 1.2, as the server, with the phone's certificate; the client has to show the host's.

        Args:
            then_plain: take it off again after the handshake, as instruments of iOS before 14 do.

        Raises:
            ConnectionError: the handshake fails.
            EOFError: the client closed.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = tls.identity().context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(self._left)
        self._left = b""
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(CHUNK)
                if not data:
                    raise EOFError(f"{self.service}: closed during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError as error:
                await self._flush()  # the alert, which says why
                raise ConnectionError(f"{self.service}: {error}") from None
        await self._flush()
        if then_plain:
            self._left = self._incoming.read()
        else:
            self._tls = secured

    async def plain(self) -> bool:
        """The client has ended TLS: end it too, and go on in plain; whether there was TLS to end."""
        if self._tls is None:
            return False
        self._shut()
        await self._flush()
        self._tls = None
        self._left = self._incoming.read()
        return True

    def close(self) -> None:
        """Close after what was written is sent."""
        if self._tls is not None:
            self._shut()
            if not self._writer.is_closing():
                self._writer.write(self._outgoing.read())
            self._tls = None
        self._writer.close()

    def abort(self) -> None:
        """Close at once: what was not sent is lost."""
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until what was written is sent, and the connection is closed."""
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read_plain(self, limit: int) -> bytes:
        if self._left:
            data, self._left = self._left[:limit], self._left[limit:]
            return data
        return await self._reader.read(limit)

    async def _read_secure(self, limit: int) -> bytes:
        assert self._tls is not None
        while True:
            try:
                data = self._tls.read(limit)
            except ssl.SSLWantReadError:
                await self._flush()
                came = await self._reader.read(CHUNK)
                if not came:
                    return b""
                self._incoming.write(came)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise ConnectionError(f"{self.service}: {error}") from None
            else:
                return data

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
            async with self._drain:
                await self._writer.drain()

    def _shut(self) -> None:
        """Say close_notify: some clients wait for it."""
        assert self._tls is not None
        with contextlib.suppress(ssl.SSLError):  # it wants the client's, which may never come
            self._tls.unwrap()

    async def _carry(self, count: int) -> None:
        """What is wrong with the phone happens here."""
        if self._peer is None:
            return
        harm = self._peer.faults.carried(self.service, count)
        if not harm:
            return
        if harm == "silent":
            while await self._reader.read(CHUNK):
                pass
        elif harm == "cut":
            self.abort()
        else:
            self._peer.lose_cable()
        raise EOFError(f"{self.service}: {harm}")


def dictionary(data: bytes) -> dict[str, Any]:
    """A property list that a client sent, which has to be a dictionary. Raises ConnectionError if it is none."""
    try:
        value = plistlib.loads(data)
    except Exception as error:  # whatever the parsers of XML and of binary property lists make of rubbish
        raise ConnectionError(f"no property list: {error}") from None
    if not isinstance(value, dict):
        raise ConnectionError("a property list that is no dictionary")
    return value
