"""Programs of other projects that speak to iPhones, as tests use them; and what to install where one is absent.

Each is a process of its own: one of them is GPL, and is never imported.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from tests.conftest import ROOT
from tests.drivers import absent

PYMOBILEDEVICE3 = ROOT / ".cache" / "pymobiledevice3" / "bin" / "pymobiledevice3"
GO_IOS = ROOT / ".cache" / "go-ios" / "ios"


def needs_tidevice() -> None:
    """Skip where the extra `ios` is not installed."""
    if importlib.util.find_spec("tidevice") is None:
        absent("needs tidevice: pip install -c constraints.txt -e '.[ios]'")


def idevice(name: str) -> str:
    """One of libimobiledevice's programs (idevice_id, ideviceinfo, idevicepair, ideviceinstaller, ...), or skip."""
    program = shutil.which(name)
    if program is None:
        absent(f"needs {name}: apt-get install libimobiledevice-utils ideviceinstaller")
    return program


def pymobiledevice3() -> str:
    """The program pymobiledevice3 in an environment of its own, or skip."""
    own = str(PYMOBILEDEVICE3) if PYMOBILEDEVICE3.is_file() else None
    program = os.environ.get("HARNESS_PYMOBILEDEVICE3") or own or shutil.which("pymobiledevice3")
    if program is None or not Path(program).is_file():
        absent("needs pymobiledevice3: bash .ci/pymobiledevice3 .cache/pymobiledevice3, or $HARNESS_PYMOBILEDEVICE3")
    return program


def go_ios() -> str:
    """The program of go-ios, or skip."""
    own = str(GO_IOS) if GO_IOS.is_file() else None
    program = os.environ.get("HARNESS_GO_IOS") or own or shutil.which("ios")
    if program is None or not Path(program).is_file():
        absent("needs go-ios: bash .ci/go-ios .cache/go-ios, or $HARNESS_GO_IOS")
    return program
