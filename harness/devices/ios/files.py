"""The Documents folder of an app on an iPhone, which computers may read and write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.devices.ios.errors import IosProtocolError, ToolError

if TYPE_CHECKING:
    from harness.devices.ios.transport import Transport

PORTION = 4 << 20
"""Bytes that move in one call. Others get their turn in between."""

Turn = Callable[[], AbstractContextManager[object]]


class Entry(NamedTuple):
    """What is in a folder.

    Attributes:
        name: in its folder.
        size: in bytes.
        is_dir: whether it is a folder.
        mtime: when it was last changed, in seconds since 1970.
    """

    name: str
    size: int
    is_dir: bool
    mtime: float


class AppFiles:
    """The files of one app. Paths are relative to its Documents folder, with forward slashes.

    All methods raise IosError: AppMissingError and NoFileSharingError, NoSpaceError, RefusedError for what the phone
    does not do, and what is wrong with the way to it.
    """

    def __init__(self, transport: Transport, bundle: str) -> None:
        self._transport = transport
        self._bundle = bundle

    def push(self, local: Path, remote: str, seconds: float, *, turn: Turn = nullcontext) -> int:
        """Copy a file to the phone. It has its name there once it is whole; until then it is `remote`.part.

        Args:
            local: on this computer.
            remote: its path; folders are made.
            seconds: for each portion of 4 MiB.
            turn: entered around each portion.

        Returns:
            Its size.
        """
        try:
            total = local.stat().st_size
        except OSError as error:
            raise self._transport.subject.error(ToolError, f"{local.name} cannot be read", said=str(error)) from error
        self._portions("files.put", local, remote, total=total, seconds=seconds, turn=turn)
        return total

    def pull(self, remote: str, local: Path, size: int, seconds: float, *, turn: Turn = nullcontext) -> int:
        """Copy a file from the phone. Raises RefusedError if it has not exactly the size that it is said to have.

        Args:
            remote: its path.
            local: on this computer; replaced.
            size: as `stat` or `list` says; no more is ever read.
            seconds: for each portion of 4 MiB.
            turn: entered around each portion.

        Returns:
            Its size.
        """
        self._portions("files.get", local, remote, total=size, seconds=seconds, turn=turn)
        return size

    def write(self, remote: str, content: bytes, seconds: float) -> None:
        """Write a small file; it has its name once it is whole."""
        with self._transport.scratch("files.put", seconds) as (path, call):
            path.write_bytes(content)
            size = len(content)
            call(bundle=self._bundle, path=remote, offset=0, count=size, total=size)

    def read(self, remote: str, limit: int, seconds: float) -> bytes | None:
        """The content of a small file; None if there is none. Raises RefusedError if it has more than `limit` bytes."""
        with self._transport.scratch("files.read", seconds) as (path, call):
            size = call(bundle=self._bundle, path=remote, limit=limit)
            content = None if size is None else path.read_bytes()
        if content is not None and len(content) != size:
            raise self._transport.subject.error(IosProtocolError, call="files.read", said=f"{remote}: {size} bytes")
        return content

    def stat(self, remote: str, seconds: float) -> int | None:
        """The size of a file in bytes; None if there is none."""
        found = self._transport.call("files.stat", seconds, bundle=self._bundle, path=remote)
        return None if found is None else int(found["size"])

    def list(self, folder: str, seconds: float) -> list[Entry]:
        """What is in a folder; nothing if it is not there."""
        found = self._transport.call("files.list", seconds, bundle=self._bundle, folder=folder)
        return [Entry(**entry) for entry in found]

    def remove(self, remote: str, seconds: float) -> None:
        """Remove a file or an empty folder; what is not there is fine."""
        self._transport.call("files.remove", seconds, bundle=self._bundle, path=remote)

    def remove_tree(self, folder: str, seconds: float) -> None:
        """Remove a folder with all that is in it; what is not there is fine."""
        self._transport.call("files.remove_tree", seconds, bundle=self._bundle, folder=folder)

    def mkdir(self, folder: str, seconds: float) -> None:
        """Make a folder and those above it; what is there is fine."""
        self._transport.call("files.mkdir", seconds, bundle=self._bundle, folder=folder)

    def rename(self, source: str, target: str, seconds: float) -> None:
        """Give a file another name; what had that name goes."""
        self._transport.call("files.rename", seconds, bundle=self._bundle, source=source, target=target)

    def touch(self, remote: str, moment: float, seconds: float) -> None:
        """Set when a file was last changed, in seconds since 1970."""
        self._transport.call("files.touch", seconds, bundle=self._bundle, path=remote, moment=moment)

    def free_bytes(self, seconds: float) -> int | None:
        """Free space of the phone's storage; None if it does not say."""
        found = self._transport.call("files.free_bytes", seconds, bundle=self._bundle)
        return None if found is None else int(found)

    def _portions(self, call: str, local: Path, remote: str, *, total: int, seconds: float, turn: Turn) -> None:
        offset = 0
        while True:
            count = min(PORTION, total - offset)
            with turn():
                offset = self._transport.call(
                    call,
                    seconds,
                    bundle=self._bundle,
                    path=remote,
                    local=str(local.absolute()),
                    offset=offset,
                    count=count,
                    total=total,
                )
            if offset >= total:
                return
