"""What makes a session on this computer one on a board: a library that all its programs load, and qemu."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from emulated.compiler import Source, compiled
from harness.environment import inherited

Arch = Literal["aarch64", "native"]
"""A 64-bit Arm processor under qemu, or this computer's own."""

CPU = "neoverse-n1"
"""A processor that qemu 7.2 emulates right; the default of that qemu, `max`, multiplies int8 matrices wrongly."""

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = tuple(root / "usr" / "aarch64-linux-gnu" / "lib" for root in (_ROOT / ".cache" / "arm64", Path("/")))
_LOADER = "ld-linux-aarch64.so.1"
HOOK = Source(
    "board.so",
    "the library that emulated boards need",
    (Path(__file__).with_name("hook.c"),),
    flags=("-shared", "-fPIC", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE"),
    linked=("-ldl",),
)
"""What every program of a session loads."""


def absent(arch: Arch) -> str | None:
    """Why no such board can be emulated here, with what to install; None if one can."""
    if sys.platform != "linux":
        return "emulated boards run on Linux only"
    if arch == "native":
        return None
    if qemu() is None:
        return "needs qemu-aarch64: apt-get install qemu-user-static"
    if not (libraries() / "libstdc++.so.6").exists():
        return "needs Debian's libraries for arm64: bash .ci/arm64 .cache/arm64"
    return None


def qemu() -> str | None:
    """The program that runs arm64 programs, or None."""
    return shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def libraries() -> Path:
    """The folder of arm64's C and C++ libraries: unpacked by `.ci/arm64`, else those of installed cross packages."""
    return next((folder for folder in _LIBRARIES if (folder / _LOADER).exists()), _LIBRARIES[0])


def variables(arch: Arch, cpu: str, root: Path) -> dict[str, str]:
    """Environment variables of every session on the board.

    Args:
        arch: of the board.
        cpu: as `qemu-aarch64 -cpu help` names it; a native board has this computer's.
        root: folder of its own files, and of its libraries in `lib`.

    Raises:
        UsageError: there is no C compiler to build the library with.
    """
    found: dict[str, str] = {
        "LD_PRELOAD": str(compiled(HOOK, inherited())),
        "EMULATED_BOARD_ROOT": str(root),
        "HARNESS_EMULATED": "1",
    }
    if arch == "aarch64":
        found |= {"EMULATED_BOARD_QEMU": str(qemu()), "EMULATED_BOARD_CPU": cpu}
    return found
