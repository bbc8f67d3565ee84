"""What tests say to services of a device, byte by byte."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from emulated.android.protocol import SHELL_CLOSE_STDIN, SHELL_EXIT, SHELL_STDIN, ShellParser, shell_packet
from tests.emulated.conftest import Adb, receive

REGULAR, LINK = 0o100000, 0o120000


class Target:
    """One device, as a client of the adb server sees it."""

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb = adb
        self.serial = serial

    def open(self, service: str) -> socket.socket:
        return self.adb.open(self.serial, service)

    def raw(self, service: str, *typed: bytes) -> bytes:
        """All that a service says until it closes."""
        with self.open(service) as connection:
            for data in typed:
                connection.sendall(data)
            return receive(connection)

    def framed(self, service: str, *typed: bytes) -> tuple[dict[int, bytes], list[int]]:
        """What a shell of version 2 says: kind -> bytes, and the kinds in order; exit codes come as one byte."""
        said: dict[int, bytes] = {}
        order = []
        for kind, payload in ShellParser().feed(self.raw(service, *typed)):
            said[kind] = said.get(kind, b"") + payload
            order.append(kind)
        return said, order

    def shell(self, command: str, *typed: bytes) -> tuple[bytes, bytes, int | None]:
        """Output, errors and exit code (None: none came) of a command whose input is `typed`."""
        packets = [shell_packet(SHELL_STDIN, data) for data in typed]
        said, _ = self.framed(f"shell,v2,raw:{command}", *packets, shell_packet(SHELL_CLOSE_STDIN, b""))
        code = said.get(SHELL_EXIT)
        return said.get(1, b""), said.get(2, b""), code[0] if code else None

    def out(self, command: str) -> bytes:
        """Output of a command that works."""
        out, errors, code = self.shell(command)
        assert (errors, code) == (b"", 0), (command, errors, code)
        return out

    def sync(self, *requests: bytes) -> bytes:
        """All that a sync session says; it ends by QUIT."""
        return self.raw("sync:", *requests, request(b"QUIT"))


def request(name: bytes, argument: bytes = b"") -> bytes:
    return name + struct.pack("<I", len(argument)) + argument


def data(content: bytes, step: int = 65536) -> bytes:
    return b"".join(request(b"DATA", content[at : at + step]) for at in range(0, len(content), step))


def done(seconds: int = 1_700_000_000) -> bytes:
    return b"DONE" + struct.pack("<I", seconds)


def send(path: str, content: bytes, mode: int = REGULAR | 0o644, seconds: int = 1_700_000_000) -> bytes:
    return request(b"SEND", f"{path},{mode}".encode()) + data(content) + done(seconds)


def dents(reply: bytes) -> list[tuple[bytes, int, int]]:
    """Name, mode and size of each entry of a LIST, sorted."""
    found = []
    while reply[:4] == b"DENT":
        mode, size, _, length = struct.unpack_from("<4I", reply, 4)
        found.append((reply[20 : 20 + length], mode, size))
        reply = reply[20 + length :]
    assert reply == b"DONE" + bytes(16), reply
    return sorted(found)


def dents_v2(reply: bytes) -> list[tuple[object, ...]]:
    """Name, error, mode, owner, group and size of each entry of a LIS2, sorted."""
    found: list[tuple[object, ...]] = []
    while reply[:4] == b"DNT2":
        error, _, _, mode, _, uid, gid, size, _, _, _, length = struct.unpack_from("<IQQIIIIQqqqI", reply, 4)
        found.append((reply[76 : 76 + length], error, mode, uid, gid, size))
        reply = reply[76 + length :]
    assert reply == b"DONE" + bytes(72), reply
    return sorted(found, key=repr)


def stat_v2(reply: bytes) -> tuple[int, ...]:
    """Error, mode, links, owner, group, size and time of one STA2 or LST2."""
    assert len(reply) == 72, reply
    error, _, _, mode, links, uid, gid, size, _, changed, _ = struct.unpack_from("<IQQIIIIQqqq", reply, 4)
    return error, mode, links, uid, gid, size, changed


def contents(reply: bytes) -> tuple[bytes, list[int]]:
    """What a RECV sent, and the lengths of its messages."""
    parts: list[bytes] = []
    while reply[:4] == b"DATA":
        (length,) = struct.unpack_from("<I", reply, 4)
        parts.append(reply[8 : 8 + length])
        reply = reply[8 + length :]
    assert reply == b"DONE" + bytes(4), reply
    return b"".join(parts), [len(part) for part in parts]


def failures(reply: bytes) -> Iterable[str]:
    """The words of each FAIL."""
    while reply[:4] == b"FAIL":
        (length,) = struct.unpack_from("<I", reply, 4)
        yield reply[8 : 8 + length].decode()
        reply = reply[8 + length :]
    assert reply == b"", reply
