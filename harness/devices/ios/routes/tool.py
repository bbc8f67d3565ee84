"""A program of another project, run as a child process with a deadline; what it says becomes an error of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.devices.ios.errors import CancelledError, IosTimeoutError, Subject, ToolError
from harness.environment import inherited

_LONGEST = 1 << 20
_DEATH_SECONDS = 5.0


@dataclass(frozen=True)
class Said:
    """How a tool ended, and what it printed; the last MiB of it."""

    code: int
    out: str
    err: str


class Tool:
    """Runs one tool. For one thread, except `cancel`."""

    def __init__(self, name: str, program: Sequence[str], subject: Subject, environ: Mapping[str, str]) -> None:
        """Bind it; nothing is started.

        Args:
            name: for messages.
            program: how it is called: a path, or several words.
            subject: the phone, for errors.
            environ: variables beside this process's own.
        """
        self.name = name
        self.subject = subject
        self._program = tuple(program)
        self._environ = dict(environ)
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def run(self, arguments: Sequence[str], seconds: float) -> Said:
        """Run it to its end.

        Raises:
            ToolError: it cannot be started.
            IosTimeoutError: it did not end within `seconds`; it and all that it started was killed.
            CancelledError: `cancel` was called.
        """
        call = " ".join(arguments[:3])
        with self._lock:
            self._check(call)
            try:
                # A session of its own: what it starts is ended with it.
                process = subprocess.Popen(
                    [*self._program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**inherited(), **self._environ},
                    start_new_session=True,
                )
            except OSError as error:
                what = f"{self.name} cannot be started ({self._program[0]}: {error.strerror})"
                raise self.subject.error(ToolError, what, call=call) from error
            self._running = process
        try:
            out, err = process.communicate(timeout=max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._end(process)
            self._check(call)
            what = f"`{self.name} {call}` did not end within {seconds:.0f} s"
            todo = f"try `{' '.join(self._program)} {call}` yourself; unplug the phone and plug it in again"
            raise self.subject.error(IosTimeoutError, what, call=call, todo=todo) from None
        finally:
            with self._lock:
                self._running = None
            self._end(process)
        self._check(call)
        return Said(process.returncode, _text(out), _text(err))

    def cancel(self) -> None:
        """End the running call, and refuse further ones."""
        with self._lock:  # or a call that just begins would run to its end
            self._cancelled = True
            if self._running is not None:
                _kill(self._running.pid)

    def _check(self, call: str) -> None:
        if self._cancelled:
            raise self.subject.error(CancelledError, "cancelled", call=call)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End it and what it started, and close its pipes."""
        _kill(process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_DEATH_SECONDS)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _text(data: bytes) -> str:
    return data[-_LONGEST:].decode("utf-8", "replace")
