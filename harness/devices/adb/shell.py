"""Shell commands: v2, which keeps stdout, stderr and the exit code apart, and what old devices have instead.

The framing of v2 (one byte of kind, four of length, little-endian, then data) is that of AOSP's shell_protocol.h.
"""

from __future__ import annotations

import re
import struct

from harness.devices.adb.errors import DeviceLostError, RemoteError
from harness.devices.adb.wire import Connection
from harness.devices.shell.way import ShellResult

_HEADER = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_PACKET = 32 << 10


class _Reply:
    """Packets of a v2 shell, as they come."""

    def __init__(self, connection: Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._size = 0
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        self.exit_code: int | None = None

    def take(self) -> None:
        """Read one packet, unless the command has ended."""
        if self.exit_code is not None:
            return
        header = self._connection.read(_HEADER.size)
        kind, length = _HEADER.unpack(header)
        if kind == _EXIT and length == 1:
            self.exit_code = self._connection.read(1)[0]
        elif kind in (_STDOUT, _STDERR):
            self._size += length
            if self._size > self._limit:
                raise _too_much(self._connection, self._limit)
            (self.out if kind == _STDOUT else self.err).append(self._connection.read(length))
        else:
            raise self._connection.junk(header)


def _too_much(connection: Connection, limit: int) -> RemoteError:
    what = f"'{connection.command}' printed more than {limit} bytes"
    todo = "let it write to a file, and pull that"
    return connection.subject.error(RemoteError, what, command=connection.command, todo=todo)


def service_v2(command: str) -> str:
    """The service that runs a command for the device's sh, with stdout and stderr apart."""
    return f"shell,v2,raw:{command}"


def service_v1(command: str, word: str) -> str:
    """The service of devices without shell v2: everything on one terminal, and no exit code.

    So the exit code comes as a last line with `word` in it. The command runs in a subshell, so that its own `exit`
    does not hide that line.
    """
    return f"shell:(\n{command}\n)\necho {word}:$?"


def run_v2(connection: Connection, stdin: bytes, limit: int) -> ShellResult:
    """Follow a command to its end.

    Args:
        connection: opened with `service_v2`.
        stdin: everything that the command gets to read.
        limit: bytes of output, both streams together.

    Raises:
        DeviceLostError: the stream ended without an exit code.
        RemoteError: there was more output than `limit`.
    """
    reply = _Reply(connection, limit)
    packets = [
        _HEADER.pack(_STDIN, len(part)) + part
        for part in (stdin[start : start + _PACKET] for start in range(0, len(stdin), _PACKET))
    ]
    try:
        for packet in (*packets, _HEADER.pack(_CLOSE_STDIN, 0)):
            if reply.exit_code is None:
                connection.send(packet, meanwhile=reply.take)
    except DeviceLostError:
        pass  # a command may end without reading its input; whether it did is read below
    while reply.exit_code is None:
        reply.take()
    return ShellResult(b"".join(reply.out), b"".join(reply.err), reply.exit_code)


def run_v1(connection: Connection, word: str, limit: int) -> ShellResult:
    """Follow a command to its end.

    Terminals of old devices end lines with CR LF: if the last line does, all do, and all are given back with LF.

    Args:
        connection: opened with `service_v1`.
        word: the one in the last line.
        limit: bytes of output.

    Raises:
        DeviceLostError: the last line is missing.
        RemoteError: there was more output than `limit`.
    """
    pieces = []
    size = 0
    while piece := connection.receive():
        pieces.append(piece)
        size += len(piece)
        if size > 2 * limit + 64:  # every byte may be a line's end with a CR, and the last line is ours
            raise _too_much(connection, limit)
    output = b"".join(pieces)
    last = re.search(word.encode() + rb":(\d+)(\r?\n)\Z", output)
    if last is None:
        raise connection.lost()
    output = output[: last.start()]
    if last[2] == b"\r\n":
        output = output.replace(b"\r\n", b"\n")
    if len(output) > limit:
        raise _too_much(connection, limit)
    return ShellResult(output, b"", int(last[1]))
