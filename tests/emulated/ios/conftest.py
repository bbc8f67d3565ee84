"""Labs of emulated iPhones, and the tools of others as a person would start them."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from tests.emulated.bench import mentioning
from tests.ios_tools import idevice

SECONDS = 60
Tool = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes are watched by pidfd_open."""
    if sys.platform != "linux":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="emulated iPhones run on Linux only"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[IosLab]:
    """A lab of one test; nothing of it may be left, and the emulation may have made no mistake."""
    before = set(threading.enumerate())
    with IosLab(tmp_path / "lab") as made:
        yield made
        failures = made.failures
    assert failures == []
    assert set(threading.enumerate()) == before
    assert mentioning(str(tmp_path / "lab")) == []


@pytest.fixture
def tool(lab: IosLab, tmp_path: Path) -> Tool:
    """Starts one of libimobiledevice's programs for a phone of the lab: `tool("ideviceinfo", phone, "-k", "x")`."""
    environ = {**lab.environ, "HOME": str(tmp_path)}

    def run(name: str, phone: Phone | None, *words: str) -> subprocess.CompletedProcess[str]:
        whom = ["-u", phone.udid] if phone else []
        argv = [idevice(name), *whom, *words]
        return subprocess.run(
            argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return run


@pytest.fixture
def tide_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """tidevice in this process: its keys go to a home of the test; sockets that it leaves open are not our concern."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="ssl.PROTOCOL_TLS")
        warnings.filterwarnings("ignore", category=ResourceWarning)
        yield tmp_path
        gc.collect()
