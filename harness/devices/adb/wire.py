"""One connection to an adb server, with one deadline for everything that happens on it."""

from __future__ import annotations

import contextlib
import math
import re
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from typing_extensions import Self

from harness.devices.adb.errors import (
    REPLUG,
    AdbError,
    AdbProtocolError,
    DeviceLostError,
    DeviceTimeoutError,
    RemoteError,
    ServerDownError,
    Subject,
    shorten,
)
from harness.devices.shell.deadline import Deadline

SERVER_SECONDS = 10.0
"""A server answers for itself in milliseconds; one that takes longer than this hangs."""
SERVICE_LIMIT = 60_000
"""Bytes of a service string. The protocol's length field ends at 65535, and the server's answer to more is nonsense."""
OLD_SERVICE_LIMIT = 4_000
"""The same for old devices, whose packets hold 4 KiB: the server dies of a longer one."""

_CHUNK = 256 << 10


class Connection:
    """A smart-socket connection: requests go in as text, then it belongs to the service that was asked for.

    Used by one thread; `interrupt` alone may be called from another. Use it as a context manager.
    """

    def __init__(self, address: tuple[str, int], subject: Subject, deadline: Deadline, where: str = "") -> None:
        """Prepare; nothing is opened before `dial`.

        Args:
            address: host and port of the adb server.
            subject: who errors are about.
            deadline: of everything on this connection.
            where: the server is, for messages; its address by default.
        """
        self.subject = subject
        self.command = ""
        self.deadline = deadline
        self.where = where or f"{address[0]}:{address[1]}"
        self._address = address
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._interrupted = False
        self._poll = select.poll()
        self._server_end: float | None = None
        self._data = b""
        self._at = 0

    def __enter__(self) -> Self:
        """The connection itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the socket; a shell command on the device gets its hang-up by that."""
        with self._lock:
            opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def interrupt(self) -> None:
        """From another thread: make whatever is blocked here raise DeviceLostError at once."""
        with self._lock:
            self._interrupted = True
            if self._socket is not None:
                # Closing would free the descriptor's number under the thread that polls it.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def dial(self) -> None:
        """Connect to the server.

        Raises:
            ServerDownError: nobody answers there.
        """
        if (seconds := min(self.deadline.left(), SERVER_SECONDS)) <= 0:
            raise self._late()
        try:
            opened = socket.create_connection(self._address, timeout=seconds)
        except OSError as error:
            raise self.subject.error(
                ServerDownError,
                f"no adb server answers at {self.where}",
                said=str(error),
                todo="start it with `adb start-server`, or correct adb_server in devices.yaml",
            ) from error
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._socket = opened
        self._poll.register(opened, select.POLLIN)
        if self._interrupted:
            raise self.lost()

    def ask_server(self, service: str) -> None:
        """Send a request that the server answers by itself, and read its OKAY.

        Raises:
            ServerDownError: it hangs or went away.
            AdbError: it refused; the class tells why.
        """
        self._server_end = self.deadline.now() + SERVER_SECONDS
        try:
            if (said := self._request(service)) is not None:
                raise self.subject.refused(said, self.command)
        finally:
            self._server_end = None

    def ask_server_text(self, service: str) -> str:
        """Like `ask_server`, for requests that are answered by a text."""
        self.ask_server(service)
        self._server_end = self.deadline.now() + SERVER_SECONDS
        try:
            return self._text()
        finally:
            self._server_end = None

    def open(self, service: str, shown: str = "", limit: int = SERVICE_LIMIT) -> None:
        """Ask the device for a service, after which the connection is that service's.

        Args:
            service: what to ask for.
            shown: what errors call it; the service itself by default.
            limit: the string's bytes.

        Raises:
            RemoteError: the device refused ("closed" is all that adb says then), or the string is too long.
        """
        if (said := self._request(service, shown, limit)) is not None:
            todo = REPLUG if said == "closed" else ""
            raise self.subject.error(
                RemoteError, f"refused to open '{self.command}'", command=self.command, said=said, todo=todo
            )

    def send(self, data: bytes | memoryview, meanwhile: Callable[[], None] | None = None) -> None:
        """Send everything.

        Args:
            data: what to send.
            meanwhile: called whenever something can be read before or while `data` goes out. It must read.

        Raises:
            DeviceLostError: the other side went away; what it said before that can still be read.
        """
        opened = self._opened()
        rest = memoryview(data)
        try:
            while rest:
                self._in_time()
                if meanwhile is not None and self.readable():
                    meanwhile()
                try:
                    rest = rest[opened.send(rest) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT if meanwhile is None else select.POLLOUT | select.POLLIN)
        except OSError as error:
            raise self.lost(str(error)) from error

    def readable(self) -> bool:
        """Whether a read would not block (also at the end of the stream)."""
        if self._at < len(self._data):
            return True
        self._poll.modify(self._opened(), select.POLLIN)
        return bool(self._poll.poll(0))

    def receive(self) -> bytes:
        """Whatever came, at least one byte; b"" at the end of the stream."""
        if self._at < len(self._data):
            rest, self._data = self._data[self._at :], b""
            self._at = 0
            return rest
        opened = self._opened()
        while True:
            self._in_time()  # a chatty command never lets us wait
            try:
                return opened.recv(_CHUNK)
            except BlockingIOError:
                self._wait(select.POLLIN)
            except OSError:
                return b""

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            DeviceLostError: the stream ended before (ServerDownError while the server itself was asked).
        """
        if len(self._data) - self._at >= count:
            self._at += count
            return self._data[self._at - count : self._at]
        pieces = []
        missing = count
        while missing:
            if not (piece := self.receive()):
                raise self.lost()
            if len(piece) > missing:
                self._data, self._at = piece, missing
                piece = piece[:missing]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def lost(self, said: str = "") -> AdbError:
        """The error for a connection that ended too early."""
        if self._interrupted:
            return self.subject.error(DeviceLostError, "the connection was closed from our side", command=self.command)
        if self._server_end is not None:
            todo = f"is there an adb server at {self.where}? see `adb devices`"
            return self.subject.error(ServerDownError, "the adb server hung up", command=self.command, todo=todo)
        what = f"the connection ended in the middle of '{self.command}'"
        return self.subject.error(DeviceLostError, what, command=self.command, said=said, todo=REPLUG)

    def junk(self, what: bytes) -> AdbProtocolError:
        """The error for something that is no reply of adb's."""
        found = repr(bytes(what[:40]))
        what_happened = f"unexpected reply to '{self.command}'"
        todo = f"is it an adb server that listens at {self.where}?" if self._server_end is not None else ""
        return self.subject.error(AdbProtocolError, what_happened, command=self.command, said=found, todo=todo)

    def _request(self, service: str, shown: str = "", limit: int = SERVICE_LIMIT) -> str | None:
        """Send a service string; None for OKAY, the reason for FAIL."""
        self.command = shorten(shown or service)
        data = service.encode("utf-8", "surrogateescape")
        if len(data) > limit:
            raise self.subject.error(
                RemoteError,
                f"a command of {len(data)} bytes is longer than adb takes ({limit})",
                command=self.command,
                todo="push it as a script",
            )
        self.send(b"%04x" % len(data) + data)
        status = self.read(4)
        if status == b"OKAY":
            return None
        if status == b"FAIL":
            return self._text()
        raise self.junk(status)

    def _text(self) -> str:
        digits = self.read(4)
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):  # int() would take a sign and blanks, too
            raise self.junk(digits)
        return self.read(int(digits, 16)).decode("utf-8", "replace")

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise self.lost()
        return self._socket

    def _in_time(self) -> float:
        """Seconds that are left."""
        left = self.deadline.left()
        if self._server_end is not None:
            left = min(left, self._server_end - self.deadline.now())
        if left <= 0:
            raise self._late()
        return left

    def _wait(self, events: int) -> None:
        left = self._in_time()
        self._poll.modify(self._opened(), events)
        if not self._poll.poll(math.ceil(left * 1000)):
            raise self._late()

    def _late(self) -> AdbError:
        if self._server_end is not None:
            todo = "it hangs; end it with `adb kill-server` or by its process id, then run again"
            what = f"the adb server at {self.where} does not answer"
            return self.subject.error(ServerDownError, what, command=self.command, todo=todo)
        what = f"no end of '{self.command}' within {self.deadline.seconds:g} s"
        return self.subject.error(DeviceTimeoutError, what, command=self.command, todo=REPLUG)
