"""Devices that start apps: which runner a cell gets there, and what its row says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.devices.base import Job, JobOutput, Turns
from harness.lab.spec import IOS_TARGET
from tests.engine.fake import FakeDevice
from tests.engine.farm import CPU, Farm, error, finish, rows

APP = {
    "schema": 1,
    "core": "1.0.0",
    "metal_device": None,
    "emulated": True,
    "jobs_before": 0,
    "exit_code": 0,
    "error": None,
}
RUNTIME = {"version": "2.3.0", "sha256": "ab" * 32}


class FakeIphone(FakeDevice):
    """Has the app's record beside the program's, and refuses jobs for no app, as the real one does."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.target = IOS_TARGET
        self.jobs: list[Job] = []

    def execute(self, job: Job, folder: Path, deadline: float, turns: Turns) -> JobOutput:
        assert job.app == "delegate_bench"
        self.jobs.append(job)
        (folder / "app.json").write_text(json.dumps({**APP, "id": job.id, "runtime": RUNTIME}))
        return super().execute(job, folder, deadline, turns)


@pytest.fixture
def iphone(farm: Farm) -> FakeIphone:
    device = FakeIphone("iphone")
    farm.add(device, "the-iphone")
    return device


def delegate(**keys: str) -> str:
    inside = ", ".join(f"{key}: {value}" for key, value in {"accelerator": "cpu", **keys}.items())
    return f"delegates: {{cpu: {{{inside}}}}}\n"


@pytest.mark.parametrize("text", [CPU, delegate(context="app"), delegate(runner="delegate_bench")])
def test_a_suite_that_says_nothing_of_it_runs_in_the_app(farm: Farm, iphone: FakeIphone, text: str) -> None:
    row = rows(finish(farm.run("add", text=text)))["add[iphone:cpu]"]
    assert row["outcome"] == "PASS", row["reason"]
    assert row["runner"] is not None
    assert (row["runner"]["name"], row["runner"]["context"]) == ("delegate_bench", "app")
    assert row["runtime"] == RUNTIME
    assert iphone.jobs[0].files[0].name == "model.tflite"


def test_the_same_suite_is_a_shells_process_elsewhere(farm: Farm, iphone: FakeIphone) -> None:
    farm.device("box")
    found = rows(finish(farm.run("add")))
    contexts = {name: row["runner"] and row["runner"]["context"] for name, row in found.items()}
    assert contexts == {"add[iphone:cpu]": "app", "add[box:cpu]": "shell"}
    assert found["add[box:cpu]"]["runtime"] != RUNTIME


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"context": "shell"}, "leave `context` out"),
        ({"runner": "benchmark_model"}, "upstream's is ios_app"),
        ({"runner": "android_app"}, "upstream's is the runner ios_app"),
        ({"runtime": "2.2.0"}, "the app holds LiteRT 2.3.0, and the delegate asks for 2.2.0"),
        ({"runtime": "nothing"}, "no runtime called 'nothing'"),
    ],
)
def test_what_an_iphone_cannot_do_is_an_error_of_the_suite(
    farm: Farm, iphone: FakeIphone, keys: dict[str, str], words: str
) -> None:
    row = rows(finish(farm.run("add", text=delegate(**keys))))["add[iphone:cpu]"]
    assert (row["outcome"], error(row)["class"]) == ("ERROR", "config")
    assert words in str(row["reason"])
    assert len(row["attempts"]) == 1


def test_the_runtime_that_is_in_the_app_may_be_asked_for(farm: Farm, iphone: FakeIphone) -> None:
    row = rows(finish(farm.run("add", text=delegate(runtime="2.3.0"))))["add[iphone:cpu]"]
    assert row["outcome"] == "PASS", row["reason"]


def test_upstreams_app_for_iphones_is_for_them_alone(farm: Farm) -> None:
    farm.device("box")
    row = rows(finish(farm.run("add", text=delegate(runner="ios_app"))))["add[box:cpu]"]
    assert (row["outcome"], error(row)["class"]) == ("ERROR", "config")
    assert "an app for iPhones" in str(row["reason"])
