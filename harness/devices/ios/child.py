"""The process that tidevice runs in, as its parent sees it: started when needed, killed when it hangs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from harness.clock import Clock
from harness.devices.ios.errors import (
    KINDS,
    CancelledError,
    IosError,
    IosProtocolError,
    IosTimeoutError,
    Subject,
    ToolError,
)
from harness.environment import inherited

_START_SECONDS = 60.0  # for Python and tidevice on a busy computer; half a second is usual
_GRACE = 1.0  # for an answer that says what timed out
_DEATH_SECONDS = 10.0
_CHUNK = 1 << 16
_LONGEST_REPLY = 16 << 20
_SHOWN = 2000
_ROOT = Path(__file__).resolve().parents[3]


class Child:
    """One such process. Used by one thread; `cancel` alone may be called from another."""

    def __init__(self, subject: Subject, udid: str, usbmuxd: str, clock: Clock) -> None:
        """Describe it; it starts with the first call.

        Args:
            subject: who errors are about.
            udid: of the phone.
            usbmuxd: its address.
            clock: time.
        """
        self._subject = subject
        self._udid = udid
        self._usbmuxd = usbmuxd
        self._clock = clock
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None
        self._said: IO[bytes] | None = None  # its error messages
        self._number = 0
        self._rest = b""
        self._cancelled = False

    @property
    def pid(self) -> int | None:
        """Its process number; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def folder(self) -> Path:
        """A folder that nobody else may read, for the contents of small files; starts the process."""
        self._start()
        assert self._home is not None
        return self._home

    def call(self, name: str, seconds: float, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Have it do a call, and wait for the answer: `seconds`, and a second more for it to say what timed out.

        Args:
            name: see `tide_calls`.
            seconds: each wait within the call ends after so long, and then all of it.
            arguments: of the call; they have to fit into JSON.

        Raises:
            IosError: as the process says; or it did not answer in time and was killed, or it died.
        """
        self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._number += 1
        request = {"id": self._number, "call": name, "seconds": max(0.1, seconds), "arguments": arguments}
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = self._answer(process, name, seconds + _GRACE)
        except OSError as error:
            raise self._died(name) from error
        except ValueError as error:
            self.kill()
            raise self._subject.error(IosProtocolError, call=name, said=str(error)) from error
        if "error" not in answer:
            return answer["value"]
        if answer["error"] == "protocol" and answer.get("log"):
            answer["said"] += f" (tidevice: {' | '.join(answer['log'])})"
        raise self._subject.error(KINDS[answer["error"]], call=name, said=answer["said"])

    def cancel(self) -> None:
        """From another thread: end it now; the call that waits for it raises CancelledError, as do all later ones."""
        with self._lock:
            self._cancelled = True
            self._signal()

    def kill(self) -> None:
        """End it, and remove what it kept. The next call starts another one."""
        with self._lock:
            process = self._process
            self._signal()
            self._process = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel is left behind
                process.wait(_DEATH_SECONDS)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self._said is not None:
            self._said.close()
        self._said = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None
        self._rest = b""

    def _signal(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.kill()
        try:
            home = Path(tempfile.mkdtemp(prefix="harness-ios-"))  # mode 0700
        except OSError as error:
            raise self._subject.error(ToolError, "no folder can be made for tidevice", said=str(error)) from error
        environ = inherited()
        path = environ.get("PYTHONPATH")
        environ |= {"PYTHONPATH": os.pathsep.join([str(_ROOT), path] if path else [str(_ROOT)])}
        # -u: what a library prints must come out before the error that ends the process, whose words are quoted.
        command = [sys.executable, "-u", "-m", "harness.devices.ios.phone_child", str(home), self._udid, self._usbmuxd]
        with self._lock:
            if self._cancelled:
                shutil.rmtree(home, ignore_errors=True)
                raise self._subject.error(CancelledError)
            self._home = home
            try:
                self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._said,
                    cwd=home,
                    env=environ,
                    start_new_session=True,
                )
            except OSError as error:
                raise self._subject.error(ToolError, "Python cannot be started", said=str(error)) from error
        self._number = 0
        self._answer(self._process, "start", _START_SECONDS)

    def _answer(self, process: subprocess.Popen[bytes], name: str, seconds: float) -> dict[str, Any]:
        """The answer to the last question; one to a question whose asker was interrupted is passed over."""
        while True:
            answer: dict[str, Any] = json.loads(self._line(process, name, seconds))
            if answer["id"] == self._number:
                return answer

    def _line(self, process: subprocess.Popen[bytes], name: str, seconds: float) -> bytes:
        end = self._clock.monotonic() + seconds
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        while b"\n" not in self._rest:
            left = end - self._clock.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                if self._clock.monotonic() < end:
                    continue
                self.kill()
                raise self._check(self._subject.error(IosTimeoutError, call=name, said=f"{name} took {seconds:g} s"))
            data = _read(process.stdout)
            if not data:
                raise self._died(name)
            self._rest += data
            if len(self._rest) > _LONGEST_REPLY:
                self.kill()
                raise self._subject.error(IosProtocolError, call=name, said="an answer without end")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _died(self, name: str) -> IosError:
        """The error for a process that ended in the middle of a call."""
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it has closed its end, and is about to end
                process.wait(_GRACE)
        said = ""
        if self._said is not None:
            self._said.seek(0)
            said = self._said.read()[-_SHOWN:].decode("utf-8", "replace").strip()
        self.kill()
        code = process.returncode if process is not None else None
        what = f"the process that runs tidevice ended (exit code {code})"
        return self._check(self._subject.error(ToolError, what, call=name, said=said.rpartition("\n")[2]))

    def _check(self, error: IosError) -> IosError:
        return self._subject.error(CancelledError, call=error.call) if self._cancelled else error


def _read(stream: IO[bytes]) -> bytes:
    return os.read(stream.fileno(), _CHUNK)
