"""DTX on the wire: messages in one or several fragments."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from emulated.ios.dtx.archiver import archive
from emulated.ios.dtx.auxiliary import pack

_FRAGMENT = struct.Struct("<IIHHIIIiI")
_MESSAGE = struct.Struct("<IIQ")
_MAGIC = 0x1F3D5B79
_LONGEST = 64 * 1024 * 1024
FRAGMENT_BYTES = 64 * 1024

DONE, CALL, OBJECT, ERROR = 0, 2, 3, 4
"""Kinds of messages: an answer without a value, a call, a value, an error."""


class FrameError(Exception):
    """What came is not DTX."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        identifier: number that its answer repeats.
        conversation: 0 for a request or notification, 1 for its answer.
        channel: as the sender of the request counts: its own channels are positive, those of the other side negative.
        auxiliary: the arguments of a call, packed.
        payload: an archive: of the selector of a call, of a value, of an error.
    """

    kind: int
    identifier: int
    channel: int
    conversation: int = 0
    wants_answer: bool = False
    auxiliary: bytes = b""
    payload: bytes = b""


def call(identifier: int, channel: int, selector: str, *arguments: object) -> Message:
    """A call that wants no answer."""
    return Message(CALL, identifier, channel, auxiliary=pack(arguments), payload=archive(selector))


def answer(request: Message, kind: int, value: object = None) -> Message:
    """The answer to a request; `value` for `OBJECT` and `ERROR`."""
    payload = b"" if kind == DONE else archive(value)
    return Message(kind, request.identifier, request.channel, request.conversation + 1, payload=payload)


def fragments(message: Message) -> Iterator[bytes]:
    """A message as it is sent: in one piece, or as a header that says how long it is, and its pieces."""
    total = len(message.auxiliary) + len(message.payload)
    body = _MESSAGE.pack(message.kind, len(message.auxiliary), total) + message.auxiliary + message.payload

    def header(index: int, count: int, size: int) -> bytes:
        wants = int(message.wants_answer)
        ids = (message.identifier, message.conversation, message.channel, wants)
        return _FRAGMENT.pack(_MAGIC, _FRAGMENT.size, index, count, size, *ids)

    pieces = [body[start : start + FRAGMENT_BYTES] for start in range(0, len(body), FRAGMENT_BYTES)]
    if len(pieces) == 1:
        yield header(0, 1, len(body)) + body
        return
    yield header(0, len(pieces) + 1, len(body))
    for index, piece in enumerate(pieces, 1):
        yield header(index, len(pieces) + 1, len(piece)) + piece


class Reader:
    """Puts messages together; fragments of several messages may come mixed."""

    def __init__(self, exactly: Callable[[int], Awaitable[bytes]]) -> None:
        """`exactly`: reads that many bytes, EOFError at the end."""
        self._exactly = exactly
        self._open: dict[tuple[int, int], bytearray] = {}

    async def next(self) -> Message:
        """The next whole message.

        Raises:
            EOFError: The other side is gone.
            FrameError: What came is not DTX.
        """
        while True:
            header = _FRAGMENT.unpack(await self._exactly(_FRAGMENT.size))
            magic, size, index, count, length, identifier, conversation, channel, wants = header
            if magic != _MAGIC or size < _FRAGMENT.size or length > _LONGEST:
                raise FrameError("this is no DTX message")
            await self._exactly(size - _FRAGMENT.size)
            key = (channel, identifier)
            if count > 1 and index == 0:
                self._open[key] = bytearray()
                continue
            body = await self._exactly(length)
            if count > 1:
                whole = self._open.get(key)
                if whole is None or len(whole) + length > _LONGEST:
                    raise FrameError("a fragment belongs to no message, or its message is too long")
                whole += body
                if index < count - 1:
                    continue
                body = bytes(self._open.pop(key))
            return _message(body, identifier, conversation, channel, bool(wants))


def _message(body: bytes, identifier: int, conversation: int, channel: int, wants: bool) -> Message:
    if len(body) < _MESSAGE.size:
        raise FrameError("a DTX message is too short")
    kind, auxiliary, total = _MESSAGE.unpack_from(body)
    content = body[_MESSAGE.size :]
    if total != len(content) or auxiliary > total:
        raise FrameError("the lengths in a DTX message contradict each other")
    return Message(kind & 0xFF, identifier, channel, conversation, wants, content[:auxiliary], content[auxiliary:])
