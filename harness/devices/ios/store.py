"""Files in an app's Documents folder by their SHA-256, shared between jobs and runs: each is moved once.

A phone cannot be asked for a hash. A file is pushed as NAME.part and gets its name when its size is right; the app
checks the content of each file before it uses it, and what it finds wrong is forgotten here and pushed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence, Set

from harness.clock import Clock
from harness.devices.budget import Budget
from harness.devices.ios.errors import IosError, NoSpaceError, Subject
from harness.devices.ios.files import AppFiles
from harness.devices.storage import MARGIN, StoredFile, victims_of

STORE = "store"
"""The folder, in Documents."""

_REMOVING_SECONDS = 30.0


class Store:
    """The store of one app on one phone, as one run of the harness knows it. For one thread."""

    def __init__(self, files: Callable[[], AppFiles], clock: Clock, subject: Subject) -> None:
        """Bind it; nothing is opened yet.

        Args:
            files: the app's files.
            clock: time.
            subject: who errors are about.
        """
        self._files = files
        self._clock = clock
        self._subject = subject
        self._known: set[str] = set()
        self._tidied = False

    def remove(self, names: Iterable[str], seconds: float) -> None:
        """Remove files whose content is wrong; the next use pushes them again. Raises IosError."""
        for name in names:
            self._known.discard(name)
            self._files().remove(f"{STORE}/{name}", seconds)

    def forget(self) -> None:
        """Look for all files again at their next use: the app may have been installed anew."""
        self._known.clear()

    def ensure(self, files: Sequence[StoredFile], budget: Budget) -> int:
        """Have files in the store.

        Args:
            files: what is needed; more than one may have the same content.
            budget: of the job.

        Returns:
            The number of bytes that were moved.

        Raises:
            NoSpaceError: there is too little space.
            IosError: the way to the phone failed.
        """
        new = {file.sha256: file for file in files if file.sha256 not in self._known}
        if not new:
            return 0
        there = self._files()
        missing = []
        for name, file in new.items():
            path = f"{STORE}/{name}"
            if there.stat(path, budget.left()) == file.size:
                with contextlib.suppress(IosError):  # only tells when it was last used
                    there.touch(path, self._clock.now().timestamp(), budget.left())
            else:
                missing.append(file)
        self._make_room(sum(file.size for file in missing), {file.sha256 for file in files}, budget)
        for file in missing:
            there.push(file.source, f"{STORE}/{file.sha256}", budget.left(), turn=budget.transfer)
        self._known |= new.keys()
        return sum(file.size for file in missing)

    def _make_room(self, size: int, keep: Set[str], budget: Budget) -> None:
        """Have room for `size` more bytes; once in a run, let go of what has not been used for a month."""
        if not size and self._tidied:
            return
        there = self._files()
        free = there.free_bytes(budget.left()) if size else None
        wanted = size + MARGIN - free if free is not None else 0
        if wanted <= 0 and self._tidied:
            return
        listing = [(entry.name, entry) for entry in there.list(STORE, budget.left()) if not entry.is_dir]
        self._tidied = True
        for name in victims_of(listing, self._clock.now().timestamp(), wanted, keep):
            there.remove(f"{STORE}/{name}", _REMOVING_SECONDS)
            self._known.discard(name)
        if wanted > 0:
            free = there.free_bytes(budget.left())
            if free is not None and free < size + MARGIN:
                raise self._subject.error(
                    NoSpaceError,
                    f"the job's files need {(size + MARGIN) >> 20} MiB of free space; {free >> 20} MiB is left",
                )
