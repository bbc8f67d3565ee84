"""For all tests: a cache and adb servers of their own, so that a test run neither needs nor changes the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole test run: the runner is built once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("harness-cache")
        patch.setenv("HARNESS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def own_adb() -> Iterator[None]:
    """Whichever adb server a test starts looks for no device of this computer; which adb the user has is no matter."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ADB_USB", "ADB_MDNS", "ADB_EMU"):
            patch.setenv(name, "0")
        for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT", "ANDROID_SERIAL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_usbmuxd() -> Iterator[None]:
    """No test finds the user's iPhones: by default there is no usbmuxd."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:9")
        yield


@pytest.fixture
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for adb servers that the harness starts: they write their keys there."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder
