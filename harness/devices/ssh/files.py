"""Files to and from a computer through SFTP, many in one session."""

from __future__ import annotations

import contextlib
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from harness.clock import Clock
from harness.devices.shell.deadline import Deadline
from harness.devices.shell.stretches import Stretches
from harness.devices.shell.way import Portion, PushFile, RemoteStat
from harness.devices.ssh.errors import SshError, SshRefusedError
from harness.devices.ssh.sftp import (
    ATTRS,
    CLOSE,
    END,
    FAILURE,
    HANDLE,
    LSTAT,
    MKDIR,
    NAME,
    NO_FILE,
    OPENDIR,
    READDIR,
    STAT,
    STATUS,
    Answer,
    Sftp,
    attributes,
    mode,
    path,
    string,
)
from harness.devices.ssh.sftp_transfer import Pulling, Pushing

_FOLDER = 0o755
_READS = 4  # of a folder's entries, on the way at once


class SftpSession:
    """One file service of a computer, opened at the first call. For one thread at a time.

    After a refusal, the next call opens another one. After a lost connection or a passed deadline, every further call
    raises.
    """

    def __init__(self, dial: Callable[[Deadline], Sftp], clock: Clock, seconds: float) -> None:
        """Prepare; nothing is opened yet.

        Args:
            dial: opens the service.
            clock: time.
            seconds: for everything that is done in the session, waiting for turns excepted.
        """
        self._dial = dial
        self._deadline = Deadline(clock, seconds)
        self._sftp: Sftp | None = None
        self._spent: SshError | None = None

    def close(self) -> None:
        """Close the service."""
        sftp, self._sftp = self._sftp, None
        if sftp is not None:
            sftp.close()

    def push(self, source: Path | bytes, remote: str, mode: int = 0o644, portion: Portion | None = None) -> int:
        """Push one file; see `push_many`."""
        return self.push_many([PushFile(source, remote, mode)], portion)

    def push_many(self, files: Iterable[PushFile], portion: Portion | None = None) -> int:
        """Push files without waiting for each one's acknowledgement.

        Missing parent folders are made. A push that fails may leave a part of its file there, and some of the next
        ones empty.

        Args:
            files: what to push.
            portion: entered around each stretch of at most 4 MiB; waiting for it does not count as time.

        Returns:
            The number of bytes of all contents.

        Raises:
            SshRefusedError: the computer refused a file: those before it arrived. Or a name is that of a folder or a
                link there: then nothing was sent.
            SshError: the connection failed.
            OSError: a source cannot be read.
        """
        files = list(files)
        if not files:
            return 0
        with self._service(files[0].remote) as sftp:
            _prepare(sftp, [file.remote for file in files])
            pushing = Pushing(sftp)
            try:
                with Stretches(portion, self._deadline) as stretches:
                    size = pushing.send(files, stretches)
                pushing.finish()
            except SshRefusedError as error:
                if pushing.status != FAILURE:
                    raise
                said = self._reason(error.command) or error.said
                raise sftp.refusal(error.command, "was not taken", said) from error
            return size

    def pull(self, remote: str, destination: Path, limit: int, portion: Portion | None = None) -> int:
        """Bring a file to the controller: to `<destination>.part`, renamed when it is whole.

        Args:
            remote: a regular file, or a link to one.
            destination: replaced if it exists.
            limit: bytes; a longer file is refused before it is read.
            portion: as for `push_many`.

        Returns:
            Its size in bytes.

        Raises:
            SshRefusedError: no such file, not a file, too long, or it changed while it was read.
            SshError: the connection failed.
        """
        with self._service(remote) as sftp:
            found = _stat(sftp, remote)
            if found is None:
                raise sftp.refusal(remote, "cannot be pulled", "No such file or directory")
            if not stat.S_ISREG(found.mode):
                raise sftp.refusal(remote, "cannot be pulled", "not a regular file")
            if found.size > limit:
                raise sftp.refusal(remote, f"has {found.size} bytes, more than the {limit} allowed")
            part = destination.with_name(destination.name + ".part")
            try:
                with part.open("wb") as stream, Stretches(portion, self._deadline) as stretches:
                    size = Pulling(sftp, remote, found.size).receive(stream, stretches)
                if size != found.size:
                    raise sftp.refusal(remote, f"changed while it was read, from {found.size} to {size} bytes")
                part.replace(destination)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return size

    def stat(self, remote: str) -> RemoteStat | None:
        """What is at a path, links followed; None if nothing is.

        Raises:
            SshRefusedError: the path cannot be looked at.
            SshError: the connection failed.
        """
        with self._service(remote) as sftp:
            return _stat(sftp, remote)

    def list(self, remote: str) -> list[tuple[str, RemoteStat]]:
        """The entries of a folder, without "." and ".."; links are described themselves, not followed.

        Raises:
            SshRefusedError: it is missing, no folder, or may not be read.
            SshError: the connection failed.
        """
        with self._service(remote) as sftp:
            (opened,) = sftp.answers(sftp.request(OPENDIR, path(remote)))
            if opened.kind != HANDLE:
                raise sftp.refusal(remote, "cannot be listed", opened.words)
            entries: list[tuple[str, RemoteStat]] = []
            while True:
                reads = sftp.answers(*(sftp.request(READDIR, opened.data) for _ in range(_READS)))
                for read in reads:
                    if read.kind == NAME:
                        entries += _entries(read.data)
                    elif read.kind != STATUS or read.status != END:
                        raise sftp.refusal(remote, "cannot be listed", read.words)
                if reads[-1].kind == STATUS:
                    break
            sftp.request(CLOSE, opened.data, ignored=True)
            sftp.flush()
            return entries

    @contextlib.contextmanager
    def _service(self, remote: str) -> Iterator[Sftp]:
        """The open service, which does not outlive an error."""
        if self._spent is not None:
            raise self._spent
        try:
            if self._sftp is None:
                self._sftp = self._dial(self._deadline)
            self._sftp.command = remote
            yield self._sftp
        except BaseException as error:
            # Answers that nobody waits for any more may be on their way.
            self.close()
            if isinstance(error, SshError) and not isinstance(error, SshRefusedError):
                self._spent = error
            raise

    def _reason(self, remote: str) -> str:
        """What SFTP's bare "Failure" was about: its version 3 has no word for a full disk."""
        self.close()
        with contextlib.suppress(SshError), self._service(remote) as sftp:
            return sftp.room(posixpath.dirname(remote) or ".")
        return ""


