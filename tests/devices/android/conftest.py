"""A lab of emulated phones, and what it takes to give them jobs."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emulated.android import real_adbd
from emulated.android.description import Description
from emulated.android.lab import AdbLab
from emulated.android.phone import Backend, Phone
from harness.clock import SystemClock
from harness.devices.android.device import AndroidDevice
from harness.devices.base import Job, JobFile, JobOutput, JobPath
from harness.lab.spec import AndroidSpec
from tests.drivers import absent

ROOT = "data/local/tmp/harness"
CLOCK = SystemClock()

Add = Callable[..., "Bench"]


class NoTurns:
    """Nobody else is there."""

    def command(self) -> AbstractContextManager[object]:
        return nullcontext()

    def transfer(self) -> AbstractContextManager[object]:
        return nullcontext()


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that other processes do."""
    end = CLOCK.monotonic() + seconds
    while not condition():
        assert CLOCK.monotonic() < end, "it did not happen"
        CLOCK.sleep(0.02)


@dataclass
class Bench:
    """A phone, and a device of the harness for it."""

    phone: Phone
    device: AndroidDevice
    folder: Path
    port: int
    told: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The harness's folder on the phone, seen from here."""
        return self.phone.root / ROOT

    @property
    def jobs(self) -> list[str]:
        return sorted(path.name for path in (self.root / "jobs").iterdir())

    @property
    def stored(self) -> set[str]:
        return {path.name for path in (self.root / "sha256").iterdir()}

    def connect(self) -> Mapping[str, Any]:
        return self.device.connect(self.told.append)

    def another(self, *, found: bool = False, **keys: Any) -> Bench:
        """The same phone for another run of the harness."""
        spec = AndroidSpec(
            kind="android", name="phone", serial=self.phone.serial, adb_server=f"localhost:{self.port}", **keys
        )
        device = AndroidDevice(spec.as_found("phone", self.phone.serial) if found else spec, CLOCK)
        return Bench(self.phone, device, self.folder, self.port)

    def file(self, content: str | bytes, name: str = "data.bin", *, sha256: str | None = None) -> JobFile:
        data = content.encode() if isinstance(content, str) else content
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{digest[:16]}.src"
        path.write_bytes(data)
        return JobFile(name, path, sha256 or digest)

    def job(self, script: str, *files: JobFile, **keys: Any) -> Job:
        """A job whose program is a shell script."""
        program = self.file(f"#!/bin/sh\n{script}\n", "program")
        words = keys.pop("words", ())
        program = JobFile(program.name, program.source, program.sha256, executable=True)
        return Job(secrets.token_hex(8), (program, *files), (JobPath("program"), *words), **keys)

    def run(self, script: str | Job, *files: JobFile, deadline: float = 20.0, **keys: Any) -> JobOutput:
        job = script if isinstance(script, Job) else self.job(script, *files, **keys)
        folder = self.folder / f"out-{secrets.token_hex(4)}"
        folder.mkdir()
        return self.device.execute(job, folder, deadline, NoTurns())

    def begin(self, script: str, *files: JobFile, deadline: float = 20.0, **keys: Any) -> Running:
        """Start a job that makes `out/started`, and wait until it is there."""
        job = self.job(f"echo $$ >out/started\n{script}", *files, **keys)
        started = self.root / "jobs" / job.id / "out" / "started"
        running = Running(self, job, started, deadline)
        running.thread.start()
        until(lambda: running.outcome or (started.exists() and started.read_text().strip()))
        return running


class Running:
    """A job in a thread of its own."""

    def __init__(self, bench: Bench, job: Job, started: Path, deadline: float) -> None:
        self.bench = bench
        self.deadline = deadline
        self.job = job
        self.started = started
        self.outcome: list[JobOutput | Exception] = []
        self.thread = threading.Thread(target=self._run)

    @property
    def pid(self) -> int:
        """Of the job's program."""
        return int(self.started.read_text())

    def _run(self) -> None:
        try:
            self.outcome.append(self.bench.run(self.job, deadline=self.deadline))
        except Exception as error:
            self.outcome.append(error)

    def wait(self) -> JobOutput | Exception:
        self.thread.join(30)
        return self.outcome[0]

    def output(self) -> JobOutput:
        outcome = self.wait()
        assert isinstance(outcome, JobOutput), outcome
        return outcome


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
        return Bench(phone, AndroidDevice(spec, CLOCK), tmp_path, lab.server_port)

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
