"""Names of devices that entries with '*' find: the same in every run, and no two alike."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from harness.lab.spec import DeviceSpec


class Unit(Protocol):
    """A device that an entry with '*' found. Hashable."""

    def names(self) -> tuple[str, str, str]:
        """Names to choose from; a later one is longer, and shared with fewer others."""


U = TypeVar("U", bound=Unit)


def unique_names(units: Sequence[U], taken: set[str]) -> dict[U, str]:
    """A name of its own for each, as short as can be.

    Args:
        units: what was found.
        taken: names that others have already.
    """
    names: dict[U, str] = {}
    for level in range(3):
        wanted = {unit: unit.names()[level] for unit in units if unit not in names}
        counts = Counter(wanted.values())
        names |= {
            unit: name for unit, name in wanted.items() if level == 2 or (counts[name] == 1 and name not in taken)
        }
        taken = taken | set(names.values())
    return names


def given_names(specs: Sequence[DeviceSpec]) -> set[str]:
    """Names that the entries of a lab have by themselves."""
    return {spec.name for spec in specs if spec.name}


def clean(text: str) -> str:
    """What a device calls itself, as a part of a name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def digest(text: str, digits: int) -> str:
    """Hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def at(spec: DeviceSpec) -> str:
    """The beginning of a message about an entry: "file:line: ", or nothing for one of no file."""
    return f"{spec.origin}: " if spec.origin else ""
