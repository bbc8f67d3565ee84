"""Jobs for a device under test, and waiting for what they do."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import SystemClock
from harness.devices.base import Device, Job, JobFile, JobOutput, JobPath

CLOCK = SystemClock()


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
    """A device of the harness, and what it needs to be given jobs."""

    device: Device
    folder: Path
    told: list[str] = field(default_factory=list, init=False)

    @property
    def root(self) -> Path:
        """The harness's folder on the device, seen from here."""
        raise NotImplementedError

    @property
    def jobs(self) -> list[str]:
        return sorted(path.name for path in (self.root / "jobs").iterdir())

    @property
    def stored(self) -> set[str]:
        return {path.name for path in (self.root / "sha256").iterdir()}

    def connect(self) -> Mapping[str, Any]:
        return self.device.connect(self.told.append)

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
        self.thread.join(60)
        return self.outcome[0]

    def output(self) -> JobOutput:
        outcome = self.wait()
        assert isinstance(outcome, JobOutput), outcome
        return outcome
