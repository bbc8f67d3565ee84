"""System properties, as `getprop` prints them (AOSP system/core/toolbox/getprop.cpp). No I/O."""

from __future__ import annotations

import re

_PROPERTY = re.compile(r"\[([^\]]+)\]: \[(.*)", re.DOTALL)


def properties(text: str) -> dict[str, str]:
    """System properties from `getprop`; a value may span lines."""
    found: dict[str, str] = {}
    pending: list[str] = []
    for line in text.split("\n"):
        pending = [line] if line.startswith("[") and "]: [" in line else [*pending, line]
        if line.endswith("]") and (match := _PROPERTY.fullmatch("\n".join(pending))):
            found[match[1]] = match[2][:-1]
            pending = []
        elif len(pending) > 100:
            pending = []
    return found
