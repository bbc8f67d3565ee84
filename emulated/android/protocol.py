"""The packets between an adb server and an adbd: their layout, the banner, and the packets of shell v2.

Source of all layouts: AOSP packages/modules/adb, protocol.txt, adb.h and shell_protocol.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VERSION_CHECKSUM = 0x01000000
"""Before Android 9: every packet carries the sum of its payload."""
VERSION_NO_CHECKSUM = 0x01000001
OLD_PAYLOAD = 4 * 1024
PAYLOAD = 1 << 20
WINDOW = 32 << 20
"""Bytes that may be on their way in one stream without an answer, where delayed_ack was agreed on."""

CNXN = int.from_bytes(b"CNXN", "little")
AUTH = int.from_bytes(b"AUTH", "little")
OPEN = int.from_bytes(b"OPEN", "little")
OKAY = int.from_bytes(b"OKAY", "little")
WRTE = int.from_bytes(b"WRTE", "little")
CLSE = int.from_bytes(b"CLSE", "little")

AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3

SHELL_STDIN, SHELL_STDOUT, SHELL_STDERR, SHELL_EXIT, SHELL_CLOSE_STDIN, SHELL_WINDOW = range(6)

FEATURES = frozenset(
    {
        "apex",
        "cmd",
        "delayed_ack",
        "devraw",
        "fixed_push_mkdir",
        "fixed_push_symlink_timestamp",
        "ls_v2",
        "remount_shell",
        "sendrecv_v2",
        "shell_v2",
        "stat_v2",
    }
)
"""What this daemon may announce. Never compression, abb or TLS: it has none."""

HEADER = struct.Struct("<6I")
_SHELL_HEADER = struct.Struct("<BI")


class ProtocolError(Exception):
    """The other side sent what no adb server sends; the connection is of no use any more."""


@dataclass(frozen=True)
class Packet:
    """One packet.

    Attributes:
        command: One of `CNXN` to `CLSE`.
        arg0: Meaning depends on the command: mostly the sender's id of the stream.
        arg1: Mostly the receiver's id of the stream.
        payload: At most the payload agreed on by CNXN, in bytes.
    """

    command: int
    arg0: int
    arg1: int
    payload: bytes = b""


@dataclass(frozen=True)
class Header:
    """What comes before a payload."""

    command: int
    arg0: int
    arg1: int
    length: int
    checksum: int


def checksum(payload: bytes) -> int:
    """The sum of all bytes, modulo 2**32 (adb calls it data_check; it is no CRC)."""
    return sum(payload) & 0xFFFFFFFF


def pack_header(packet: Packet, *, with_checksum: bool) -> bytes:
    """The 24 bytes before a payload."""
    total = checksum(packet.payload) if with_checksum else 0
    magic = packet.command ^ 0xFFFFFFFF
    return HEADER.pack(packet.command, packet.arg0, packet.arg1, len(packet.payload), total, magic)


def parse_header(data: bytes, limit: int) -> Header:
    """Read 24 bytes.

    Raises:
        ProtocolError: The magic is wrong, or the payload is longer than `limit` bytes.
    """
    command, arg0, arg1, length, total, magic = HEADER.unpack(data)
    if magic != command ^ 0xFFFFFFFF:
        raise ProtocolError(f"no adb packet: {data.hex()}")
    if length > limit:
        raise ProtocolError(f"payload of {length} bytes, more than {limit}")
    return Header(command, arg0, arg1, length, total)


def banner(properties: Mapping[str, str], features: Iterable[str]) -> bytes:
    """What a phone says of itself in CNXN; a phone without features (before Android 7) lists none."""
    parts = [f"{key}={value};" for key, value in properties.items()]
    known = list(features)
    if known:
        parts.append(f"features={','.join(known)}")
    return f"device::{''.join(parts)}".encode()


def banner_features(said: bytes) -> frozenset[str]:
    """The features in the banner of an adb server (`host::features=a,b`)."""
    for part in said.rstrip(b"\0").decode("utf-8", "replace").partition("::")[2].split(";"):
        key, _, value = part.partition("=")
        if key == "features":
            return frozenset(filter(None, value.split(",")))
    return frozenset()


def announced(features: Iterable[str]) -> list[str]:
    """Those features of a phone that this daemon can do, in the phone's order."""
    return [name for name in features if name in FEATURES]


def shell_packet(kind: int, data: bytes) -> bytes:
    """One packet of shell v2: a byte for the kind, four for the length, the data."""
    return _SHELL_HEADER.pack(kind, len(data)) + data


class ShellParser:
    """Cuts the bytes of a stream into packets of shell v2, however they were split on their way."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """All packets that `data` completes, as (kind, data)."""
        self._pending += data
        found = []
        start = 0
        while len(self._pending) - start >= _SHELL_HEADER.size:
            kind, length = _SHELL_HEADER.unpack_from(self._pending, start)
            end = start + _SHELL_HEADER.size + length
            if len(self._pending) < end:
                break
            found.append((kind, bytes(self._pending[start + _SHELL_HEADER.size : end])))
            start = end
        del self._pending[:start]
        return found
