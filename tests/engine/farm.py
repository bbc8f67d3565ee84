"""A run of the real engine on fake devices, and a watchdog, so that a deadlock fails instead of hanging."""

from __future__ import annotations

import faulthandler
import json
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.devices.base import Device
from harness.devices.local import host_target
from harness.engine.engine import Listener
from harness.engine.judge import CellResult
from harness.engine.run import Run
from harness.lab.inventory import Inventory
from harness.lab.spec import BinarySource, DeviceSpec, LocalSpec
from harness.measure.metrics import METRICS
from harness.plan.expand import expand
from harness.plan.load import load_suite
from harness.plan.row import CellRow, Matrix, RunRow
from harness.record.journal import NAME, read
from tests.conftest import MODELS
from tests.engine.fake import Act, FakeClock, FakeDevice

WATCHDOG = 20.0
RUNS = "runs: {warmup: {count: 0, min_seconds: 0}, count: 1, min_seconds: 0, rounds: %d}\n"
GATES = "gates: {'*': {median_us: 1.0e+9}}\n"  # fake outputs are wrong ones
CPU = "delegates: {cpu: {accelerator: cpu}}\n"


def wait(event: threading.Event) -> None:
    """Wait for what a test is about, or fail."""
    assert event.wait(WATCHDOG)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread to have got somewhere."""
    pause = threading.Event()
    for _ in range(int(WATCHDOG * 1000)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it never came to that")


class Hang(AssertionError):
    """A run did not end; the stacks of its threads are in the message."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile("w+") as stream:
            faulthandler.dump_traceback(stream)
            stream.seek(0)
            super().__init__(f"no cell was finished for {WATCHDOG:g} s\n{stream.read()}")


class Farm:
    """Fake devices, each on a machine of its own unless said otherwise, and one suite for all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "report"
        self.folder.mkdir()
        self.clock: Clock = FakeClock()
        self.listener = Listener()
        self.opened: dict[str, Device] = {}
        self.specs: dict[str, DeviceSpec] = {}
        self._suite = folder / "farm.yaml"
        self._program = folder / "program"
        self._program.write_bytes(b"a program")

    def device(
        self, name: str, act: Act | None = None, *, machine: str | None = None, fails_to_connect: str | None = None
    ) -> FakeDevice:
        """Add a device."""
        device = FakeDevice(name, act, fails_to_connect=fails_to_connect)
        self.add(device, machine or f"machine-of-{name}")
        return device

    def add(self, device: Device, machine: str | None) -> None:
        """Add a device of the caller's own; without a machine, on the controller."""
        self.opened[device.name] = device
        self.specs[device.name] = LocalSpec(name=device.name, kind="local", machine=machine)

    def run(self, *models: str, text: str = CPU, rounds: int = 1, gates: str = GATES, real: bool = False) -> Run:
        """A run of some single-op models on all devices, not started yet."""
        paths = json.dumps([str(MODELS / "ops" / f"{name}.tflite") for name in models])
        self._suite.write_text(f"version: 1\nmodels: {paths}\n{text}{gates}{RUNS % rounds}")
        suite = load_suite(self._suite, METRICS)
        self.cells = expand(suite, list(self.specs.values()))
        source = {host_target(): BinarySource(path=str(self._program))}
        return Run(
            provenance=PROVENANCE,
            lab=Inventory(tuple(self.specs.values()), {} if real else {"delegate_bench": source}),
            specs=self.specs,
            suites=[suite],
            cells=self.cells,
            folder=self.folder,
            baseline={},
            clock=self.clock,
            listener=self.listener,
            opener=lambda spec, clock: self.opened[spec.name],
        )

    def journal(self) -> list[dict[str, Any]]:
        """The attempts that were written down."""
        return read(self.folder / NAME)[1]


def finish(run: Run) -> Matrix:
    """Start a run and see it to its end."""
    run.start()
    drain(run.finished)
    return run.matrix(None)


def drain(finished: queue.Queue[CellResult | None]) -> list[CellResult]:
    """Every finished cell, in order; the queue's end must come, and come last."""
    results = []
    try:
        while (result := finished.get(timeout=WATCHDOG)) is not None:
            results.append(result)
    except queue.Empty:
        raise Hang from None
    assert finished.empty()
    assert len({result.cell.id for result in results}) == len(results)
    return results


def rows(matrix: Matrix) -> dict[str, CellRow]:
    """A matrix's rows by `model[device:delegate]`."""
    return {row["id"].partition("::")[2]: row for row in matrix["cells"]}


def outcomes(matrix: Matrix) -> dict[str, str]:
    """Outcomes by `model[device:delegate]`."""
    return {name: row["outcome"] for name, row in rows(matrix).items()}


def error(row: CellRow) -> Mapping[str, Any]:
    """The error of a row that has one."""
    assert row["error"] is not None
    return row["error"]


PROVENANCE: RunRow = {
    "id": "test-run",
    "started": "2026-01-02T00:00:00.000Z",
    "finished": None,
    "command": "pytest",
    "harness_version": "0",
    "git": None,
    "host": "here",
    "profile": "quick",
}
