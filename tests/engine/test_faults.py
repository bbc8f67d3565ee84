"""Whose fault it is decides what happens: infrastructure is tried again, a runner or a model is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.devices.base import DeviceError, Job
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem
from harness.runners.base import JobFacts, RunnerReport
from harness.runners.delegate_bench import DelegateBench
from tests.engine.fake import Act, FakeDevice, model_of
from tests.engine.farm import CPU, Farm, error, finish, outcomes, rows


def failing(times: int, error_class: ErrorClass = ErrorClass.DEVICE, model: str = "add") -> Act:
    """The first `times` jobs of a model fail on the way to the device."""
    left = [times]

    def act(device: FakeDevice, job: Job) -> str | None:
        if model_of(job) == model and left[0]:
            left[0] -= 1
            raise DeviceError(f"{device.name}: the cable fell out", device=device.name, error_class=error_class)
        return None

    return act


@pytest.mark.parametrize("error_class", [ErrorClass.DEVICE, ErrorClass.HOST])
def test_an_infrastructure_fault_is_repeated_once_after_recovery_and_recorded(
    farm: Farm, error_class: ErrorClass
) -> None:
    phone = farm.device("phone", failing(1, error_class))
    row = rows(finish(farm.run("add")))["add[phone:cpu]"]
    assert row["outcome"] == "PASS"
    assert [(a["round"], a["number"], a["outcome"]) for a in row["attempts"]] == [(1, 1, "ERROR"), (1, 2, "MEASURED")]
    assert row["attempts"][0]["reason"] == "phone: the cable fell out"
    assert phone.calls == ["connect", "execute add", "recover", "execute add", "close"]
    assert [(line["attempt"], line["problem"] is None) for line in farm.journal()] == [(1, False), (2, True)]


def test_an_infrastructure_fault_that_stays_is_an_error_of_its_class(farm: Farm) -> None:
    phone = farm.device("phone", failing(9))
    found = rows(finish(farm.run("add", "mul")))
    assert found["add[phone:cpu]"]["outcome"] == "ERROR"
    assert error(found["add[phone:cpu]"])["class"] == "device"
    assert len(found["add[phone:cpu]"]["attempts"]) == 2
    assert found["mul[phone:cpu]"]["outcome"] == "PASS"
    assert phone.calls.count("execute add") == 2


def test_a_suite_may_switch_repeating_off(farm: Farm) -> None:
    phone = farm.device("phone", failing(1))
    assert outcomes(finish(farm.run("add", text=f"{CPU}retries: 0\n"))) == {"add[phone:cpu]": "ERROR"}
    assert phone.calls == ["connect", "execute add", "close"]


@pytest.mark.parametrize(
    ("kind", "outcome", "error_class"),
    [
        ("crash", "ERROR", "runner"),
        ("model", "ERROR", "model"),
        ("abi", "ERROR", "config"),
        ("timeout", "TIMEOUT", "runner"),
        ("unsupported", "UNSUPPORTED", None),
    ],
)
def test_what_a_runner_says_is_never_tried_again(farm: Farm, kind: str, outcome: str, error_class: str | None) -> None:
    phone = farm.device("phone", lambda device, job: kind)
    row = rows(finish(farm.run("add")))["add[phone:cpu]"]
    assert row["outcome"] == outcome
    assert (error(row)["class"] if error_class else row["error"]) == error_class
    assert len(row["attempts"]) == 1
    assert phone.calls == ["connect", "execute add", "close"]


def test_a_device_that_cannot_be_reached_costs_its_own_cells_alone(farm: Farm) -> None:
    gone = farm.device("gone", fails_to_connect="gone: no answer")
    farm.device("here")
    found = rows(finish(farm.run("add", "mul", rounds=2)))
    for model in ("add", "mul"):
        row = found[f"{model}[gone:cpu]"]
        assert (row["outcome"], row["reason"]) == ("ERROR", "gone: no answer")
        assert (error(row)["class"], error(row)["kind"]) == ("device", "connect")
        assert len(row["attempts"]) == 1
        assert found[f"{model}[here:cpu]"]["outcome"] == "PASS"
    assert gone.calls == ["connect", "close"]


def test_a_fault_in_the_middle_of_rounds_voids_what_was_measured_before(farm: Farm) -> None:
    rounds: list[str] = []

    def act(device: FakeDevice, job: Job) -> str | None:
        rounds.append(job.id)
        return "crash" if len(rounds) == 2 else None

    farm.device("phone", act)
    row = rows(finish(farm.run("add", rounds=3)))["add[phone:cpu]"]
    assert row["outcome"] == "ERROR"
    assert len(rounds) == 2, "rounds after the fault cannot mend the cell"
    assert row["validity"]["void"]
    assert row["latency"] is not None
    assert [entry["round"] for entry in row["latency"]["rounds"]] == [1]


def test_a_device_that_does_not_come_back_costs_its_own_unfinished_cells_alone(farm: Farm) -> None:
    phone = farm.device("phone", failing(1, model="mul"))
    farm.device("other")

    def recover() -> None:
        raise DeviceError("phone: no answer for 60 s", device="phone")

    phone.recover = recover  # type: ignore[method-assign]
    found = rows(finish(farm.run("add", "mul", "relu", "sub")))
    assert found["add[phone:cpu]"]["outcome"] == "PASS"
    assert (found["mul[phone:cpu]"]["outcome"], found["mul[phone:cpu]"]["reason"]) == (
        "ERROR",
        "phone: the cable fell out",
    )
    for model in ("relu", "sub"):
        row = found[f"{model}[phone:cpu]"]
        assert row["outcome"] == "NOT_RUN"
        assert row["reason"] == "phone was lost and does not come back: phone: no answer for 60 s"
    assert {found[f"{model}[other:cpu]"]["outcome"] for model in ("add", "mul", "relu", "sub")} == {"PASS"}
    assert phone.calls == ["connect", "execute add", "execute mul", "close"]


def test_a_device_is_mended_before_the_next_cell_too(farm: Farm) -> None:
    phone = farm.device("phone", failing(2))
    found = outcomes(finish(farm.run("add", "mul")))
    assert found == {"add[phone:cpu]": "ERROR", "mul[phone:cpu]": "PASS"}
    tries = ["execute add", "recover"] * 2
    assert phone.calls == ["connect", *tries, "execute mul", "close"]


def test_the_deadline_reaches_the_device(farm: Farm) -> None:
    phone = farm.device("phone")
    finish(farm.run("add", text=f"{CPU}limits: {{deadline: 60}}\n"))
    assert 59 < phone.deadlines[0] <= 60


def test_the_deadline_is_for_all_jobs_of_a_round_together(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def jobs(self: DelegateBench, cell: Cell, facts: JobFacts) -> Sequence[Job]:
        return [*original(self, cell, facts)] * 3

    def report(self: DelegateBench, cell: Cell, jobs: object, facts: object, outputs: Sequence[object]) -> RunnerReport:
        done.append(len(outputs))
        return RunnerReport(Problem(Outcome.TIMEOUT, "late"), {"name": "x"})

    original = DelegateBench.jobs
    monkeypatch.setattr(DelegateBench, "jobs", jobs)
    monkeypatch.setattr(DelegateBench, "report", report)
    phone = farm.device("phone", lambda device, job: farm.clock.sleep(40))
    finish(farm.run("add", text=f"{CPU}limits: {{deadline: 60}}\n"))
    first, second = phone.deadlines
    assert 59 < first <= 60
    assert 19 < second <= 20
    assert done == [2]


@pytest.mark.parametrize("where", ["execute", "connect", "state"])
def test_a_fault_of_the_harness_is_named_and_ends_the_run(farm: Farm, where: str) -> None:
    phone = farm.device("phone")
    farm.device("other")

    def broken(*anything: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    setattr(phone, where, broken)
    found = rows(finish(farm.run("add", "mul")))
    for model in ("add", "mul"):
        row = found[f"{model}[phone:cpu]"]
        assert row["outcome"] == "ERROR"
        assert (error(row)["class"], error(row)["kind"]) == ("host", "internal")
        assert "a mistake of ours" in str(row["reason"])
        assert found[f"{model}[other:cpu]"]["outcome"] == "PASS"
