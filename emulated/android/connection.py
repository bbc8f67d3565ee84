"""One adb server's connection to a phone: greeting, authorisation, and the streams inside it.

Source: AOSP packages/modules/adb, protocol.txt (messages), adb.cpp (who answers what) and sockets.cpp (flow control).
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from emulated.android import protocol
from emulated.android.faults import Faults
from emulated.android.line import CutError, Line, Wire
from emulated.android.protocol import AUTH, CLSE, CNXN, OKAY, OPEN, WRTE, Packet, ProtocolError

_WINDOW = struct.Struct("<I")


class Greeting(Protocol):
    """What a phone says of itself when an adb server connects."""

    @property
    def banner(self) -> Mapping[str, str]:
        """ro.product.name, ro.product.model and ro.product.device."""

    @property
    def features(self) -> Sequence[str]:
        """Features of this phone; those that the daemon lacks are not announced."""

    @property
    def version(self) -> int:
        """`protocol.VERSION_CHECKSUM` or `protocol.VERSION_NO_CHECKSUM`."""

    @property
    def max_payload(self) -> int:
        """Longest payload of a packet, in bytes."""


class StreamClosedError(Exception):
    """The adb server, or a lost connection, closed the stream that was written to."""


class Stream:
    """One open service: bytes from a client and to it, as fast as the other side takes them."""

    def __init__(self, connection: Connection, number: int, remote: int, window: int) -> None:
        """`window`: bytes that may be sent unanswered where delayed_ack was agreed on, else 0."""
        self._connection = connection
        self.number = number
        self.remote = remote
        self._delayed = window > 0
        self._credit = window or 1
        self._incoming: deque[bytes] = deque()
        self._ended = False
        self._closed = False
        self._news = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._writing = asyncio.Lock()

    async def read(self) -> bytes:
        """The next bytes of the client, b"" after the last. What came before a close is still delivered."""
        while not self._incoming:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._incoming.popleft()
        if not self._ended and not self._closed:
            acknowledged = _WINDOW.pack(len(data)) if self._delayed else b""
            await self._connection.send(Packet(OKAY, self.number, self.remote, acknowledged))
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes to the client, in order, also when several tasks write; waits as long as it takes none.

        Raises:
            StreamClosedError: Nobody will ever read this.
        """
        async with self._writing:
            step = self._connection.max_payload
            for start in range(0, len(data), step):
                part = data[start : start + step] if len(data) > step else data
                while self._credit <= 0 and not self._ended:
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
                if self._ended or self._closed:
                    raise StreamClosedError
                self._credit -= len(part) if self._delayed else 1
                await self._connection.send(Packet(WRTE, self.number, self.remote, part))

    async def close(self, *, refused: bool = False) -> None:
        """Tell the client that nothing more comes; `refused`: that there is no such service."""
        if not self._closed:
            self._closed = True
            self._connection.streams.pop(self.number, None)
            # A refusal comes from a stream that never got a number.
            await self._connection.send(Packet(CLSE, 0 if refused else self.number, self.remote))

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        self._incoming.append(data)
        self._news.set()

    def acknowledged(self, payload: bytes) -> None:
        """The client took what was sent."""
        self._credit += _WINDOW.unpack(payload)[0] if self._delayed and len(payload) == _WINDOW.size else 1
        self._acknowledged.set()

    def ended(self) -> None:
        """The client closed the stream, or the connection is gone."""
        self._ended = True
        self._news.set()
        self._acknowledged.set()


Service = Callable[[Stream], Coroutine[Any, Any, None]]
"""Works on one open stream until one of both ends has had enough."""


