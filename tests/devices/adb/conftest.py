"""Phones behind a real adb server: emulated ones, and Debian's real adbd."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulated.android import real_adbd
from emulated.android.description import Description
from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from harness.clock import SystemClock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import AdbServer
from tests.drivers import absent

CLOCK = SystemClock()
KINDS = ("emulated", "old", "real", "real-v1")
"""old: without shell v2, cooked terminal, small packets. real-v1: Debian's adbd, spoken to as if it were old."""

TMP = "/data/local/tmp"
NEVER = threading.Event()
"""Nobody cancels."""

_MODERN = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


class Stopwatch:
    """Asserts that a block took no longer than it may."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._start = CLOCK.monotonic()

    def __exit__(self, *_: object) -> None:
        assert CLOCK.monotonic() - self._start < self._seconds


@dataclass
class Rig:
    """A phone, and the way to it that is under test."""

    kind: str
    lab: AdbLab
    phone: Phone
    server: AdbServer
    device: AdbDevice
    told: list[str]

    @property
    def v2(self) -> bool:
        return self.kind in ("emulated", "real")

    @property
    def files(self) -> Path:
        """The phone's folder for files, seen from this computer."""
        return self.phone.root / TMP[1:]

    def connect(self, seconds: float = 10.0) -> None:
        self.device.connect(seconds, self.told.append, threading.Event())
        if self.kind == "real-v1":
            self.device._features = frozenset()


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbLab]:
    with AdbLab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[AdbLab]:
    """For tests that do something to the server."""
    with AdbLab(tmp_path / "lab") as lab:
        yield lab


Plug = Callable[..., Rig]


def plug_in(lab: AdbLab, kind: str, *, tcp: bool = False) -> Rig:
    backend = "real" if kind.startswith("real") else "emulated"
    if backend == "real" and (why := real_adbd.absent()):
        absent(why + " and apt-get install libprotobuf32")
    described = Description(
        version=1,
        name="phone",
        protocol="old" if kind == "old" else "modern",
        features=() if kind == "old" else _MODERN,
        properties={"ro.product.model": "Phone"},
    )
    phone = lab.add(described, backend="real" if backend == "real" else "emulated", tcp=tcp)
    server = AdbServer("localhost", lab.server_port, CLOCK)
    return Rig(kind, lab, phone, server, AdbDevice(server, phone.serial, "phone", CLOCK), [])


@pytest.fixture
def plug(shared_lab: AdbLab) -> Iterator[Plug]:
    rigs: list[Rig] = []

    def make(kind: str = "emulated", *, tcp: bool = False) -> Rig:
        rigs.append(plug_in(shared_lab, kind, tcp=tcp))
        return rigs[-1]

    yield make
    for rig in rigs:
        shared_lab.phones.remove(rig.phone)
        rig.phone.close()


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, plug: Plug) -> Rig:
    """A phone of every kind, connected."""
    made = plug(request.param)
    made.connect()
    return made


@pytest.fixture(params=["emulated", "real"])
def modern(request: pytest.FixtureRequest, plug: Plug) -> Rig:
    """A phone of today, ours and Debian's, connected."""
    made = plug(request.param)
    made.connect()
    return made
