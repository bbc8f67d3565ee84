"""Messages of the sync protocol that say something about a path. Forms as in AOSP's file_sync_protocol.h."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

from harness.devices.adb.errors import RemoteError, shorten
from harness.devices.adb.wire import Connection
from harness.devices.shell.way import RemoteStat

PATH_LIMIT = 1024
"""Bytes of a remote path; adbd refuses more."""
HEAD = struct.Struct("<4sI")
"""Four letters, and the length of what follows (or a single number)."""

_STAT_V1 = struct.Struct("<III")  # mode, size, mtime
_STAT_V2 = struct.Struct("<IQQIIIIQqqq")  # errno, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime
_LENGTH = struct.Struct("<I")
_ID = 4
_MISSING = {errno.ENOENT, errno.ENOTDIR}


def refusal(connection: Connection, remote: str, what: str, said: str = "") -> RemoteError:
    """The error for a path that the device does not give or take."""
    return connection.subject.error(RemoteError, f"'{shorten(remote)}' {what}", command=remote, said=said)


def request(connection: Connection, kind: bytes, remote: str, suffix: str = "") -> bytes:
    """A request about a path.

    Args:
        connection: that it is for.
        kind: its four letters.
        remote: the path.
        suffix: what follows the path.

    Raises:
        RemoteError: the path is longer than adbd takes.
    """
    path = (remote + suffix).encode("utf-8", "surrogateescape")
    if len(path) > PATH_LIMIT:
        raise refusal(connection, remote, f"is a path of {len(path)} bytes, longer than adb takes ({PATH_LIMIT})")
    return HEAD.pack(kind, len(path)) + path


def fail_text(connection: Connection, length: int) -> str:
    """The device's reason, after a FAIL."""
    return connection.read(length).decode("utf-8", "replace")


def stat_v1(connection: Connection) -> RemoteStat | None:
    """Read the answer to STAT, in which nothing but zeros means that nothing is there."""
    data = connection.read(_ID + _STAT_V1.size)
    if data[:_ID] != b"STAT":
        raise connection.junk(data)
    mode, size, mtime = _STAT_V1.unpack_from(data, _ID)
    return RemoteStat(mode, size, mtime) if mode or size or mtime else None


def stat_v2(connection: Connection, remote: str, kind: bytes) -> RemoteStat | None:
    """Read the answer to STA2 or LST2.

    Raises:
        RemoteError: the path may not be looked at.
    """
    data = connection.read(_ID + _STAT_V2.size)
    if data[:_ID] != kind:
        raise connection.junk(data)
    code, found = _unpack_v2(data)
    if code and code not in _MISSING:
        raise refusal(connection, remote, "cannot be looked at", _words(code))
    return None if code else found


def entries(connection: Connection, remote: str, old: bool) -> Iterator[tuple[str, RemoteStat]]:
    """Read the answers to LIST (`old`) or LIS2, to the last one.

    Raises:
        RemoteError: an entry cannot be looked at.
    """
    kind = b"DENT" if old else b"DNT2"
    fixed = _ID + (_STAT_V1.size if old else _STAT_V2.size)
    while True:
        data = connection.read(fixed + _LENGTH.size)
        if data[:_ID] == b"DONE":
            return
        if data[:_ID] != kind:
            raise connection.junk(data)
        name = connection.read(_LENGTH.unpack_from(data, fixed)[0]).decode("utf-8", "surrogateescape")
        code, found = (0, RemoteStat(*_STAT_V1.unpack_from(data, _ID))) if old else _unpack_v2(data)
        if name in (".", "..") or code == errno.ENOENT:  # the latter: deleted while the folder was read
            continue
        if code:
            raise refusal(connection, f"{remote.rstrip('/')}/{name}", "cannot be looked at", _words(code))
        yield name, found


def _unpack_v2(data: bytes) -> tuple[int, RemoteStat]:
    fields = _STAT_V2.unpack_from(data, _ID)
    return fields[0], RemoteStat(fields[3], fields[7], fields[9])


def _words(code: int) -> str:
    # The numbers on the wire are Linux's; those that a file can cause are the same on macOS, ELOOP excepted.
    return os.strerror(code)
