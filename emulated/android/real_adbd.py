"""Debian's build of Android's adbd as the adbd of an emulated phone, with faults on the way to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from emulated.android.faults import Faults
from emulated.android.line import CutError, Line
from emulated.android.listener import Listener
from emulated.android.userland import Isolation, Namespace, isolation

RELAY = Path(__file__).parent / "bin" / "relay.py"
UNPACKED = Path(__file__).parents[2] / ".cache" / "adbd"
FAULTS = frozenset({"drop", "drop_after", "stall_after", "rate", "hung", "crash"})
"""What can be done to it from outside. It asks nobody for permission, and has no quota."""

_PIECE = 1 << 18


def absent(kind: Isolation | None = None) -> str | None:
    """Why phones cannot have Debian's adbd here, and what to do; None if they can.

    Args:
        kind: how the lab keeps phones apart; what this computer allows by default.
    """
    if not _program(UNPACKED).is_file():
        return "needs Debian's adbd: bash .ci/adbd .cache/adbd"
    if (kind or isolation()) != "namespace":
        return "Debian's adbd needs a namespace for its network, which this lab or this computer does not allow"
    return None


class RealAdbd:
    """The adbd, and the cable to it; see `phone.Cable`.

    Attributes:
        faults: those of `FAULTS` act; the others have no effect.
        opened: empty: it does not tell.
        failures: empty.
        received_bytes: everything that came in, the protocol's own bytes too.
    """

    def __init__(self, namespace: Namespace, environ: Mapping[str, str], inner: Path) -> None:
        """For a phone whose namespace has a network of its own.

        Args:
            namespace: of the phone.
            environ: of the adbd, and so of the phone's shells.
            inner: path of a socket to make, from inside to outside.
        """
        self.faults = Faults()
        self.opened: list[str] = []
        self.failures: list[BaseException] = []
        self.received_bytes = 0
        self._namespace = namespace
        self._environ = dict(environ)
        self._inner = inner
        self._relay: subprocess.Popen[bytes] | None = None
        self._listener = Listener(self._connected)
        self._line: Line | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.Task[None]]] = {}

    async def start(self, address: Path | int) -> int | None:
        """See `phone.Cable.start`. Raises OSError if the adbd does not start."""
        self._loop = asyncio.get_running_loop()
        if self._line is None:
            self._line = Line(self.faults)
            self.faults.listen(self._changed)
        if self._relay is None:
            await asyncio.to_thread(self._boot)
        return await self._listener.open(address)

    async def stop(self) -> None:
        """See `phone.Cable.stop`."""
        self._listener.close()
        self._cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def crash(self) -> None:
        """See `phone.Cable.crash`; the adbd starts anew with the next `start`."""
        if self._relay is not None:
            for pid in self._namespace.servants:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._relay.communicate()
            self._relay = None
            self._namespace.servants.clear()
            self._inner.unlink(missing_ok=True)
        await self.stop()

    async def close(self) -> None:
        """See `phone.Cable.close`."""
        await self.crash()
        self.faults.listen(None)

    def drop(self) -> None:
        """See `phone.Cable.drop`."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut)

    def _boot(self) -> None:
        program = _program(UNPACKED)
        libraries = next(UNPACKED.glob("usr/lib/*/android"))
        # Through the loader, because LD_LIBRARY_PATH would reach the phone's shells.
        adbd = [_loader(program), "--library-path", str(libraries), str(program)]
        self._relay = subprocess.Popen(
            [*self._namespace.enter(), sys.executable, "-I", "-S", str(RELAY), str(self._inner), *adbd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )
        assert self._relay.stdout and self._relay.stderr
        said = self._relay.stdout.readline()
        if not said:
            words = self._relay.communicate()[1].decode("utf-8", "replace").strip()
            self._relay = None
            raise OSError(f"Debian's adbd did not start: {words}")
        self._namespace.servants.update((self._relay.pid, int(said)))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        inner: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        self._connections[task] = pumps
        try:
            inner_reader, inner = await asyncio.open_unix_connection(self._inner)
            pumps.append(asyncio.ensure_future(self._pump(reader, inner, incoming=True)))
            pumps.append(asyncio.ensure_future(self._pump(inner_reader, writer, incoming=False)))
            # Whichever side ends first ends both, as one socket would.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._connections[task]
            for pump in pumps:
                pump.cancel()
            for end in (writer, inner):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, incoming: bool) -> None:
        assert self._line is not None
        with contextlib.suppress(ConnectionError, CutError):
            while data := await reader.read(_PIECE):
                if incoming:
                    self.received_bytes += len(data)
                left = memoryview(data)
                while left:
                    count = await self._line.grant(len(left), writer.is_closing)
                    writer.write(bytes(left[:count]))
                    await writer.drain()
                    self._line.moved(count)
                    left = left[count:]

    def _cut(self) -> None:
        for pumps in self._connections.values():
            for pump in pumps:
                pump.cancel()

    def _changed(self, name: str) -> None:
        if self._loop is not None and self._line is not None:
            self._loop.call_soon_threadsafe(self._line.changed, name)


def _program(folder: Path) -> Path:
    return folder / "usr/lib/android-sdk/platform-tools/adbd"


def _loader(program: Path) -> str:
    """The program's ELF interpreter: the one segment that is a path which starts with /lib."""
    head = program.read_bytes()[:4096]
    start = head.index(b"/lib")
    return os.fsdecode(head[start : head.index(b"\0", start)])
