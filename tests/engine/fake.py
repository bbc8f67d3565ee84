"""A device that does nothing but what a test tells it, and a clock that runs without waiting."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from harness.clock import SystemClock
from harness.devices.base import DeviceError, Job, JobOutput, Turns
from harness.devices.local import host_target
from harness.plan.cell import ModelRef
from harness.plan.tflite_file import describe
from harness.runners.bench_record import RESULT
from tests.runners.real import measured

Act = Callable[["FakeDevice", Job], str | None]
"""What happens while a job's command runs: None for "ok", or the kind of error that the runner's record names."""


class FakeClock(SystemClock):
    """Every reading is a millisecond later; sleeping costs no time. Waiting for events is real."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=timezone.utc) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        self.sleep(0.001)
        return self._seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds


class FakeDevice:
    """Leaves a real runner's record for every job, with zeros for outputs."""

    def __init__(self, name: str, act: Act | None = None, *, fails_to_connect: str | None = None) -> None:
        self.name = name
        self.target = host_target()
        self.act: Act = act or (lambda device, job: None)
        self.calls: list[str] = []
        self.deadlines: list[float] = []
        self.stopped = threading.Event()
        self._fails_to_connect = fails_to_connect

    def connect(self, tell: Callable[[str], None]) -> Mapping[str, Any]:
        self.calls.append("connect")
        if self._fails_to_connect:
            raise DeviceError(self._fails_to_connect, device=self.name)
        return {"cores": 1}

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        self.calls.append(f"execute {model_of(job)}")
        self.deadlines.append(deadline)
        with turns.transfer():
            pass
        with turns.command():
            error = self.act(self, job)
        (folder / RESULT).write_text(json.dumps(record(job, folder, error)))
        state = self.state()
        return JobOutput(folder, 1 if error else 0, "", "", 0.1, 7, state_before=state, state_after=state)

    def state(self) -> Mapping[str, Any]:
        return {"temperature_c": 30.0}

    def recover(self) -> None:
        self.calls.append("recover")

    def cancel(self) -> None:
        self.calls.append("cancel")
        self.stopped.set()

    def close(self) -> None:
        self.calls.append("close")


def model_of(job: Job) -> str:
    """Name of the model that a job measures."""
    return next(file.source.stem for file in job.files if file.name == "model.tflite")


def option(job: Job, name: str) -> str:
    """The value behind an option of a job's command."""
    words = [str(part) for part in job.command]
    return words[words.index(name) + 1]


def record(job: Job, folder: Path, error: str | None = None) -> dict[str, Any]:
    """A record of delegate_bench for a job, with its output files; or one of an error."""
    head = {"schema": 1, "run_id": job.id, "tool_version": "fake"}
    if error is not None:
        return {**head, "status": "error", "error": {"kind": error, "message": f"made up: {error}", "stage": "run"}}
    source = next(file.source for file in job.files if file.name == "model.tflite")
    model = describe(ModelRef("fake", str(source)))
    outputs = []
    for sample in range(int(option(job, "--samples"))):
        for spec in model.outputs:
            data = np.zeros(prod(spec.shape), spec.dtype).tobytes()
            name = f"s{sample}_o{spec.index}.bin"
            (folder / name).write_bytes(data)
            entry = {"sample": sample, "index": spec.index, "name": spec.name, "dtype": spec.dtype, "file": name}
            outputs.append({**entry, "shape": spec.shape, "bytes": len(data), "crc32": f"{zlib.crc32(data):08x}"})
    on_gpu = {"all_on_accelerator": True} if option(job, "--accelerator") == "gpu" else {}
    return {**measured().record, **head, **on_gpu, "outputs": outputs}
