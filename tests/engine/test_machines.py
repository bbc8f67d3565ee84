"""What runs beside what: timed commands of one machine never do, everything else does not wait without need."""

from __future__ import annotations

import threading

import pytest

from harness.devices.base import Job
from harness.devices.local import host_target, machine_name
from harness.engine.preparation import Preparation
from harness.plan.cell import Cell
from harness.runners.runtimes import Runtime, Runtimes
from tests.engine.fake import FakeDevice, model_of
from tests.engine.farm import CPU, Farm, drain, finish, outcomes, wait

OWN = machine_name()


class Gauge:
    """How many timed commands run at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, device: FakeDevice, job: Job) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.002)  # gives others the chance to do wrong
        with self._lock:
            self._now -= 1


def test_timed_commands_of_one_machine_never_overlap(farm: Farm) -> None:
    gauge = Gauge()
    for name in ("one", "two", "three"):
        farm.device(name, gauge, machine="shared")
    run = farm.run("add", "mul", "sub", rounds=2)
    assert set(run.machines.values()) == {"shared"}
    assert set(outcomes(finish(run)).values()) == {"PASS"}
    assert gauge.most == 1


def test_devices_of_different_machines_are_timed_at_once(farm: Farm) -> None:
    together = threading.Barrier(3)

    def act(device: FakeDevice, job: Job) -> None:
        together.wait(20)  # breaks unless all three are here

    for name in ("one", "two", "three"):
        farm.device(name, act)
    assert set(outcomes(finish(farm.run("add", "mul"))).values()) == {"PASS"}


def spy(patch: pytest.MonkeyPatch, before: threading.Event | None, log: list[str]) -> None:
    """Note when golden outputs were computed; not before an event."""
    original = Preparation._compute

    def compute(self: Preparation, cell: Cell) -> object:
        if before is not None:
            wait(before)
        result = original(self, cell)
        log.append(f"golden {cell.model.name}")
        return result

    patch.setattr(Preparation, "_compute", compute)


def test_golden_outputs_come_before_the_first_timed_round_of_this_machine(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    spy(monkeypatch, None, log)
    farm.device("here", lambda device, job: log.append(f"timed {model_of(job)}"), machine=OWN)
    finish(farm.run("add", "mul"))
    assert log == ["golden add", "golden mul", "timed add", "timed mul"]


@pytest.mark.parametrize("beside", [True, False], ids=["this-machine-measured-too", "phones-alone"])
def test_other_machines_are_measured_while_golden_outputs_are_computed(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """All of the phone's cells, transfers included, are done before the first reference is."""
    measured = threading.Event()
    log: list[str] = []
    spy(monkeypatch, measured, log)

    def act(device: FakeDevice, job: Job) -> None:
        log.append(f"timed {model_of(job)}")
        if model_of(job) == "mul":
            measured.set()

    farm.device("phone", act)
    if beside:
        farm.device("here", machine=OWN)
    assert set(outcomes(finish(farm.run("add", "mul"))).values()) == {"PASS"}
    assert log == ["timed add", "timed mul", "golden add", "golden mul"]


def test_nothing_is_compared_while_this_machine_is_timed(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = threading.Event()
    disturbed: list[bool] = []
    run_judge = "harness.measure.accuracy.compare"
    from harness.measure import accuracy

    original = accuracy.compare

    def compare(*arguments: object) -> object:
        disturbed.append(timing.is_set())
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run_judge, compare)

    def act(device: FakeDevice, job: Job) -> None:
        timing.set()
        threading.Event().wait(0.01)
        timing.clear()

    farm.device("here", act, machine=OWN)
    farm.device("phone")
    finish(farm.run("add", "mul", "sub", rounds=2))
    assert disturbed == [False] * 6


def test_what_the_controller_does_is_not_taken_off_a_jobs_deadline(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Runtimes.get

    def get(self: Runtimes, name: str | None, target: str) -> Runtime:
        farm.clock.sleep(50)  # fetches a wheel
        return original(self, name, target)

    monkeypatch.setattr(Runtimes, "get", get)
    phone = farm.device("phone")
    finish(farm.run("add", text=f"{CPU}limits: {{deadline: 60}}\n"))
    assert 59 < phone.deadlines[0] <= 60
    assert farm.journal()[0]["seconds"] < 1


def test_a_run_whose_cells_are_all_over_does_not_go_on_computing_references(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    log: list[str] = []
    spy(monkeypatch, over, log)
    farm.device("gone", fails_to_connect="no answer")
    run = farm.run("add", "mul", "sub")
    run.start()
    drain(run.finished)
    threading.Timer(0.05, over.set).start()
    matrix = run.matrix(None)
    assert len(log) <= 1
    assert len(matrix["models"]) == 3


def test_a_device_of_this_machine_is_found_by_name(farm: Farm) -> None:
    device = FakeDevice("here")
    farm.add(device, None)
    run = farm.run("add")
    assert run.machines == {"here": OWN}
    assert device.target == host_target()
    assert outcomes(finish(run)) == {"add[here:cpu]": "PASS"}
