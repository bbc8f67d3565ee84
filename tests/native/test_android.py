"""The sources compile for Android and link against no more of its C library than is listed here.

A smoke test for machines without the NDK: zig knows the platform but has neither its headers nor its libraries, so
musl's headers and stub libraries stand in. The result was never run on Android and is no artefact to ship.
"""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.runners.build import source_folder, sources_of

# All in bionic at API level 26 or before (stderr and stdout as objects since 23). A function that is not listed fails
# the link: look it up in bionic's libc.map.txt before adding it.
LIBC = (
    "__errno __libc_init _exit abort access calloc clock_gettime close dup2 fclose fcntl ferror fflush fgets "
    "fileno fopen fork fprintf fputc fputs free fstat fsync fwrite getpagesize getpid getppid getrusage kill "
    "longjmp malloc memcmp memcpy memset mkdir mmap munmap open perror pipe poll prctl pread puts read rename "
    "setjmp setrlimit setvbuf signal snprintf sscanf stat strchr strcmp strcspn strdup strerror strlen strncmp "
    "strrchr strspn strstr strtod strtoll uname unlink vsnprintf wait4 write "
)
LIBDL = "dlerror dlopen dlsym"

# What the NDK's crtbegin does: hand over to the C library with empty lists of constructors.
CRT = """
extern int main(int, char **, char **);
extern void __libc_init(void *, void (*)(void), int (*)(int, char **, char **), void *) __attribute__((noreturn));
typedef void (*Hook)(void);
static Hook none[] = {(Hook)-1, (Hook)0};
static struct { Hook *preinit, *init, *fini; } structors = {none, none, none};
__attribute__((used)) void start_c(void *arguments) { __libc_init(arguments, 0, main, &structors); }
__asm__(".globl _start\\n_start:\\nmov x0, sp\\nb start_c\\n");
"""
TARGET = ("-target", "aarch64-linux-android")


def zig(folder: Path, *arguments: str) -> None:
    """Runs zig without a word from it."""
    command = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def link_for_android(folder: Path) -> Path:
    """Compiles and links the sources in `folder`; the program."""
    spec = importlib.util.find_spec("ziglang")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "lib"
    include = library / "libc" / "include"
    (folder / "crt.c").write_text(CRT)
    headers: list[str] = ["-nostdinc"]
    for place in ("aarch64-linux-musl", "generic-musl", "aarch64-linux-any", "any-linux-any"):
        headers += ["-isystem", str(include / place)]
    headers[1:1] = ["-isystem", str(library / "include")]
    # musl calls it __errno_location; with lse atomics need none of the helpers in the library that the NDK adds.
    compiling = ("-std=c11", "-O2", "-fPIE", "-Wall", "-Wextra", "-D__errno_location=__errno", "-mcpu=generic+lse")
    parts = [folder / "crt.c", *sources_of(source_folder())]
    for source in parts:
        zig(folder, "cc", *TARGET, *compiling, *headers, "-c", str(source), "-o", f"{source.stem}.o")
    for name, functions, objects in (("c", LIBC, "void *stdout, *stderr;"), ("dl", LIBDL, "")):
        stub = "\n".join([*(f"void {function}(void) {{}}" for function in functions.split()), objects])
        (folder / f"stub_{name}.c").write_text(stub)
        zig(folder, "cc", *TARGET, "-ffreestanding", "-fPIC", "-w", "-nostdinc", "-c", f"stub_{name}.c")
        zig(folder, "ld.lld", "-shared", "-soname", f"lib{name}.so", "-o", f"lib{name}.so", f"stub_{name}.o")
    options = ("-pie", "-dynamic-linker", "/system/bin/linker64", "-z", "max-page-size=16384", "--no-undefined")
    zig(
        folder,
        "ld.lld",
        *options,
        "-o",
        "delegate_bench",
        *(f"{source.stem}.o" for source in parts),
        "-L.",
        "-lc",
        "-ldl",
    )
    return folder / "delegate_bench"


@dataclass(frozen=True)
class Elf:
    """What a dynamic linker reads of a 64-bit little-endian ELF file."""

    kind: int
    machine: int
    interpreter: str
    needed: tuple[str, ...]
    alignments: tuple[int, ...]


def read_elf(data: bytes) -> Elf:
    """Parses program headers and the dynamic section (ELF-64 specification)."""
    assert data[:6] == b"\x7fELF\x02\x01", "not 64-bit little-endian ELF"
    kind, machine = struct.unpack_from("<HH", data, 16)
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, table + i * size) for i in range(count)]
    loads = [header for header in headers if header[0] == 1]

    def offset_of(address: int) -> int:
        offset, start = next((h[2], h[3]) for h in loads if h[3] <= address < h[3] + h[5])
        return int(address - start + offset)

    interpreter = next(data[h[2] : h[2] + h[5]].rstrip(b"\0").decode() for h in headers if h[0] == 3)
    start, length = next((h[2], h[5]) for h in headers if h[0] == 2)
    entries = list(struct.iter_unpack("<QQ", data[start : start + length]))
    strings = offset_of(next(value for tag, value in entries if tag == 5))
    needed = [data[strings + value : data.index(b"\0", strings + value)].decode() for tag, value in entries if tag == 1]
    return Elf(kind, machine, interpreter, tuple(needed), tuple(header[7] for header in loads))


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="install the extra: delegate-harness[zig]")
def test_the_sources_link_for_android(tmp_path: Path) -> None:
    elf = read_elf(link_for_android(tmp_path).read_bytes())
    assert elf.kind == 3, "Android runs position-independent programs only"
    assert elf.machine == 183, "aarch64"
    assert elf.interpreter == "/system/bin/linker64"
    assert sorted(elf.needed) == ["libc.so", "libdl.so"]
    assert all(alignment >= 16384 for alignment in elf.alignments), "devices with 16 KiB pages"
