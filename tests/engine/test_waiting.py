"""Cells that wait for one another's measurements, and for references: in the end each is judged."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from harness.devices.base import DeviceError, Job, JobOutput, Turns
from harness.engine.judge import Judge
from harness.engine.preparation import Preparation
from harness.measure import accuracy, regression
from harness.plan.cell import Cell, Model, ModelRef, Policy
from harness.reference.golden import GoldenRunners
from harness.reference.inputs import InputSet
from harness.runners.bench_record import RESULT
from tests.engine.fake import FakeDevice, model_of, option
from tests.engine.farm import CPU, Farm, error, finish, outcomes, rows, wait

TWO = "delegates: {one: {accelerator: cpu}, two: {accelerator: cpu, threads: 2}}\n"


def test_a_reference_device_is_waited_for(farm: Farm) -> None:
    others_done = threading.Event()

    def late(device: FakeDevice, job: Job) -> None:
        wait(others_done)

    def early(device: FakeDevice, job: Job) -> None:
        others_done.set()

    farm.device("reference", late)
    farm.device("phone", early)
    found = rows(finish(farm.run("add", text=f"{CPU}reference: reference\n")))
    compared = found["add[phone:cpu]"]["accuracy"][0]["reference"]
    assert (compared["kind"], compared["device"]) == ("device", "reference")
    assert found["add[reference:cpu]"]["accuracy"][0]["reference"]["kind"] == "golden"
    assert {row["outcome"] for row in found.values()} == {"PASS"}


def lost(device: FakeDevice, job: Job) -> str | None:
    raise DeviceError(f"{device.name}: lost", device=device.name)


def mistaken(device: FakeDevice, job: Job) -> str | None:
    raise ZeroDivisionError("a mistake of ours")


@pytest.mark.parametrize(("act", "words"), [(lost, "lost"), (mistaken, "a mistake of ours")])
@pytest.mark.parametrize("first", ["phone", "reference"])
def test_a_reference_device_that_fails_is_an_error_with_words(farm: Farm, act: object, words: str, first: str) -> None:
    measured, failed = threading.Event(), threading.Event()

    def reference(device: FakeDevice, job: Job) -> str | None:
        if first == "phone":
            wait(measured)
        failed.set()
        return act(device, job)  # type: ignore[operator, no-any-return]

    def phone(device: FakeDevice, job: Job) -> None:
        if first == "reference":
            wait(failed)
        measured.set()

    farm.device("reference", reference)
    farm.device("phone", phone)
    row = rows(finish(farm.run("add", text=f"{CPU}reference: reference\n")))["add[phone:cpu]"]
    assert row["outcome"] == "ERROR"
    assert words in str(row["reason"])
    assert "farm::add[reference:cpu]" in str(row["reason"])
    assert error(row)["kind"] == "reference"


def test_a_mistake_costs_no_measurement_that_only_waits_for_its_reference(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    original = Preparation._compute

    def compute(self: Preparation, cell: Cell) -> object:
        wait(failed)
        return original(self, cell)

    monkeypatch.setattr(Preparation, "_compute", compute)

    def act(device: FakeDevice, job: Job) -> str | None:
        if model_of(job) == "add":
            return None
        failed.set()
        return mistaken(device, job)

    farm.device("phone", act)
    found = outcomes(finish(farm.run("add", "mul", "sub")))
    assert found == {"add[phone:cpu]": "PASS", "mul[phone:cpu]": "ERROR", "sub[phone:cpu]": "ERROR"}


def test_cells_that_need_each_other_are_judged(farm: Farm) -> None:
    """`two` is the partner of `one`, whose outputs are the reference of `two`."""
    farm.device("phone")
    run = farm.run(
        "add",
        text=f"{TWO}reference: same_device_cpu\nadvice: {{speedup: {{over: two}}}}\n",
        gates="gates: {'*': {speedup: 0.1}}\n",
    )
    found = rows(finish(run))
    assert {name: row["outcome"] for name, row in found.items()} == {"add[phone:one]": "PASS", "add[phone:two]": "PASS"}
    speedup = found["add[phone:one]"]["speedup"]
    assert speedup is not None
    assert speedup["over"] == "farm::add[phone:two]"
    assert found["add[phone:two]"]["accuracy"][0]["reference"]["kind"] == "same_device_cpu"


def test_a_partner_without_measurement_leaves_the_gate_unset(farm: Farm) -> None:
    farm.device("phone", lambda device, job: "crash" if option(job, "--threads") == "2" else None)
    text = f"{TWO}advice: {{speedup: {{over: two}}}}\n"
    found = rows(finish(farm.run("add", text=text, gates="gates: {one: {speedup: 0.1}}\n")))
    assert found["add[phone:one]"]["outcome"] == "ERROR"
    assert error(found["add[phone:one]"])["kind"] == "gate_unset"


class Instant(FakeDevice):
    """Too fast for the runner's clock: all times are 0."""

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        output = super().execute(job, folder, deadline, turns)
        record = json.loads((folder / RESULT).read_text())
        times = {name: [0.0] * len(record[name]) for name in ("invoke_us", "read_us")}
        (folder / RESULT).write_text(json.dumps({**record, **times}))
        return output


