"""Builds the app of an emulated iPhone, once: it is kept by what it was made from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulated.ios.apps import Program
from harness.errors import UsageError
from harness.paths import cache_dir

_ROOT = Path(__file__).resolve().parents[2]
_NATIVE = _ROOT / "native"
_SHELL = _ROOT / "emulated" / "ios" / "app" / "main.c"
_NOT_IN_AN_APP = ("delegate_bench.c", "supervise.c")  # the command line, and the parent of a forked child
_NAME = "delegatebench"
_WHEEL = "ai-edge-litert"
_LIBRARIES = ("libLiteRt.so", "libLiteRt.dylib")
_COMPILE_SECONDS = 600.0
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-pthread")
LINKED = () if sys.platform == "darwin" else ("-ldl", "-lm")


def emulated_app(environ: Mapping[str, str]) -> Program:
    """The app as it is started on an emulated iPhone, with LiteRT of the installed wheel.

    Args:
        environ: `CC` in it names the C compiler; others are looked for on its `PATH`, and then zig.

    Raises:
        UsageError: there is no C compiler, or it fails; LiteRT is not installed.
    """
    library = _library()
    env = {
        "EMULATED_APP_LIBRARY": str(library),
        "EMULATED_APP_ACCELERATORS": str(library.parent),
        "EMULATED_APP_RUNTIME_VERSION": importlib.metadata.version(_WHEEL),
    }
    return Program((str(build_app(environ)),), env)


def build_app(environ: Mapping[str, str]) -> Path:
    """The app's program, from the cache or built into it. Processes that build it at once do not disturb each other.

    Raises:
        UsageError: see `emulated_app`.
    """
    compiler = _compiler(environ)
    place = cache_dir("emulated", f"{_NAME}-{_key(compiler)}")
    program = place / _NAME
    if not program.is_file():
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            output = Path(scratch) / _NAME
            command = [*compiler, *FLAGS, *map(str, app_sources()), "-o", str(output), *LINKED]
            _compile(command, environ)
            output.replace(program)
    return program


def app_sources() -> Sequence[Path]:
    """The C files of the emulated app, in a fixed order."""
    core = [path for path in sorted(_NATIVE.glob("*.c")) if path.name not in _NOT_IN_AN_APP]
    return (*core, *sorted((_NATIVE / "app").glob("*.c")), _SHELL)


def _library() -> Path:
    spec = importlib.util.find_spec(_WHEEL.replace("-", "_"))
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = next((folder / name for folder in folders for name in _LIBRARIES if (folder / name).is_file()), None)
    if found is None:
        raise UsageError(
            f"emulated iPhones run LiteRT of the package {_WHEEL}, which is not installed: pip install {_WHEEL}"
        )
    return found


def _compiler(environ: Mapping[str, str]) -> Sequence[str]:
    if environ.get("CC"):
        return shlex.split(environ["CC"])
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name, path=environ.get("PATH"))), None)
    if found is not None:
        return (found,)
    if importlib.util.find_spec("ziglang") is None:
        raise UsageError(
            "emulated iPhones need a C compiler for their app: apt install build-essential (on Debian), "
            "or pip install 'delegate-harness[zig]'"
        )
    return (sys.executable, "-m", "ziglang", "cc")


def _key(compiler: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join((*compiler, *FLAGS, *LINKED)).encode())
    headers = [*_NATIVE.glob("*.h"), *(_NATIVE / "app").glob("*.h")]
    for path in (*app_sources(), *sorted(headers)):
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(command: Sequence[str], environ: Mapping[str, str]) -> None:
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
        raise UsageError(f"the app of emulated iPhones cannot be built: {error}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:12])
        raise UsageError(
            f"the app of emulated iPhones cannot be built: {command[0]} ended with exit code {done.returncode}:\n{said}"
        )
