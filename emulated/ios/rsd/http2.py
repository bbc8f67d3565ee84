"""HTTP/2 as RemoteXPC uses it: two streams that carry bytes, no headers to speak of.

Only frames that clients of remote service discovery send and need: SETTINGS, HEADERS, DATA, WINDOW_UPDATE, PING,
GOAWAY, RST_STREAM (RFC 9113). What is sent here is far below the smallest window that a client may have, so none is
counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emulated.ios.connection import Connection

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")
_WORD = struct.Struct(">I")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACKNOWLEDGED, _END_HEADERS, _PADDED = 0x1, 0x4, 0x8
_MOST_STREAMS, _FIRST_WINDOW = 3, 4
_FRAME_BYTES = 16 * 1024
_WINDOW_BYTES = 1024 * 1024


class Http2Error(Exception):
    """What came is not HTTP/2 as RemoteXPC uses it."""


@dataclass(frozen=True)
class Piece:
    """Bytes that came on a stream."""

    stream: int
    data: bytes


class Http2:
    """The side of the phone, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._open: set[int] = set()

    async def greet(self) -> None:
        """Read the client's preface, and say the own settings first of all, which clients wait for.

        Raises:
            Http2Error: This is no HTTP/2 client.
            EOFError: It is gone.
        """
        if await self._connection.exactly(len(_PREFACE)) != _PREFACE:
            raise Http2Error("this is no HTTP/2 client")
        settings = _SETTING.pack(_MOST_STREAMS, 100) + _SETTING.pack(_FIRST_WINDOW, _WINDOW_BYTES)
        await self._frame(_SETTINGS, 0, settings)
        await self._frame(_WINDOW, 0, _WORD.pack(_WINDOW_BYTES))

    async def receive(self) -> Piece:
        """The next bytes of any stream.

        Raises:
            EOFError: The client is gone, or said that it goes.
        """
        while True:
            high, low, kind, flags, stream = _HEADER.unpack(await self._connection.exactly(_HEADER.size))
            length = high << 16 | low
            if length > _FRAME_BYTES:
                raise Http2Error(f"a frame of {length} bytes, and {_FRAME_BYTES} are allowed")
            body = await self._connection.exactly(length)
            if kind == _DATA and body:
                await self._frame(_WINDOW, 0, _WORD.pack(length))
                await self._frame(_WINDOW, stream, _WORD.pack(length))
                return Piece(stream, body[1 : length - body[0]] if flags & _PADDED else body)
            if kind in (_SETTINGS, _PING) and not flags & _ACKNOWLEDGED:
                await self._frame(kind, 0, body if kind == _PING else b"", _ACKNOWLEDGED)
            elif kind == _GOAWAY or (kind == _RESET and stream in self._open):
                raise EOFError

    async def send(self, stream: int, data: bytes) -> None:
        """Send bytes on a stream that the client has opened."""
        if stream not in self._open:
            self._open.add(stream)
            await self._frame(_HEADERS, stream, b"", _END_HEADERS)
        for start in range(0, len(data), _FRAME_BYTES):
            await self._frame(_DATA, stream, data[start : start + _FRAME_BYTES])

    async def _frame(self, kind: int, stream: int, body: bytes, flags: int = 0) -> None:
        length = len(body)
        await self._connection.write(_HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + body)
