"""A phone that things go wrong with, on our adbd and on Debian's, and the ways to it that are under test."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emulated.android import real_adbd
from emulated.android.description import named
from emulated.android.lab import AdbLab
from emulated.android.phone import Phone
from harness.clock import SystemClock
from harness.devices.adb.device import AdbDevice
from harness.devices.adb.server import AdbServer
from tests.drivers import absent

CLOCK = SystemClock()
BACKENDS = ("emulated", "real")
TMP = "/data/local/tmp"


@dataclass
class Rig:
    """A phone in a lab of its own, connected.

    Attributes:
        lab: may be broken at will.
        phone: in it.
        device: the way to it.
        folder: for files on the controller.
        told: what a person was asked to do.
    """

    lab: AdbLab
    phone: Phone
    device: AdbDevice
    folder: Path
    told: list[str] = field(default_factory=list)

    @property
    def files(self) -> Path:
        """The phone's folder for files, seen from this computer."""
        return self.phone.root / TMP[1:]

    def connect(self, seconds: float) -> None:
        """Reach the phone."""
        self.device.connect(seconds, self.told.append, threading.Event())

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something while the calling thread is busy."""
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for what has to happen soon."""
        end = CLOCK.monotonic() + seconds
        while not condition():
            assert CLOCK.monotonic() < end, "it did not happen"
            CLOCK.sleep(0.02)

    def running(self, *words: str) -> list[int]:
        """Processes on the phone with exactly this command line, wherever the program lies."""
        found = []
        for pid in self.phone.processes():
            with contextlib.suppress(OSError):  # it has just ended
                program, *arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1] or [""]
                if [Path(program).name, *arguments] == list(words):
                    found.append(pid)
        return found


Plug = Callable[..., Rig]


@pytest.fixture(autouse=True)
def home(own_home: Path) -> Path:
    """The harness starts servers in the place of those that are killed."""
    return own_home


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    """Makes a rig; `tcp`: with a phone on the network."""
    folder = tmp_path / "controller"
    folder.mkdir()
    with AdbLab(tmp_path / "lab") as lab:

        def make(backend: str, *, tcp: bool = False) -> Rig:
            if backend == "real" and (why := real_adbd.absent()):
                absent(f"{why} and apt-get install libprotobuf32")
            phone = lab.add(named("pixel-8"), backend="real" if backend == "real" else "emulated", tcp=tcp)
            server = AdbServer("localhost", lab.server_port, CLOCK)
            rig = Rig(lab, phone, AdbDevice(server, phone.serial, "phone", CLOCK), folder)
            rig.connect(15)
            return rig

        yield make
        lab.continue_server()  # else it could not be ended
        port = lab.server_port
    end_servers(port)


def end_servers(port: int) -> None:
    """End the server that the harness itself started in the place of the lab's, when that was gone."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"\0tcp:localhost:{port}\0".encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
