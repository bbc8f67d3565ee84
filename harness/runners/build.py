"""Builds `delegate_bench` from `native/*.c` for a target, once: binaries are kept by what they were made from.

The host's own target is built with the system's C compiler, any other one with zig (the extra `zig`), Android's
with the NDK.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.devices.local import host_target
from harness.errors import UsageError, nearest
from harness.lab.spec import OWN_RUNNER, TARGETS, abi_of
from harness.paths import cache_dir

BINARY = OWN_RUNNER
_ZIG = "ziglang"
_ZIG_INSTALL = "pip install 'delegate-harness[zig]' (about 410 MB)"
NDK_VARIABLES = ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK_LATEST_HOME")
# 26: the oldest Android that LiteRT itself is built for.
_NDK_CLANGS: Mapping[str, str] = {
    "aarch64-android": "aarch64-linux-android26-clang",
    "armv7-android": "armv7a-linux-androideabi26-clang",
    "x86_64-android": "x86_64-linux-android26-clang",
}
# 2.17: the binary then runs on every Linux that the runtime itself runs on.
_ZIG_TRIPLES: Mapping[str, str] = {
    "x86_64-linux": "x86_64-linux-gnu.2.17",
    "aarch64-linux": "aarch64-linux-gnu.2.17",
    "armv7-linux": "arm-linux-gnueabihf.2.17",
    "aarch64-macos": "aarch64-macos",
    "x86_64-macos": "x86_64-macos",
}
_COMPILE_SECONDS = 600.0
_LINES_SHOWN = 12


@dataclass(frozen=True)
class Toolchain:
    """A compiler for one target.

    Attributes:
        target: one of `harness.lab.spec.TARGETS`.
        command: argv that starts it, with what selects the target.
        identity: its version, as it states it.
    """

    target: str
    command: tuple[str, ...]
    identity: str

    @property
    def flags(self) -> tuple[str, ...]:
        """Compiler options beside sources and output."""
        strip = () if self.target.endswith("macos") else ("-s",)
        # Phones with 16 KiB pages load no program whose segments are aligned to less.
        pages = ("-Wl,-z,max-page-size=16384",) if self.target.endswith("android") else ()
        return ("-std=c11", "-O2", "-Wall", "-Wextra", *strip, *pages)

    def argv(self, sources: tuple[Path, ...], output: Path) -> list[str]:
        """The command line that compiles and links `sources` into `output`."""
        libraries = () if self.target.endswith("macos") else ("-ldl",)
        return [*self.command, *self.flags, *map(str, sources), "-o", str(output), *libraries]


def build_runner(target: str | None = None, compiler: str | None = None) -> Path:
    """The `delegate_bench` binary for a target, from the cache or built into it.

    Args:
        target: one of `harness.lab.spec.TARGETS`; None is this machine's.
        compiler: a compiler's command line, used as it is instead of the one that would be found.

    Returns:
        The binary. Processes that build the same one at once do not disturb each other.

    Raises:
        UsageError: an unknown target, no compiler for it, or a compiler that fails.
    """
    toolchain = find_toolchain(target, compiler)
    folder = source_folder()
    place = cache_dir("runners", _key(toolchain, folder))
    binary = place / BINARY
    if not binary.is_file():
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            output = Path(scratch) / BINARY
            _compile(toolchain, folder, output)
            output.replace(binary)
    return binary


def source_folder() -> Path:
    """The folder of the C sources: beside this file in an installed package, else `native/` of the checkout.

    Raises:
        UsageError: neither is there.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "native", here.parents[2] / "native"):
        if (folder / f"{BINARY}.c").is_file():
            return folder
    raise UsageError(f"the sources of {BINARY} are missing from this installation; reinstall delegate-harness")


def sources_of(folder: Path) -> tuple[Path, ...]:
    """The files that are compiled, in a fixed order."""
    return tuple(sorted(folder.glob("*.c")))


