"""delegate_bench inside the app of an iPhone: what it is told, and what its two records are worth together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import Job, JobOutput, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Delegate, ErrorClass, Outcome, Problem
from harness.runners.app_record import APP_RECORD
from harness.runners.base import RunnerReport
from harness.runners.bench_record import RESULT
from harness.runners.binaries import Binaries
from harness.runners.delegate_bench import DelegateBench
from tests.runners.real import cell_of, facts_of, measured

RUNNER = DelegateBench(Binaries({}))
SHA, PROGRAM = "ab" * 32, "cd" * 32
CRASH = {"kind": "crash", "message": "the app ended during this job, and nothing says why", "signal": None}


def job_of(delegate: Delegate, version: str | None = None) -> Job:
    cell = cell_of("add", delegate)
    facts = replace(facts_of(cell, IOS_TARGET), runtime=None, runtime_version=version)
    (job,) = RUNNER.jobs(cell, facts)
    return job


class App:
    """A real record as an app would have left it, with its own beside it; both can be tampered with."""

    def __init__(self, folder: Path) -> None:
        real = measured()
        shutil.copytree(real.output.folder, folder)
        self.folder = folder
        self.cell = real.cell
        self.facts = replace(real.facts, target=IOS_TARGET, runtime=None)
        (job,) = RUNNER.jobs(self.cell, self.facts)
        self.job = job
        self.record: dict[str, Any] = {**real.record, "run_id": self.job.id}
        self.app: dict[str, Any] = {
            "schema": 1,
            "id": self.job.id,
            "app": {"bundle": "com.example.delegatebench", "version": "1.0", "build": "1", "sha256": PROGRAM},
            "core": "1.0.0",
            "runtime": {"version": "2.3.0", "sha256": SHA, "bytes": 1},
            "system": {"name": "iOS", "version": "16.4", "machine": "iPhone14,5"},
            "metal_device": None,
            "emulated": True,
            "jobs_before": 0,
            "hottest": None,
            "before": {},
            "after": {},
            "exit_code": 0,
            "error": None,
        }

    def report(self, *, delegate: Delegate | None = None, version: str | None = None, **changes: Any) -> RunnerReport:
        """What the runner makes of it; `changes` are those of the job's output."""
        for name, record in ((RESULT, self.record), (APP_RECORD, self.app)):
            (self.folder / name).unlink(missing_ok=True)
            if record:
                (self.folder / name).write_text(json.dumps(record))
        return self.read(delegate=delegate, version=version, **changes)

    def read(self, *, delegate: Delegate | None = None, version: str | None = None, **changes: Any) -> RunnerReport:
        """Of the files as they are."""
        cell = replace(self.cell, delegate=delegate or self.cell.delegate)
        output = replace(JobOutput(self.folder, 0, "", "", 1.0, 0), **changes)
        return RUNNER.report(cell, [self.job], replace(self.facts, runtime_version=version), [output])

    def problem(self, **changes: Any) -> Problem:
        """The problem that must be there instead of a measurement."""
        report = self.report(**changes)
        assert report.measurement is None
        assert report.problem is not None
        return report.problem


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path / "out")


# What it is told.


def test_the_app_is_told_arguments_alone() -> None:
    job = job_of(Delegate("g", "gpu", precision="fp16", backend="metal", threads=2))
    words = [str(word) for word in job.command]
    assert job.app == "delegate_bench"
    assert words[0] == "--model", "no program: the app is one"
    assert not {"--lib", "--accel-dir", "--out", "--run-id"} & set(words)
    assert words[words.index("--backend") + 1] == "metal"
    assert words[words.index("--precision") + 1] == "fp16"
    assert words[words.index("--samples") + 1] == "3"
    assert job.output == "out"


def test_all_that_it_is_sent_are_the_model_and_the_inputs() -> None:
    job = job_of(Delegate("c"))
    named = {word.name for word in job.command if isinstance(word, JobPath)}
    assert {file.name for file in job.files} == named
    given = [str(word) for before, word in pairwise(job.command) if before == "--input"]
    assert len(given) == 6
    assert given[:2] == ["inputs/s0_i0.bin", "inputs/s0_i1.bin"]
    assert not any(file.executable for file in job.files)


def test_a_cold_start_is_told_by_the_environment() -> None:
    assert job_of(Delegate("c", start="cold")).env
    assert not job_of(Delegate("c")).env


@pytest.mark.parametrize("context", ["auto", "app"])
def test_an_app_is_all_there_is(context: Any) -> None:
    assert job_of(Delegate("c", context=context)).app


