"""Which file of this computer a path of an emulated iPhone means; never one outside the folder that was given away.

Every step is taken from an open folder, and no link is followed by the system: links are read and resolved here. So
neither `..` nor a link, nor an app that swaps a folder for a link meanwhile, leads out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 32


@dataclass(frozen=True)
class Place:
    """One name in an open folder.

    Attributes:
        folder: Descriptor of the folder; closed when the block ends that `Paths.place` is used with.
        name: "." for the root itself, else one name; there may be no such file.
        path: As a client sees it, without links and `..`: "/Documents/out".
    """

    folder: int
    name: str
    path: str

    def stat(self) -> os.stat_result:
        """What is known of it, of a link itself. Raises OSError."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)


class Paths:
    """The paths of one folder that is given away to clients as `/`."""

    def __init__(self, root: Path, visible: Sequence[str] = ()) -> None:
        """Give a folder away.

        Args:
            root: the folder.
            visible: the only names in it that clients may use; the folder itself is denied then. Empty: all of it.
        """
        self._root = root
        self._visible = tuple(visible)

    def fixed(self, place: Place) -> bool:
        """Whether a place is what was given away itself: no client may remove or rename it."""
        return place.path == "/" or place.path[1:] in self._visible

    @contextlib.contextmanager
    def place(self, remote: str, *, follow: bool = False) -> Iterator[Place]:
        """Find the place that a path means; without a leading slash it starts at the root as well.

        Args:
            remote: the path.
            follow: whether a link in the last place is followed too.

        Raises:
            PermissionError: It leads out of what was given away.
            OSError: There is no such folder, or links go in a circle.
        """
        with contextlib.ExitStack() as closing:
            yield self._walk(closing, remote, follow=follow)

    def _walk(self, closing: contextlib.ExitStack, remote: str, *, follow: bool) -> Place:
        folders = [_opened(closing, os.fspath(self._root))]
        names: list[str] = []
        waiting = _steps(remote)
        links = 0
        while waiting:
            step = waiting.pop()
            if step == "..":
                if not names:
                    raise PermissionError(errno.EPERM, "above the root", remote)
                names.pop()
                folders.pop()
                continue
            if not names and self._visible and step not in self._visible:
                raise PermissionError(errno.EPERM, "not given away", remote)
            target = _target(step, folders[-1]) if waiting or follow else None
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), remote)
                if target.startswith("/"):
                    raise PermissionError(errno.EPERM, "a link out of the container", remote)
                waiting.extend(_steps(target))
            elif waiting:
                folders.append(_opened(closing, step, folders[-1]))
                names.append(step)
            else:
                return Place(folders[-1], step, "/" + "/".join([*names, step]))
        if names:
            return Place(folders[-2], names[-1], "/" + "/".join(names))
        if self._visible:
            raise PermissionError(errno.EPERM, "not given away", remote)
        return Place(folders[-1], ".", "/")

    def check_target(self, link: Place, target: str) -> None:
        """Refuse a link that would lead out.

        Raises:
            PermissionError: It would.
        """
        path = target if target.startswith("/") else posixpath.join(posixpath.dirname(link.path), target)
        names: list[str] = []
        for step in reversed(_steps(path)):
            if step != "..":
                names.append(step)
            elif not names:
                raise PermissionError(errno.EPERM, "a link out of the container", target)
            else:
                names.pop()
        if target.startswith("/") or (self._visible and names[:1] not in [[name] for name in self._visible]):
            raise PermissionError(errno.EPERM, "a link out of the container", target)


def _steps(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]


def _opened(closing: contextlib.ExitStack, name: str, folder: int | None = None) -> int:
    handle = os.open(name, FOLDER, dir_fd=folder)
    closing.callback(os.close, handle)
    return handle


def _target(name: str, folder: int) -> str | None:
    """Where a link leads; None for what is no link, or is not there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise
