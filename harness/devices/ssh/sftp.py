"""SFTP version 3 (draft-ietf-secsh-filexfer-02) on one channel: requests and answers that do not wait for one another.

OpenSSH's PROTOCOL file describes the two extensions: limits@openssh.com and statvfs@openssh.com.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paramiko import SSHException

from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import RemoteStat
from harness.devices.ssh.command import ask
from harness.devices.ssh.errors import (
    SshError,
    SshProtocolError,
    SshRefusedError,
    SshTimeoutError,
    Subject,
    shorten,
)

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSETSTAT, OPENDIR, READDIR = 3, 4, 5, 6, 7, 10, 11, 12
MKDIR, STAT, EXTENDED = 14, 17, 200
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201

OK, END, NO_FILE, DENIED, FAILURE = 0, 1, 2, 3, 4

READING, CREATING = 0x01, 0x02 | 0x08 | 0x10
"""Flags of OPEN: to read; to write, made or emptied first."""

_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES = 1, 2, 4, 8
_EVERY_SERVER = 32 << 10  # bytes of content in one request
_LONGEST = 16 << 20  # of an answer: more is no answer
_FLUSH = 256 << 10
_WORDS = {NO_FILE: "No such file or directory", DENIED: "Permission denied", FAILURE: "Failure"}
_READ_ONLY = 1
_FULL = 1 << 20  # bytes: whoever has less left over cannot take a file's next part


@dataclass(frozen=True)
class Answer:
    """What the server said to one request.

    Attributes:
        kind: STATUS, HANDLE, ...
        data: what follows the request's number.
    """

    kind: int
    data: bytes

    @property
    def status(self) -> int:
        """Code of a STATUS; OK for anything else."""
        return int.from_bytes(self.data[:4], "big") if self.kind == STATUS else OK

    @property
    def words(self) -> str:
        """The reason of a STATUS, in words that do not depend on the server where there are such."""
        if self.status in (NO_FILE, DENIED):
            return _WORDS[self.status]
        said = string(self.data, 4)[0].decode("utf-8", "replace") if len(self.data) >= 8 else ""
        return said or _WORDS.get(self.status, f"error {self.status}")


class Sftp:
    """One file service. For one thread.

    Attributes:
        write: bytes of content that one request may carry.
        read: bytes that one request may ask for.
    """

    def __init__(self, channel: Any, subject: Subject, deadline: Deadline, lost: Callable[[str], SshError]) -> None:  # noqa: ANN401
        """Ask for the service.

        Args:
            channel: a new one, of kind session.
            subject: who errors are about.
            deadline: of everything on it.
            lost: makes the error for a connection that ended in the middle of something.

        Raises:
            SshRefusedError: the computer has no file service.
            SshError: the connection failed.
        """
        self.subject = subject
        self.deadline = deadline
        self.command = "sftp"
        self.write = self.read = _EVERY_SERVER
        self._lost = lost
        self._channel = channel
        self._number = 0
        self._out = bytearray()
        self._in = bytearray()
        self._ignored: set[int] = set()
        ask(channel, "subsystem", "sftp")
        self._out += struct.pack(">IBI", 5, INIT, 3)
        self.flush()
        data = self._packet()
        if data[0] != VERSION:
            raise self.junk(data)
        self._limits: int | None = None
        if b"limits@openssh.com" in data:
            self._limits = self.request(EXTENDED, text("limits@openssh.com"))

    def close(self) -> None:
        """Close the channel, which ends the server's process."""
        self._channel.close()

    def request(self, kind: int, *parts: bytes, ignored: bool = False) -> int:
        """Add a request to those that are sent next; its number.

        Args:
            kind: READ, ...
            parts: what follows the number.
            ignored: whether nobody will ask for the answer.
        """
        self._number += 1
        size = sum(map(len, parts))
        self._out += struct.pack(">IBI", 5 + size, kind, self._number)
        for part in parts:
            self._out += part
        if ignored:
            self._ignored.add(self._number)
        return self._number

    @property
    def waiting(self) -> int:
        """Bytes of requests that were not sent yet."""
        return len(self._out)

    def flush(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Send all requests.

        Args:
            meanwhile: called when answers may be there; it must take one with `answer`.
        """
        channel = self._channel
        data, self._out = memoryview(self._out), bytearray()
        try:
            while data:
                if meanwhile is not None and self.answered():
                    meanwhile()
                self._in_time()
                sent = channel.send(bytes(data[:_EVERY_SERVER]))
                if not sent:
                    raise self._end()
                data = data[sent:]
        except TimeoutError as error:
            raise self._late() from error
        except (OSError, EOFError, SSHException) as error:
            raise self._end() from error

    def answered(self) -> bool:
        """Whether an answer has come, or the end."""
        return bool(self._in) or self._channel.recv_ready() or self._channel.closed

    def answer(self) -> tuple[int, Answer]:
        """The next answer and its request's number; those to ignored requests are left out.

        Raises:
            SshLostError: none came before the end of the connection.
            SshTimeoutError: none came in time.
        """
        while True:
            data = self._packet()
            number, found = int.from_bytes(data[1:5], "big"), Answer(data[0], data[5:])
            if number == self._limits:
                self._take_limits(found)
            elif number in self._ignored:
                self._ignored.discard(number)
            else:
                return number, found

    def answers(self, *numbers: int) -> list[Answer]:
        """Send what is waiting; the answers to these requests, and to none but these."""
        self.flush()
        found: dict[int, Answer] = {}
        while len(found) < len(numbers):
            number, got = self.answer()
            if number not in numbers:
                raise self.junk(got.data)
            found[number] = got
        return [found[number] for number in numbers]

    def refusal(self, remote: str, what: str, said: str = "") -> SshRefusedError:
        """The error for a path that is not given or taken."""
        return self.subject.error(SshRefusedError, f"'{shorten(remote)}' {what}", command=remote, said=said)

    def junk(self, data: bytes) -> SshProtocolError:
        """The error for something that is no answer of this protocol: often what a login script prints."""
        found = bytes(data[:60]).decode("utf-8", "replace")
        return self.subject.error(
            SshProtocolError,
            "its file service (sftp) does not speak SFTP",
            command=self.command,
            said=found,
            todo="its login scripts must print nothing: `ssh ADDRESS true` has to stay silent",
        )

    def room(self, folder: str) -> str:
        """Why nothing more can be written to a folder, as far as the server can tell; "" for nothing known."""
        number = self.request(EXTENDED, text("statvfs@openssh.com"), path(folder))
        (found,) = self.answers(number)
        if found.kind != EXTENDED_REPLY or len(found.data) < 88:
            return ""
        _, block, _, _, free, _, _, nodes, _, flags, _ = struct.unpack_from(">11Q", found.data)
        if flags & _READ_ONLY:
            return "Read-only file system"
        return "No space left on device" if block * free < _FULL or nodes == 0 else ""

    def _take_limits(self, found: Answer) -> None:
        self._limits = None
        if found.kind == EXTENDED_REPLY and len(found.data) >= 24:
            _, read, write = struct.unpack_from(">3Q", found.data)
            self.read = min(read, _FLUSH) or _EVERY_SERVER
            self.write = min(write, _FLUSH) or _EVERY_SERVER

    def _packet(self) -> bytes:
        """One answer, from its kind on."""
        while len(self._in) < 5:
            self._fill()
        size = int.from_bytes(self._in[:4], "big")
        if not 5 <= size <= _LONGEST:
            raise self.junk(bytes(self._in[:64]))
        while len(self._in) < 4 + size:
            self._fill()
        data = bytes(self._in[4 : 4 + size])
        del self._in[: 4 + size]
        return data

    def _fill(self) -> None:
        self._in_time()
        try:
            data = self._channel.recv(_FLUSH)
        except TimeoutError as error:
            raise self._late() from error
        except (EOFError, SSHException) as error:  # it could not say that it has room for more
            raise self._end() from error
        if not data:
            raise self._end()
        self._in += data

    def _in_time(self) -> None:
        if (left := self.deadline.left()) <= 0:
            raise self._late()
        self._channel.settimeout(left)

    def _late(self) -> SshTimeoutError:
        what = f"no end of '{shorten(self.command)}' within {self.deadline.seconds:g} s"
        return self.subject.error(SshTimeoutError, what, command=self.command)

    def _end(self) -> SshError:
        if self._channel.transport.active and not self._channel.event_ready:
            what = "offers no file service (sftp)"
            todo = "let its sshd_config say `Subsystem sftp internal-sftp`"
            return self.subject.error(SshRefusedError, what, command=self.command, todo=todo)
        return self._lost(self.command)


def text(value: str) -> bytes:
    """A string as the protocol has it."""
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


path = text


def string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string at an offset, and where it ends."""
    start = at + 4
    end = start + int.from_bytes(data[at:start], "big")
    return data[start:end], end


def mode(bits: int) -> bytes:
    """Attributes that say permissions only."""
    return struct.pack(">II", _HAS_MODE, bits & 0o7777)


def attributes(data: bytes, at: int = 0) -> tuple[RemoteStat, int]:
    """Attributes at an offset, and where they end."""
    (flags,) = struct.unpack_from(">I", data, at)
    at += 4
    size = bits = mtime = 0
    if flags & _HAS_SIZE:
        (size,) = struct.unpack_from(">Q", data, at)
        at += 8
    if flags & _HAS_OWNER:
        at += 8
    if flags & _HAS_MODE:
        (bits,) = struct.unpack_from(">I", data, at)
        at += 4
    if flags & _HAS_TIMES:
        _, mtime = struct.unpack_from(">II", data, at)
        at += 8
    if flags & 0x80000000:
        (count,) = struct.unpack_from(">I", data, at)
        at += 4
        for _ in range(2 * count):
            at = string(data, at)[1]
    return RemoteStat(bits, size, mtime), at
