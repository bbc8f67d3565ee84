"""The engine with nothing made up: this machine, the real runner, real references."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.devices.base import DeviceError, Job, JobOutput, Turns
from harness.devices.local import LocalDevice
from tests.engine.farm import CPU, Farm, drain, finish, outcomes, rows, until


@pytest.fixture
def real(farm: Farm) -> Farm:
    """A farm in real time."""
    farm.clock = SystemClock()
    return farm


def test_two_devices_of_this_machine(real: Farm) -> None:
    for name in ("one", "two"):
        real.add(LocalDevice(name, real.clock), None)
    matrix = finish(real.run("add", "conv_2d", text=f"{CPU}reference: one\n", gates="", rounds=2, real=True))
    assert set(outcomes(matrix).values()) == {"PASS"}
    spans = []
    for name, row in rows(matrix).items():
        assert row["latency"] is not None
        assert [entry["round"] for entry in row["latency"]["rounds"]] == [1, 2], name
        assert row["accuracy"][0]["max_abs"] == 0.0 or row["device"] == "one"
        spans += [(attempt["started"], attempt["seconds"]) for attempt in row["attempts"]]
    assert len(spans) == 8
    assert all(seconds > 0 for _, seconds in spans)


class Flaky(LocalDevice):
    """Loses the connection during its first job."""

    lost = False

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        output = super().execute(job, folder, deadline, turns)
        if not self.lost:
            self.lost = True
            raise DeviceError("the cable fell out before the output was here", device=self.name)
        return output


def test_an_attempt_after_a_fault_is_a_whole_measurement(real: Farm) -> None:
    real.add(Flaky("flaky", real.clock), None)
    row = rows(finish(real.run("add", gates="", real=True)))["add[flaky:cpu]"]
    assert row["outcome"] == "PASS"
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["ERROR", "MEASURED"]
    assert all("/r1a2/" in path for path in row["artifacts"])


def test_cancelling_ends_a_real_measurement_at_once(real: Farm) -> None:
    device = LocalDevice("here", real.clock)
    real.add(device, None)
    run = real.run("add", "mul", gates="", real=True, rounds=100)
    run.start()
    until(lambda: device._running is not None)
    run.cancel("stopped by a test")
    drain(run.finished)
    assert set(outcomes(run.matrix(None)).values()) == {"NOT_RUN"}
    assert device._running is None
