"""This computer: Python packages, the adb program and its servers, a C compiler."""

from __future__ import annotations

import importlib.metadata
import platform
import re

from harness.doctor.findings import Finding, missing, note, ok
from harness.errors import UsageError
from harness.runners.build import find_toolchain

_DISTRIBUTION = "delegate-harness"
_SHOWN = ("pytest", "ai-edge-litert", "adbutils")


def check_packages() -> Finding:
    """Python, and the packages that the harness says it needs."""
    try:
        needed = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return missing("packages", f"{_DISTRIBUTION} is not installed here", "pip install -e .")
    names = [match.group() for line in needed if ";" not in line and (match := re.match(r"[\w.-]+", line))]
    absent = [name for name in names if _version(name) is None]
    if absent:
        command = f"pip install {' '.join(absent)}"
        return missing("packages", f"these Python packages are not installed: {', '.join(absent)}", command)
    shown = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    return ok("packages", f"Python {platform.python_version()}, {shown}")


def check_compiler() -> Finding:
    """What builds the runner for this computer. Phones need none, so that its absence alone is no fault."""
    try:
        toolchain = find_toolchain()
    except UsageError as error:
        return note("compiler", str(error))
    identity = (toolchain.identity.splitlines() or ["says nothing of its version"])[0]
    return ok("compiler", identity)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
