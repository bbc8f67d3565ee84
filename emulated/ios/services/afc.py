"""AFC, by which clients reach files: packets, their operations, and the statuses that answer them.

Source: libimobiledevice's and go-ios' lists of operations and statuses; which status a phone has for which mistake is
in part from shared experience of clients, not from a device.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.services.afc_files import Files, OpenFile

MAGIC = b"CFA6LPAA"
HEADER = struct.Struct("<8sQQQQ")
"""Magic, length of the packet, length without the payload, number of the request, operation."""

STATUS, DATA, OPENED, TOLD = 0x01, 0x02, 0x0E, 0x13
"""Operations of answers."""
WRITE = 0x10

SUCCESS, UNKNOWN_ERROR = 0, 1
INVALID_ARGUMENT, NOT_FOUND, IS_FOLDER, DENIED = 7, 8, 9, 10
TOO_MUCH_DATA, NOT_SUPPORTED, EXISTS, NO_SPACE, WOULD_BLOCK, IO_ERROR, NOT_EMPTY = 13, 15, 16, 18, 19, 20, 33

STATUS_OF = {
    errno.ENOENT: NOT_FOUND,
    errno.ENOTDIR: NOT_FOUND,
    errno.EPERM: DENIED,
    errno.EACCES: DENIED,
    errno.EROFS: DENIED,
    errno.EXDEV: DENIED,
    errno.EISDIR: IS_FOLDER,
    errno.EEXIST: EXISTS,
    errno.ENOTEMPTY: NOT_EMPTY,
    errno.ENOSPC: NO_SPACE,
    errno.EAGAIN: WOULD_BLOCK,
    errno.EIO: IO_ERROR,
    errno.EBADF: INVALID_ARGUMENT,
    errno.EINVAL: INVALID_ARGUMENT,
    errno.ELOOP: INVALID_ARGUMENT,
    errno.ENAMETOOLONG: INVALID_ARGUMENT,
}

_NUMBER = struct.Struct("<Q")
_TWO = struct.Struct("<QQ")
_SEEK = struct.Struct("<QQq")
_LONGEST_REQUEST = 1 << 16
_LONGEST_READ = 8 << 20
_STEP = 1 << 16
"""File data is written in such steps as it comes: what came before a connection is cut stays on the phone."""


class Answer:
    """What is sent back: an operation with its fields, and a payload."""

    def __init__(self, operation: int, fields: bytes = b"", payload: bytes = b"") -> None:
        self.operation = operation
        self.fields = fields
        self.payload = payload


def status(code: int) -> Answer:
    """A status and nothing else."""
    return Answer(STATUS, _NUMBER.pack(code))


class Session:
    """One client of AFC, in one folder that was given to it."""

    def __init__(self, phone: Phone, connection: Connection, files: Files) -> None:
        self._phone = phone
        self._connection = connection
        self._files = files
        self._open: dict[int, OpenFile] = {}
        self._handles = 0
        self._operations: dict[int, Callable[[bytes], Answer | None]] = {
            0x03: lambda body: Answer(DATA, payload=_joined(files.names(_text(body)))),
            0x07: lambda body: self._files.truncate(_text(body[8:]), _number(body)),
            0x08: lambda body: files.remove(_text(body)),
            0x09: lambda body: files.make_folder(_text(body)),
            0x0A: lambda body: Answer(DATA, payload=_pairs(files.info(_text(body)))),
            0x0B: lambda body: Answer(DATA, payload=_pairs(files.device())),
            0x0D: self._open_file,
            0x0F: self._read,
            0x11: self._seek,
            0x12: lambda body: Answer(TOLD, _NUMBER.pack(os.lseek(self._file(body).handle, 0, os.SEEK_CUR))),
            0x14: self._close,
            0x15: lambda body: files.resize(self._file(body), _TWO.unpack_from(body)[1]),
            0x18: lambda body: files.rename(*_texts(body, 2)),
            0x1B: self._lock,
            0x1C: lambda body: files.link(_number(body), *_texts(body[8:], 2)),
            0x1E: lambda body: files.set_time(_text(body[8:]), _number(body)),
            0x22: lambda body: files.remove_all(_text(body)),
        }

    async def run(self) -> None:
        """Answer requests until the client closes the connection, or sends what is not AFC."""
        try:
            while True:
                header = await self._connection.read(HEADER.size)
                if not header:
                    return
                header += await self._connection.exactly(HEADER.size - len(header))
                magic, length, _, number, operation = HEADER.unpack(header)
                if magic != MAGIC or length < HEADER.size:
                    return
                answer = await self._answer(operation, length - HEADER.size)
                this = HEADER.size + len(answer.fields)
                head = HEADER.pack(MAGIC, this + len(answer.payload), this, number, answer.operation)
                await self._connection.write(head + answer.fields + answer.payload)
        finally:
            for handle in list(self._open):
                self._end(handle)

    async def _answer(self, operation: int, size: int) -> Answer:
        if operation == WRITE and size >= _NUMBER.size:
            return status(await self._write(size - _NUMBER.size))
        if size > _LONGEST_REQUEST:
            await self._drain(size)
            return status(TOO_MUCH_DATA)
        body = await self._connection.exactly(size)
        perform = self._operations.get(operation)
        if perform is None:
            return status(NOT_SUPPORTED)
        try:
            return perform(body) or status(SUCCESS)
        except (struct.error, ValueError):
            return status(INVALID_ARGUMENT)
        except OSError as error:
            return status(STATUS_OF.get(error.errno or 0, UNKNOWN_ERROR))

    async def _write(self, size: int) -> int:
        """Take what is to be written, also where nothing can be: clients look for an answer when all is sent."""
        file = self._open.get(_number(await self._connection.exactly(_NUMBER.size)))
        code = INVALID_ARGUMENT if file is None else SUCCESS
        while size:
            data = await self._connection.exactly(min(size, _STEP))
            size -= len(data)
            if file is not None and code == SUCCESS:
                try:
                    self._files.write(file, data)
                except OSError as error:
                    code = STATUS_OF.get(error.errno or 0, UNKNOWN_ERROR)
        return code

    async def _drain(self, size: int) -> None:
        while size:
            size -= len(await self._connection.exactly(min(size, _STEP)))

    def _file(self, body: bytes) -> OpenFile:
        file = self._open.get(_number(body))
        if file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return file

    def _open_file(self, body: bytes) -> Answer:
        file = self._files.open(_text(body[8:]), _number(body))
        self._handles += 1
        self._open[self._handles] = file
        return Answer(OPENED, _NUMBER.pack(self._handles))

    def _read(self, body: bytes) -> Answer:
        _, size = _TWO.unpack_from(body)
        return Answer(DATA, payload=os.read(self._file(body).handle, min(size, _LONGEST_READ)))

    def _seek(self, body: bytes) -> None:
        _, whence, offset = _SEEK.unpack_from(body)
        os.lseek(self._file(body).handle, offset, whence)

    def _lock(self, body: bytes) -> None:
        # The numbers of flock(2): 1 shared, 2 exclusive, 8 unlock; 4 (do not wait) always, as nothing may wait here.
        fcntl.flock(self._file(body).handle, _TWO.unpack_from(body)[1] | fcntl.LOCK_NB)

    def _close(self, body: bytes) -> None:
        self._file(body)
        self._end(_number(body))

    def _end(self, handle: int) -> None:
        file = self._open.pop(handle)
        with contextlib.suppress(OSError):
            os.close(file.handle)
        if file.written or file.emptied:
            self._phone.received.append((file.path, file.written))


def _number(body: bytes) -> int:
    (number,) = _NUMBER.unpack_from(body)
    return int(number)


def _text(body: bytes) -> str:
    """A path; some clients end it with a zero byte, some do not."""
    return os.fsdecode(body.partition(b"\0")[0])


def _texts(body: bytes, count: int) -> list[str]:
    parts = body.split(b"\0")[:count]
    if len(parts) < count or not all(parts):
        raise ValueError(body)
    return [os.fsdecode(part) for part in parts]


def _joined(texts: list[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def _pairs(values: dict[str, str]) -> bytes:
    return _joined([text for pair in values.items() for text in pair])
