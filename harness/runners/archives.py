"""LiteRT's libraries out of an Android archive: an AAR, or a release's zip of the same layout (`jni/<abi>/*.so`)."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from harness.errors import UsageError
from harness.lab.spec import ABIS
from harness.paths import sha256_file
from harness.runners.download import LIMIT, cache_folder, unwritable

LIBRARY = "libLiteRt.so"
_RECORD = "archive.json"
_MANIFEST = "AndroidManifest.xml"
_MANIFEST_BYTES = 1 << 20
_VERSION_NAME = re.compile(rb"android:versionName\s*=\s*[\"']([0-9][0-9A-Za-z.+-]*)[\"']")


def abis_in(archive: Path) -> list[str]:
    """The ABIs that an archive has a runtime for, of those known here.

    Raises:
        UsageError: it is no readable archive.
    """
    with _opened(archive) as content:
        names = set(content.namelist())
    return [abi for abi in ABIS if f"jni/{abi}/{LIBRARY}" in names]


def version_in(archive: Path) -> str | None:
    """The version that an archive's manifest states; None if it states none.

    Raises:
        UsageError: it is no readable archive.
    """
    with _opened(archive) as content:
        try:
            info = content.getinfo(_MANIFEST)
        except KeyError:
            return None
        if info.file_size > _MANIFEST_BYTES:
            return None
        stated = _VERSION_NAME.search(content.read(info))
    return stated[1].decode() if stated else None


def unpacked(archive: Path, abi: str) -> Path:
    """A folder of the cache with the archive's libraries for an ABI; unpacked once, by the archive's hash.

    Raises:
        UsageError: it is no readable archive, or has no runtime for the ABI.
    """
    sha256 = sha256_of(archive)
    folder = folder_of(sha256, abi)
    if (folder / _RECORD).is_file():
        return folder
    found = abis_in(archive)
    if abi not in found:
        what = f"one for {', '.join(found)}" if found else "none at all"
        raise UsageError(f"{archive}: has no runtime for {abi} (jni/{abi}/{LIBRARY}); it has {what}")
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, _opened(archive) as content:
            fresh = Path(scratch) / "unpacked"
            fresh.mkdir()
            _extract(content, archive, abi, fresh)
            record = {"archive": archive.name, "sha256": sha256, "abi": abi}
            (fresh / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            try:
                fresh.rename(folder)
            except OSError:
                if not (folder / _RECORD).is_file():  # else another process was faster
                    raise
    except OSError as error:
        raise unwritable(error) from None
    return folder


def folder_of(sha256: str, abi: str) -> Path:
    """Where the libraries of the archive with this hash are unpacked."""
    return cache_folder("runtimes") / f"{sha256}-{abi}"


def sha256_of(archive: Path) -> str:
    """SHA-256 of an archive. Raises UsageError if it cannot be read."""
    try:
        return sha256_file(archive)
    except OSError as error:
        raise UsageError(f"{archive} cannot be read: {error.strerror}") from None


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as content:
            yield content
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{archive}: is no Android archive (AAR), or is damaged: {error}") from None
    except FileNotFoundError as error:
        if error.filename is not None and Path(error.filename) != archive:
            raise
        raise UsageError(f"{archive}: there is no such file") from None


def _extract(content: zipfile.ZipFile, archive: Path, abi: str, folder: Path) -> None:
    # Other libraries beside them (litert_jni) are for apps: they need a Java virtual machine.
    left = LIMIT
    for info in content.infolist():
        path = PurePosixPath(info.filename)
        if str(path.parent) == f"jni/{abi}" and path.name.startswith("libLiteRt") and path.suffix == ".so":
            left -= info.file_size
            if left < 0:
                raise UsageError(f"{archive}: its libraries for {abi} are larger than {LIMIT >> 20} MiB")
            with content.open(info) as source, (folder / path.name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
