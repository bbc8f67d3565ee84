"""For which platform a program was made, from its header: an x86 program pushed to a phone says little there."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from harness.lab.spec import abi_of

# e_machine of the ELF specification's processor supplements -> the first part of our targets.
_ELF_MACHINES = {3: "x86", 40: "armv7", 62: "x86_64", 183: "aarch64"}
# cputype of mach/machine.h; 64-bit Mach-O files in little endian begin with _MACH_O.
_MACH_O = b"\xcf\xfa\xed\xfe"
_CPU_TYPES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_PT_INTERP = 3
_ET_DYN = 3
_PROGRAM_HEADERS = 256
_PATH_BYTES = 4096


@dataclass(frozen=True)
class Platform:
    """What a program's header says.

    Attributes:
        format: "ELF" or "Mach-O".
        machine: "aarch64", "armv7", "x86_64", "x86", or "machine NUMBER".
        loader: path of the dynamic loader that it asks for; None for a static program or a library.
        relocatable: whether it may be loaded anywhere (position independent).
    """

    format: str
    machine: str
    loader: str | None = None
    relocatable: bool = True


def platform_of(path: Path) -> Platform | None:
    """The platform that a file was made for; None if it is no program (or one of a format not known here).

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(64)
        if head[:4] == _MACH_O and len(head) >= 8:
            (cpu,) = struct.unpack_from("<I", head, 4)
            return Platform("Mach-O", _CPU_TYPES.get(cpu, f"machine {cpu:#x}"))
        if head[:4] != b"\x7fELF" or len(head) < 52 or head[4] not in (1, 2) or head[5] != 1:
            return None
        kind, number = struct.unpack_from("<HH", head, 16)
        wide = head[4] == 2
        if wide and len(head) < 64:
            return None
        (table,) = struct.unpack_from("<Q", head, 32) if wide else struct.unpack_from("<I", head, 28)
        size, count = struct.unpack_from("<HH", head, 54 if wide else 42)
        entry = struct.Struct("<IIQQQQ") if wide else struct.Struct("<IIIII")
        stream.seek(table)
        headers = stream.read(size * min(count, _PROGRAM_HEADERS))
        loader = None
        for start in range(0, len(headers) - entry.size + 1, max(size, entry.size)):
            fields = entry.unpack_from(headers, start)
            if fields[0] == _PT_INTERP:
                offset, length = (fields[2], fields[5]) if wide else (fields[1], fields[4])
                stream.seek(offset)
                loader = stream.read(min(length, _PATH_BYTES)).partition(b"\0")[0].decode(errors="replace")
        return Platform("ELF", _ELF_MACHINES.get(number, f"machine {number}"), loader, kind == _ET_DYN)


def misfit(path: Path, target: str) -> str | None:
    """Why a file cannot be a program for `target` ("is a program for x86_64, not for aarch64"); None if it can.

    Phones take ELF programs only; elsewhere anything without a known header, such as a script, is let through.

    Raises:
        OSError: the file cannot be read.
    """
    machine, _, system = target.rpartition("-")
    phone = abi_of(target) is not None
    found = platform_of(path)
    if found is None:
        return "is no ELF program, as phones need" if phone else None
    expected = "Mach-O" if system == "macos" else "ELF"
    if (found.format, found.machine) != (expected, machine):
        return f"is a program for {found.machine} ({found.format}), not for {machine} ({expected})"
    if phone and not found.relocatable:
        return "is not position independent; Android runs no other programs (link it with -pie)"
    if found.loader is not None and system != "macos" and phone != found.loader.startswith("/system/"):
        return f"was linked for another system than {system}: it asks for {found.loader}"
    return None
