"""RemoteXPC messages, as far as remote service discovery needs them: written in full, read without their content.

Everything is little-endian: a wrapper (magic, flags, size of the body, number), and in it a body (magic, version) with
one object. An object is a type and its value, padded to four bytes.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

Value = None | bool | int | str | bytes | uuid.UUID | list["Value"] | Mapping[str, "Value"]

WRAPPER = struct.Struct("<IIQQ")
_WRAPPER_MAGIC = 0x29B00B92
_BODY = struct.pack("<II", 0x42133742, 5)
_WORD = struct.Struct("<I")
_LONGEST = 16 * 1024 * 1024

ALWAYS, DATA, FINISHED, HANDSHAKE = 0x1, 0x100, 0x200, 0x400000
"""Flags of a wrapper."""

_NULL, _BOOL, _UINT64, _DATA, _STRING, _UUID, _ARRAY, _DICTIONARY = (
    number << 12 for number in (0x1, 0x2, 0x4, 0x8, 0x9, 0xA, 0xE, 0xF)
)


class XpcError(Exception):
    """What came is no RemoteXPC message."""


@dataclass(frozen=True)
class Head:
    """What a wrapper says of its message: its flags, and how many bytes of body follow."""

    flags: int
    size: int


def head(data: bytes) -> Head:
    """The wrapper at the start of `WRAPPER.size` bytes.

    Raises:
        XpcError: It is none.
    """
    magic, flags, size, _ = WRAPPER.unpack(data)
    if magic != _WRAPPER_MAGIC or size > _LONGEST:
        raise XpcError("this is no RemoteXPC message")
    return Head(flags, size)


def message(flags: int, content: Mapping[str, Value] | None = None, number: int = 0) -> bytes:
    """A message; without a body where there is no content."""
    body = b"" if content is None else _BODY + _object(content)
    return WRAPPER.pack(_WRAPPER_MAGIC, flags | ALWAYS, len(body), number) + body


def _object(value: Value) -> bytes:
    if value is None:
        return _WORD.pack(_NULL)
    if isinstance(value, bool):
        return _WORD.pack(_BOOL) + _WORD.pack(value)
    if isinstance(value, int):
        return _WORD.pack(_UINT64) + struct.pack("<Q", value)
    if isinstance(value, str):
        data = value.encode() + b"\0"
        return _WORD.pack(_STRING) + _WORD.pack(len(data)) + _padded(data)
    if isinstance(value, bytes):
        return _WORD.pack(_DATA) + _WORD.pack(len(value)) + _padded(value)
    if isinstance(value, uuid.UUID):
        return _WORD.pack(_UUID) + value.bytes
    if isinstance(value, list):
        body = b"".join(_object(one) for one in value)
        kind = _ARRAY
    else:
        body = b"".join(_padded(key.encode() + b"\0") + _object(one) for key, one in value.items())
        kind = _DICTIONARY
    counted = _WORD.pack(len(value)) + body
    return _WORD.pack(kind) + _WORD.pack(len(counted)) + counted


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
