"""Builds the app of an emulated iPhone, once: it is kept by what it was made from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulated.compiler import Source, compiled
from emulated.ios.apps import Program
from harness.errors import UsageError

_ROOT = Path(__file__).resolve().parents[2]
_NATIVE = _ROOT / "native"
_SHELL = _ROOT / "emulated" / "ios" / "app" / "main.c"
_NOT_IN_AN_APP = ("delegate_bench.c", "supervise.c")  # the command line, and the parent of a forked child
_NAME = "delegatebench"
_WHEEL = "ai-edge-litert"
_LIBRARIES = ("libLiteRt.so", "libLiteRt.dylib")
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
    """The app's program, from the cache or built into it.

    Raises:
        UsageError: see `emulated_app`.
    """
    headers = (*_NATIVE.glob("*.h"), *(_NATIVE / "app").glob("*.h"))
    return compiled(Source(_NAME, "the app of emulated iPhones", app_sources(), headers, FLAGS, LINKED), environ)


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