class Connection:
    """One adb server that is connected."""

    def __init__(
        self,
        wire: Wire,
        line: Line,
        *,
        greeting: Greeting,
        faults: Faults,
        start: Callable[[Coroutine[Any, Any, None]], object],
        serve: Callable[[str], Service | None],
    ) -> None:
        """`start` runs a coroutine as a task that may outlive the connection; `serve` finds a service by its name."""
        self._wire = wire
        self._line = line
        self._greeting = greeting
        self._faults = faults
        self._start = start
        self._serve = serve
        self._version = protocol.VERSION_CHECKSUM
        self._server_features: frozenset[str] = frozenset()
        self._online = False
        self._delayed = False
        self._numbers = 0
        self._lost = False
        self.streams: dict[int, Stream] = {}
        self.max_payload = protocol.OLD_PAYLOAD

    async def run(self) -> None:
        """Serve until the connection ends, whoever ends it."""
        waiting: asyncio.Task[None] | None = None
        try:
            while True:
                packet = await self._receive()
                if packet.command == CNXN:
                    await self._introduced(packet)
                elif packet.command == AUTH and not self._online:
                    waiting = await self._authorise(packet) or waiting
                elif self._online:
                    await self._dispatch(packet)
        except (EOFError, ConnectionError, CutError, ProtocolError):
            pass
        finally:
            if waiting is not None:
                waiting.cancel()
            self.lose()

    def cut(self) -> None:
        """Cut the connection now; what was not sent yet is lost."""
        self._wire.abort()
        self.lose()

    def lose(self) -> None:
        """The connection is gone: every stream learns it."""
        self._lost = True
        self._wire.close()
        for stream in list(self.streams.values()):
            stream.ended()
        self.streams.clear()

    async def send(self, packet: Packet) -> None:
        """Send a packet; what nobody can receive any more is dropped."""
        if self._lost:
            return
        # The greeting is sent before it is agreed that sums are not needed.
        summed = not self._online or self._version < protocol.VERSION_NO_CHECKSUM
        header = protocol.pack_header(packet, with_checksum=summed)
        try:
            await self._wire.write(header, packet.payload)
        except (CutError, ConnectionError):
            self.lose()

    async def _receive(self) -> Packet:
        limit = max(self.max_payload, protocol.OLD_PAYLOAD) if self._online else protocol.PAYLOAD
        header = protocol.parse_header(await self._wire.read(protocol.HEADER.size), limit)
        payload = await self._wire.read(header.length) if header.length else b""
        summed = self._online and self._version < protocol.VERSION_NO_CHECKSUM
        if summed and protocol.checksum(payload) != header.checksum:
            raise ProtocolError("wrong checksum")
        return Packet(header.command, header.arg0, header.arg1, payload)

    async def _introduced(self, packet: Packet) -> None:
        self._version = min(packet.arg0, self._greeting.version)
        self.max_payload = min(packet.arg1, self._greeting.max_payload)
        self._server_features = protocol.banner_features(packet.payload)
        if self._faults.auth == "none":
            await self._greet()
        elif self._faults.auth != "silent":
            await self._ask()

    async def _ask(self) -> None:
        await self.send(Packet(AUTH, protocol.AUTH_TOKEN, 0, os.urandom(20)))

    async def _authorise(self, packet: Packet) -> asyncio.Task[None] | None:
        known = self._faults.auth == "accept" or (self._faults.auth in ("new", "after") and self._faults.allowed)
        if packet.arg0 == protocol.AUTH_SIGNATURE:
            await (self._greet() if known else self._ask())
        elif packet.arg0 == protocol.AUTH_PUBLIC_KEY:
            if self._faults.auth == "new":
                self._faults.allow()
            if self._faults.auth in ("accept", "new"):
                await self._greet()
            elif self._faults.auth == "after":
                return asyncio.ensure_future(self._greet_when_allowed())
        return None

    async def _greet_when_allowed(self) -> None:
        await self._line.allowed()
        await self._greet()

    async def _greet(self) -> None:
        features = protocol.announced(self._greeting.features)
        said = protocol.banner(self._greeting.banner, features)
        self._delayed = "delayed_ack" in features and "delayed_ack" in self._server_features
        await self.send(Packet(CNXN, self._greeting.version, self._greeting.max_payload, said))
        self._online = True

    async def _dispatch(self, packet: Packet) -> None:
        if packet.command == OPEN:
            self._numbers += 1
            window = packet.arg1 if self._delayed else 0
            stream = Stream(self, self._numbers, packet.arg0, window)
            self.streams[stream.number] = stream
            name = packet.payload.rstrip(b"\0").decode("utf-8", "surrogateescape")
            self._start(self._service(stream, name))
            return
        known = self.streams.get(packet.arg1)
        if known is None:
            return
        if packet.command == WRTE:
            known.received(packet.payload)
        elif packet.command == OKAY:
            known.acknowledged(packet.payload)
        elif packet.command == CLSE:
            known.ended()

    async def _service(self, stream: Stream, name: str) -> None:
        if self._faults.open_delay:
            await asyncio.sleep(self._faults.open_delay)
        accepted = False
        try:
            service = None if self._faults.refuse_open else self._serve(name)
            if service is not None:
                window = _WINDOW.pack(protocol.WINDOW) if self._delayed else b""
                await self.send(Packet(OKAY, stream.number, stream.remote, window))
                accepted = True
                await service(stream)
        except StreamClosedError:
            pass
        finally:
            await stream.close(refused=not accepted)
