"""Files on devices by their SHA-256: what a job needs, and what goes when there is no room."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MARGIN = 32 << 20
"""Bytes that have to stay free beside the files, for outputs and for the device itself."""

NAME = re.compile(r"[0-9a-f]{64}")
"""What a whole file is called."""

_PART = re.compile(r"[0-9a-f]{64}\.part(-[0-9a-f]+)?")
_RECENT = 3600.0  # seconds: another run may be about to use it
_OLD = 30 * 24 * 3600.0


@dataclass(frozen=True)
class StoredFile:
    """A file that a job needs.

    Attributes:
        sha256: of its content.
        size: in bytes.
        source: on the controller.
    """

    sha256: str
    size: int
    source: Path


class Used(Protocol):
    """What a device says about a file: when it was last used, in seconds since 1970, and its size in bytes."""

    @property
    def mtime(self) -> float:
        """When it was last used."""

    @property
    def size(self) -> int:
        """Its size."""


def stored(source: Path, sha256: str) -> StoredFile:
    """A file of the controller. Raises OSError."""
    return StoredFile(sha256, source.stat().st_size, source)


def victims_of(listing: Iterable[tuple[str, Used]], now: float, wanted: int, keep: Set[str]) -> list[str]:
    """Which files of a store to remove.

    Those that were not used for a month, parts that were left behind, and, until `wanted` bytes are found, what has
    gone unused for longest. What was used within the hour stays, and so does what has no name of ours.

    Args:
        listing: name and description of each file; its mtime is when it was last used.
        now: by the device's clock, in seconds since 1970.
        wanted: bytes to find.
        keep: names that the job needs.
    """
    known = [(entry.mtime, name, entry.size) for name, entry in listing if name not in keep]
    victims = []
    for mtime, name, size in sorted(known):
        age = now - mtime
        part = _PART.fullmatch(name) is not None
        if age <= _RECENT or not (part or NAME.fullmatch(name)):
            continue
        if part or age > _OLD or wanted > 0:
            victims.append(name)
            wanted -= size
    return victims