@pytest.mark.parametrize(("gates", "outcome"), [("{one: {speedup: 0.1}}", "ERROR"), ("{one: {median_us: 9}}", "PASS")])
def test_times_of_zero_give_no_speedup_and_cost_no_report(farm: Farm, gates: str, outcome: str) -> None:
    farm.add(Instant("phone"), "machine-of-phone")
    text = f"{TWO}advice: {{speedup: {{over: two}}}}\n"
    found = rows(finish(farm.run("add", text=text, gates=f"gates: {gates}\n")))["add[phone:one]"]
    assert found["speedup"] is None
    assert [note for note in found["notes"] if "clock's resolution" in note] == [
        "no speed-up over farm::add[phone:two]: a median latency is 0 us, below the clock's resolution"
    ]
    assert found["outcome"] == outcome
    assert outcome == "PASS" or error(found)["kind"] == "gate_unset"


class Mistake(Exception):
    """A fault of ours."""


def golden_raises(patch: pytest.MonkeyPatch) -> None:
    def compute(self: GoldenRunners, model: Model, inputs: InputSet, policy: Policy) -> None:
        raise Mistake

    patch.setattr(GoldenRunners, "compute", compute)


def describe_raises(patch: pytest.MonkeyPatch) -> None:
    def describe(ref: ModelRef) -> Model:
        raise Mistake

    patch.setattr("harness.engine.preparation.describe", describe)


def comparison_raises(patch: pytest.MonkeyPatch) -> None:
    def compare(*anything: object) -> None:
        raise Mistake

    patch.setattr(accuracy, "compare", compare)


def judging_raises(patch: pytest.MonkeyPatch) -> None:
    def row(*anything: object) -> None:
        raise Mistake

    patch.setattr("harness.measure.latency.summarise", row)


def readiness_raises(patch: pytest.MonkeyPatch) -> None:
    def ready(*anything: object) -> None:
        raise Mistake

    patch.setattr(Judge, "ready", ready)


FAULTS = [golden_raises, describe_raises, comparison_raises, judging_raises, readiness_raises]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("early", [True, False], ids=["measured-first", "reference-first"])
def test_a_mistake_anywhere_ends_the_cell_not_the_run(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, fault: object, early: bool
) -> None:
    fault(monkeypatch)  # type: ignore[operator]
    references = threading.Event()
    original = Preparation._compute

    def compute(self: Preparation, cell: object) -> object:
        if early:
            wait(measured)
        try:
            return original(self, cell)  # type: ignore[arg-type]
        finally:
            references.set()

    measured = threading.Event()
    monkeypatch.setattr(Preparation, "_compute", compute)

    def act(device: FakeDevice, job: Job) -> None:
        if not early:
            wait(references)
        measured.set()

    farm.device("phone", act)
    if fault is describe_raises:
        measured.set()  # nothing gets that far
    found = rows(finish(farm.run("add", "mul")))
    for row in found.values():
        assert row["outcome"] == "ERROR"
        assert "Mistake" in str(row["reason"])
        assert error(row)["class"] == "host"


@pytest.mark.parametrize("name", ["cell_started", "cell_finished", "message"])
def test_a_listener_that_fails_costs_no_measurement(farm: Farm, name: str) -> None:
    def broken(*anything: object) -> None:
        raise BrokenPipeError("nobody listens")

    setattr(farm.listener, name, broken)
    farm.device("phone")
    assert outcomes(finish(farm.run("add", "mul"))) == {"add[phone:cpu]": "PASS", "mul[phone:cpu]": "PASS"}


def test_comparing_with_an_impossible_baseline_does_not_hang(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*anything: object) -> None:
        raise Mistake

    monkeypatch.setattr(regression, "compare", compare)
    farm.device("phone", fails_to_connect="no answer")
    run = farm.run("add")
    run._judge._baseline = {"farm::add[phone:cpu]": {}}  # type: ignore[typeddict-item]
    assert outcomes(finish(run)) == {"add[phone:cpu]": "ERROR"}
