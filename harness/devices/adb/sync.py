"""Files to and from a device: the sync protocol (AOSP's file_sync_protocol.h), many files in one session."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path

from harness.clock import Clock
from harness.devices.adb.errors import AdbError, RemoteError, shorten
from harness.devices.adb.sync_messages import entries, refusal, request, stat_v1, stat_v2
from harness.devices.adb.transfer import Pushing, receive
from harness.devices.adb.wire import Connection
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.stretches import Stretches
from harness.devices.shell.way import Portion, PushFile, RemoteStat

_QUESTIONS = 256  # in flight at once: their answers fit into any socket's buffer


class SyncSession:
    """One sync service on a device, opened at the first call. For one thread at a time.

    adbd ends the service after it refused a file; the next call then opens another one. After a lost connection or
    a passed deadline, every further call raises.
    """

    def __init__(
        self,
        dial: Callable[[Deadline], Connection],
        features: Callable[[Deadline], Set[str]],
        clock: Clock,
        seconds: float,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            dial: opens `sync:` on the device.
            features: of the device; asked once.
            clock: time.
            seconds: for everything that is done in the session, waiting for turns excepted.
        """
        self._dial = dial
        self._features = features
        self._clock = clock
        self._deadline = Deadline(clock, seconds)
        self._connection: Connection | None = None
        self._spent: AdbError | None = None
        self._known: Set[str] = frozenset()
        self._files: set[str] = set()  # that `list` found

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def push(self, source: Path | bytes, remote: str, mode: int = 0o644, portion: Portion | None = None) -> int:
        """Push one file; see `push_many`."""
        return self.push_many([PushFile(source, remote, mode)], portion)

    def push_many(self, files: Iterable[PushFile], portion: Portion | None = None) -> int:
        """Push files without waiting for each one's acknowledgement.

        Missing parent folders are made by the device. A push that fails may leave a part of its file there.

        Args:
            files: what to push.
            portion: entered around each stretch of at most 4 MiB; waiting for it does not count as time.

        Returns:
            The number of bytes of all contents.

        Raises:
            RemoteError: the device refused a file: those before it arrived, those after it did not. Or a name is that
                of a folder or a link there: then nothing was sent.
            AdbError: the connection failed.
            OSError: a source cannot be read.
        """
        files = list(files)
        if not files:
            return 0
        with self._service(files[0].remote) as connection:
            self._check_targets(connection, [file.remote for file in files])
            with Stretches(portion, self._deadline) as stretches:
                pushing = Pushing(connection, stretches, int(self._clock.now().timestamp()))
                size = pushing.send(files)
            pushing.finish()
            return size

    def pull(self, remote: str, destination: Path, limit: int, portion: Portion | None = None) -> int:
        """Bring a file to the controller: to `<destination>.part`, renamed when it is whole.

        Args:
            remote: a regular file, or a link to one.
            destination: replaced if it exists.
            limit: bytes; a longer file is refused before it is read.
            portion: as for `push_many`.

        Returns:
            Its size in bytes.

        Raises:
            RemoteError: no such file, not a file, too long, or it changed while it was read.
            AdbError: the connection failed.
        """
        with self._service(remote) as connection:
            question = request(connection, b"RECV", remote)
            # What is no file may block adbd when it is opened. One that was listed as a file costs one round trip.
            at_once = question if remote in self._files else b""
            found = self._stat(connection, remote, at_once)
            if found is None:
                raise refusal(connection, remote, "cannot be pulled", "No such file or directory")
            link = stat.S_ISLNK(found.mode)
            if not (stat.S_ISREG(found.mode) or link):
                raise refusal(connection, remote, "cannot be pulled", "not a regular file")
            if found.size > limit:
                raise refusal(connection, remote, f"has {found.size} bytes, more than the {limit} allowed")
            part = destination.with_name(destination.name + ".part")
            try:
                with part.open("wb") as stream, Stretches(portion, self._deadline) as stretches:
                    if not at_once:
                        connection.send(question)
                    size = receive(connection, remote, stream, limit, stretches)
                if not link and size != found.size and not (self._v1 and size % (1 << 32) == found.size):
                    raise refusal(connection, remote, f"changed while it was read, from {found.size} to {size} bytes")
                part.replace(destination)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return size

    def stat(self, remote: str) -> RemoteStat | None:
        """What is at a path; None if nothing is.

        Links are followed. A device without feature stat_v2 can follow them to folders only: there, a link to a file
        is described itself (`stat.S_ISLNK` tells), and a path that may not be looked at counts as missing.

        Raises:
            RemoteError: the path cannot be looked at.
            AdbError: the connection failed.
        """
        with self._service(remote) as connection:
            return self._stat(connection, remote)

    def list(self, remote: str) -> list[tuple[str, RemoteStat]]:
        """The entries of a folder, without "." and ".."; links are described themselves, not followed.

        Raises:
            RemoteError: it is missing, no folder, or an entry cannot be looked at.
            AdbError: the connection failed.
        """
        with self._service(remote) as connection:
            old = "ls_v2" not in self._known
            found = self._stat(connection, remote, request(connection, b"LIST" if old else b"LIS2", remote))
            if found is None or not stat.S_ISDIR(found.mode):
                said = "No such file or directory" if found is None else "Not a directory"
                raise refusal(connection, remote, "cannot be listed", said)
            listed = list(entries(connection, remote, old))
            self._files |= {f"{remote.rstrip('/')}/{name}" for name, entry in listed if stat.S_ISREG(entry.mode)}
            return listed

    @contextlib.contextmanager
    def _service(self, remote: str) -> Iterator[Connection]:
        """The open service, which does not outlive an error."""
        if self._spent is not None:
            raise self._spent
        try:
            if self._connection is None:
                self._known = self._features(self._deadline)
                self._connection = self._dial(self._deadline)
            self._connection.command = shorten(remote)
            yield self._connection
        except BaseException as error:
            # Even a harmless error may leave half a reply unread.
            self.close()
            if isinstance(error, AdbError) and not isinstance(error, RemoteError):
                self._spent = error
            raise

    @property
    def _v1(self) -> bool:
        return "stat_v2" not in self._known

    def _stat(self, connection: Connection, remote: str, then: bytes = b"") -> RemoteStat | None:
        """What is at a path; `then` is asked as well, without waiting for the answer, which the caller reads."""
        if not self._v1:
            connection.send(request(connection, b"STA2", remote) + then)
            return stat_v2(connection, remote, b"STA2")
        connection.send(request(connection, b"STAT", remote))
        found = stat_v1(connection)
        if found is not None and stat.S_ISLNK(found.mode):
            connection.send(request(connection, b"STAT", remote.rstrip("/") + "/."))
            found = stat_v1(connection) or found
        connection.send(then)
        return found

    def _check_targets(self, connection: Connection, names: Sequence[str]) -> None:
        """Refuse names of folders and links: adbd would replace a link, also one to a folder, by the file."""
        kind = b"STAT" if self._v1 else b"LST2"
        for start in range(0, len(names), _QUESTIONS):
            group = names[start : start + _QUESTIONS]
            # All questions at once: they are far smaller than what the answers may pile up to.
            connection.send(b"".join(request(connection, kind, name) for name in group))
            found = [stat_v1(connection) if self._v1 else stat_v2(connection, name, kind) for name in group]
            for name, entry in zip(group, found, strict=True):
                if name.endswith("/") or (entry is not None and stat.S_ISDIR(entry.mode)):
                    raise refusal(connection, name, "cannot be pushed to", "it is a folder")
                if entry is not None and stat.S_ISLNK(entry.mode):
                    raise refusal(connection, name, "cannot be pushed to", "it is a link")
