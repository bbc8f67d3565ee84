"""An emulated iPhone as a device of the harness, and jobs that our app does on it with real inference."""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.clock import SystemClock
from harness.devices.base import Job, JobFile, JobOutput, JobPath
from harness.devices.ios.device import IosDevice
from harness.paths import sha256_file
from tests.conftest import MODELS
from tests.devices.android.conftest import NoTurns, until
from tests.devices.ios.conftest import spec_of
from tests.ios_tools import needs_tidevice

CLOCK = SystemClock()
COUNT = 6 * 8 * 3
"""Elements of each of the model's two inputs."""

Plug = Callable[..., "Bench"]


class Watch(SystemClock):
    """Real time, of which a test may skip some: nobody waits for a deadline, and none is over by accident."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds


@dataclass
class Bench:
    """A phone, and a device of the harness for it."""

    lab: IosLab
    phone: Phone
    device: IosDevice
    folder: Path
    clock: Watch
    told: list[str] = field(default_factory=list)

    @property
    def documents(self) -> Path:
        """Our app's Documents, seen from this computer."""
        return self.phone.apps[OWN_BUNDLE].documents

    @property
    def left(self) -> list[str]:
        """Files in them, but for the store, the marker of the last job and what was there before."""
        found = [path.relative_to(self.documents) for path in self.documents.rglob("*") if path.is_file()]
        return sorted(str(path) for path in found if path.parts[0] not in ("store", "done"))

    @property
    def stored(self) -> list[Path]:
        return sorted((self.documents / "store").iterdir())

    @property
    def pushed(self) -> list[str]:
        """Files that came into the store, in order."""
        return [Path(path).name for path, _ in self.phone.received if "/store/" in path]

    def connect(self) -> Mapping[str, Any]:
        return self.device.connect(self.told.append)

    def job(self, *, seconds: float = 0.0, ballast: int = 0, **keys: Any) -> Job:
        """Add two tensors, again and again for `seconds`; with one more file of so many bytes."""
        files = [file("model.tflite", MODELS / "ops" / "add.tflite")]
        for number in range(2):
            path = self.folder / f"input{number}.bin"
            path.write_bytes(struct.pack(f"<{COUNT}f", *(float(index + number) for index in range(COUNT))))
            files.append(file(f"inputs/i{number}.bin", path))
        runs = ["--warmup", "0", "--runs", "3", "--min-seconds", str(seconds), "--max-seconds", "300"]
        command: list[str | JobPath] = ["--model", JobPath("model.tflite"), "--accelerator", "cpu", *runs]
        command += ["--input", *(JobPath(one.name) for one in files[1:])]
        if ballast:
            path = self.folder / "ballast.bin"
            path.write_bytes(bytes(ballast))
            files.append(file("ballast.bin", path))
        return Job(secrets.token_hex(8), tuple(files), tuple(command), app="delegate_bench", **keys)

    def run(self, job: Job | None = None, *, deadline: float = 60.0) -> JobOutput:
        folder = self.folder / f"out-{secrets.token_hex(4)}"
        folder.mkdir()
        return self.device.execute(job or self.job(), folder, deadline, NoTurns())

    def begin(self, *, deadline: float = 90.0) -> Running:
        """Start a job, and wait until the app measures: there it stays, until somebody lets it go on."""
        app = self.phone.apps[OWN_BUNDLE]
        app.hold("run")
        running = Running(self, self.job(), deadline)
        running.thread.start()
        until(lambda: running.outcome or app.held, 60)
        return running


class Running:
    """A job in a thread of its own."""

    def __init__(self, bench: Bench, job: Job, deadline: float) -> None:
        self.bench = bench
        self.job = job
        self.deadline = deadline
        self.outcome: list[JobOutput | Exception] = []
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.outcome.append(self.bench.run(self.job, deadline=self.deadline))
        except Exception as error:
            self.outcome.append(error)

    @property
    def lost(self) -> bool:
        """Whether the device has noticed that the phone is away."""
        run = self.bench.device._unfinished
        return run is not None and run._lost is not None

    def expire(self) -> None:
        """The job's time is over."""
        self.bench.clock.skip(self.deadline)

    def go_on(self) -> None:
        """The app measures on."""
        self.bench.phone.apps[OWN_BUNDLE].go_on()

    def wait(self) -> JobOutput | Exception:
        self.thread.join(100)
        return self.outcome[0]

    def output(self) -> JobOutput:
        outcome = self.wait()
        assert isinstance(outcome, JobOutput), outcome
        return outcome

    def error(self) -> Exception:
        outcome = self.wait()
        assert isinstance(outcome, Exception), outcome
        return outcome


def file(name: str, path: Path) -> JobFile:
    return JobFile(name, path, sha256_file(path))


@pytest.fixture
def plug(lab: IosLab, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    """Plugs in a phone that is a device of the harness; afterwards nothing may run on it, or be left of the device."""
    needs_tidevice()
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, lab.environ[name])  # nobody may download a developer image
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("harness.devices.ios.run._GRACE", 0.2)  # what an emulated app wrote is seen at once
    made: list[Bench] = []

    def make(name: str = "iphone-13", *, tls: bool = False, **keys: Any) -> Bench:
        phone = lab.add(name, tls=tls)
        if keys.get("rsd") == "":
            keys["rsd"] = rsd(phone)
        clock = Watch()
        made.append(Bench(lab, phone, IosDevice(spec_of(phone, lab, **keys), clock), tmp_path, clock))
        return made[-1]

    yield make
    for bench in made:
        bench.device.close()
    assert list(homes.iterdir()) == []


def rsd(phone: Phone) -> str:
    """The tunnel to a phone that is up already, as devices.yaml has it."""
    assert phone.rsd_address is not None
    host, port = phone.rsd_address
    return f"{host}:{port}"


@pytest.fixture
def bench(plug: Plug) -> Bench:
    """A connected iPhone 13 with iOS 16.4, whose apps tidevice starts."""
    bench = plug()
    bench.connect()
    return bench
