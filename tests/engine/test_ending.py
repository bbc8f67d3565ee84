"""Runs that end early or have nothing to do: each cell has one outcome, threads end, devices are closed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from harness.devices.base import DeviceError, Job
from harness.engine.engine import Engine, Listener
from harness.engine.judge import Judge
from harness.engine.preparation import Preparation
from harness.engine.run import Run
from harness.engine.turns import MachineTurns
from harness.plan.cell import Cell, ErrorClass, Problem
from harness.plan.result import RoundResult
from harness.record.journal import Journal
from harness.reference.golden import GoldenRunners
from tests.engine.fake import FakeDevice, model_of, option
from tests.engine.farm import CPU, WATCHDOG, Farm, drain, error, finish, outcomes, rows, wait

REASON = "stopped by a test"


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every thread of the engine ends."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("harness-"):
            thread.join(WATCHDOG)
            assert not thread.is_alive(), thread.name


def blocked(started: threading.Event) -> object:
    """A command that runs until its device is cancelled."""

    def act(device: FakeDevice, job: Job) -> str | None:
        started.set()
        wait(device.stopped)
        raise DeviceError(f"{device.name}: ended", device=device.name)

    return act


def stopped(run: Run) -> dict[str, str]:
    """Outcomes of a run that was stopped, with what must hold for each."""
    results = drain(run.finished)
    matrix = run.matrix(None)
    assert {result.cell.id for result in results} == {row["id"] for row in matrix["cells"]}
    for row in matrix["cells"]:
        if row["outcome"] == "NOT_RUN":
            assert row["reason"] == REASON
    assert matrix["summary"]["planned"] == len(matrix["cells"])
    assert matrix["summary"]["verdict"] == "INCOMPLETE"
    return outcomes(matrix)


def test_cancelling_while_commands_run_and_others_wait_for_the_machine(farm: Farm) -> None:
    started = threading.Event()
    devices = [farm.device(name, blocked(started), machine="shared") for name in ("one", "two", "three")]  # type: ignore[arg-type]
    run = farm.run("add", "mul")
    run.start()
    wait(started)
    run.cancel(REASON)
    assert set(stopped(run).values()) == {"NOT_RUN"}
    for device in devices:
        assert device.calls.count("cancel") == 1
        assert device.calls[-1] == "close"
        assert "recover" not in device.calls


def test_cancelling_keeps_what_was_finished_before(farm: Farm) -> None:
    started = threading.Event()

    def act(device: FakeDevice, job: Job) -> str | None:
        if model_of(job) == "mul":
            return blocked(started)(device, job)  # type: ignore[operator, no-any-return]
        return None

    farm.device("phone", act)
    run = farm.run("add", "mul", "sub")
    run.start()
    first = run.finished.get(timeout=WATCHDOG)
    assert first is not None
    wait(started)
    run.finished.put(first)
    run.cancel(REASON)
    assert stopped(run) == {"add[phone:cpu]": "PASS", "mul[phone:cpu]": "NOT_RUN", "sub[phone:cpu]": "NOT_RUN"}


def test_a_measured_cell_that_waits_for_an_explanation_only_is_judged(farm: Farm) -> None:
    started = threading.Event()

    def act(device: FakeDevice, job: Job) -> str | None:
        if option(job, "--accelerator") == "cpu":
            return blocked(started)(device, job)  # type: ignore[operator, no-any-return]
        return None

    farm.device("one", act)
    farm.device("two")
    run = farm.run("add", text="delegates: {gpu: {accelerator: gpu}, cpu: {accelerator: cpu}}\n")
    run.start()
    others = [run.finished.get(timeout=WATCHDOG) for _ in range(2)]  # golden outputs are there
    wait(started)
    for result in others:
        run.finished.put(result)
    run.cancel(REASON)
    assert stopped(run) == {
        "add[one:gpu]": "PASS",
        "add[one:cpu]": "NOT_RUN",
        "add[two:gpu]": "PASS",
        "add[two:cpu]": "PASS",
    }


def test_a_measured_cell_whose_judge_was_not_measured_is_not_run(farm: Farm) -> None:
    started = threading.Event()

    def act(device: FakeDevice, job: Job) -> str | None:
        if option(job, "--accelerator") == "cpu":
            return blocked(started)(device, job)  # type: ignore[operator, no-any-return]
        return None

    farm.device("one", act)
    text = "reference: same_device_cpu\ndelegates: {gpu: {accelerator: gpu}, cpu: {accelerator: cpu}}\n"
    run = farm.run("add", text=text)
    run.start()
    wait(started)
    run.cancel(REASON)
    assert stopped(run) == {"add[one:gpu]": "NOT_RUN", "add[one:cpu]": "NOT_RUN"}


@pytest.mark.parametrize("own_machine", [True, False])
def test_cancelling_while_references_are_computed(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, own_machine: bool
) -> None:
    computing, cancelled = threading.Event(), threading.Event()
    original = GoldenRunners.compute

    def compute(self: GoldenRunners, *arguments: object) -> object:
        computing.set()
        wait(cancelled)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GoldenRunners, "compute", compute)
    measured = threading.Event()
    farm.device("phone", lambda device, job: measured.set())
    if own_machine:
        farm.add(FakeDevice("here"), None)
    run = farm.run("add")
    run.start()
    wait(computing)
    wait(measured)
    run.cancel(REASON)
    cancelled.set()
    assert set(stopped(run).values()) == {"NOT_RUN"}


@pytest.mark.parametrize("start", [True, False])
def test_cancelling_before_the_start(farm: Farm, start: bool) -> None:
    phone = farm.device("phone")
    run = farm.run("add", "mul")
    run.cancel(REASON)
    if start:
        run.start()
    matrix = run.matrix(None)
    assert set(outcomes(matrix).values()) == {"NOT_RUN"}
    assert len(drain(run.finished)) == 2
    assert phone.calls == ["cancel", "close"], "a cancelled run does not even connect"


def test_cancelling_twice_and_after_the_end_changes_nothing(farm: Farm) -> None:
    farm.device("phone")
    run = farm.run("add")
    run.start()
    drain(run.finished)
    run.cancel(REASON)
    run.cancel("another reason")
    assert outcomes(run.matrix(None)) == {"add[phone:cpu]": "PASS"}
    assert run.finished.empty()


def test_a_device_that_ignores_its_end_does_not_hold_up_the_report(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engine.run._JOIN_SECONDS", 0.2)
    started, over = threading.Event(), threading.Event()

    def act(device: FakeDevice, job: Job) -> None:
        started.set()
        wait(over)

    farm.device("stuck", act)
    run = farm.run("add", "mul")
    run.start()
    wait(started)
    run.cancel(REASON)
    matrix = run.matrix(None)
    assert set(outcomes(matrix).values()) == {"NOT_RUN"}
    over.set()
    assert len(drain(run.finished)) == 2


class Full:
    """A disk that is full from the n-th attempt on."""

    def __init__(self, patch: pytest.MonkeyPatch, room: int) -> None:
        self.left = room + 1  # the plan
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self.fsync)

    def fsync(self, number: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(number)


def test_a_journal_that_cannot_be_written_stops_the_run(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    farm.listener.message = told.append  # type: ignore[assignment, method-assign]
    disk = Full(monkeypatch, room=1)
    farm.device("phone")
    run = farm.run("add", "mul", "sub")
    run.start()
    drain(run.finished)
    matrix = run.matrix(None)
    assert disk.left < 0
    assert outcomes(matrix)["mul[phone:cpu]"] == outcomes(matrix)["sub[phone:cpu]"] == "NOT_RUN"
    assert "No space left on device" in str(rows(matrix)["sub[phone:cpu]"]["reason"])
    assert any("the journal" in text for text in told)
    assert len(farm.journal()) == 1


def test_a_full_disk_does_not_leave_cells_of_finished_devices_waiting(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first device's thread has ended, its cell waits for a reference; then the second one stops the run."""
    parked, over = threading.Event(), threading.Event()
    original = GoldenRunners.compute

    def compute(self: GoldenRunners, *arguments: object) -> object:
        wait(over)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GoldenRunners, "compute", compute)

    def late(device: FakeDevice, job: Job) -> None:
        thread = next(thread for thread in threading.enumerate() if thread.name == "harness-first")
        parked.set()
        thread.join(WATCHDOG)

    def early(device: FakeDevice, job: Job) -> None:
        wait(parked)

    Full(monkeypatch, room=1)
    farm.device("first", early)
    farm.device("second", late)
    run = farm.run("add")
    run.start()
    try:
        assert len(drain(run.finished)) == 2
    finally:
        over.set()
    assert set(outcomes(run.matrix(None)).values()) == {"NOT_RUN"}