@pytest.mark.parametrize(
    ("delegate", "words"),
    [
        (Delegate("c", context="shell"), "leave `context` out"),
        (Delegate("g", "gpu", backend="opencl"), "the backends auto, metal on iOS, not 'opencl'"),
        (Delegate("n", "npu"), "no NPU"),
        (Delegate("c", runtime="mine"), r"name one \(`runtime: 2.2.0`\) instead of 'mine'"),
    ],
)
def test_what_it_cannot_do_is_refused(delegate: Delegate, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        job_of(delegate)


def test_a_suite_of_exact_programs_does_not_take_an_app_that_its_user_signed() -> None:
    cell = cell_of("add", Delegate("c"))
    cell = replace(cell, policy=replace(cell.policy, require_sha256=True))
    with pytest.raises(UsageError, match=r"(?s)exact programs only.*say `require_sha256: false`"):
        RUNNER.jobs(cell, replace(facts_of(cell, IOS_TARGET), runtime=None))


def test_it_needs_no_program_and_no_runtime_of_the_controller() -> None:
    assert RUNNER.binary(IOS_TARGET) is None
    assert not RUNNER.needs_runtime(IOS_TARGET)
    assert RUNNER.needs_runtime("aarch64-android")


# What it leaves.


def test_a_whole_record_is_a_measurement(app: App) -> None:
    report = app.report()
    assert report.measurement is not None, report.problem
    assert report.runtime == {"version": "2.3.0", "sha256": SHA}
    assert report.runner["context"] == "app"
    assert report.runner["version"] == app.record["tool_version"]
    assert report.runner["sha256"] == PROGRAM
    assert str(report.runner["command"]).startswith("--model model.tflite")
    assert report.adapter is None, "a CPU cell has none"


def test_the_adapter_is_metals_where_the_runtime_names_none(app: App) -> None:
    app.app |= {"metal_device": "Apple A15 GPU", "emulated": False}
    gpu = Delegate("g", "gpu")
    report = app.report(delegate=gpu)
    assert (report.adapter, report.adapter_software) == ("Apple A15 GPU", False)
    app.record["adapter"] = "SwiftShader Device, arch=swiftshader"
    app.record["adapter_type"] = "CPU / Software"
    report = app.report(delegate=gpu)
    assert (report.adapter, report.adapter_software) == ("SwiftShader Device", True)


@pytest.mark.parametrize(
    ("held", "words"), [("2.3.0", "holds LiteRT 2.3.0"), (None, "a LiteRT of unknown version"), ("2.2.0", None)]
)
def test_a_runtime_that_is_asked_for_by_its_version(app: App, held: str | None, words: str | None) -> None:
    app.app["runtime"]["version"] = held
    report = app.report(version="2.2.0")
    if words is None:
        assert report.measurement is not None
        return
    found = report.problem
    assert found is not None
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.CONFIG, "other_runtime")
    assert words in found.reason
    assert "2.2.0" in found.reason


def test_a_file_that_is_not_what_was_sent(app: App) -> None:
    app.record = {}
    app.app |= {"exit_code": None, "error": {"kind": "file", "message": "store/ab has another SHA-256"}}
    found = app.problem(exit_code=1)
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.DEVICE, "file")
    assert found.reason == "the app reports: store/ab has another SHA-256"


def test_an_app_that_ended_and_said_so_later(app: App) -> None:
    app.record = {}
    app.app |= {"exit_code": None, "error": CRASH}
    found = app.problem(exit_code=1)
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.RUNNER, "crash")
    assert "nothing says why" in found.reason
    assert not found.retried


def test_a_crash_in_both_records_is_told_by_the_one_that_says_more(app: App) -> None:
    error = {"kind": "crash", "message": "", "signal": 11, "signal_name": "SIGSEGV", "stage": "compile"}
    app.record |= {"status": "error", "error": error}
    app.app |= {"exit_code": None, "error": CRASH}
    found = app.problem(exit_code=1)
    assert (found.kind, found.signal, found.stage) == ("crash", 11, "compile")
    assert "SIGSEGV" in found.reason


def test_a_crash_that_only_the_program_could_record(app: App) -> None:
    app.record |= {"status": "error", "error": {"kind": "crash", "signal": 6, "stage": "run"}}
    app.app = {}
    found = app.problem(exit_code=1)
    assert (found.kind, found.signal) == ("crash", 6)


def test_an_app_that_left_nothing_is_a_crash_with_what_the_device_knows(app: App) -> None:
    app.record = app.app = {}
    found = app.problem(exit_code=1, stderr="first\na crash report names EXC_BAD_ACCESS\n")
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "crash")
    assert found.reason.endswith("a crash report names EXC_BAD_ACCESS")
    assert "nothing says why" in app.problem(exit_code=1).reason


