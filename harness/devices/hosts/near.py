"""adb through a host: large files go to a phone from the host's cache, everything else through the forwarded port."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.clock import Clock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import AdbServer
from harness.devices.adb.wire import Connection
from harness.devices.base import DeviceError
from harness.devices.hosts.cache import Behind, HostCache
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.way import FileSession, Portion, PushFile, RemoteStat

LARGE = 64 << 10
"""Bytes from which a file goes through the cache: what it saves is more than a few questions to the host cost."""

_READY_SECONDS = 10.0


class NearAdb(AdbDevice):
    """A phone of a host."""

    def __init__(self, server: AdbServer, phone: Behind, name: str, clock: Clock, cache: HostCache) -> None:
        """Stand for the phone; nothing is opened.

        Args:
            server: the port of this computer that leads to the host's adb server.
            phone: as the host's own adb reaches it.
            name: in devices.yaml.
            clock: time.
            cache: of the host.
        """
        super().__init__(server, phone.serial, name, clock)
        self._cache = cache
        self._phone = phone
        self._given_up = threading.Event()
        self._turn = threading.Lock()
        self._ready: Connection | None = None
        self._preparing = self._closed = False

    @contextlib.contextmanager
    def sync(self, seconds: float) -> Iterator[FileSession]:
        """A session for files; see `AdbDevice.sync`."""
        with super().sync(seconds) as session:
            yield _NearSession(session, self, Deadline(self._clock, seconds))

    def push_near(self, files: list[PushFile], deadline: Deadline, portion: Portion | None) -> bool:
        """Push files from the host; see `HostCache.push`."""
        return self._cache.push(files, self._phone, deadline, portion, self._given_up)

    def interrupt(self) -> None:
        """See `AdbDevice.interrupt`; also ends the waiting for others who copy files to the host."""
        self._given_up.set()
        super().interrupt()

    def close(self) -> None:
        """See `AdbDevice.close`."""
        with self._turn:
            self._closed = True
            ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()
        super().close()

    def _to_device(self, deadline: Deadline) -> Connection:
        """As `AdbDevice` does, but the server is asked ahead of the next use: that saves a round trip for each service.

        A server that goes away, or loses the phone, ends what it was asked on; such a connection is not used.
        """
        with self._turn:
            ready, self._ready = self._ready, None
        if ready is not None and ready.readable():
            ready.close()
            ready = None
        connection = ready or super()._to_device(deadline)
        connection.deadline = deadline
        self._prepare()
        return connection

    def _prepare(self) -> None:
        with self._turn:
            if self._preparing or self._closed:
                return
            self._preparing = True
        threading.Thread(target=self._make_ready, name=f"to {self.name}", daemon=True).start()

    def _make_ready(self) -> None:
        made: Connection | None = None
        with contextlib.suppress(DeviceError):
            made = super()._to_device(Deadline(self._clock, _READY_SECONDS))
        with self._turn:
            self._preparing = False
            if self._closed or self._ready is not None:
                unused = made
            else:
                unused, self._ready = None, made
        if unused is not None:
            unused.close()


class _NearSession:
    """A session whose large files come from the host."""

    def __init__(self, session: FileSession, device: NearAdb, deadline: Deadline) -> None:
        self._session = session
        self._device = device
        self._deadline = deadline

    def push(self, source: Path | bytes, remote: str, mode: int = 0o644, portion: Portion | None = None) -> int:
        """See `FileSession.push`."""
        return self._session.push(source, remote, mode, portion)

    def push_many(self, files: Iterable[PushFile], portion: Portion | None = None) -> int:
        """See `FileSession.push_many`."""
        files = list(files)
        near = [file for file in files if _large(file)]
        if not near or not self._device.push_near(near, self._deadline, portion):
            return self._session.push_many(files, portion)
        rest = [file for file in files if not _large(file)]
        return sum(_size(file) for file in near) + self._session.push_many(rest, portion)

    def pull(self, remote: str, destination: Path, limit: int, portion: Portion | None = None) -> int:
        """See `FileSession.pull`."""
        return self._session.pull(remote, destination, limit, portion)

    def stat(self, remote: str) -> RemoteStat | None:
        """See `FileSession.stat`."""
        return self._session.stat(remote)

    def list(self, remote: str) -> list[tuple[str, RemoteStat]]:
        """See `FileSession.list`."""
        return self._session.list(remote)


def _large(file: PushFile) -> bool:
    return file.sha256 is not None and isinstance(file.source, Path) and _size(file) >= LARGE


def _size(file: PushFile) -> int:
    return file.source.stat().st_size if isinstance(file.source, Path) else len(file.source)
