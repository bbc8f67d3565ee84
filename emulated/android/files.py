"""A phone's file system on the computer, and which file there a path of the phone means."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FOLDERS = (
    "data/local/tmp",
    "data/local/bin",
    "sys",
    "system/bin",
    "vendor/bin",
    "storage/emulated/0",
    "odm",
    "product",
)
_MOST_LINKS = 40


class Files:
    """Paths of a phone, resolved as its own kernel would: links are followed inside the phone."""

    def __init__(self, root: Path) -> None:
        """Make the folders that every phone has."""
        self._root = root
        self.around: Path | None = None
        """Where the rest of the phone's view is seen from outside: everything that is not below `root`."""
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "data/local/tmp").chmod(0o771)
        (root / "sdcard").symlink_to("storage/emulated/0")

    def write(self, path: str, content: str) -> None:
        """Set the content of a file; in place, because a file of /proc is mounted by its inode."""
        file = self._root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    def resolve(self, remote: str, *, follow: bool) -> Path:
        """The file on the computer that a path of the phone means.

        Args:
            remote: the path; a relative one starts at the phone's /.
            follow: whether a link in the last place is followed too, as it always is before a last slash.

        Raises:
            OSError: ELOOP for links in a circle, EROFS for something new at a place that is not the phone's,
                ENOTDIR for a file with a slash behind it.
        """
        folder = remote.endswith(("/", "/."))
        follow = follow or folder
        waiting = [part for part in remote.split("/") if part not in ("", ".")][::-1]
        done: list[str] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done[:-1]
                continue
            place = self._place([*done, part])
            if (waiting or follow) and place.is_symlink() and (done or self._own(part)):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), remote)
                target = place.readlink()
                waiting.extend(step for step in reversed(target.parts) if step != "/")
                done = [] if target.is_absolute() else done
            else:
                done.append(part)
        found = self._place(done)
        if folder and found.exists() and not found.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), remote)
        return found

    def _own(self, top: str) -> bool:
        return os.path.lexists(self._root / top) and top != "proc"

    def _place(self, parts: list[str]) -> Path:
        if not parts:
            return self._root if self.around is None else self.around
        if self._own(parts[0]):
            return self._root.joinpath(*parts)
        if self.around is not None:
            return self.around.joinpath(*parts)
        outside = Path("/", *parts)
        if len(parts) == 1 and not os.path.lexists(outside):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(outside))
        return outside
