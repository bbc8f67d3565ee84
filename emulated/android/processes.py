"""The processes of a phone on this computer: started, found again wherever they went, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulated.android.descriptor import Descriptor

MARKER = "HARNESS_PHONE"
"""Environment variable that tells a phone's processes from all others, detached and orphaned ones too."""


@dataclass(frozen=True)
class Program:
    """How to start one shell of a phone on this computer.

    Attributes:
        argv: Command line. It must become the shell by exec, not by fork: a signal to its process is one to the shell.
        env: The whole environment.
        cwd: Folder that it starts in.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path


class Processes:
    """All processes of one phone. Linux only."""

    def __init__(self) -> None:
        self._token = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._children: dict[int, tuple[subprocess.Popen[bytes], int]] = {}

    def start(self, program: Program, stdio: tuple[int, int, int], *, terminal: str | None = None) -> int:
        """Start a session of its own; its pid.

        Args:
            program: What to start.
            stdio: Descriptors of its standard input, output and error.
            terminal: Path of the pseudo-terminal that becomes its controlling one.

        Raises:
            OSError: It cannot be started.
        """
        argv = list(program.argv)
        if terminal is not None:
            # The first terminal that a session's leader opens controls it; and no Python runs between fork and exec.
            argv = ["/bin/sh", "-c", ': <>"$0"; exec "$@"', terminal, *argv]
        child = subprocess.Popen(
            argv,
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            env={**program.env, MARKER: self._token},
            cwd=program.cwd,
            start_new_session=True,
            umask=0,
        )
        # By this descriptor, and not by a number, because the number is free again once somebody asked for the end.
        self._children[child.pid] = child, os.pidfd_open(child.pid)
        return child.pid

    def runs(self, pid: int) -> bool:
        """Whether a process that `start` started has not ended."""
        return self._children[pid][0].poll() is None

    def hang_up(self, pid: int) -> None:
        """SIGHUP to this process only, unless it has ended."""
        if self.runs(pid):
            os.kill(pid, signal.SIGHUP)

    async def ended(self, pid: int) -> int:
        """Wait for the end of a process that `start` started; its exit code, 128 + n for signal n."""
        child, pidfd = self._children[pid]
        watched = Descriptor(os.dup(pidfd))
        try:
            await watched.readable()
        finally:
            watched.close()
        self._forget(pid)
        return 128 - child.returncode if child.returncode < 0 else child.returncode

    def alive(self) -> list[int]:
        """Pids of all processes that came out of this phone's shells and have not ended."""
        return marked(MARKER, self._token)

    def kill(self) -> None:
        """SIGKILL all of them, those too that they start meanwhile, and reap our children."""
        for child, _ in self._children.values():
            child.kill()
        kill_all(self.alive)
        for pid in list(self._children):
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        """Reap a child that has ended or soon will."""
        child, pidfd = self._children.pop(pid)
        os.close(pidfd)
        child.wait()


def marked(variable: str, value: str) -> list[int]:
    """Pids of all processes of this computer whose environment has a variable with this value, in order."""
    wanted = f"{variable}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # ended by now, or another user's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return sorted(found)


def kill_all(running: Callable[[], Iterable[int]]) -> None:
    """SIGKILL to all processes that `running` finds, until it finds none: they may start others meanwhile."""
    while pids := list(running()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
