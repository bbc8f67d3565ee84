"""The seam between what runs on a device and the way there: commands and files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.devices.shell.errors import WayLostError, WayRefusedError

Portion = Callable[[], AbstractContextManager[object]]
"""What is entered around each stretch of copying."""


@dataclass(frozen=True)
class ShellResult:
    """What a command left.

    Attributes:
        stdout: what it printed; with the errors in it where the way cannot tell them apart.
        stderr: what it printed as errors; empty there.
        exit_code: 128 + n when signal n ended it.
    """

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode("utf-8", "replace")


@dataclass(frozen=True)
class PushFile:
    """One file to push.

    Attributes:
        source: the file on the controller, or its content.
        remote: full path on the device, never a folder's.
        mode: permission bits; adbd gives group and others what the user has.
        sha256: of its content where that is known: a way may keep such files near the device.
    """

    source: Path | bytes
    remote: str
    mode: int = 0o644
    sha256: str | None = None


@dataclass(frozen=True)
class RemoteStat:
    """What a device says about one of its files.

    Attributes:
        mode: type and permission bits, as in `os.stat`.
        size: in bytes; modulo 4 GiB on phones without feature stat_v2.
        mtime: seconds since 1970.
    """

    mode: int
    size: int
    mtime: int


class FileSession(Protocol):
    """Files to and from a device. All raise WayError; the deadline is the session's."""

    def push(self, source: Path | bytes, remote: str, mode: int = 0o644, portion: Portion | None = None) -> int:
        """Push one file; its number of bytes. Missing parent folders are made."""

    def push_many(self, files: Iterable[PushFile], portion: Portion | None = None) -> int:
        """Push files without waiting for each one's acknowledgement; the number of bytes of all contents."""

    def pull(self, remote: str, destination: Path, limit: int, portion: Portion | None = None) -> int:
        """Bring a regular file to the controller, whole or not at all; its number of bytes."""

    def stat(self, remote: str) -> RemoteStat | None:
        """What is at a path; None if nothing is."""

    def list(self, remote: str) -> list[tuple[str, RemoteStat]]:
        """The entries of a folder; links are described themselves."""


class Way(Protocol):
    """A way to one device. May be used from several threads."""

    @property
    def longest(self) -> int:
        """Bytes of the longest command that it takes."""

    def connect(self, seconds: float, tell: Callable[[str], None], cancelled: threading.Event) -> None:
        """Reach the device, waiting for it if need be. Raises WayError.

        Args:
            seconds: for everything together.
            tell: gets one sentence when a person has to do something.
            cancelled: ends the waiting.
        """

    def shell(self, command: str, seconds: float, *, limit: int = 16 << 20, shown: str = "") -> ShellResult:
        """Run POSIX sh to its end. Raises WayError.

        Args:
            command: at most `longest` bytes.
            seconds: for everything together.
            limit: bytes of output; more is an error.
            shown: what errors call the command; its beginning by default.
        """

    def sync(self, seconds: float) -> AbstractContextManager[FileSession]:
        """A session for files, which has so many seconds for everything, waiting for turns excepted."""

    def alive(self, seconds: float = 5.0) -> bool:
        """Whether the device runs a command."""

    def recover(self, cancelled: threading.Event) -> None:
        """Make the device usable again, as gently as will do. Raises WayError."""

    def interrupt(self) -> None:
        """From another thread: every call that is under way raises WayLostError at once."""

    def close(self) -> None:
        """Let go of everything that is held."""

    def lost(self, what: str, *, todo: str = "") -> WayLostError:
        """An error of this way that says what happened to the device, and what a person can do."""

    def refused(self, what: str, said: str = "", todo: str = "") -> WayRefusedError:
        """An error of this way that quotes the device."""
