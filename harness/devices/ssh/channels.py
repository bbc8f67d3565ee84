"""Channels to what listens on the far computer: a TCP port, or a unix socket."""

from __future__ import annotations

import contextlib
import shlex
import struct
from typing import Any, Protocol

from harness.devices.ssh.library import paramiko

_PYTHON = (
    "import os,socket,sys,threading as t;"
    "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
    'f=lambda:([s.sendall(d) for d in iter(lambda:os.read(0,65536),b\\"\\")],s.shutdown(1));'
    "t.Thread(target=f,daemon=True).start();"
    '[os.write(1,d) for d in iter(lambda:s.recv(32768),b\\"\\")]'
)
# Without single quotes, newlines and exclamation marks: the far login shell need not be a Bourne shell.
_PROGRAM = (
    "if command -v socat >/dev/null; then exec socat STDIO UNIX-CONNECT:$1; "
    f'elif command -v python3 >/dev/null; then exec python3 -c "{_PYTHON}" "$1"; '
    'else exec nc -N -U "$1"; fi'
)


class Opener(Protocol):
    """What opens channels: one SSH connection, authenticated."""

    def open(self, kind: str, extra: bytes, seconds: float) -> Any:  # noqa: ANN401 - paramiko has no types
        """Open a channel of any type. Raises paramiko.ChannelException, with the far side's reason as `code`."""


def open_tcp(transport: Opener, host: str, port: int, seconds: float) -> Any:  # noqa: ANN401 - as above
    """A channel to a TCP port, as the far computer sees it. Raises what `Opener.open` does."""
    extra = _string(host) + struct.pack(">I", port) + _string("127.0.0.1") + struct.pack(">I", 0)
    return transport.open("direct-tcpip", extra, seconds)


def open_socket(transport: Opener, path: str, seconds: float) -> Any:  # noqa: ANN401 - as above
    """A channel to a unix socket of the far computer.

    Where sshd opens none, a program connects: socat, python3 or nc, whichever is found first. That takes one of the
    connection's sessions, of which OpenSSH allows 10. OpenSSH says the same of a socket on which nobody listens and of
    one that it is set not to lead to; the program then finds out.

    Raises:
        Exception: what `Opener.open` does.
    """
    extra = _string(path) + _string("") + struct.pack(">I", 0)
    with contextlib.suppress(paramiko().ChannelException):
        return transport.open("direct-streamlocal@openssh.com", extra, seconds)
    session = transport.open("session", b"", seconds)
    session.exec_command(f"sh -c '{_PROGRAM}' sh {shlex.quote(path)}")
    return session


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data
