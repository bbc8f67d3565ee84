"""Contents of files through SFTP, with many requests on the way, over several files."""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

from harness.devices.shell.stretches import Stretches
from harness.devices.shell.way import PushFile
from harness.devices.ssh.sftp import (
    CLOSE,
    CREATING,
    DATA,
    END,
    FSETSTAT,
    HANDLE,
    OK,
    OPEN,
    READ,
    READING,
    STATUS,
    WRITE,
    Answer,
    Sftp,
    mode,
    path,
)

_OPENS = 32  # files that are opened ahead
_FLUSH = 128 << 10
_READ_AHEAD = 4 << 20  # bytes that were asked for and have not come: no more than the channel's window


class Pushing:
    """Sends files one after the other. For one use.

    Nothing bounds the answers that are waited for but the channel's window: the server answers a part of a file when it
    has written it.

    Attributes:
        status: the code of the refusal that ended it.
    """

    def __init__(self, sftp: Sftp) -> None:
        """Prepare; nothing is sent."""
        self._sftp = sftp
        self._names: dict[int, str] = {}  # requests on the way, and the files that they are about
        self._handles: dict[int, bytes] = {}
        self.status = OK

    def send(self, files: Sequence[PushFile], stretches: Stretches) -> int:
        """Send them; the number of bytes of all contents.

        Raises:
            SshRefusedError: the server refused one.
            OSError: a source cannot be read.
        """
        waiting = deque(files)
        opening: deque[tuple[int, PushFile]] = deque()
        total = 0
        while waiting or opening:
            while waiting and len(opening) < _OPENS:
                file = waiting.popleft()
                flags = struct.pack(">I", CREATING)
                opening.append((self._request(file, OPEN, path(file.remote), flags, mode(file.mode)), file))
            number, file = opening.popleft()
            if number not in self._handles:
                self._flush(stretches)
                while number not in self._handles:
                    self._answer()
            total += self._content(file, self._handles.pop(number), stretches)
        self._flush(stretches)
        return total

    def finish(self) -> None:
        """Wait for the last answers."""
        while self._names:
            self._answer()

    def _content(self, file: PushFile, handle: bytes, stretches: Stretches) -> int:
        self._sftp.command = file.remote
        total = 0
        with io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb", 0) as stream:
            while data := stream.read(self._sftp.write):
                head = struct.pack(">QI", total, len(data))
                self._request(file, WRITE, handle, head, data)
                total += len(data)
                if self._sftp.waiting > _FLUSH:
                    self._flush(stretches)
        self._request(file, FSETSTAT, handle, mode(file.mode))
        self._request(file, CLOSE, handle)
        return total

    def _request(self, file: PushFile, kind: int, *parts: bytes) -> int:
        number = self._sftp.request(kind, *parts)
        self._names[number] = file.remote
        return number

    def _flush(self, stretches: Stretches) -> None:
        size = self._sftp.waiting
        self._sftp.flush(self._answer)
        stretches.moved(size)

    def _answer(self) -> None:
        number, answer = self._sftp.answer()
        name = self._names.pop(number, None)
        if name is None:
            raise self._sftp.junk(answer.data)
        if answer.kind == HANDLE:
            self._handles[number] = answer.data
        elif answer.kind != STATUS or answer.status != OK:
            self.status = answer.status
            raise self._sftp.refusal(name, "was not taken", answer.words)


class Pulling:
    """Brings one file. For one use."""

    def __init__(self, sftp: Sftp, remote: str, size: int) -> None:
        """Prepare; nothing is sent.

        Args:
            sftp: where it is.
            remote: its path.
            size: that it should have; no more than one byte beyond that is asked for.
        """
        self._sftp = sftp
        self._remote = remote
        self._size = size
        self._asked = 0
        self._parts: dict[int, tuple[int, int]] = {}  # requests on the way: offset and length

    def receive(self, stream: BinaryIO, stretches: Stretches) -> int:
        """Write its content to a new file; the number of bytes that it has.

        Raises:
            SshRefusedError: it cannot be read.
        """
        (opened,) = self._sftp.answers(
            self._sftp.request(OPEN, path(self._remote), struct.pack(">I", READING), mode(0o644))
        )
        if opened.kind != HANDLE:
            raise self._refusal(opened)
        total = self._follow(opened.data, stream, stretches)
        self._sftp.request(CLOSE, opened.data, ignored=True)
        self._sftp.flush()
        return total

    def _follow(self, handle: bytes, stream: BinaryIO, stretches: Stretches) -> int:
        total = 0
        whole = self._size + 1  # one more, to see that it has not grown
        while True:
            while self._asked < whole and self._asked - total < _READ_AHEAD:
                length = min(self._sftp.read, whole - self._asked)
                self._ask(handle, self._asked, length)
                self._asked += length
            if not self._parts:
                return total
            self._sftp.flush()
            number, answer = self._sftp.answer()
            at, length = self._parts.pop(number)
            if answer.kind == DATA:
                data = memoryview(answer.data)[4:]
                stream.seek(at)
                stream.write(data)
                total += len(data)
                stretches.moved(len(data))
                if len(data) < length and at + len(data) < self._size:
                    self._ask(handle, at + len(data), length - len(data))
            elif answer.status != END:
                raise self._refusal(answer)

    def _ask(self, handle: bytes, at: int, length: int) -> None:
        self._parts[self._sftp.request(READ, handle, struct.pack(">QI", at, length))] = at, length

    def _refusal(self, answer: Answer) -> Exception:
        return self._sftp.refusal(self._remote, "cannot be pulled", answer.words)
