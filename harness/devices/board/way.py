"""SSH as a way to a device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from harness.devices.shell.errors import WayLostError, WayRefusedError
from harness.devices.shell.way import FileSession, ShellResult
from harness.devices.ssh.connection import SshConnection
from harness.devices.ssh.errors import SshLostError, SshRefusedError

# Whatever shell its user has, csh and fish included: they pass this on as it stands. The script comes on standard
# input, and is read whole before it runs, so that what it starts cannot read it away.
_SHELL = "exec sh -c 'S=$(cat); eval \"$S\" </dev/null'"
_LONGEST = 4 << 20
_RETURN_SECONDS = 10.0


class SshWay:
    """A way to a board through its SSH connection."""

    def __init__(self, connection: SshConnection) -> None:
        """Bind it; nothing is opened."""
        self._connection = connection

    @property
    def longest(self) -> int:
        """Bytes of the longest script: it goes through standard input, which has no limit of its own."""
        return _LONGEST

    def connect(self, seconds: float, tell: Callable[[str], None], cancelled: threading.Event) -> None:
        """Reach the board. Nobody can help meanwhile, so that nothing is told. Raises SshError."""
        self._connection.connect(seconds, cancelled)

    def shell(self, command: str, seconds: float, *, limit: int = 16 << 20, shown: str = "") -> ShellResult:
        """Run POSIX sh to its end. Raises SshError."""
        return self._connection.run(_SHELL, seconds, stdin=command.encode(), limit=limit, shown=shown or command)

    def sync(self, seconds: float) -> AbstractContextManager[FileSession]:
        """A session for files."""
        return self._connection.files(seconds)

    def alive(self, seconds: float = 5.0) -> bool:
        """Whether the board runs a command."""
        return self._connection.alive(seconds)

    def recover(self, cancelled: threading.Event) -> None:
        """Connect anew. Raises SshError."""
        self._connection.interrupt()
        self._connection.connect(_RETURN_SECONDS, cancelled)

    def interrupt(self) -> None:
        """From another thread: every call that is under way raises SshLostError at once."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def lost(self, what: str, *, todo: str = "") -> WayLostError:
        """An error that says what happened to the board."""
        return self._connection.subject.error(SshLostError, what, todo=todo)

    def refused(self, what: str, said: str = "", todo: str = "") -> WayRefusedError:
        """An error that quotes the board."""
        return self._connection.subject.error(SshRefusedError, what, said=said.strip(), todo=todo)
