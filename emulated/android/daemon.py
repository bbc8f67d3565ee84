"""An adbd for one emulated phone, on a unix socket or a port of this computer, for the real adb server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from emulated.android import shell
from emulated.android.connection import Connection, Greeting, Service, Stream
from emulated.android.faults import Faults
from emulated.android.line import Line, Wire
from emulated.android.listener import Listener
from emulated.android.processes import Processes, Program
from emulated.android.storage import Storage
from emulated.android.sync import Sync

__all__ = ["Daemon", "Handset", "Program"]

_BUFFER = 2 << 20


class Handset(Greeting, Protocol):
    """What the daemon must know of the phone it runs on. It is called on the loop's thread and must not block."""

    def resolve(self, remote: str, *, follow: bool) -> Path:
        """The file on this computer that a path of the phone means.

        Args:
            remote: Path on the phone; a relative one starts at "/".
            follow: A link as the last component is followed too; links before it always are.

        Raises:
            OSError: There cannot be such a file; the client is told its `strerror`.
        """

    def program(self, command: str | None, env: Mapping[str, str]) -> Program:
        """How to start `sh -c command`, or an interactive shell for None; `env` (TERM) comes from the client."""


class Daemon:
    """Serves one phone to any number of adb servers. Belongs to the loop that `start` first ran on; Linux only."""

    def __init__(self, handset: Handset, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.opened: list[str] = []
        self.failures: list[BaseException] = []
        self._handset = handset
        self._processes = Processes()
        self._storage = Storage(self.faults, handset.resolve)
        self._listener = Listener(self._connected, _BUFFER)
        self._line: Line | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[Connection, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: set[Stream] = set()

    @property
    def received_bytes(self) -> int:
        """Bytes of files that were pushed, failed pushes too."""
        return self._storage.received

    @property
    def sent_bytes(self) -> int:
        """Bytes of files that were pulled."""
        return self._storage.sent

    @property
    def streams(self) -> int:
        """Services that are open now."""
        return len(self._serving)

    @property
    def connections(self) -> int:
        """Adb servers that are connected now."""
        return len(self._connections)

    def processes(self) -> list[int]:
        """Pids of all processes that came out of this phone's shells and have not ended."""
        return self._processes.alive()

    def free_bytes(self) -> int | None:
        """What the fault `quota` leaves on /data, None without one."""
        return self._storage.free()

    async def start(self, address: Path | int) -> int | None:
        """Listen: the phone is plugged in.

        Args:
            address: Path of a unix socket to make (at most about 100 characters), or a port of 127.0.0.1, 0 for any.

        Returns:
            The port, None for a unix socket.

        Raises:
            OSError: The address cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        if self._line is None:
            self._line = Line(self.faults)
            self._storage.limit()
            self.faults.listen(self._changed)
        return await self._listener.open(address)

    async def stop(self) -> None:
        """The cable is out: nobody listens, all connections are cut, and whoever uses them notices."""
        self._listener.close()
        self._cut()
        for task in self._connections.values():
            task.cancel()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)

    async def crash(self) -> None:
        """The phone is dead: as `stop`, but half-written files stay, and no process lives on."""
        self._storage.dead = True
        await self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._processes.kill()
        self._storage.dead = False

    async def close(self) -> None:
        """Release everything."""
        await self.crash()
        self.faults.listen(None)

    def drop(self) -> None:
        """Cut all connections now, from any thread, and go on listening."""
        self._on_loop(self._cut)

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cut()

    def _changed(self, name: str) -> None:
        self._on_loop(partial(self._apply, name))

    def _apply(self, name: str) -> None:
        if self._line is not None:
            self._line.changed(name)
        if name == "quota":
            self._storage.limit()

    def _on_loop(self, act: Callable[[], None]) -> None:
        if self._loop is None:
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            act()
        else:
            self._loop.call_soon_threadsafe(act)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._line is not None
        wire = Wire(reader, writer, self._line)
        connection = Connection(
            wire, self._line, greeting=self._handset, faults=self.faults, start=self._spawn, serve=self._find
        )
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.run()
        except asyncio.CancelledError:
            return  # by stop(); asyncio would log it as a mistake
        finally:
            del self._connections[connection]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)

    def _find(self, name: str) -> Service | None:
        self.opened.append(name)
        features = frozenset(self._handset.features)
        if name == "sync:":
            return self._counted(Sync(self._storage, features).run)
        request = shell.parse(name)
        if request is None or (request.framed and "shell_v2" not in features):
            return None
        program = self._handset.program(request.command, {"TERM": request.terminal})
        cooked = "shell_v2" not in features and name.startswith("shell:")
        return self._counted(
            partial(shell.run, processes=self._processes, program=program, request=request, cooked=cooked)
        )

    def _counted(self, service: Service) -> Service:
        async def run(stream: Stream) -> None:
            self._serving.add(stream)
            try:
                await service(stream)
            finally:
                self._serving.discard(stream)

        return run