@pytest.mark.parametrize("left", ["nothing", "app", "all"])
def test_a_deadline_that_passed(app: App, left: str) -> None:
    if left != "all":
        app.record = {}
    else:
        app.record |= {"status": "error", "error": {"kind": "timeout", "stage": "run"}}
    if left == "nothing":
        app.app = {}
    else:
        app.app |= {"exit_code": None, "error": CRASH}
    found = app.problem(exit_code=1, timed_out=True)
    assert (found.outcome, found.kind) == (Outcome.TIMEOUT, "timeout")


def test_a_whole_result_without_the_apps_record_is_none(app: App) -> None:
    app.app = {}
    assert app.problem().kind == "crash"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "0123456789abcdef"}, "stale app.json: it answers job '0123456789abcdef'"),
        ({"schema": 2}, "of an unknown form; build the app of this version"),
        ({"runtime": None}, "of an unknown form"),
        ({"error": "words"}, "of an unknown form"),
        ({"exit_code": "0"}, "of an unknown form"),
        ({"exit_code": False}, "of an unknown form"),
        ({"jobs_before": None}, "of an unknown form"),
        ({"exit_code": 16}, "has exit code 16"),
        ({"exit_code": None}, "has exit code None"),
    ],
)
def test_a_record_that_cannot_be_trusted(app: App, change: dict[str, Any], words: str) -> None:
    app.app |= change
    found = app.problem()
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.RUNNER, "broken_result")
    assert words in found.reason


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{", b"[]"])
def test_bytes_that_are_no_record(app: App, data: bytes) -> None:
    app.report()
    (app.folder / APP_RECORD).write_bytes(data)
    found = app.read().problem
    assert found is not None
    assert found.kind == "broken_result"


@pytest.mark.parametrize("ended", ["well", "in an error"])
def test_an_app_that_was_not_in_front_measured_nothing(app: App, ended: str) -> None:
    """Whatever the program says: iOS suspends such an app, and gives it no GPU. Another attempt may help."""
    if ended != "well":
        app.record |= {"status": "error", "error": {"kind": "run", "stage": "run", "message": "the GPU is gone"}}
    app.app["error"] = {"kind": "interrupted", "message": "the app was not in front all the time"}
    found = app.problem()
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.DEVICE, "interrupted")
    assert found.retried
    assert "not in front" in found.reason


def notes(app: App, delegate: Delegate | None = None) -> tuple[str, tuple[str, ...]]:
    """How the measurement started, and the notes that it has beyond the plain one's."""
    measurement = app.report(delegate=delegate).measurement
    assert measurement is not None
    return measurement.start, tuple(note for note in measurement.notes if note not in app.facts.model.notes)


def test_a_process_that_measured_before_starts_warm_and_says_so(app: App) -> None:
    cold = replace(app.cell.delegate, start="cold")
    assert notes(app, cold) == ("cold", ())
    app.app["jobs_before"] = 3
    start, (note,) = notes(app, cold)
    assert start == "warm"
    assert note.startswith("3 other job(s) ran in the app's process before")


def test_a_cold_start_of_the_gpu_leaves_metals_own_cache(app: App) -> None:
    gpu = Delegate("g", "gpu", start="cold")
    app.record["all_on_accelerator"] = True
    assert notes(app, gpu) == ("cold", ()), "an emulated phone's driver has none"
    app.app["emulated"] = False
    assert "cache of compiled kernels that iOS keeps" in notes(app, gpu)[1][0]
    assert notes(app, replace(gpu, start="warm")) == ("warm", ())


def test_a_phone_that_slowed_itself_down_is_told_of(app: App) -> None:
    app.app |= {"hottest": "fair", "before": {"low_power_mode": False}, "after": None}
    assert notes(app)[1] == ()
    app.app |= {"hottest": "serious", "before": {"low_power_mode": True}}
    heat, saving = notes(app)[1]
    assert "thermal state serious during the job" in heat
    assert "low-power mode" in saving


def test_a_stale_result_beside_a_fresh_record_of_the_app(app: App) -> None:
    app.record["run_id"] = "0123456789abcdef"
    assert "stale result" in app.problem().reason


def test_a_gpu_without_an_accelerator_is_told_what_the_app_needs(app: App) -> None:
    app.record |= {"status": "error", "error": {"kind": "accelerator_unavailable", "message": "no GPU library"}}
    app.app["exit_code"] = 13
    found = app.problem(delegate=Delegate("g", "gpu"), exit_code=13)
    assert found.outcome is Outcome.UNSUPPORTED
    assert "libLiteRtMetalAccelerator.dylib" in found.reason
