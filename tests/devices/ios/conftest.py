"""Emulated iPhones, and the ways to them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.apps import Program
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.clock import SystemClock
from harness.devices.ios.transport import Transport
from harness.lab.spec import IosSpec
from tests.ios_tools import needs_tidevice

CLOCK = SystemClock()
SECONDS = 20.0
SCRIPT = "com.example.script"
"""An app that sleeps until it is ended."""

Connect = Callable[..., Transport]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the home folders of tidevice's processes are made."""
    folder = tmp_path / "homes"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[IosLab]:
    """A usbmuxd without phones. Nobody may touch a pair record, or ask a phone to pair."""
    if sys.platform != "linux":
        pytest.skip("emulated iPhones run on Linux only")
    with IosLab(tmp_path / "lab") as made:
        yield made
        assert made.pairing == []
        assert [phone.asked for phone in made.phones] == [[] for _ in made.phones]
        assert made.failures == []


def spec_of(phone: Phone, lab: IosLab, **keys: Any) -> IosSpec:
    """An entry of devices.yaml for a phone."""
    entry = {"kind": "ios", "name": phone.description.name, "udid": phone.udid, "usbmuxd": lab.address, **keys}
    return IosSpec.model_validate(entry).at("devices.yaml:3")


@pytest.fixture
def connect(lab: IosLab, homes: Path) -> Iterator[Connect]:
    """Makes ways to phones; afterwards nothing of them is left on this computer."""
    needs_tidevice()
    made: list[Transport] = []

    def open_transport(phone: Phone, **keys: Any) -> Transport:
        made.append(Transport(spec_of(phone, lab, **keys), CLOCK))
        return made[-1]

    yield open_transport
    for transport in made:
        transport.close()
    assert list(homes.iterdir()) == []


@pytest.fixture
def phone(lab: IosLab) -> Phone:
    """An iPhone 13 with iOS 16.4, with an app that sleeps."""
    return with_script(lab.add("iphone-13"))


def with_script(phone: Phone) -> Phone:
    """Install the app that sleeps."""
    phone.add_app(SCRIPT, Program((sys.executable, "-c", "import time; time.sleep(60)")), name="Script")
    return phone
