"""Vulkan drivers in software that GPU tests use as devices, and what to install where they are absent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tests.conftest import ROOT

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
LAVAPIPE = ROOT / ".cache" / "lavapipe"


def swiftshader() -> dict[str, str]:
    """Environment of a device on SwiftShader (float32 only), or skip."""
    if not SWIFTSHADER.is_file():
        absent("needs SwiftShader: apt-get install chromium libvulkan1")
    return {"VK_ICD_FILENAMES": str(SWIFTSHADER)}


def lavapipe() -> dict[str, str]:
    """Environment of a device on Mesa 25's lavapipe (real float16), or skip."""
    icd = LAVAPIPE / "lvp_icd.json"
    if not icd.is_file():
        absent("needs lavapipe of Mesa 25: apt-get install mesa-vulkan-drivers; bash .ci/lavapipe .cache/lavapipe")
    libraries = next(LAVAPIPE.glob("usr/lib/*/libvulkan_lvp.so")).parent
    cache = Path(tempfile.gettempdir()) / f"harness-tests-mesa-{os.getuid()}"
    cache.mkdir(exist_ok=True)
    return {
        "VK_ICD_FILENAMES": str(icd),
        "LD_LIBRARY_PATH": str(libraries),
        "XDG_RUNTIME_DIR": tempfile.gettempdir(),
        "MESA_SHADER_CACHE_DIR": str(cache),
    }


def absent(words: str) -> NoReturn:
    """Skip, but not in CI: there a missing driver would leave all GPU tests out unseen."""
    if os.environ.get("HARNESS_CI"):
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


DRIVERS = {"swiftshader": swiftshader, "lavapipe": lavapipe}