class OneTry:
    """An executor whose attempts all end in the same problem, or in a mistake."""

    def __init__(self, problem: Problem | None) -> None:
        self.problem = problem

    def run(self, cell: Cell, round_number: int, attempt: int, order: int) -> RoundResult:
        if self.problem is None:
            raise ZeroDivisionError("a mistake of ours")
        return RoundResult(cell.id, round_number, attempt, order, "2026-01-02T00:00:00.000Z", 0.0, problem=self.problem)


def bare(farm: Farm, cells: list[Cell], executor: OneTry) -> Engine:
    """An engine without a run around it, and without devices."""
    preparation = Preparation(cells, GoldenRunners(farm.clock), lambda: None, lambda text: None)
    journal = Journal(farm.folder / "bare")
    journal.plan({"cells": []})
    return Engine(
        cells=cells,
        slots={},
        executor=executor,
        preparation=preparation,
        judge=Judge(preparation, {cell.id: cell for cell in cells}, {}),
        journal=journal,
        turns=MachineTurns(),
        controller="this machine",
        clock=farm.clock,
        listener=Listener(),
    )


@pytest.fixture
def planned(farm: Farm) -> list[Cell]:
    """Two cells of a device that is in no engine."""
    (farm.folder / "bare").mkdir()
    farm.device("gone")
    finish(farm.run("add", "mul"))
    return farm.cells


def test_an_engine_that_knows_no_such_device_says_so(farm: Farm, planned: list[Cell]) -> None:
    engine = bare(farm, planned, OneTry(None))
    engine.start()
    results = drain(engine.finished)
    engine.join(WATCHDOG)
    for result in results:
        assert (error(result.row)["class"], error(result.row)["kind"]) == (ErrorClass.HOST.value, "internal")


def test_no_cells_is_a_run_that_ends_at_once(farm: Farm) -> None:
    (farm.folder / "bare").mkdir()
    engine = bare(farm, [], OneTry(None))
    engine.start()
    assert drain(engine.finished) == []
    engine.cancel(REASON)
    engine.join(WATCHDOG)
    assert engine.finished.empty()


def test_a_run_may_be_planned_and_never_started(farm: Farm) -> None:
    farm.device("phone")
    run = farm.run("add", text=f"{CPU}retries: 0\n")
    matrix = run.matrix(None)
    assert outcomes(matrix) == {"add[phone:cpu]": "NOT_RUN"}
