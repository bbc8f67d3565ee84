"""Contents of files through the sync protocol, both ways."""

from __future__ import annotations

import contextlib
import io
import stat
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

from harness.devices.adb.errors import DeviceLostError, shorten
from harness.devices.adb.sync_messages import HEAD, fail_text, refusal, request
from harness.devices.adb.wire import Connection
from harness.devices.shell.stretches import Stretches
from harness.devices.shell.way import PushFile

_DATA = 64 << 10  # the protocol's own limit for one DATA message
_BUFFER = 4 * (_DATA + HEAD.size)


class Pushing:
    """Sends files one after the other through one buffer, and reads the device's answers as they come.

    The device answers each file with OKAY or FAIL when it has read it whole, and a failure as soon as it happens; it
    may stop reading then. So whatever can be read is read before more is sent.
    """

    def __init__(self, connection: Connection, stretches: Stretches, mtime: int) -> None:
        """Prepare.

        Args:
            connection: a sync service.
            stretches: entered by the caller.
            mtime: time stamp of the files on the device, in seconds since 1970.
        """
        self._connection = connection
        self._stretches = stretches
        self._mtime = mtime
        self._buffer = memoryview(bytearray(_BUFFER))
        self._used = 0
        self._unanswered: deque[str] = deque()

    def send(self, files: Sequence[PushFile]) -> int:
        """Send all files; the number of bytes of their contents."""
        total = sum(self._send(file) for file in files)
        self._flush()
        return total

    def finish(self) -> None:
        """Wait for the answers that are left."""
        while self._unanswered:
            self._answer()

    def _send(self, file: PushFile) -> int:
        self._unanswered.append(file.remote)
        self._add(request(self._connection, b"SEND", file.remote, f",{stat.S_IFREG | file.mode}"))
        total = 0
        with io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb", 0) as stream:
            while size := self._data(stream):
                total += size
        self._add(HEAD.pack(b"DONE", self._mtime))
        return total

    def _data(self, stream: io.BytesIO | io.FileIO) -> int:
        self._make_room(HEAD.size + _DATA)
        start = self._used + HEAD.size
        size = stream.readinto(self._buffer[start : start + _DATA])
        if size:
            HEAD.pack_into(self._buffer, self._used, b"DATA", size)
            self._used = start + size
        return size

    def _add(self, message: bytes) -> None:
        self._make_room(len(message))
        self._buffer[self._used : self._used + len(message)] = message
        self._used += len(message)

    def _make_room(self, size: int) -> None:
        if self._used + size > len(self._buffer):
            self._flush()

    def _flush(self) -> None:
        self._connection.command = shorten(self._unanswered[0]) if self._unanswered else self._connection.command
        try:
            self._connection.send(self._buffer[: self._used], meanwhile=self._answer)
        except DeviceLostError:
            # The reason may have come just before the end.
            with contextlib.suppress(DeviceLostError):
                while True:
                    self._answer()
            raise
        self._stretches.moved(self._used)
        self._used = 0

    def _answer(self) -> None:
        """Read one answer. Raises RemoteError for a file that the device refused."""
        kind, length = HEAD.unpack(self._connection.read(HEAD.size))
        if kind == b"FAIL" and self._unanswered:
            raise refusal(self._connection, self._unanswered[0], "was not taken", fail_text(self._connection, length))
        if kind != b"OKAY" or not self._unanswered:
            raise self._connection.junk(HEAD.pack(kind, length))
        self._unanswered.popleft()


def receive(connection: Connection, remote: str, stream: BinaryIO, limit: int, stretches: Stretches) -> int:
    """Read a file's content, which was asked for, into `stream`; its number of bytes.

    Raises:
        RemoteError: the device refused, or more than `limit` bytes came.
    """
    total = 0
    while True:
        head = connection.read(HEAD.size)
        kind, length = HEAD.unpack(head)
        if kind == b"DONE":
            return total
        if kind == b"FAIL":
            raise refusal(connection, remote, "cannot be pulled", fail_text(connection, length))
        if kind != b"DATA" or length > _DATA:
            raise connection.junk(head)
        total += length
        if total > limit:
            raise refusal(connection, remote, f"has more than the {limit} bytes allowed")
        stream.write(connection.read(length))
        stretches.moved(length)
