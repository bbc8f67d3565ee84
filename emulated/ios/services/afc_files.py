"""What AFC does with files, in the terms of this computer's system calls; `afc` puts the protocol around it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from emulated.ios.phone import Phone
from emulated.ios.services.afc_paths import FOLDER, Paths, Place

FLAGS = {
    1: os.O_RDONLY,
    2: os.O_RDWR | os.O_CREAT,
    3: os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    4: os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    5: os.O_WRONLY | os.O_APPEND | os.O_CREAT,
    6: os.O_RDWR | os.O_APPEND | os.O_CREAT,
}
"""AFC's modes of opening a file: r, r+, w, w+, a, a+."""

BLOCK = 4096
_KINDS = {
    stat.S_IFREG: "S_IFREG",
    stat.S_IFDIR: "S_IFDIR",
    stat.S_IFLNK: "S_IFLNK",
    stat.S_IFIFO: "S_IFIFO",
    stat.S_IFSOCK: "S_IFSOCK",
    stat.S_IFCHR: "S_IFCHR",
    stat.S_IFBLK: "S_IFBLK",
}
_HARD_LINK = 1


@dataclass
class OpenFile:
    """A file that a client has open.

    Attributes:
        handle: Its descriptor on this computer.
        path: As the client sees it.
        written: Bytes that were written to it.
        emptied: Opening it made it new, or empty.
    """

    handle: int
    path: str
    written: int = 0
    emptied: bool = False


