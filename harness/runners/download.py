"""Files from elsewhere, kept in the cache by their SHA-256: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from typing_extensions import override

from harness import __version__
from harness.errors import UsageError
from harness.paths import cache_dir, sha256_file

LIMIT = 512 << 20
_CHUNK = 1 << 18
_STALL_SECONDS = 60.0
_FILES = "files"


def cache_folder(*parts: str) -> Path:
    """A folder of the cache, made if absent. Raises UsageError where that cannot be."""
    try:
        return cache_dir(*parts)
    except OSError as error:
        raise unwritable(error) from None


def kept(sha256: str) -> Path | None:
    """The file of the cache with this content, verified; None if it is not there or was damaged."""
    path = cache_folder(_FILES) / sha256
    try:
        return path if sha256_file(path) == sha256 else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"the file {path} of the cache cannot be read: {error.strerror}") from None


def keep(path: Path) -> str:
    """Copy a file into the cache; its SHA-256.

    Raises:
        UsageError: it cannot be read or written, or is larger than `LIMIT`.
    """
    try:
        with path.open("rb") as stream:
            return _store(stream, None, str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def download(url: str, sha256: str, shown: str) -> Path:
    """The file behind a link: from the cache, else downloaded into it now (through the environment's proxies).

    Args:
        url: http, https or file.
        sha256: of what must be there.
        shown: the link as messages may show it.

    Returns:
        The file, named by its hash. A part of it, or other content, is never left under that name.

    Raises:
        UsageError: it cannot be had, is larger than `LIMIT`, or has another hash; says what to do.
    """
    if (path := kept(sha256)) is not None:
        return path
    with opened(url, shown) as (stream, size):
        if size is not None and size > LIMIT:
            raise _too_large(shown)
        found = _store(stream, size, shown, sha256)
    return cache_folder(_FILES) / found


def read_text(url: str, shown: str, limit: int) -> str:
    """A short text behind a link.

    Raises:
        UsageError: it cannot be had, has more than `limit` bytes, or is no text.
    """
    with opened(url, shown) as (stream, size):
        try:
            data = stream.read(limit + 1)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(shown, _words(error)) from None
    if len(data) > limit:
        raise UsageError(f"{shown}: has more than {limit} bytes; check the link")
    if size is not None and len(data) != size:
        raise _unreachable(shown, f"it ended after {len(data)} of {size} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{shown}: is no text") from None


def size_of(url: str, shown: str) -> int | None:
    """Bytes behind a link, without fetching them; None if the server does not say, or not so."""
    try:
        with opened(url, shown, method="HEAD") as (_, size):
            return size
    except UsageError:  # a server that refuses HEAD may still give the file
        return None


@contextmanager
def opened(url: str, shown: str, method: str = "GET") -> Iterator[tuple[BinaryIO | IO[bytes], int | None]]:
    """What is behind a link, as a stream, and its stated size.

    Raises:
        UsageError: it cannot be reached, or is not there.
    """
    opener = urllib.request.build_opener(_Redirects)
    headers = {"User-Agent": f"delegate-harness/{__version__}", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - file: is allowed here
        stream = opener.open(request, timeout=_STALL_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(shown, f"the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(shown, _words(error)) from None
    with stream:
        length = stream.headers.get("Content-Length", "")
        yield stream, int(length) if length.isdecimal() else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to a link that anyone on the way could change."""

    @override
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            fp.close()
            raise urllib.error.URLError("it leads from https to a link that is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _store(stream: BinaryIO | IO[bytes], size: int | None, shown: str, sha256: str | None = None) -> str:
    """Copy a stream into the cache under its hash, if it is what was expected; the hash."""
    folder = cache_folder(_FILES)
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    except OSError as error:
        raise unwritable(error) from None
    temporary = Path(name)
    try:
        found = _copy(stream, handle, size, shown)
        if sha256 is not None and found != sha256:
            raise UsageError(
                f"{shown}: what is there has SHA-256 {found}, not {sha256}; if it was meant to change, look at it and "
                "write down the new one, else try again"
            )
        temporary.chmod(0o644)
        temporary.replace(folder / found)
    finally:
        temporary.unlink(missing_ok=True)
    return found


def _copy(stream: BinaryIO | IO[bytes], handle: int, size: int | None, shown: str) -> str:
    digest = hashlib.sha256()
    count = 0
    with os.fdopen(handle, "wb") as copy:
        while True:
            try:
                chunk = stream.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _unreachable(shown, f"it ended after {count} bytes: {_words(error)}") from None
            if not chunk:
                break
            count += len(chunk)
            if count > LIMIT:
                raise _too_large(shown)
            digest.update(chunk)
            try:
                copy.write(chunk)
            except OSError as error:
                raise unwritable(error) from None
    if size is not None and count != size:
        raise _unreachable(shown, f"it ended after {count} of {size} bytes")
    return digest.hexdigest()


def _words(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def _unreachable(shown: str, why: str) -> UsageError:
    return UsageError(
        f"{shown}: cannot be downloaded: {why}; check the link, the network and the proxy (https_proxy), "
        "or fetch the file by other means and name it by its path"
    )


def _too_large(shown: str) -> UsageError:
    return UsageError(f"{shown}: is larger than {LIMIT >> 20} MiB, the most that is taken; check the link")


def unwritable(error: OSError) -> UsageError:
    """What to say when the cache cannot be written."""
    root = os.environ.get("HARNESS_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return UsageError(
        f"the cache cannot be written: {error.strerror}: {error.filename or root}; "
        "set HARNESS_CACHE to a folder that can be, with some 100 MB free"
    )
