"""Processes of an emulated iPhone: each is an app's program as a child of the lab, killed with the phone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulated.ios.apps import App, AppError, Program
from harness.clock import Clock

Line = tuple[int, str, str]
"""Pid, bundle, a line of output without its end."""

_OUTPUT_SECONDS = 5.0
_DIE = ["/bin/sh", "-c", "kill -ABRT $$"]


@dataclass
class Process:
    """One start of an app.

    Attributes:
        app: whose program it is.
        pid: on this computer, and what clients are told.
        argv: the whole command line.
        arguments: the launch arguments in it.
        started: seconds since 1970.
        status: None while it runs, then its exit status, or -N for signal N.
        killed: somebody ended it with `kill`, so that its end is no crash.
        finished: when it was reaped, seconds since 1970.
        lines: its output so far, standard error included.
        ended: set when it was reaped and its output is complete.
    """

    app: App
    pid: int
    argv: Sequence[str]
    arguments: Sequence[str]
    started: float
    status: int | None = None
    killed: bool = False
    finished: float | None = None
    lines: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Processes:
    """All processes of one phone. For the lab's loop only, but for `live`, `running`, `alive` and `history`.

    Attributes:
        history: every process that was started, in order.
    """

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        """`environ`: what every process gets."""
        self._environ = environ
        self._clock = clock
        self._children: dict[int, tuple[Process, subprocess.Popen[bytes], int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: list[asyncio.Queue[Line]] = []
        self.history: list[Process] = []

    @property
    def live(self) -> list[Process]:
        """Those that have not ended."""
        return [process for process in list(self.history) if process.status is None]

    @property
    def ended(self) -> list[Process]:
        """Those that have ended, in order of their start."""
        return [process for process in list(self.history) if process.status is not None]

    def running(self, bundle: str) -> int | None:
        """Pid of an app's process, None if it has none."""
        return next((process.pid for process in self.live if process.app.bundle == bundle), None)

    def alive(self, pid: int) -> bool:
        """Whether a process runs."""
        return any(process.pid == pid for process in self.live)

    async def launch(
        self, app: App, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None, *, crash: bool = False
    ) -> int:
        """Start an app; the pid of its process. One that runs already is not started again.

        Args:
            app: which one.
            arguments: launch arguments, added to the program's command line.
            env: variables, above all others but those that make the container its home.
            crash: it dies of SIGABRT instead.

        Raises:
            AppError: this computer cannot build or start its program.
        """
        if (pid := self.running(app.bundle)) is not None:
            return pid
        try:
            program = Program(_DIE) if crash else await asyncio.to_thread(app.made)
            if (pid := self.running(app.bundle)) is not None:  # somebody else was faster, while it was built
                return pid
            return self._start(app, program, arguments, env or {})
        except Exception as error:
            raise AppError("failed", app.bundle, f"{app.bundle} cannot be started here: {error}") from error

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process and to what it started; nothing happens if it has ended."""
        if pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def kill(self, pid: int) -> None:
        """End a process and what it started, as clients and the system do; nothing happens if it has ended."""
        if pid in self._children:
            self._children[pid][0].killed = True
        self.signal(pid, signal.SIGKILL)

    async def wait(self, pid: int) -> int:
        """Wait for the end of a process; its exit status, -N for signal N. Raises KeyError for an unknown pid."""
        process = next((one for one in reversed(self.history) if one.pid == pid), None)
        if process is None:
            raise KeyError(pid)
        await process.ended.wait()
        assert process.status is not None
        return process.status

    def follow(self) -> asyncio.Queue[Line]:
        """Every line that any process prints from now on."""
        queue: asyncio.Queue[Line] = asyncio.Queue()
        self._followers.append(queue)
        return queue

    def unfollow(self, queue: asyncio.Queue[Line]) -> None:
        """No more lines for this one."""
        if queue in self._followers:
            self._followers.remove(queue)

    async def kill_all(self) -> None:
        """End every process, and wait until all are reaped."""
        for pid in list(self._children):
            self.kill(pid)
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _start(self, app: App, program: Program, arguments: Sequence[str], env: Mapping[str, str]) -> int:
        home = str(app.container)
        if not program.argv or shutil.which(program.argv[0]) is None:
            raise FileNotFoundError(f"no program {' '.join(program.argv[:1])}".rstrip())
        # Who kills the lab's own process kills these: nobody is left who would.
        leash = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        argv = [*program.argv, *arguments]
        own = {"HOME": home, "CFFIXED_USER_HOME": home, "TMPDIR": str(app.container / "tmp")}
        child = subprocess.Popen(
            [*leash, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self._environ, **program.env, **env, **own},
            cwd=home,
            start_new_session=True,
        )
        process = Process(app, child.pid, argv, tuple(arguments), self._clock.now().timestamp())
        # By descriptor, and not by number: the number is free again once somebody asked for the end.
        self._children[child.pid] = process, child, os.pidfd_open(child.pid)
        self.history.append(process)
        task = asyncio.ensure_future(self._watch(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return child.pid

    async def _watch(self, process: Process) -> None:
        """Keep its output, and reap it."""
        _, child, pidfd = self._children[process.pid]
        output = asyncio.ensure_future(self._output(process, child))
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(pidfd, _set, gone)
        try:
            await gone
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started ends with it, and lets go of its output
            status = child.wait()
            if not (await asyncio.wait({output}, timeout=_OUTPUT_SECONDS))[0]:
                output.cancel()  # somebody who left the process group holds the pipe
            del self._children[process.pid]
            process.finished = self._clock.now().timestamp()
            process.status = status
            process.ended.set()

    async def _output(self, process: Process, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        reader = asyncio.StreamReader(limit=1 << 20)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), child.stdout
        )
        left = b""
        try:
            while data := await reader.read(1 << 16):
                *whole, left = (left + data).split(b"\n")
                for line in whole:
                    self._said(process, line)
            if left:
                self._said(process, left)
        finally:
            transport.close()

    def _said(self, process: Process, line: bytes) -> None:
        text = line.decode(errors="replace")
        process.lines.append(text)
        for queue in self._followers:
            queue.put_nowait((process.pid, process.app.bundle, text))


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
