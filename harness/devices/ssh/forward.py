"""A port of loopback that leads through an SSH connection: what listens is on this computer, for as long as it is open.

One thread for each direction of each connection, so that one which is not read stalls nobody else: SSH gives every
channel a window of its own.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from harness.devices.base import DeviceError
from harness.devices.ssh.library import paramiko

_PIECE = 64 << 10
_BACKLOG = 128
_SPARES = 16
_JOIN_SECONDS = 5.0


class Stream(Protocol):
    """What a forward needs of an SSH channel; paramiko's has all of it."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    @property
    def eof_received(self) -> bool:
        """Whether the far side sends nothing any more."""

    def recv(self, nbytes: int) -> bytes:
        """Whatever came; b"" at the end."""

    def sendall(self, s: bytes) -> None:
        """Send all of it. Raises OSError."""

    def shutdown_write(self) -> None:
        """Say that nothing more will be sent."""

    def close(self) -> None:
        """Close it."""


class Forward:
    """A listener on 127.0.0.1 whose connections each become a channel.

    It outlives the SSH connection: `open_stream` is asked anew for each connection. Where that fails, the one who
    connected is hung up on, and `problem` says why.

    Attributes:
        address: "127.0.0.1:PORT".
        bytes_sent: to the far side, so far.
        bytes_received: from there.
        problem: why the last connection could not be led on; None when it could.
    """

    def __init__(self, open_stream: Callable[[], Stream], name: str, *, spare: bool = False) -> None:
        """Listen.

        Args:
            open_stream: opens a channel; called from any thread. Raises DeviceError.
            name: of what is led to, for thread names.
            spare: whether channels are opened ahead of their use: each saves a round trip. For far sides that take
                connections on which nothing is said for a while.

        Raises:
            OSError: no port is free.
            UsageError: paramiko is not installed.
        """
        self._open = open_stream
        self._name = name
        self._spare = spare
        self._spares: list[Stream] = []
        self._lock = threading.Lock()
        self._ends: set[socket.socket | Stream] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        # What paramiko's channels raise, depending on when the connection ended.
        self._ended = (OSError, EOFError, paramiko().SSHException)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.bytes_sent = 0
        self.bytes_received = 0
        self.problem: DeviceError | None = None
        self._accepting = self._start(self._accept)

    def close(self) -> None:
        """Stop listening, and cut every connection."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname(), 1.0):
            pass  # which wakes the thread that accepts
        self._accepting.join(_JOIN_SECONDS)
        self._listener.close()
        with self._lock:
            ends, self._ends = self._ends, set()
            threads = list(self._threads)
        for end in ends:
            self._cut(end)
        for thread in threads:
            thread.join(_JOIN_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                continue  # whoever it was has gone again
            if self._closed:
                near.close()
                return
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._lead, near)

    def _lead(self, near: socket.socket) -> None:
        """One connection, from its beginning to its end."""
        if not self._keep(near):
            return
        far: Stream | None = None
        try:
            far = self._take()
            if far is None or not self._keep(far):
                return
            if self._spare:
                self._start(self._refill)
            down = self._start(self._down, far, near)
            self._up(near, far)
            down.join()
        finally:
            with self._lock:
                self._ends -= {near, far}
            self._cut(near)
            if far is not None:
                self._cut(far)

    def _take(self) -> Stream | None:
        with self._lock:
            while self._spares:
                spare = self._spares.pop()
                self._ends.discard(spare)
                if not spare.closed and not spare.eof_received:
                    return spare
        try:
            far = self._open()
        except DeviceError as error:
            self.problem = error
            return None
        self.problem = None
        return far

    def _refill(self) -> None:
        with self._lock:
            if self._closed or len(self._spares) >= _SPARES:
                return
        with contextlib.suppress(DeviceError):
            spare = self._open()
            if self._keep(spare):
                with self._lock:
                    self._spares.append(spare)

    def _up(self, near: socket.socket, far: Stream) -> None:
        with contextlib.suppress(*self._ended):
            while data := near.recv(_PIECE):
                far.sendall(data)
                with self._lock:
                    self.bytes_sent += len(data)
        with contextlib.suppress(*self._ended):
            far.shutdown_write()

    def _down(self, far: Stream, near: socket.socket) -> None:
        try:
            while data := far.recv(_PIECE):
                near.sendall(data)
                with self._lock:
                    self.bytes_received += len(data)
            near.shutdown(socket.SHUT_WR)
        except self._ended:
            self._cut(far)  # nobody reads it any more
        if far.closed:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RD)  # and nobody takes what would still be sent

    def _keep(self, end: socket.socket | Stream) -> bool:
        """Have it cut at `close`; False if that was already."""
        with self._lock:
            if not self._closed:
                self._ends.add(end)
                return True
        self._cut(end)
        return False

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=f"to {self._name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return thread

    def _cut(self, end: socket.socket | Stream) -> None:
        """Close an end that another thread may wait on."""
        with contextlib.suppress(OSError):
            if isinstance(end, socket.socket):
                end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(*self._ended):
            end.close()
