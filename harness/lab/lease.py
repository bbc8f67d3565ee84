"""One run at a time per device: an advisory lock on a file that all users of this computer share.

The kernel frees the lock when its process ends, however that happens; the file stays. Locks on devices of remote
hosts hold between the runs of one controller. POSIX only.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
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
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lease now or not at all.

        Raises:
            DeviceBusyError: when another process, or another lease of this one, holds it; says who and since when.
            UsageError: when the lock file cannot be used.
        """
        try:
            handle = _open(self._path)
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be used as a lock file: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise DeviceBusyError(f"{self.key} is in use by {holder}; wait for it, or end it") from None
        record = {"pid": os.getpid(), "user": _user(), "command": self._command, "since": iso(self._clock.now())}
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(record).encode())
        self._handle = handle

    def release(self) -> None:
        """Give the lease back; does nothing when it is not held."""
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


@contextmanager
def leases(keys: Iterable[str], clock: Clock, command: str, folder: Path = LOCK_FOLDER) -> Iterator[None]:
    """Hold several leases, each key once; all or none.

    Raises:
        DeviceBusyError: for the first one that is taken.
    """
    with ExitStack() as stack:
        for key in sorted(set(keys)):
            stack.enter_context(Lease(key, clock, command, folder))
        yield


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
