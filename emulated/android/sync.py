"""The sync service: files to a phone, files from it, and what it says of them.

Source: AOSP packages/modules/adb, SYNC.TXT, file_sync_protocol.h and daemon/file_sync_service.cpp.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from emulated.android.connection import Stream
from emulated.android.storage import Storage, StorageError

_REQUEST = struct.Struct("<4sI")
_STAT = struct.Struct("<4sIII")
_STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")
_DENT = struct.Struct("<4sIIII")
_DENT_V2 = struct.Struct("<4sIQQIIIIQqqqI")
_SEND_V2 = struct.Struct("<4sII")
_RECEIVE_V2 = struct.Struct("<4sI")

_LONGEST_PATH = 1024
_LONGEST_READ = 64 << 10
_BATCH = 8
"""Messages of a pulled file that are sent together: each sending costs a round trip."""
_MASK = 0xFFFFFFFF

Method = Callable[[bytes], Coroutine[Any, Any, None]]


class _EndedError(Exception):
    """The client is gone, or has said that it is done."""


class _RefusedError(Exception):
    """What the client asked for cannot be done; the session ends with these words."""


class Sync:
    """One sync session."""

    def __init__(self, storage: Storage, features: frozenset[str]) -> None:
        self._storage = storage
        self._pending = memoryview(b"")
        self._methods: dict[bytes, Method] = {
            b"STAT": self._stat,
            b"LIST": self._list,
            b"SEND": self._send,
            b"RECV": self._receive,
        }
        if "stat_v2" in features:
            self._methods |= {b"STA2": self._stat_v2, b"LST2": self._lstat_v2}
        if "ls_v2" in features:
            self._methods[b"LIS2"] = self._list_v2
        if "sendrecv_v2" in features:
            self._methods |= {b"SND2": self._send_v2, b"RCV2": self._receive_v2}

    async def run(self, stream: Stream) -> None:
        """Answer requests until the client quits or is refused."""
        self._stream = stream
        try:
            while True:
                name, length = _REQUEST.unpack(await self._exactly(_REQUEST.size))
                if length > _LONGEST_PATH:
                    raise _RefusedError("path too long")
                argument = await self._exactly(length)
                if name == b"QUIT":
                    return
                method = self._methods.get(name)
                if method is None:
                    raise _RefusedError(f"unknown command {int.from_bytes(name, 'little'):08x}")
                await method(argument)
        except (_RefusedError, StorageError) as error:
            words = str(error).encode()
            await stream.write(_REQUEST.pack(b"FAIL", len(words)) + words)
        except _EndedError:
            pass

    async def _some(self, limit: int) -> memoryview:
        if not self._pending:
            self._pending = memoryview(await self._stream.read())
            if not self._pending:
                raise _EndedError
        part = self._pending[:limit]
        self._pending = self._pending[limit:]
        return part

    async def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = await self._some(count)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    async def _stat(self, path: bytes) -> None:
        found = self._look(path, follow=False)
        if isinstance(found, int):
            await self._stream.write(_STAT.pack(b"STAT", 0, 0, 0))
        else:
            seconds = int(found.st_mtime) & _MASK
            await self._stream.write(_STAT.pack(b"STAT", found.st_mode, found.st_size & _MASK, seconds))

    async def _stat_v2(self, path: bytes) -> None:
        await self._stream.write(_STAT_V2.pack(b"STA2", *_fields(self._look(path, follow=True))))

    async def _lstat_v2(self, path: bytes) -> None:
        await self._stream.write(_STAT_V2.pack(b"LST2", *_fields(self._look(path, follow=False))))

    def _look(self, path: bytes, *, follow: bool) -> os.stat_result | int:
        """What is known of a file, or the number of the error."""
        try:
            return self._storage.look(os.fsdecode(path), follow=follow)
        except OSError as error:
            return error.errno or 0

    def _entries(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        try:
            folder = self._storage.resolve(os.fsdecode(path), follow=True)
            names = [".", "..", *os.listdir(folder)]  # noqa: PTH208 (names, not paths)
        except OSError:
            return []
        found = []
        for name in names:
            try:
                found.append((os.fsencode(name), (folder / name).lstat()))
            except OSError:
                continue
        return found

    async def _list(self, path: bytes) -> None:
        parts = []
        for name, found in self._entries(path):
            seconds = int(found.st_mtime) & _MASK
            parts.append(_DENT.pack(b"DENT", found.st_mode, found.st_size & _MASK, seconds, len(name)) + name)
        await self._stream.write(b"".join(parts) + _DENT.pack(b"DONE", 0, 0, 0, 0))

    async def _list_v2(self, path: bytes) -> None:
        parts = []
        for name, found in self._entries(path):
            parts.append(_DENT_V2.pack(b"DNT2", *_fields(found), len(name)) + name)
        await self._stream.write(b"".join(parts) + _DENT_V2.pack(b"DONE", *_fields(0), 0))

    async def _send(self, specification: bytes) -> None:
        path, comma, number = specification.rpartition(b",")
        if not comma:
            raise _RefusedError("missing , in ID_SEND_V1")
        await self._store(os.fsdecode(path), strtoul(number))

    async def _send_v2(self, path: bytes) -> None:
        name, mode, flags = _SEND_V2.unpack(await self._exactly(_SEND_V2.size))
        if name != b"SND2":
            raise _RefusedError("invalid SND2")
        if flags:
            raise _RefusedError(f"unknown flags: {flags:d}")
        await self._store(os.fsdecode(path), mode)

    async def _store(self, remote: str, mode: int) -> None:
        if stat.S_ISLNK(mode):
            seconds = await self._store_link(remote)
        else:
            # The user may, so the group may; the group may, so all may.
            mode &= 0o777
            mode |= mode >> 3 & 0o070
            mode |= mode >> 3 & 0o007
            seconds = await self._store_file(remote, mode)
        self._storage.finish(remote, seconds)
        await self._stream.write(_REQUEST.pack(b"OKAY", 0))

    async def _store_link(self, remote: str) -> int:
        name, length = _REQUEST.unpack(await self._exactly(_REQUEST.size))
        if name != b"DATA":
            raise _RefusedError("invalid data message: expected ID_DATA")
        target = (await self._exactly(length)).partition(b"\0")[0]
        self._storage.link(remote, target)
        name, seconds = _REQUEST.unpack(await self._exactly(_REQUEST.size))
        if name != b"DONE":
            raise _RefusedError("invalid data message: expected ID_DONE")
        return int(seconds)

    async def _store_file(self, remote: str, mode: int) -> int:
        try:
            handle = self._storage.create(remote, mode)
        except StorageError as error:
            await self._fail_and_drain(error)
        count = 0
        try:
            while True:
                name, count = _REQUEST.unpack(await self._exactly(_REQUEST.size))
                if name == b"DONE":
                    return int(count)
                if name != b"DATA":
                    raise _RefusedError("invalid data message")
                while count:
                    part = await self._some(count)
                    count -= len(part)
                    self._storage.write(handle, part)
        except (StorageError, _RefusedError) as error:
            self._storage.discard(remote)
            await self._fail_and_drain(error, count if isinstance(error, StorageError) else 0)
        except BaseException:
            self._storage.discard(remote)
            raise
        finally:
            os.close(handle)

    async def _fail_and_drain(self, error: Exception, rest: int = 0) -> NoReturn:
        """Say what is wrong, then take what still comes: clients look for an answer only when all is sent."""
        words = str(error).encode()
        await self._stream.write(_REQUEST.pack(b"FAIL", len(words)) + words)
        await self._exactly(rest)
        while True:
            name, count = _REQUEST.unpack(await self._exactly(_REQUEST.size))
            if name != b"DATA":
                raise _EndedError
            await self._exactly(count)

    async def _receive(self, path: bytes) -> None:
        await self._load(os.fsdecode(path))

    async def _receive_v2(self, path: bytes) -> None:
        name, flags = _RECEIVE_V2.unpack(await self._exactly(_RECEIVE_V2.size))
        if name != b"RCV2":
            raise _RefusedError("invalid RCV2")
        if flags:
            raise _RefusedError(f"unknown flags: {flags:d}")
        await self._load(os.fsdecode(path))

    async def _load(self, remote: str) -> None:
        try:
            handle = os.open(self._storage.resolve(remote, follow=True), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise StorageError("open failed", error) from error
        try:
            more = True
            while more:
                parts = [data for _ in range(_BATCH) if (data := _read(handle))]
                more = len(parts) == _BATCH
                self._storage.sent += sum(map(len, parts))
                messages = [_REQUEST.pack(b"DATA", len(data)) + data for data in parts]
                # The end goes along: a small packet of its own would wait 40 ms in TCP for an acknowledgement.
                end = b"" if more else _REQUEST.pack(b"DONE", 0)
                await self._stream.write(b"".join(messages) + end)
        finally:
            os.close(handle)


def strtoul(text: bytes) -> int:
    """The number that C reads from a text in base 0; 0 where there are no digits."""
    found = re.match(rb"(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]*)", text)
    assert found is not None
    hexadecimal, digits = found.groups()
    if hexadecimal:
        return int(digits, 16)
    allowed = rb"[0-7]*" if digits[:1] == b"0" else rb"[0-9]*"
    kept = re.match(allowed, digits)
    assert kept is not None
    return int(kept[0] or b"0", 8 if digits[:1] == b"0" else 10)


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, _LONGEST_READ)
    except OSError as error:
        raise StorageError("read failed", error) from error


def _fields(found: os.stat_result | int) -> tuple[int, ...]:
    """The fields that STA2 and DNT2 share: error, dev, ino, mode, nlink, uid, gid, size, three times."""
    if isinstance(found, int):
        return (found, *[0] * 10)
    return (
        0,
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        int(found.st_atime),
        int(found.st_mtime),
        int(found.st_ctime),
    )
