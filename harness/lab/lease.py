"""One run at a time per device: an advisory lock on a file that all users of this computer share.

The kernel frees the lock when its process ends, however that happens; the file stays. A second file holds the place
of who is next, so that a run that measures without a pause does not starve another one. Locks on devices of remote
hosts hold between the runs of one controller. POSIX only.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from typing_extensions import Self

from harness.clock import Clock, iso
from harness.errors import UsageError
from harness.lab.spec import DeviceSpec, LocalSpec, RemoteSpec

# Not the temporary folder of the environment: users must agree on it.
LOCK_FOLDER = Path("/tmp/harness-locks")  # noqa: S108 - made sticky, files are never followed through links


class DeviceBusyError(UsageError):
    """Another run holds the device."""


def lease_keys(spec: DeviceSpec, machine: str) -> tuple[str, ...]:
    """What has to be held to use a device: its silicon for a local one, else each of its units.

    Args:
        spec: of the device; a wildcard has to be resolved first.
        machine: name of the computer that the harness runs on, for local devices that name none.
    """
    if isinstance(spec, LocalSpec):
        return (f"machine-{spec.machine or machine}",)
    units = spec.any if isinstance(spec, RemoteSpec) and spec.any else (spec.identity,)
    kind = type(spec).__name__.removesuffix("Spec").lower()
    return tuple(f"{kind}-{unit}" for unit in units)


class Lease:
    """The right to use one device, held from `acquire` to `release` or the end of the process."""

    def __init__(self, key: str, clock: Clock, command: str, folder: Path = LOCK_FOLDER) -> None:
        self.key = key
        self._clock = clock
        self._command = command
        self._path = folder / f"{quote(key, safe='')}.lock"
        self._queue = self._path.with_suffix(".next")
        self._handle: int | None = None
        self._place: int | None = None

    def acquire(self, *, waiting: bool = False) -> None:
        """Take the lease now or not at all.

        Args:
            waiting: whether the caller tries again until it is free, and keeps its place in the line meanwhile.

        Raises:
            DeviceBusyError: when another process, or another lease of this one, holds it; says who and since when.
            UsageError: when the lock file cannot be used.
        """
        try:
            # A run that measures on and on takes the lock again at once. So everybody has to be next in line first,
            # and whoever waits there is ahead of it.
            if self._place is None:
                self._place = _locked(self._queue)
            handle = _locked(self._path) if self._place is not None else None
            if handle is None:
                if not waiting:
                    self._leave()
                raise DeviceBusyError(f"{self.key} is in use by {self._holder()}; wait for it, or end it")
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be used as a lock file: {error.strerror}") from None
        record = {"pid": os.getpid(), "user": _user(), "command": self._command, "since": iso(self._clock.now())}
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(record).encode())
        self._handle = handle
        self._leave()

    def _leave(self) -> None:
        if self._place is not None:
            os.close(self._place)
            self._place = None

    def _holder(self) -> str:
        handle = _open(self._path)
        try:
            return _holder(handle)
        finally:
            os.close(handle)

    def release(self) -> None:
        """Give the lease back, and the place in the line; does nothing when it has neither."""
        self._leave()
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)  # which unlocks; the file stays, as removing it would race with the next holder
            self._handle = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Leases:
    """Several leases, each key once, held all or none."""

    def __init__(self, keys: Iterable[str], clock: Clock, command: str, folder: Path = LOCK_FOLDER) -> None:
        self._leases = [Lease(key, clock, command, folder) for key in sorted(set(keys))]

    def acquire(self, *, waiting: bool = False) -> None:
        """As `Lease.acquire`, for all of them.

        Args:
            waiting: likewise.

        Raises:
            DeviceBusyError: for the first one that is taken; none is held then.
            UsageError: when a lock file cannot be used.
        """
        held: list[Lease] = []
        try:
            for lease in self._leases:
                lease.acquire(waiting=waiting)
                held.append(lease)
        except DeviceBusyError:
            for lease in held:
                lease.release()
            raise

    def release(self) -> None:
        """Give all back, and every place in a line."""
        for lease in reversed(self._leases):
            lease.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _locked(path: Path) -> int | None:
    """The lock on a file, or None while somebody else has it. Raises OSError when the file cannot be used."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _open(path: Path) -> int:
    """Open the lock file for all users, making it if need be."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o1777)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Without O_CREAT first: Linux refuses that flag on other users' files in sticky folders.
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(handle, 0o666)
    return handle


def _holder(handle: int) -> str:
    try:
        record = json.loads(os.pread(handle, 1 << 16, 0))
        return f"process {record['pid']} of {record['user']} since {record['since']} ({record['command']})"
    except (ValueError, KeyError, TypeError):  # between its lock and its record
        return "another process"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an account, as in containers
        return str(os.getuid())
