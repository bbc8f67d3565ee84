"""Processes that run models for their reference outputs: of their own, or forked by a server.

A model may end the process that it runs in, or never end. Starting Python and loading the runtime takes 0.2 s, which
is most of what a small model takes; a server pays it once, and forks a process for each model.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.clock import Clock
from harness.environment import inherited

_CHILD = Path(__file__).with_name("child.py")
_DEATH_SECONDS = 30.0  # a killed process that hangs in the kernel is left behind


@dataclass(frozen=True)
class End:
    """How a process ended: whether by itself within its time, and its exit code, negative by that signal."""

    in_time: bool
    code: int | None


class Processes:
    """Runs `child.py`. Several threads may do so at once; `cancel` may be called from any other one."""

    def __init__(self, clock: Clock, python: str, served: str | None) -> None:
        """Nothing starts yet.

        Args:
            clock: for deadlines.
            python: that has the runtime.
            served: the runtime that servers load, until `close`. None: each model has a process of its own, which
                is so wherever what a runtime loads may not survive a fork.
        """
        self._clock = clock
        self._python = python
        self._served = served if sys.platform == "linux" else None
        # One thread computes, and the pools of numpy's BLAS would count against the limit of address space.
        self._env = {**inherited(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._lock = threading.Lock()
        self._running: set[_Child] = set()
        self._idle: list[_Server] = []
        self._cancelled = False

    def model(self, request: Path, log: Path, seconds: float) -> End | None:
        """Run one model; None once cancelled."""
        if self._served is not None:
            end = self._fork(self._served, request, log, seconds)
            if end is None or log.exists():
                return end
        return self.run([str(request)], log, seconds)  # the server did not get that far; this one says why

    def run(self, arguments: Sequence[str], log: Path, seconds: float) -> End | None:
        """Run a process of its own, whose words go to a file; None once cancelled.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock, log.open("wb") as stream:
            if self._cancelled:
                return None
            process = subprocess.Popen(
                self._command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self._env,
                start_new_session=True,
            )
            child = _Own(process)
            self._running.add(child)
        return self._end(child, seconds)

    def cancel(self) -> None:
        """End what is running, and let nothing start any more."""
        with self._lock:
            self._cancelled = True
            for child in self._running:
                child.kill()
        self.close()

    def close(self) -> None:
        """End the servers that have nothing to do; another model would start a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for server in idle:
            server.close()

    def _fork(self, runtime: str, request: Path, log: Path, seconds: float) -> End | None:
        with self._lock:
            if self._cancelled:
                return None
            server = self._idle.pop() if self._idle else _Server(self._command("--serve", runtime), self._env)
            server.idle = False
            self._running.add(server)
        server.begin(request, log)
        end = self._end(server, seconds)
        with self._lock:
            kept = server.idle and not self._cancelled
            if kept:
                self._idle.append(server)
        if not kept:
            server.close()
        return end

    def _command(self, *arguments: str) -> list[str]:
        return [self._python, str(_CHILD), *arguments]

    def _end(self, child: _Child, seconds: float) -> End | None:
        """Wait for a child's end, and kill it when its time is up."""
        ended = threading.Event()
        codes: list[int] = []

        def watch() -> None:
            codes.append(child.wait())
            ended.set()

        threading.Thread(target=watch, name="harness-golden", daemon=True).start()
        in_time = False
        try:
            in_time = self._clock.wait(ended, seconds)
        finally:  # also when this thread is interrupted
            child.kill()
            self._clock.wait(ended, _DEATH_SECONDS)
            with self._lock:
                self._running.discard(child)
        return None if self._cancelled else End(in_time, codes[0] if codes else None)


class _Child(Protocol):
    """What runs a model."""

    def wait(self) -> int:
        """Wait for the model's end: the exit code of its process, negative by that signal."""

    def kill(self) -> None:
        """End it if it still runs; from any thread."""


class _Own:
    """A process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait(self) -> int:
        return self._process.wait()

    def kill(self) -> None:
        _kill(self._process)


class _Server:
    """A process that forks one for each model, one after the other. To end a model is to end its server."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,  # its forks are in it, too
        )
        self.idle = True

    def begin(self, request: Path, log: Path) -> None:
        """Run a model; `wait` tells its end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, which `wait` tells
            self._process.stdin.write(json.dumps({"request": str(request), "log": str(log)}).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return self._process.wait()
        self.idle = True
        return int(line)

    def kill(self) -> None:
        if not self.idle:
            _kill(self._process)

    def close(self) -> None:
        """End the server itself, not from within `wait`."""
        _kill(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()
        self._process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