def find_toolchain(target: str | None = None, compiler: str | None = None) -> Toolchain:
    """The compiler for a target; see `build_runner` for the arguments.

    Raises:
        UsageError: an unknown target, or no compiler for it.
    """
    host = host_target()
    target = target or host
    if target not in TARGETS:
        raise UsageError(
            f"{BINARY} cannot be built for '{target}': expected one of {', '.join(TARGETS)}{nearest(target, TARGETS)}"
        )
    if compiler is not None:
        return _named(target, compiler, "the compiler")
    if target in _NDK_CLANGS:
        return _ndk(target)
    if target == host:
        if os.environ.get("CC"):
            return _named(target, os.environ["CC"], "$CC")
        for name in ("cc", "gcc", "clang"):
            if shutil.which(name):
                return _named(target, name, name)
    if importlib.util.find_spec(_ZIG) is None:
        raise UsageError(_advice(target, host))
    command = (sys.executable, "-m", _ZIG, "cc", "-target", _ZIG_TRIPLES[target])
    return Toolchain(target, command, f"ziglang {importlib.metadata.version(_ZIG)}")


def _advice(target: str, host: str) -> str:
    if target != host:
        return f"building {BINARY} for {target} on this {host} machine needs zig: {_ZIG_INSTALL}"
    package = "xcode-select --install" if host.endswith("macos") else "apt install build-essential, on Debian"
    return f"no C compiler was found to build {BINARY}: install one ({package}), or zig: {_ZIG_INSTALL}"


def _named(target: str, command: str, origin: str) -> Toolchain:
    """A compiler given as a command line."""
    argv = tuple(shlex.split(command))
    if not argv or shutil.which(argv[0]) is None:
        raise UsageError(f"{origin} names the C compiler '{command}', which cannot be run; install it or name another")
    try:
        said = subprocess.run([*argv, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the C compiler '{command}' does not answer to --version: {error}") from error
    return Toolchain(target, argv, said.stdout.strip() or said.stderr.strip())


def _ndk(target: str) -> Toolchain:
    variable = next((name for name in NDK_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        raise UsageError(
            f"building {BINARY} for {target} needs the Android NDK: unpack it and set ANDROID_NDK_HOME to its folder "
            "(or take a built one: harness fetch android). By hand: cmake -S native -B build "
            "-DCMAKE_TOOLCHAIN_FILE=$ANDROID_NDK_HOME/build/cmake/android.toolchain.cmake "
            f"-DANDROID_ABI={abi_of(target)} "
            "-DANDROID_PLATFORM=android-26 -DCMAKE_BUILD_TYPE=Release && cmake --build build"
        )
    root = Path(os.environ[variable])
    pattern = f"toolchains/llvm/prebuilt/*/bin/{_NDK_CLANGS[target]}"
    found = sorted(root.glob(pattern))
    if not found:
        raise UsageError(f"${variable} is {root}, where no NDK is: expected {pattern} in it")
    return _named(target, shlex.quote(str(found[0])), f"${variable}")


def _key(toolchain: Toolchain, folder: Path) -> str:
    """A name for what the sources and the toolchain make."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.c"), *folder.glob("*.h")]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    digest.update("\0".join((toolchain.target, toolchain.identity, *toolchain.command, *toolchain.flags)).encode())
    return f"{toolchain.target}-{digest.hexdigest()[:16]}"


def _compile(toolchain: Toolchain, folder: Path, output: Path) -> None:
    command = toolchain.argv(sources_of(folder), output)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMPILE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{BINARY} cannot be built for {toolchain.target}: {error}") from error
    if done.returncode != 0 or not output.is_file():
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:_LINES_SHOWN]) or "it said nothing"
        raise UsageError(
            f"{BINARY} cannot be built for {toolchain.target}: {shlex.join(toolchain.command)} ended with exit code "
            f"{done.returncode}; name another compiler with CC, or install zig: {_ZIG_INSTALL}. It said:\n{said}"
        )
