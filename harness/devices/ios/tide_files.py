"""The Documents folder of an app, through tidevice's file connection. Only for the process that runs tidevice.

tidevice's file functions ignore most status codes, and take the code of a failed opening for a handle. So requests
are made one by one here, and each status is looked at.
"""

from __future__ import annotations

import contextlib
import posixpath
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tidevice._proto import AFC, AFCMode, AFCStatus, LockdownService
from tidevice._sync import Sync
from tidevice.exceptions import BaseError

from harness.devices.ios.tide_device import HarmlessDevice
from harness.devices.ios.tide_errors import NoFileError, Refusal

_ROOT = "/Documents"
_CHUNK = 1 << 20
_MISSING = {AFCStatus.ST_OBJECT_NOT_FOUND}
_U64 = struct.Struct("<Q")


class Documents:
    """The files of one app, on one connection. Paths are relative to its Documents folder."""

    def __init__(self, device: HarmlessDevice, bundle: str) -> None:
        """Connect.

        Raises:
            Refusal: the app is not there or does not share its files.
        """
        connection = device.start_service(LockdownService.MobileHouseArrest)
        connection.send_packet({"Command": "VendDocuments", "Identifier": bundle})
        reply = connection.recv_packet()
        if "Error" in reply:
            connection.close()
            kinds = {"ApplicationLookupFailed": "app_missing", "InstallationLookupFailed": "no_file_sharing"}
            error = str(reply["Error"])
            raise Refusal("locked" if "Password" in error else kinds.get(error, "refused"), f"{bundle}: {error}")
        self._sync = Sync(connection)
        self._file: tuple[str, int, int] | None = None  # path, handle, bytes so far: of what goes in portions

    def close(self) -> None:
        """Let go of the connection."""
        self._sync.close()

    def limit(self, seconds: float) -> None:
        """Each wait of the requests that follow ends after so many seconds."""
        self._sync.get_socket().settimeout(seconds)

    def stat(self, path: str) -> dict[str, Any] | None:
        """Size, kind and time of a file; None if there is none."""
        try:
            packet = self._do(AFC.OP_GET_FILE_INFO, _at(path).encode(), path)
        except NoFileError:
            return None
        facts = _pairs(packet.payload)
        return {
            "size": int(facts["st_size"]),
            "is_dir": facts["st_ifmt"] == "S_IFDIR",
            "mtime": int(facts.get("st_mtime", 0)) / 1e9,
        }

    def list(self, folder: str) -> list[dict[str, Any]]:
        """What is in a folder; nothing if it is not there."""
        try:
            packet = self._do(AFC.OP_READ_DIR, _at(folder).encode(), folder)
        except NoFileError:
            return []
        names = [name.decode("utf-8", "surrogateescape") for name in bytes(packet.payload).split(b"\0")]
        entries = []
        for name in names:
            if name not in {"", ".", ".."} and (facts := self.stat(posixpath.join(folder, name))) is not None:
                entries.append({"name": name, **facts})
        return entries

    def mkdir(self, folder: str) -> None:
        """Make a folder and those above it; one that is there already is fine."""
        parts = [part for part in folder.split("/") if part]
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            self._do(AFC.OP_MAKE_DIR, _at(path).encode(), path, fine={AFCStatus.ST_OBJECT_EXISTS})

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder; one that is not there is fine."""
        self._do(AFC.OP_REMOVE_PATH, _name(path), path, fine=_MISSING)

    def remove_tree(self, folder: str) -> None:
        """Remove a folder with all that is in it."""
        for entry in self.list(folder):
            path = posixpath.join(folder, entry["name"])
            (self.remove_tree if entry["is_dir"] else self.remove)(path)
        self.remove(folder)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name; what had that name goes."""
        words = _name(source) + _name(target)
        packet = self._do(AFC.OP_RENAME_PATH, words, source, fine={AFCStatus.ST_OBJECT_EXISTS})
        if packet.status == AFCStatus.ST_OBJECT_EXISTS:
            self.remove(target)
            self._do(AFC.OP_RENAME_PATH, words, source)

    def touch(self, path: str, moment: float) -> None:
        """Set when a file was last changed, in seconds since 1970."""
        self._do(AFC.OP_SET_FILE_TIME, _U64.pack(int(moment * 1e9)) + _name(path), path)

    def free_bytes(self) -> int | None:
        """Free space of the phone's storage."""
        facts = _pairs(self._do(AFC.OP_GET_DEVINFO, b"", "the storage").payload)
        return int(facts["FSFreeBytes"]) if "FSFreeBytes" in facts else None

    def read(self, path: str, local: str, limit: int) -> int | None:
        """Bring a small file to a file of this computer; its size, or None if there is none.

        Raises:
            Refusal: it holds more than `limit` bytes.
        """
        try:
            handle = self._open(path, AFCMode.O_RDONLY)
        except NoFileError:
            return None
        with self._closing(handle):
            data = b"".join(self._take(handle, limit + 1, path))
        if len(data) > limit:
            raise Refusal("refused", f"{path} holds more than {limit} bytes")
        Path(local).write_bytes(data)
        return len(data)

    def put(self, path: str, local: str, offset: int, count: int, total: int) -> int:
        """Write a portion of a file; the last one gives it its name, once its size is right.

        Until then it is `path`.part. Folders are made. Portions come in order.
        """
        part = f"{path}.part"
        if offset == 0:
            self._let_go()
            self._file = (part, self._create(part), 0)
        handle = self._continue(part, offset)
        try:
            with Path(local).open("rb") as source:
                source.seek(offset)
                for chunk in _chunks(source, count):
                    self._do(AFC.OP_WRITE, _U64.pack(handle), path, chunk)
                    offset += len(chunk)
        except BaseError:
            raise  # the connection is lost, and the part on the phone stays until it is pushed again
        except (Refusal, OSError):
            self._let_go()
            with contextlib.suppress(Refusal):
                self.remove(part)
            raise
        self._file = (part, handle, offset)
        if offset == total:
            self._let_go()
            facts = self.stat(part)
            if facts is None or facts["size"] != total:
                self.remove(part)
                raise Refusal("refused", f"{path} arrived with {facts and facts['size']} bytes instead of {total}")
            self.rename(part, path)
        return offset

    def get(self, path: str, local: str, offset: int, count: int, total: int) -> int:
        """Bring a portion of a file that has to have `total` bytes. Portions come in order.

        Raises:
            Refusal: it is not there, has another size, or ends early.
        """
        if offset == 0:
            self._let_go()
            self._file = (path, self._open(path, AFCMode.O_RDONLY), 0)
        handle = self._continue(path, offset)
        end = offset + count
        with Path(local).open("r+b" if offset else "wb") as target:
            target.seek(offset)
            for chunk in self._take(handle, count, path):
                offset += target.write(chunk)
        self._file = (path, handle, offset)
        if offset < end:
            self._let_go()
            raise Refusal("refused", f"{path} ended after {offset} of {total} bytes")
        if offset == total:
            more = list(self._take(handle, 1, path))
            self._let_go()
            if more:
                raise Refusal("refused", f"{path} holds more than its {total} bytes")
        return offset

    def _create(self, path: str) -> int:
        try:
            return self._open(path, AFCMode.O_WR)
        except (NoFileError, Refusal) as error:
            folder = posixpath.dirname(path)
            if not folder or not (isinstance(error, NoFileError) or "INVALID_ARG" in error.said):
                raise
        self.mkdir(folder)
        return self._open(path, AFCMode.O_WR)

    def _open(self, path: str, mode: AFCMode) -> int:
        packet = self._do(AFC.OP_FILE_OPEN, _U64.pack(mode) + _name(path), path)
        (handle,) = _U64.unpack(packet.data)
        return int(handle)

    def _continue(self, path: str, offset: int) -> int:
        if self._file is None or self._file[0] != path or self._file[2] != offset:
            raise Refusal("gone", f"the connection ended after {offset} bytes of {path}")
        return self._file[1]

    def _take(self, handle: int, size: int, path: str) -> Iterator[bytes]:
        """Up to `size` bytes of an open file; fewer only at its end."""
        while size > 0:
            words = struct.pack("<QQ", handle, min(_CHUNK, size))
            chunk = self._do(AFC.OP_READ, words, path, fine={AFCStatus.ST_END_OF_DATA}).payload
            if not chunk:
                break
            if len(chunk) > size:
                raise ValueError(f"{len(chunk)} bytes of {path} came, {size} were asked for")
            size -= len(chunk)
            yield chunk

    def _let_go(self) -> None:
        if self._file is not None:
            handle, self._file = self._file[1], None
            self._close(handle)

    def _close(self, handle: int) -> None:
        self._sync._request(AFC.OP_FILE_CLOSE, _U64.pack(handle))

    @contextlib.contextmanager
    def _closing(self, handle: int) -> Iterator[None]:
        try:
            yield
        finally:
            self._close(handle)

    def _do(self, call: AFC, words: bytes, path: str, data: bytes = b"", fine: set[AFCStatus] | None = None) -> Any:  # noqa: ANN401 - tidevice is untyped
        """One request. Raises Refusal unless it succeeds, or ends as is fine."""
        packet = self._sync._request(call, words, data)
        if packet.status == AFCStatus.ST_SUCCESS or packet.status in (fine or ()):
            return packet
        if packet.status == AFCStatus.ST_OBJECT_NOT_FOUND:
            raise NoFileError(path)
        name = packet.status.name.removeprefix("ST_")
        kind = "no_space" if packet.status == AFCStatus.ST_NO_SPACE_LEFT else "refused"
        raise Refusal(kind, f"{path}: {name} ({int(packet.status)})")


def _at(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    if ".." in parts or "\0" in path:
        raise Refusal("refused", f"{path!r} is no path in Documents")
    return "/".join([_ROOT, *parts])


def _name(path: str) -> bytes:
    return _at(path).encode() + b"\0"


def _pairs(payload: bytes) -> dict[str, str]:
    words = [word.decode("utf-8", "replace") for word in bytes(payload).rstrip(b"\0").split(b"\0")]
    return dict(zip(words[::2], words[1::2], strict=False))


def _chunks(source: IO[bytes], count: int) -> Iterator[bytes]:
    while count > 0:
        chunk = source.read(min(_CHUNK, count))
        if not chunk:
            raise OSError("the file on this computer became shorter meanwhile")
        count -= len(chunk)
        yield chunk