class Files:
    """One client's view of the files in a folder. All methods raise OSError."""

    def __init__(self, phone: Phone, paths: Paths) -> None:
        self._phone = phone
        self._paths = paths

    @contextlib.contextmanager
    def _place(self, remote: str, *, follow: bool = False, fixed: bool = True) -> Iterator[Place]:
        """A place that clients may use; `fixed`: also what was given away itself."""
        self._check(posixpath.normpath(f"/{remote.lstrip('/')}"))
        with self._paths.place(remote, follow=follow) as place:
            self._check(place.path)
            if not fixed and self._paths.fixed(place):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), remote)
            yield place

    def _check(self, path: str) -> None:
        denied = self._phone.faults.denied
        if denied is not None and path.startswith(denied):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    def names(self, remote: str) -> list[str]:
        """What is in a folder, with `.` and `..`."""
        with self._place(remote, follow=True) as place:
            folder = os.open(place.name, FOLDER, dir_fd=place.folder)
            try:
                return [".", "..", *sorted(os.listdir(folder))]  # noqa: PTH208 (an open folder)
            finally:
                os.close(folder)

    def info(self, remote: str) -> dict[str, str]:
        """What is known of a file; of a link itself."""
        with self._place(remote) as place:
            found = place.stat()
            known = {
                "st_size": str(found.st_size),
                "st_blocks": str(found.st_blocks),
                "st_nlink": str(found.st_nlink),
                "st_ifmt": _KINDS.get(stat.S_IFMT(found.st_mode), "S_IFREG"),
                "st_mtime": str(found.st_mtime_ns),
                # This computer does not say when a file was made.
                "st_birthtime": str(min(found.st_ctime_ns, found.st_mtime_ns)),
            }
            if stat.S_ISLNK(found.st_mode):
                known["LinkTarget"] = os.readlink(place.name, dir_fd=place.folder)
            return known

    def device(self) -> dict[str, str]:
        """What is known of the phone and its storage."""
        return {
            "Model": self._phone.description.product_type,
            "FSTotalBytes": str(self._phone.description.storage.total),
            "FSFreeBytes": str(self._phone.free_bytes),
            "FSBlockSize": str(BLOCK),
        }

    def open(self, remote: str, mode: int) -> OpenFile:
        """Open a file in one of `FLAGS`' modes."""
        flags = FLAGS.get(mode)
        if flags is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        with self._place(remote, follow=True) as place:
            emptied = bool(flags & os.O_TRUNC)
            before = 0
            with contextlib.suppress(FileNotFoundError):
                found = place.stat()
                if stat.S_ISDIR(found.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if not stat.S_ISREG(found.st_mode):
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
                before = found.st_size
            if flags == os.O_RDONLY and place.name == self._phone.faults.shrinking:
                self._shrink(place, before // 2)
            options = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(place.name, flags | options, 0o644, dir_fd=place.folder)
            if emptied:
                self._phone.free_bytes += before
            return OpenFile(handle, place.path, emptied=emptied)

    @staticmethod
    def _shrink(place: Place, size: int) -> None:
        handle = os.open(place.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
        try:
            os.ftruncate(handle, size)
        finally:
            os.close(handle)

    def write(self, file: OpenFile, data: bytes) -> None:
        """Write at the file's position; what fits is written even if not all does (ENOSPC)."""
        size = os.fstat(file.handle).st_size
        appends = fcntl.fcntl(file.handle, fcntl.F_GETFL) & os.O_APPEND
        start = size if appends else os.lseek(file.handle, 0, os.SEEK_CUR)
        growth = max(0, start + len(data) - size)
        missing = max(0, growth - max(0, self._phone.free_bytes))
        fits = max(0, len(data) - missing)
        view = memoryview(data)[:fits]
        while view:
            view = view[os.write(file.handle, view) :]
        file.written += fits
        self._phone.free_bytes -= max(0, os.fstat(file.handle).st_size - size)
        if missing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def resize(self, file: OpenFile, size: int) -> None:
        """Cut an open file, or make it longer."""
        growth = size - os.fstat(file.handle).st_size
        if growth > max(0, self._phone.free_bytes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(file.handle, size)
        self._phone.free_bytes -= growth

    def truncate(self, remote: str, size: int) -> None:
        """Cut a file that is there, or make it longer."""
        self.info(remote)
        file = self.open(remote, 2)
        try:
            self.resize(file, size)
        finally:
            os.close(file.handle)

    def remove(self, remote: str) -> None:
        """Remove a file, a link or an empty folder."""
        with self._place(remote, fixed=False) as place:
            self._remove(place.name, place.folder)

    def remove_all(self, remote: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        with self._place(remote, fixed=False) as place:
            if stat.S_ISDIR(place.stat().st_mode):
                for _, folders, names, handle in os.fwalk(
                    place.name, topdown=False, follow_symlinks=False, dir_fd=place.folder
                ):
                    for name in (*names, *folders):
                        self._remove(name, handle)
            self._remove(place.name, place.folder)

    def _remove(self, name: str, folder: int) -> None:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
            self._gone(found)

    def _gone(self, found: os.stat_result) -> None:
        """A name of a file is gone; its room is free with the last one."""
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            self._phone.free_bytes += found.st_size

    def make_folder(self, remote: str) -> None:
        """Make a folder and those above it; one that is there is left as it is."""
        steps = [step for step in remote.split("/") if step not in ("", ".")]
        for count in range(1, len(steps) + 1):
            with self._place("/".join(steps[:count]), follow=True) as place:
                try:
                    os.mkdir(place.name, 0o755, dir_fd=place.folder)
                except FileExistsError:
                    if not stat.S_ISDIR(place.stat().st_mode):
                        raise

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name; a file that has it is replaced."""
        with self._place(old, fixed=False) as source, self._place(new, fixed=False) as target:
            replaced = None
            with contextlib.suppress(FileNotFoundError):
                replaced = target.stat()
            os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)
            if replaced is not None and source.path != target.path:
                self._gone(replaced)

    def link(self, kind: int, target: str, name: str) -> None:
        """Make a link: kind 1 another name of a file, kind 2 a symbolic link, which may not lead out."""
        with self._place(name, fixed=False) as place:
            if kind == _HARD_LINK:
                with self._place(target) as source:
                    os.link(
                        source.name,
                        place.name,
                        src_dir_fd=source.folder,
                        dst_dir_fd=place.folder,
                        follow_symlinks=False,
                    )
            else:
                self._paths.check_target(place, target)
                os.symlink(target, place.name, dir_fd=place.folder)

    def set_time(self, remote: str, nanoseconds: int) -> None:
        """Set when a file was changed, in nanoseconds since 1970."""
        with self._place(remote, follow=True) as place:
            os.utime(place.name, ns=(nanoseconds, nanoseconds), dir_fd=place.folder, follow_symlinks=False)
