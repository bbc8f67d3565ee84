"""Upstream's app for iPhones: what it is told, what its files are worth, and a run of the stand-in for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import Job, JobOutput
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET
from harness.plan.cell import Cell, Delegate, ErrorClass, Outcome, Policy, Problem, Runs
from harness.plan.result import Measurement
from harness.runners.base import JobFacts, RunnerReport
from harness.runners.binaries import Binaries
from harness.runners.ios_app import DONE, LOG, IosApp
from tests.conftest import ROOT
from tests.drivers import swiftshader
from tests.runners import captured
from tests.runners.real import cell_of, facts_of
from tests.runners.told import PART, TIMINGS, text

APP = IosApp(Binaries({}))
STAND_IN = ROOT / "emulated" / "ios" / "app" / "upstream.py"
CPU = Delegate("c", threads=2)
GPU = Delegate("g", "gpu", precision="fp32")
POLICY = Policy(runs=Runs(2, 0.0, count=20, min_seconds=0.0, max_seconds=20.0))


def prepared(delegate: Delegate, policy: Policy = POLICY, target: str = IOS_TARGET) -> tuple[Cell, JobFacts, Job]:
    cell = cell_of("add", delegate, policy)
    facts = replace(facts_of(cell), target=target, runtime=None)
    (job,) = APP.jobs(cell, facts)
    return cell, facts, job


def told(delegate: Delegate) -> list[str]:
    return [str(word) for word in prepared(delegate)[2].command]


def test_the_flags_of_a_cpu_cell() -> None:
    job = prepared(CPU)[2]
    assert (job.app, [file.name for file in job.files], job.output) == ("ios_app", ["model.tflite"], "out")
    assert list(job.command) == [
        "--graph=@@model.tflite@@",
        "--num_threads=2",
        "--use_cpu=true",
        "--use_gpu=false",
        "--warmup_runs=2",
        "--warmup_min_secs=0",
        "--num_runs=20",
        "--min_secs=0",
        "--max_secs=20",
        "--result_file_path=@@out@@/result.pb",
        "--model_runtime_info_output_file=@@out@@/rt.pb",
        "--report_peak_memory_footprint=true",
    ]


@pytest.mark.parametrize("backend", ["auto", "metal"])
def test_metal_is_what_is_embedded_and_needs_no_flag(backend: str) -> None:
    words = told(replace(GPU, backend=backend))
    assert {"--use_gpu=true", "--use_cpu=false", "--gpu-precision=fp32", "--require_full_delegation=true"} < set(words)
    assert not any("gpu_backend" in word for word in words)


@pytest.mark.parametrize(
    ("delegate", "words"),
    [
        (replace(CPU, context="shell"), "leave `context` out"),
        (replace(CPU, kernels="reference"), "knows the kernels xnnpack, not 'reference'"),
        (replace(GPU, backend="webgpu"), "the backends auto, metal on iOS"),
        (replace(GPU, precision="fp16acc32"), "not 'fp16acc32'"),
        (Delegate("n", "npu"), "no NPU"),
    ],
)
def test_what_it_cannot_do_is_refused(delegate: Delegate, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepared(delegate)


def test_it_is_for_iphones_alone() -> None:
    with pytest.raises(UsageError, match="an app for iPhones, and this device is aarch64-android"):
        prepared(CPU, target="aarch64-android")


def test_a_suite_of_exact_programs_does_not_take_it() -> None:
    with pytest.raises(UsageError, match=r"exact programs only.*say `require_sha256: false`"):
        prepared(CPU, replace(POLICY, require_sha256=True))


# Its files.


WITHOUT = "WARN: Unconsumed cmdline flags: --result_file_path=a"
"""Of a build that writes no result file."""
RESULTS = "INFO: [benchmark_litert_model.h:9] ========== BENCHMARK RESULTS =========="


def left(
    folder: Path, log: str | None, done: str | None = "0\n", delegate: Delegate = CPU, **changes: Any
) -> RunnerReport:
    """What the runner makes of files that the app left."""
    folder.mkdir(exist_ok=True)
    for name, content in ((LOG, log), (DONE, done)):
        if content is not None:
            (folder / name).write_text(content)
    cell, facts, job = prepared(delegate)
    output = replace(JobOutput(folder, 0, "", "", 1.0, 0), **changes)
    return APP.report(cell, [job], facts, [output])


def problem(report: RunnerReport) -> Problem:
    assert report.measurement is None
    assert report.problem is not None
    return report.problem


def test_a_log_that_went_through(tmp_path: Path) -> None:
    log = text(WITHOUT, "INFO: Initialized session in 1.5ms.").replace(TIMINGS, RESULTS)
    log += "INFO: [benchmark_litert_model.h:9] Peak memory:          12.50 MB\n"
    report = left(tmp_path, log)
    found = report.measurement
    assert found is not None, report.problem
    assert found.scope == "benchmark_litert_model"
    assert (found.init_us, found.first_us, found.peak_rss_bytes) == (1500.0, 60.0, 25 << 19)
    assert found.summary is not None
    assert found.summary["median_us"] == 12.0
    assert found.outputs == ()
    assert any("accuracy was not measured: upstream's benchmark app takes no inputs" in note for note in found.notes)
    assert (report.runner["name"], report.runner["context"]) == ("ios_app", "app")


def test_an_app_that_never_was_done(tmp_path: Path) -> None:
    found = problem(left(tmp_path, text(), done=None, stderr="a crash report names SIGABRT"))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "crash")
    assert found.reason.endswith("a crash report names SIGABRT")


def test_a_done_marker_without_a_status(tmp_path: Path) -> None:
    assert problem(left(tmp_path, text(), done="x")).kind == "broken_result"


def test_whole_results_of_a_run_that_failed_are_none(tmp_path: Path) -> None:
    found = problem(left(tmp_path, text("ERROR: Node number 3 (X) failed to invoke."), done="1\n"))
    assert (found.outcome, found.kind) == (Outcome.ERROR, "run")


def test_a_deadline_that_passed(tmp_path: Path) -> None:
    assert problem(left(tmp_path, "INFO: STARTING!", done=None, timed_out=True)).outcome is Outcome.TIMEOUT


def test_no_log_is_no_result(tmp_path: Path) -> None:
    assert problem(left(tmp_path, None)).kind == "broken_result"


def test_an_app_that_keeps_half_of_the_log_is_told_apart(tmp_path: Path) -> None:
    found = problem(left(tmp_path, f"{RESULTS}\nINFO: [x:1] Inference (avg):      0.84 ms (1192 runs)\n"))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "old_app")


def test_an_unknown_flag_is_found_in_the_log(tmp_path: Path) -> None:
    found = problem(left(tmp_path, text("WARN: Unconsumed cmdline flags: --use_cpu=true")))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "unknown_flag")


def test_flags_of_newer_builds_alone_may_be_unknown(tmp_path: Path) -> None:
    assert left(tmp_path, text(f"{WITHOUT} --report_peak_memory_footprint=true")).measurement is not None


def test_a_result_file_that_the_app_was_to_write_must_be_there(tmp_path: Path) -> None:
    assert problem(left(tmp_path, text())).kind == "broken_result"


def test_a_gpu_that_is_not_there_is_told_with_what_to_embed(tmp_path: Path) -> None:
    log = text("WARNING: [x:1] GPU accelerator could not be loaded and registered.")
    found = problem(left(tmp_path, log, delegate=GPU))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "runner_without_gpu")
    assert "libLiteRtMetalAccelerator.dylib" in found.reason


def test_a_gpu_run_without_proof_is_no_measurement(tmp_path: Path) -> None:
    assert problem(left(tmp_path, text(WITHOUT), delegate=GPU)).kind == "delegation_unknown"


@pytest.mark.parametrize("nodes", [3, 2])
def test_metal_is_proven_by_the_runtimes_own_line(tmp_path: Path, nodes: int) -> None:
    line = f"VERBOSE: Replacing {nodes} out of 3 node(s) with delegate (LITERT_METAL) node, yielding 1 partitions."
    report = left(tmp_path, text(WITHOUT, line), delegate=replace(GPU, backend="metal"))
    if nodes == 3:
        assert report.measurement is not None
        assert report.measurement.delegation.evidence.endswith("; through Metal")
    else:
        assert problem(report).kind == "not_fully_accelerated"


def test_another_backend_than_metal_is_no_metal(tmp_path: Path) -> None:
    line = "VERBOSE: Replacing 3 out of 3 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 partitions."
    found = problem(left(tmp_path, text(WITHOUT, line), delegate=replace(GPU, backend="metal")))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "backend")


def test_a_part_on_the_gpu(tmp_path: Path) -> None:
    report = left(tmp_path, text(WITHOUT, PART), delegate=replace(GPU, fallback="partial"))
    assert report.measurement is not None
    assert report.measurement.delegation.fallback is True


@pytest.mark.parametrize("name", ["a1_plain_2threads", "a7_zero_warmup", "e22_output_is_of_last_run_1run"])
def test_captured_logs_read_the_same_from_the_app(name: str, tmp_path: Path) -> None:
    """The app keeps both streams of the same tool in one file."""
    captured.need_samples()
    (tmp_path / "shell").mkdir()
    expected = captured.report(name, tmp_path / "shell").measurement
    log = captured.stream(name, "stderr") + captured.stream(name)
    found = left(tmp_path / "app", f"{WITHOUT}\n{log}").measurement
    assert expected is not None
    assert found is not None
    assert (found.summary, found.init_us, found.first_us) == (expected.summary, expected.init_us, expected.first_us)


# The stand-in.


class Home:
    """A container of the app, and what a device does with it."""

    def __init__(self, folder: Path) -> None:
        self.documents = folder / "Documents"
        (self.documents / "store").mkdir(parents=True)
        (self.documents / "out").mkdir()
        self.environ = {**os.environ, "HOME": str(folder)}

    def words(self, job: Job) -> list[str]:
        """The launch arguments of a job whose files are put into place."""
        out = f"out/{job.id}"
        (self.documents / out).mkdir()
        places = {job.output: out}
        for file in job.files:
            shutil.copy(file.source, self.documents / "store" / file.sha256)
            places[file.name] = f"store/{file.sha256}"
        words = [str(word) for word in job.command]
        for name, path in places.items():
            words = [word.replace(f"@@{name}@@", path) for word in words]
        return words

    def collect(self, job: Job) -> JobOutput:
        """What a device brings back."""
        folder = self.documents / "out" / job.id
        for name in (LOG, DONE):
            if (self.documents / name).exists():
                shutil.copy(self.documents / name, folder)
        done = self.documents / DONE
        return JobOutput(folder, int(done.read_text()) if done.exists() else 1, "", "", 1.0, 0)

    def run(self, words: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """The app from start to end."""
        command = [sys.executable, str(STAND_IN), *words]
        return subprocess.run(
            command, env={**self.environ, **environ}, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "container")


def test_a_run_of_the_stand_in_is_a_measurement(home: Home) -> None:
    cell, facts, job = prepared(CPU)
    (home.documents / DONE).write_text("7")
    done = home.run(home.words(job))
    assert done.returncode == 0, done.stdout
    assert "this is a stand-in for upstream's app" in done.stdout
    report = APP.report(cell, [job], facts, [home.collect(job)])
    found = report.measurement
    assert found is not None, report.problem
    assert found.summary is not None
    assert found.summary["count"] == 20
    assert found.summary["min_us"] <= found.summary["median_us"] <= found.summary["max_us"]
    assert found.peak_rss_bytes is not None
    assert found.peak_rss_bytes > 1 << 20
    assert (home.documents / "out" / job.id / "result.pb").is_file()


def test_the_stand_in_on_a_gpu(home: Home) -> None:
    cell, facts, job = prepared(GPU)
    home.run(home.words(job), **swiftshader())
    report = APP.report(cell, [job], facts, [home.collect(job)])
    assert isinstance(report.result, Measurement), report.problem
    assert report.result.delegation.nodes_delegated == report.result.delegation.nodes_total == 1
    assert report.adapter is not None
    assert report.adapter_software is True


def test_the_stand_in_says_what_it_ignores_and_what_fails(home: Home) -> None:
    (home.documents / "store" / "bad").write_bytes(b"no model")
    done = home.run(["--graph=store/bad", "--bogus=1", "ignored"])
    assert done.returncode == 1
    assert "WARN: Unconsumed cmdline flags: --bogus=1" in done.stdout
    assert "ERROR: Benchmarking failed.\n" in (home.documents / LOG).read_text()
    assert (home.documents / DONE).read_text() == "1\n"


def test_the_stand_in_aborts_as_the_tool_does_and_is_never_done(home: Home) -> None:
    job = prepared(CPU)[2]
    (home.documents / DONE).write_text("0\n")
    done = home.run([*home.words(job)[:2], "--use_gpu=true", "--require_full_delegation=true"])
    assert done.returncode == -6
    assert not (home.documents / DONE).exists(), "an older one goes at the start"
    assert "FATAL: Requesting full delegation" in (home.documents / LOG).read_text()


def test_the_stand_in_opened_by_a_person_reads_its_file_and_stays_open(home: Home) -> None:
    words = home.words(prepared(CPU)[2])
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    (home.documents / "benchmark_params.json").write_text(json.dumps(given))
    app = subprocess.Popen([sys.executable, str(STAND_IN)], env=home.environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (home.documents / DONE).exists():
            assert app.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (home.documents / DONE).read_text() == "0\n"
        assert "count=20 " in (home.documents / LOG).read_text()
        assert app.poll() is None
    finally:
        app.kill()
        app.wait()
