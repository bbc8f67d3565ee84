"""Files on a device by their SHA-256, shared between jobs and runs: each is moved once.

A file is pushed under a temporary name, hashed by the device, and renamed. Only names that are made of a hash are
ever read back from the device.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import tempfile
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from harness.devices.budget import Budget
from harness.devices.shell.errors import WayError, WayRefusedError
from harness.devices.shell.remote import SAY, STORE, Remote
from harness.devices.shell.replies import FREE_SPACE, free_bytes, whole
from harness.devices.shell.way import PushFile
from harness.devices.storage import MARGIN, NAME, StoredFile, victims_of
from harness.paths import sha256_file

_GROUP = 400  # names in one command: well under adb's longest service string
_MODE = 0o755

# Prints the hashes of those of $NAMES that are there, the time and the free space.
_LOOK = SAY + (
    f'mkdir -p "$ROOT/{STORE}" && cd "$ROOT/{STORE}" || exit 1\n'
    'say hashes; [ -z "$HASH" ] || sha256sum $NAMES 2>/dev/null\n'
    f"say now; date +%s 2>/dev/null\nsay free\n{FREE_SPACE}say end\n"
)
_FREE = f"say now; date +%s 2>/dev/null\nsay free\n{FREE_SPACE}say end\n"

# Prints what the parts of $PARTS hash to; those that hash to their own name get it.
_ACCEPT = SAY + (
    f'cd "$ROOT/{STORE}" || exit 1\nchmod 755 $PARTS 2>/dev/null\nsay hashes\n'
    'if [ -n "$HASH" ]; then sha256sum $PARTS | while read -r H F; do\n'
    '  echo "$H ${F%%.part-*}"\n'
    '  if [ "$H" = "${F%%.part-*}" ]; then mv -f "$F" "$H" || exit 1; fi\n'
    "done || exit 1; rm -f $PARTS; else\n"
    '  for F in $PARTS; do mv -f "$F" "${F%%.part-*}" || exit 1; done\n'
    "fi\nsay end\n"
)


class Store:
    """The store of one device, as one run of the harness knows it. For one thread."""

    def __init__(self, remote: Remote, tools: Set[str]) -> None:
        """Bind it; nothing is opened yet.

        Args:
            remote: the device.
            tools: commands that it has.
        """
        self._remote = remote
        self._hashes = "sha256sum" in tools
        self._known: set[str] = set()
        self._broken: list[str] = []  # parts of pushes that the device was lost in
        self._tidied = False

    def forget(self, names: Iterable[str]) -> None:
        """Look for these again at the next use: the device says that they are gone."""
        self._known.difference_update(names)

    def ensure(self, files: Sequence[StoredFile], budget: Budget) -> int:
        """Have files in the store. The first time in a run that one is needed, its content is hashed again.

        Args:
            files: what is needed; more than one may have the same content.
            budget: of the job.

        Returns:
            The number of bytes that were moved.

        Raises:
            WayRefusedError: there is too little space, or what arrived is not what was sent.
            WayError: the way to the device failed.
        """
        new = {file.sha256: file for file in files if file.sha256 not in self._known}
        if not new:
            return 0
        keep = {file.sha256 for file in files}
        self._pick_up(budget)
        with budget.transfer():  # the device may live on the controller, and hash there
            looked = self._remote.call(_LOOK, budget.left(), NAMES=" ".join(new), HASH="1" if self._hashes else "")
        if "end" not in looked.sections:
            raise self._remote.way.refused(f"the folder {self._remote.root}/{STORE} cannot be used", looked.said)
        if self._hashes:
            good, moved = _good(looked.sections["hashes"]) & new.keys(), 0
        else:
            good, moved = self._read_back(list(new.values()), budget)
        missing = [file for name, file in new.items() if name not in good]
        now, free = whole(looked.sections.get("now")), free_bytes(looked.sections.get("free", ""))
        self._make_room(sum(file.size for file in missing), now, free, keep, budget)
        if missing:
            moved += self._push(missing, budget)
        self._known |= new.keys()
        return moved

    def _pick_up(self, budget: Budget) -> None:
        """Take what arrived whole before the phone was lost, and remove the rest."""
        if not self._broken:
            return
        if self._hashes:
            with budget.transfer():
                self._remote.call(_ACCEPT, budget.left(), PARTS=" ".join(self._broken), HASH="1")
        else:
            self._remove(self._broken)
        self._broken = []

    def _push(self, files: list[StoredFile], budget: Budget) -> int:
        nonce = secrets.token_hex(4)
        parts = {f"{file.sha256}.part-{nonce}": file for file in files}
        place = f"{self._remote.root}/{STORE}"
        pushes = [PushFile(file.source, f"{place}/{part}", _MODE, file.sha256) for part, file in parts.items()]
        try:
            with self._remote.way.sync(budget.left()) as session:
                moved = session.push_many(pushes, budget.transfer)
            if not self._hashes:
                good, back = self._read_back(files, budget, f".part-{nonce}")
                moved += back
                self._check(files, good)
            names = " ".join(parts)
            with budget.transfer():
                reply = self._remote.call(_ACCEPT, budget.left(), PARTS=names, HASH="1" if self._hashes else "")
            if reply.exit_code != 0 or "end" not in reply.sections:
                raise self._remote.way.refused(f"files cannot be placed in {place}", reply.said)
            if self._hashes:
                self._check(files, _good(reply.sections["hashes"]))
        except WayRefusedError as error:
            with contextlib.suppress(WayError):
                self._remove(parts)
            if "No space left" in error.said:
                raise self._too_little(sum(file.size for file in files), None) from error
            raise
        except WayError:
            self._broken += parts
            raise
        return moved

    def _check(self, files: list[StoredFile], good: Set[str]) -> None:
        for file in files:
            if file.sha256 not in good:
                raise self._remote.way.refused(
                    f"{file.source.name} arrived with another SHA-256 than {file.sha256}",
                    "",
                    "it was changed on the way, or on this computer since it was read; try again",
                )

    def _read_back(self, files: list[StoredFile], budget: Budget, suffix: str = "") -> tuple[set[str], int]:
        """Hashes of files that the device cannot hash itself: those that are right, and the bytes it took."""
        good: set[str] = set()
        moved = 0
        with (
            tempfile.TemporaryDirectory(prefix="harness-store-") as folder,
            self._remote.way.sync(budget.left()) as session,
        ):
            copy = Path(folder) / "copy"
            for file in files:
                remote = f"{self._remote.root}/{STORE}/{file.sha256}{suffix}"
                found = session.stat(remote)
                if found is None or found.size != file.size:
                    continue
                moved += session.pull(remote, copy, file.size, budget.transfer)
                with budget.transfer():
                    if sha256_file(copy) == file.sha256:
                        good.add(file.sha256)
        return good, moved

    def _make_room(self, size: int, now: int | None, free: int | None, keep: Set[str], budget: Budget) -> None:
        """Have room for `size` more bytes; once in a run, let go of what has not been used for a month."""
        wanted = size + MARGIN - free if size and free is not None else 0
        if now is None or (self._tidied and wanted <= 0):
            if wanted > 0:
                raise self._too_little(size, free)
            return
        with self._remote.way.sync(budget.left()) as session:
            listing = session.list(f"{self._remote.root}/{STORE}")
        victims = victims_of(listing, now, wanted, keep)
        self._tidied = True
        if victims:
            self._remove(victims)
            self._known.difference_update(victims)
        if wanted > 0:
            reply = self._remote.call(SAY + _FREE, budget.left())
            after = free_bytes(reply.sections.get("free", ""))
            if after is not None and after < size + MARGIN:
                raise self._too_little(size, after)

    def _remove(self, names: Iterable[str]) -> None:
        names = list(names)
        for start in range(0, len(names), _GROUP):
            words = shlex.join(names[start : start + _GROUP])
            self._remote.call(f'cd "$ROOT/{STORE}" && rm -f -- {words}\n', 60.0)

    def _too_little(self, size: int, free: int | None) -> WayRefusedError:
        there = "too little" if free is None else f"{free >> 20} MiB"
        return self._remote.way.refused(
            f"the job's files need {(size + MARGIN) >> 20} MiB of free space in {self._remote.root}; {there} is left",
            "",
            f"remove something from the {self._remote.kind.noun}, or give it another `root` in devices.yaml",
        )


def _good(hashes: str) -> set[str]:
    """Names of the files that hash to their name, of lines "hash  name"."""
    pairs = (line.split() for line in hashes.splitlines())
    return {pair[0] for pair in pairs if len(pair) == 2 and pair[0] == pair[1] and NAME.fullmatch(pair[0])}
