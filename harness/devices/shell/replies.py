"""Scripts that print a device's replies in sections, and what the parsers of such replies share. No I/O.

Where formats come from: `df` is toys/posix/df.c of toybox (Android 6 and newer), coreutils or busybox, which agree, or
system/core/toolbox/df.c (older Android: sizes with a suffix, no column of percents).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

_MARK = "=-=harness"
_LARGEST = 1e18
_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([BKMGT]?)i?B?", re.ASCII | re.IGNORECASE)

NEAREST_FOLDER = """\
d=${ROOT:-/data/local/tmp}
while [ ! -d "$d" ]; do
  case $d in */*) d=${d%/*} ;; *) d= ;; esac
  [ -n "$d" ] || d=/
done
"""
"""Commands: $d becomes $ROOT, or the first folder above it that exists."""
FREE_SPACE = f'{NEAREST_FOLDER}df "$d"\n'
"""Commands: `df` of the file system that holds $ROOT, whether that folder exists already or not."""


def script(kind: str, parts: Mapping[str, str]) -> str:
    """A POSIX sh script that runs each part's commands and prints what they say in a section of its own.

    It can stand inside another script: it runs in a subshell with default options, reads nothing from standard input,
    writes nothing to standard error and ends with 0, whatever is missing on the device.

    Args:
        kind: tells its sections from those of other scripts in the same reply.
        parts: name of the section -> commands; shell variables set in one part are seen by those after it.
    """
    # An empty line before each mark: what was printed before it may lack its own line end.
    sections = [f"echo; echo '{_MARK} {kind} {name}'\n{commands.strip()}\n" for name, commands in parts.items()]
    return f"(\nset +e +u\n{''.join(sections)}echo; echo '{_MARK} {kind} end'\n) 2>/dev/null </dev/null\n"


def sections(reply: str, kind: str) -> dict[str, str]:
    """What the sections of one script hold, by name; what stands around them is left out. The first of a name wins."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for raw in reply.split("\n"):
        line = raw.rstrip("\r")  # a shell of the old protocol is a terminal
        if line.startswith(_MARK):
            words = line.split()
            lines = None
            if len(words) == 3 and words[1] == kind and words[2] not in found:
                lines = found.setdefault(words[2], [])
        elif lines is not None:
            lines.append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in found.items()}


def number(text: str | None) -> float | None:
    """A finite number of sensible size, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < _LARGEST else None


def whole(text: str | None) -> int | None:
    """A whole number in decimal digits, or None."""
    if text is None or not re.fullmatch(r"[+-]?\d{1,18}", text.strip(), re.ASCII):
        return None
    return int(text)


def free_bytes(df: str) -> int | None:
    """Bytes that are free according to `df` of one folder, or None. Both forms of `df` are read."""
    lines = [line for line in df.split("\n") if line.strip()]
    head = next((index for index, line in enumerate(lines) if line.startswith("Filesystem")), None)
    if head is None:
        return None
    columns, cells = lines[head].split(), " ".join(lines[head + 1 : head + 3]).split()
    if "Free" in columns:  # toolbox: Filesystem Size Used Free Blksize
        return _size(cells[3], 1) if len(cells) >= 5 else None
    # toybox: ... Available Use% Mounted on. A name or mount point may hold anything; the percents stand fast.
    for index, cell in enumerate(cells):
        if index >= 3 and re.fullmatch(r"\d+%", cell, re.ASCII):
            blocks = re.search(r"\b(512|1024|1K|1M)-blocks", lines[head])
            unit = {"512": 512, "1M": 1 << 20}.get(blocks[1], 1 << 10) if blocks else 1
            return _size(cells[index - 1], unit)
    return None


def _size(text: str, unit: int) -> int | None:
    match = _SIZE.fullmatch(text)
    value = number(match[1]) if match else None
    if match is None or value is None:
        return None
    return round(value * (_UNITS[match[2].upper()] if match[2] else unit))


def known(pairs: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Those of the pairs whose value says something: no key stands for what is unknown."""
    return ((key, value) for key, value in pairs if value is not None and value not in ("", []))
