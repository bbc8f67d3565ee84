"""A lab of emulated phones, and what it takes to give them jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulated.android import real_adbd
from emulated.android.description import Description
from emulated.android.lab import AdbLab
from emulated.android.phone import Backend, Phone
from harness.devices.android.device import AndroidDevice
from harness.lab.spec import AndroidSpec
from tests.devices import jobs
from tests.devices.jobs import CLOCK, NoTurns, Running, until
from tests.drivers import absent

__all__ = ["CLOCK", "NoTurns", "Running", "until"]

ROOT = "data/local/tmp/harness"

Add = Callable[..., "Bench"]


@dataclass
class Bench(jobs.Bench):
    """A phone, and a device of the harness for it."""

    device: AndroidDevice
    phone: Phone
    port: int

    @property
    def root(self) -> Path:
        return self.phone.root / ROOT

    def another(self, *, found: bool = False, **keys: Any) -> Bench:
        """The same phone for another run of the harness."""
        spec = AndroidSpec(
            kind="android", name="phone", serial=self.phone.serial, adb_server=f"localhost:{self.port}", **keys
        )
        device = AndroidDevice(spec.as_found("phone", self.phone.serial) if found else spec, CLOCK)
        return Bench(device, self.folder, self.phone, self.port)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbLab]:
    with AdbLab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def add(lab: AdbLab, tmp_path: Path) -> Iterator[Add]:
    """Plugs in a phone; afterwards nothing may go on running on it."""
    phones: list[Phone] = []

    def add(kind: str | Description = "pixel-8", backend: Backend = "emulated", **keys: Any) -> Bench:
        if backend == "real" and (why := real_adbd.absent()):
            absent(why)
        phone = lab.add(kind, backend=backend)
        phones.append(phone)
        spec = AndroidSpec(
            kind="android", name="phone", serial=phone.serial, adb_server=f"localhost:{lab.server_port}", **keys
        )
        return Bench(AndroidDevice(spec, CLOCK), tmp_path, phone, lab.server_port)

    yield add
    try:
        # A call that was given up may have a `sleep` of its own left, for a second.
        until(lambda: not any(phone.processes() for phone in phones), 5)
    finally:
        for phone in phones:
            phone.close()


@pytest.fixture(params=["emulated", "real"])
def bench(request: pytest.FixtureRequest, add: Add) -> Iterator[Bench]:
    """A connected phone, once with our adbd and once with Debian's."""
    bench = add(backend=request.param)
    bench.connect()
    yield bench
    bench.device.close()


@pytest.fixture
def pixel(add: Add) -> Iterator[Bench]:
    """A connected phone with our adbd, for what does not depend on it."""
    bench = add()
    bench.connect()
    yield bench
    bench.device.close()


@pytest.fixture
def old(add: Add) -> Iterator[Bench]:
    """A connected phone of the time before shell v2, without sha256sum, stat, setsid, timeout."""
    bench = add("old-32bit")
    bench.connect()
    yield bench
    bench.device.close()