def _stat(sftp: Sftp, remote: str) -> RemoteStat | None:
    (found,) = sftp.answers(sftp.request(STAT, path(remote)))
    return _described(sftp, remote, found)


def _described(sftp: Sftp, remote: str, found: Answer) -> RemoteStat | None:
    if found.kind == ATTRS:
        return attributes(found.data)[0]
    if found.status == NO_FILE:
        return None
    raise sftp.refusal(remote, "cannot be looked at", found.words)


def _prepare(sftp: Sftp, names: Sequence[str]) -> None:
    """Refuse names of folders and links, which a push would empty or follow; make the folders that are missing."""
    folders = dict.fromkeys(folder for name in names if (folder := posixpath.dirname(name)))
    looks = [sftp.request(LSTAT, path(name)) for name in names]
    looks += [sftp.request(STAT, path(folder)) for folder in folders]
    found = sftp.answers(*looks)
    for name, answer in zip(names, found, strict=False):
        entry = _described(sftp, name, answer)
        if name.endswith("/") or (entry is not None and stat.S_ISDIR(entry.mode)):
            raise sftp.refusal(name, "cannot be pushed to", "it is a folder")
        if entry is not None and stat.S_ISLNK(entry.mode):
            raise sftp.refusal(name, "cannot be pushed to", "it is a link")
    missing: dict[str, None] = {}
    for folder, answer in zip(folders, found[len(names) :], strict=True):
        if _described(sftp, folder, answer) is None:
            parts = [folder, *_above(folder)]
            missing.update(dict.fromkeys(reversed(parts)))
    for folder in missing:  # one that is there already, or cannot be made, shows when a file in it is opened
        sftp.request(MKDIR, path(folder), mode(_FOLDER), ignored=True)


def _above(folder: str) -> Iterator[str]:
    while (above := posixpath.dirname(folder)) not in ("", folder):
        yield above
        folder = above


def _entries(data: bytes) -> Iterator[tuple[str, RemoteStat]]:
    count, at = int.from_bytes(data[:4], "big"), 4
    for _ in range(count):
        name, at = string(data, at)
        at = string(data, at)[1]  # the line that `ls -l` would show
        found, at = attributes(data, at)
        if name not in (b".", b".."):
            yield name.decode("utf-8", "surrogateescape"), found
