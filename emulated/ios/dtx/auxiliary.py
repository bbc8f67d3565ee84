"""The arguments of a DTX call: a list of tagged values, each an archive or a plain number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from emulated.ios.dtx.archiver import archive, unarchive

_HEADER = struct.Struct("<QQ")
_TAG = struct.Struct("<I")
_MAGIC = 0x1F0
_STRING, _ARCHIVE, _NULL = 1, 2, 10
_NUMBERS = {
    3: struct.Struct("<i"),
    4: struct.Struct("<q"),
    5: struct.Struct("<i"),
    6: struct.Struct("<q"),
    9: struct.Struct("<d"),
}


class Int32(int):
    """A number that is sent as four plain bytes."""


class Int64(int):
    """A number that is sent as eight plain bytes."""


def pack(arguments: Sequence[Any]) -> bytes:
    """Arguments as they are sent: no argument is no byte at all."""
    if not arguments:
        return b""
    body = bytearray()
    for value in arguments:
        body += _TAG.pack(_NULL)
        if isinstance(value, Int32):
            body += _TAG.pack(3) + _NUMBERS[3].pack(value)
        elif isinstance(value, Int64):
            body += _TAG.pack(6) + _NUMBERS[6].pack(value)
        else:
            data = b"" if value is None else archive(value)
            body += _TAG.pack(_ARCHIVE) + _TAG.pack(len(data)) + data
    return _HEADER.pack(_MAGIC, len(body)) + bytes(body)


def unpack(data: bytes) -> list[Any]:
    """Arguments that came.

    Raises:
        ValueError: They are damaged.
        ArchiveError: One of them is no archive.
    """
    if not data:
        return []
    try:
        return _values(data)
    except struct.error as error:
        raise ValueError("the arguments end too early") from error


def _values(data: bytes) -> list[Any]:
    _, length = _HEADER.unpack_from(data)
    values: list[Any] = []
    at, end = _HEADER.size, _HEADER.size + length
    if end > len(data):
        raise ValueError("the arguments end too early")
    while at < end:
        (tag,) = _TAG.unpack_from(data, at)
        at += _TAG.size
        if tag == _NULL:  # the key of an argument by its position
            continue
        if tag in _NUMBERS:
            values.append(_NUMBERS[tag].unpack_from(data, at)[0])
            at += _NUMBERS[tag].size
        elif tag in (_ARCHIVE, _STRING):
            (size,) = _TAG.unpack_from(data, at)
            at += _TAG.size + size
            if at > end:
                raise ValueError("an argument ends too early")
            content = data[at - size : at]
            if tag == _STRING:
                values.append(content.decode("utf-8", "replace"))
            else:
                values.append(unarchive(content) if content else None)
        else:
            raise ValueError(f"an argument has the unknown tag {tag}")
    return values
