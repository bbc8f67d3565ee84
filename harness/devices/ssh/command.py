"""One command on one channel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from paramiko import Message

from harness.clock import Clock
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import ShellResult
from harness.devices.ssh.errors import SshError, SshRefusedError, SshTimeoutError, Subject, shorten

_REQUEST = b"\x62"
_PIECE = 256 << 10
_ROOM_SECONDS = 0.02  # paramiko wakes nobody when there is room to send again
_NO_STATUS = -1


class _News:
    """An event that paramiko may set, and that it clears in vain: it would do so with one stream still unread."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def set(self) -> None:
        self.event.set()

    def clear(self) -> None:
        """Nothing: `event` is cleared by the one who waits."""


def ask(channel: Any, kind: str, what: str) -> None:  # noqa: ANN401 paramiko has no types
    """Send a channel's "exec" or "subsystem", without waiting for the answer: a refused one closes the channel."""
    message = Message()
    message.add_bytes(_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(True)
    message.add_string(what.encode("utf-8", "surrogateescape"))
    channel.event_ready = False
    channel.transport._send_user_message(message)


class Command:
    """A command that runs. For one thread."""

    def __init__(self, channel: Any, subject: Subject, shown: str, clock: Clock, deadline: Deadline) -> None:  # noqa: ANN401
        """Prepare; nothing is sent.

        Args:
            channel: a new one, of kind session.
            subject: who errors are about.
            shown: what errors call the command.
            clock: time.
            deadline: for everything.
        """
        self._channel = channel
        self._subject = subject
        self._shown = shorten(shown)
        self._clock = clock
        self._deadline = deadline
        self._out: list[bytes] = []
        self._err: list[bytes] = []
        self._size = 0
        self._news = _News()

    def run(self, command: str, stdin: bytes, limit: int, lost: Callable[[str], SshError]) -> ShellResult:
        """Run it to its end.

        Args:
            command: for the user's login shell there.
            stdin: everything that it gets to read.
            limit: bytes of output, both streams together.
            lost: makes the error for a connection that ended in the middle of something.

        Raises:
            SshLostError: the connection ended before its exit status came.
            SshTimeoutError: it did not end in time.
            SshRefusedError: nobody may run commands there, or it printed more than `limit`.
        """
        channel = self._channel
        channel.status_event = self._news
        channel.in_buffer.set_event(self._news)
        channel.in_stderr_buffer.set_event(self._news)
        channel.settimeout(0.0)
        ask(channel, "exec", command)
        rest: memoryview | None = memoryview(stdin)
        while True:
            self._news.event.clear()
            ended = channel.closed or (channel.eof_received and channel.exit_status != _NO_STATUS)
            self._read(limit)
            if ended:
                break
            if rest is not None:
                rest = self._write(rest)
            if (left := self._deadline.left()) <= 0:
                what = f"no end of '{self._shown}' within {self._deadline.seconds:g} s"
                raise self._subject.error(SshTimeoutError, what, command=self._shown)
            self._clock.wait(self._news.event, left if rest is None else min(left, _ROOM_SECONDS))
        if channel.exit_status == _NO_STATUS:
            if channel.transport.active and not channel.event_ready:
                what = f"refused to run '{self._shown}'"
                raise self._subject.error(SshRefusedError, what, command=self._shown)
            raise lost(self._shown)
        return ShellResult(b"".join(self._out), b"".join(self._err), channel.exit_status)

    def _read(self, limit: int) -> None:
        """Take what has come."""
        channel = self._channel
        while channel.recv_ready():
            self._out.append(self._count(channel.recv(_PIECE), limit))
        while channel.recv_stderr_ready():
            self._err.append(self._count(channel.recv_stderr(_PIECE), limit))

    def _count(self, data: bytes, limit: int) -> bytes:
        self._size += len(data)
        if self._size > limit:
            what = f"'{self._shown}' printed more than {limit} bytes"
            todo = "let it write to a file, and pull that"
            raise self._subject.error(SshRefusedError, what, command=self._shown, todo=todo)
        return data

    def _write(self, rest: memoryview) -> memoryview | None:
        """Send of the input what there is room for; what is left of it, None when its end was sent."""
        channel = self._channel
        # A command may end without reading its input; then nobody takes it any more.
        with contextlib.suppress(OSError):
            while rest and channel.send_ready():
                sent = channel.send(bytes(rest[:_PIECE]))
                if not sent:
                    return None
                rest = rest[sent:]
            if rest:
                return rest
            channel.shutdown_write()
        return None
