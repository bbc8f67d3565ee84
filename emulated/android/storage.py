"""A phone's files as its sync service sees them: where they are, how many bytes moved, and how many still fit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol

from emulated.android.faults import Faults


class Resolve(Protocol):
    """See `daemon.Handset.resolve`."""

    def __call__(self, remote: str, *, follow: bool) -> Path:
        """The file on this computer that a path of the phone means."""


class Storage:
    """Files of one phone.

    Attributes:
        received: Bytes of files that were pushed.
        sent: Bytes of files that were pulled.
        dead: The phone has no power: nothing is cleaned up any more.
    """

    def __init__(self, faults: Faults, resolve: Resolve) -> None:
        self._resolve = resolve
        self.received = 0
        self.sent = 0
        self.dead = False
        self._faults = faults
        self._used_at_limit = 0
        self._left: int | None = None

    def resolve(self, remote: str, *, follow: bool) -> Path:
        """The file on this computer that a path of the phone means, as a system call of the phone takes it.

        Raises:
            OSError: There cannot be such a file.
        """
        if not remote:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._resolve(remote, follow=follow or remote.endswith("/"))

    def look(self, remote: str, *, follow: bool) -> os.stat_result:
        """What is known of a file. Raises OSError."""
        if follow or remote.endswith("/"):
            return self.resolve(remote, follow=True).stat()
        return self.resolve(remote, follow=False).lstat()

    def limit(self) -> None:
        """The fault `quota` was set: from now on that many bytes fit."""
        self._used_at_limit = self._used() if self._faults.quota is not None else 0
        self._left = self._faults.quota

    def free(self) -> int | None:
        """Bytes that still fit on /data, None without a limit."""
        if self._faults.quota is None:
            return None
        return max(0, self._faults.quota - (self._used() - self._used_at_limit))

    def _used(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.resolve("/data", follow=True)):
            for name in names:
                try:
                    found = os.lstat(os.path.join(folder, name))  # noqa: PTH118 (many files: no object for each)
                except FileNotFoundError:
                    continue
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
        return total

    def create(self, remote: str, mode: int) -> int:
        """Open a file to be pushed; replaces files and links, makes missing folders.

        Args:
            remote: Its path on the phone.
            mode: Permissions that it gets.

        Returns:
            Its descriptor.

        Raises:
            StorageError: In adbd's words.
        """
        try:
            path = self.resolve(remote, follow=False)
            self._unlink(path)
            self._left = self.free()
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            except FileNotFoundError:
                self._make_folders(remote, path.parent)
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            except FileExistsError:
                handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("couldn't create file", error) from error
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.fchmod(handle, mode)  # the mode of open() is cut by the umask
        return handle

    def link(self, remote: str, target: bytes) -> None:
        """Make a symbolic link; replaces files and links, makes missing folders.

        Raises:
            StorageError: In adbd's words.
        """
        try:
            path = self.resolve(remote, follow=False)
            self._unlink(path)
            try:
                path.symlink_to(os.fsdecode(target))
            except FileNotFoundError:
                self._make_folders(remote, path.parent)
                path.symlink_to(os.fsdecode(target))
        except OSError as error:
            raise StorageError("symlink failed", error) from error

    def write(self, handle: int, data: memoryview) -> None:
        """Write to a file from `create`.

        Raises:
            StorageError: In adbd's words.
        """
        self.received += len(data)
        try:
            if self._left is not None and len(data) > self._left:
                os.write(handle, data[: self._left])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            while data:
                count = os.write(handle, data)
                data = data[count:]
                if self._left is not None:
                    self._left -= count
        except OSError as error:
            raise StorageError("write failed", error) from error

    def discard(self, remote: str) -> None:
        """Remove what was pushed in part."""
        if self.dead:
            return
        try:
            self._unlink(self.resolve(remote, follow=False))
        except OSError:
            return

    def finish(self, remote: str, seconds: int) -> None:
        """Set the time of a file or link that was pushed whole, in seconds since 1970."""
        os.utime(self.resolve(remote, follow=False), (seconds, seconds), follow_symlinks=False)

    @staticmethod
    def _unlink(path: Path) -> None:
        """Remove a file or a link; leave folders and devices alone."""
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            path.unlink(missing_ok=True)

    @staticmethod
    def _make_folders(remote: str, path: Path) -> None:
        if not remote.startswith("/"):
            raise StorageError("secure_mkdirs failed", FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        missing = []
        while not path.exists():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir()
            folder.chmod(0o775)


class StorageError(Exception):
    """What a sync service says to its client: adbd's words, then the system's."""

    def __init__(self, words: str, error: OSError) -> None:
        super().__init__(f"{words}: {os.strerror(error.errno) if error.errno else error}")
