"""C programs and libraries of emulated devices: compiled once, and kept by what they were made from."""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.paths import cache_dir

_COMPILE_SECONDS = 600.0


@dataclass(frozen=True)
class Source:
    """What is compiled into one file.

    Attributes:
        name: of the file that comes out.
        words: what it is, for messages: "the app of emulated iPhones".
        files: C files, in the order in which they are compiled.
        headers: what these include.
        flags: compiler options.
        linked: libraries, as options.
    """

    name: str
    words: str
    files: Sequence[Path]
    headers: Sequence[Path] = ()
    flags: Sequence[str] = ()
    linked: Sequence[str] = ()


def compiled(source: Source, environ: Mapping[str, str]) -> Path:
    """The file, from the cache or compiled into it. Processes that do so at once do not disturb each other.

    Args:
        source: what to compile.
        environ: `CC` in it names the C compiler; others are looked for on its `PATH`, and then zig.

    Raises:
        UsageError: there is no C compiler, or it fails.
    """
    compiler = _compiler(source, environ)
    place = cache_dir("emulated", f"{source.name}-{_key(source, compiler)}")
    made = place / source.name
    if not made.is_file():
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            output = Path(scratch) / source.name
            command = [*compiler, *source.flags, *map(str, source.files), "-o", str(output), *source.linked]
            _compile(source, command, environ)
            output.replace(made)
    return made


def _compiler(source: Source, environ: Mapping[str, str]) -> Sequence[str]:
    if environ.get("CC"):
        return shlex.split(environ["CC"])
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name, path=environ.get("PATH"))), None)
    if found is not None:
        return (found,)
    if importlib.util.find_spec("ziglang") is None:
        raise UsageError(
            f"{source.words} cannot be built without a C compiler: apt install build-essential (on Debian), "
            "or pip install 'delegate-harness[zig]'"
        )
    return (sys.executable, "-m", "ziglang", "cc")


def _key(source: Source, compiler: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join((*compiler, *source.flags, *source.linked)).encode())
    for path in (*source.files, *sorted(source.headers)):
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(source: Source, command: Sequence[str], environ: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMPILE_SECONDS,
            env=environ,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{source.words} cannot be built: {error}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:12])
        raise UsageError(
            f"{source.words} cannot be built: {command[0]} ended with exit code {done.returncode}:\n{said}"
        )
