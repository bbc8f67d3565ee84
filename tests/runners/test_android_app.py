"""The benchmark app, with stand-ins for Android's commands: its script under real shells, and what its log says."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.devices.base import Job, JobOutput, JobPath
from harness.errors import UsageError
from harness.lab.spec import IOS_TARGET, BinarySource
from harness.plan.cell import Cell, Delegate, ErrorClass, Model, ModelRef, Outcome, Problem, TensorSpec
from harness.plan.result import Measurement
from harness.runners.android_app import AndroidApp, own_lines
from harness.runners.base import JobFacts
from harness.runners.binaries import Binaries
from tests.drivers import absent
from tests.runners import captured
from tests.runners.told import PART, REFUSED, WHOLE, text

APP = AndroidApp(Binaries({}))
CPU = Delegate("app-cpu", context="app", threads=4)
GPU = Delegate("app-gpu", "gpu", context="app", precision="fp32")
APK = "package:/data/app/~~x==/org.tensorflow.lite.benchmark-y==/base.apk"
OLD_RUN = text(WHOLE)  # of another run, still in the log: must not be read as this one

LOG = """#!/bin/sh
echo "I/tflite  (  100): $3" >> "$PHONE/ring"
"""
LOGCAT = """#!/bin/sh
echo "$*" > "$PHONE/logcat.args"
exec tail -n +1 -f "$PHONE/ring"
"""
AM = """#!/bin/sh
echo "$*" >> "$PHONE/am.args"
[ "$1" = start ] || exit 0
echo "Starting: Intent { cmp=org.tensorflow.lite.benchmark/.BenchmarkModelActivity (has extras) }"
[ ! -e "$PHONE/broken" ] || { echo "Error: Activity class does not exist."; exit 0; }
touch "$PHONE/alive"
cat "$PHONE/script" >> "$PHONE/ring"
[ ! -e "$PHONE/dies" ] || rm "$PHONE/alive"
"""
PM = """#!/bin/sh
cat "$PHONE/package" 2>/dev/null
"""
PIDOF = """#!/bin/sh
[ -e "$PHONE/dies" ] && [ ! -e "$PHONE/seen" ] && touch "$PHONE/seen" && exit 0
[ -e "$PHONE/alive" ]
"""
DUMPSYS = """#!/bin/sh
echo "    versionCode=1"
echo "    versionName=1.0"
"""
SHA = """#!/bin/sh
echo "%s  $1"
""" % ("ab" * 32)
SLEEP = """#!/bin/sh
exec /bin/sleep 0.05
"""
COMMANDS = {
    "log": LOG, "logcat": LOGCAT, "am": AM, "pm": PM, "pidof": PIDOF, "dumpsys": DUMPSYS, "sha256sum": SHA,
    "sleep": SLEEP,
}  # fmt: skip


def brief(log: str, pid: int = 4321) -> str:
    """A log as logcat prints it in format "brief"; lines without a severity are pieces of an error of many lines."""
    letters = {"INFO": "I", "WARN": "W", "ERROR": "E", "VERBOSE": "V", "FATAL": "E"}
    lines = []
    for line in log.splitlines():
        severity, _, rest = line.partition(": ")
        letter, said = (letters[severity], rest) if severity in letters else ("E", line)
        lines.append(f"{letter}/tflite  ({pid:5}): {said}\n")
    return "".join(lines)


def prepared(folder: Path, delegate: Delegate = CPU, **model_facts: Any) -> tuple[Cell, JobFacts, Job]:
    (folder / "m.tflite").write_bytes(b"model")
    spec = TensorSpec(0, "x:0", "uint8", (4,))
    model = replace(
        Model(ModelRef("m", str(folder / "m.tflite")), sha256="0" * 64, inputs=(spec,), outputs=(spec,), nodes=3),
        **model_facts,
    )
    (folder / "input").write_bytes(b"1234")
    facts = captured.facts_for(model, ((folder / "input",),) * 3)
    cell = captured.cell_of(model, delegate)
    (job,) = APP.jobs(cell, facts)
    return cell, facts, job


class Phone:
    """A folder of stand-ins for a phone's commands, and a shell that finds these first."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self.shell = shell
        (folder / "bin").mkdir(parents=True)
        for name, script in COMMANDS.items():
            path = folder / "bin" / name
            path.write_text(script)
            path.chmod(0o755)
        (folder / "package").write_text(APK + "\n")
        (folder / "ring").write_text(brief(OLD_RUN, 77))

    def will_log(self, log: str) -> None:
        """What the app writes once it is started, as process 4321."""
        (self.folder / "script").write_text("I/tflite  ( 4000): another app's line\n" + brief(log))

    def run(self, job: Job, seconds: str = "60") -> JobOutput:
        """Do a job as a device would."""
        work = self.folder / "job"
        (work / "out").mkdir(parents=True)
        for file in job.files:
            (work / file.name).parent.mkdir(parents=True, exist_ok=True)
            (work / file.name).symlink_to(file.source)
        words = [str(work / word.name) if isinstance(word, JobPath) else word for word in job.command]
        assert words[0] == "sh"
        words[3] = seconds
        environment = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "PHONE": str(self.folder)}
        done = subprocess.run(
            [self.shell, *words[1:]], cwd=work, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return JobOutput(work / "out", done.returncode, done.stdout, done.stderr, 1.0, 0)

    def started_with(self) -> str:
        """The arguments of `am start`."""
        return next(line for line in (self.folder / "am.args").read_text().splitlines() if line.startswith("start"))


@pytest.fixture(params=["/bin/sh", "mksh"])
def phone(request: pytest.FixtureRequest, tmp_path: Path) -> Phone:
    shell = shutil.which(request.param)
    if shell is None:
        absent(f"needs {request.param}: apt-get install mksh")
    return Phone(tmp_path / "phone", shell)


def result(prepared_job: tuple[Cell, JobFacts, Job], output: JobOutput) -> Measurement | Problem:
    cell, facts, job = prepared_job
    return APP.report(cell, [job], facts, [output]).result


def problem(found: Measurement | Problem) -> Problem:
    assert isinstance(found, Problem)
    return found


def test_a_run_from_the_intent_to_the_row(phone: Phone, tmp_path: Path) -> None:
    cell, facts, job = prepared(tmp_path, GPU)
    phone.will_log(text(WHOLE, "INFO: Initialized OpenCL-based API."))
    report = APP.report(cell, [job], facts, [phone.run(job)])
    found = report.measurement
    assert found is not None, report.problem
    assert found.summary is not None
    assert (found.summary["count"], found.summary["median_us"], found.init_us, found.first_us) == (
        20,
        12.0,
        700.0,
        60.0,
    )
    assert found.delegation.evidence.endswith("completely executed by the delegate; through OpenCL")
    assert found.outputs == ()
    assert any("accuracy was not measured" in note for note in found.notes)
    assert report.runner["name"] == "android_app"
    assert report.runner["context"] == "app"
    assert report.runner["version"] == "1.0"
    assert report.runner["sha256"] == "ab" * 32


def test_the_intent(phone: Phone, tmp_path: Path) -> None:
    _, _, job = prepared(tmp_path, GPU)
    phone.will_log(text(WHOLE))
    phone.run(job)
    start, _, args = phone.started_with().partition(" --es args ")
    assert start == "start -S -n org.tensorflow.lite.benchmark/.BenchmarkModelActivity"
    assert args.split() == [
        f"--graph={tmp_path}/m.tflite",  # the file itself, no link to it
        "--num_threads=1",
        "--use_gpu=true",
        "--gpu_precision_loss_allowed=false",
        "--require_full_delegation=true",
        "--use_xnnpack=false",
        "--input_layer=x:0",
        "--input_layer_shape=4",
        f"--input_layer_value_files=x::0:{tmp_path}/input",
        "--warmup_runs=3",
        "--warmup_min_secs=0.5",
        "--num_runs=20",
        "--min_secs=1",
        "--max_secs=30",
    ]
    assert (phone.folder / "am.args").read_text().splitlines()[-1] == "force-stop org.tensorflow.lite.benchmark"
    assert "-c" not in (phone.folder / "logcat.args").read_text().split()


def test_nothing_is_left_running(phone: Phone, tmp_path: Path) -> None:
    phone.will_log(text())
    phone.run(prepared(tmp_path)[2])
    ring = str(phone.folder / "ring").encode()
    deadline = time.monotonic() + 5
    while readers(ring):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def readers(ring: bytes) -> list[str]:
    """Processes that have a file in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if ring in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_not_installed(phone: Phone, tmp_path: Path) -> None:
    (phone.folder / "package").unlink()
    job = prepared(tmp_path)
    found = problem(result(job, phone.run(job[2])))
    assert (found.outcome, found.error_class, found.kind) == (Outcome.ERROR, ErrorClass.CONFIG, "not_installed")
    assert "adb install -r -d -g benchmark_model.apk" in found.reason
    assert not (phone.folder / "am.args").exists()


def test_the_app_of_a_phone_is_named_with_its_address(tmp_path: Path) -> None:
    cell, facts, job = prepared(tmp_path)
    facts = replace(facts, target="aarch64-android")
    found = problem(APP.report(cell, [job], facts, [JobOutput(tmp_path, 3, "", "", 1.0, 0)]).result)
    name = "android_aarch64_benchmark_model.apk"
    assert f"/{name}), then run: adb install -r -d -g {name}" in found.reason


def test_a_device_without_apps_is_not_told_to_install_one(phone: Phone, tmp_path: Path) -> None:
    (phone.folder / "bin" / "pm").unlink()
    job = prepared(tmp_path)
    found = problem(result(job, phone.run(job[2])))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "no_apps")
    assert "adb install" not in found.reason


def test_an_activity_that_does_not_start(phone: Phone, tmp_path: Path) -> None:
    (phone.folder / "broken").touch()
    job = prepared(tmp_path)
    found = problem(result(job, phone.run(job[2])))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "not_started")
    assert found.reason == "the app does not start: Error: Activity class does not exist."


def test_an_app_that_dies(phone: Phone, tmp_path: Path) -> None:
    (phone.folder / "dies").touch()
    phone.will_log("INFO: STARTING!")
    job = prepared(tmp_path)
    found = problem(result(job, phone.run(job[2])))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "crash")


def test_an_app_that_dies_with_words(phone: Phone, tmp_path: Path) -> None:
    (phone.folder / "dies").touch()
    phone.will_log("INFO: STARTING!\nFATAL: The size of i0.bin is 3 bytes. It should be 4 bytes.")
    job = prepared(tmp_path)
    assert "The size of i0.bin is 3 bytes" in problem(result(job, phone.run(job[2]))).reason


def test_an_app_that_says_nothing_in_time(phone: Phone, tmp_path: Path) -> None:
    phone.will_log("INFO: STARTING!")
    job = prepared(tmp_path)
    found = problem(result(job, phone.run(job[2], seconds="3")))
    assert (found.outcome, found.kind) == (Outcome.TIMEOUT, "timeout")


def test_a_gpu_that_takes_a_part_only(phone: Phone, tmp_path: Path) -> None:
    phone.will_log(f"INFO: STARTING!\n{PART}\n{REFUSED}\nERROR: Disallowed CPU fallback detected.")
    job = prepared(tmp_path, GPU)
    found = problem(result(job, phone.run(job[2])))
    assert (found.outcome, found.kind) == (Outcome.UNSUPPORTED, "not_fully_accelerated")
    assert found.reason.endswith(": CUMSUM")


def test_an_inference_that_fails_beats_the_results_that_follow(phone: Phone, tmp_path: Path) -> None:
    phone.will_log(text("ERROR: gather index out of bounds", "ERROR: Node number 0 (GATHER) failed to invoke."))
    job = prepared(tmp_path)
    assert "an inference failed: gather index" in problem(result(job, phone.run(job[2]))).reason


def test_a_blank_in_a_path_is_refused(phone: Phone, tmp_path: Path) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    job = prepared(folder)
    found = problem(result(job, phone.run(job[2])))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "config")
    assert "a flag with a blank: --graph=" in found.reason


# The log alone.


def logged(tmp_path: Path, log: str, delegate: Delegate = CPU, code: int = 0) -> Measurement | Problem:
    job = prepared(tmp_path, delegate)
    out = tmp_path / "out"
    out.mkdir()
    (out / "logcat.txt").write_text(log.replace("MARK", job[2].id))
    return result(job, JobOutput(out, code, "", "", 1.0, 0))


MARK = "I/tflite  (  100): harness MARK\n"


def test_a_gpu_run_without_proof_is_no_measurement(tmp_path: Path) -> None:
    assert problem(logged(tmp_path, MARK + brief(text()), GPU)).kind == "delegation_unknown"


def test_an_older_runs_results_are_not_this_ones(tmp_path: Path) -> None:
    found = problem(logged(tmp_path, brief(text(WHOLE)) + MARK, GPU))
    assert (found.error_class, found.kind) == (ErrorClass.RUNNER, "broken_result")


def test_another_apps_gpu_is_not_this_ones(tmp_path: Path) -> None:
    lines = brief(text()).splitlines(keepends=True)
    log = MARK + lines[0] + brief(WHOLE, pid=9) + "".join(lines[1:])
    assert problem(logged(tmp_path, log, GPU)).kind == "delegation_unknown"


def test_an_unknown_flag_is_found_in_the_log(tmp_path: Path) -> None:
    found = problem(logged(tmp_path, MARK + brief(text("WARN: Unconsumed cmdline flags: --use_gpu=true")), GPU))
    assert (found.error_class, found.kind) == (ErrorClass.CONFIG, "unknown_flag")


@pytest.mark.parametrize("code", [0, 5])
def test_whole_results_after_an_inference_that_failed_are_none(tmp_path: Path, code: int) -> None:
    failed = "ERROR: TfLiteGpuDelegate Invoke: lost\nERROR: Node number 3 (TfLiteGpuDelegateV2) failed to invoke."
    found = problem(logged(tmp_path, MARK + brief(text(WHOLE, failed)), GPU, code))
    assert (found.outcome, found.kind) == (Outcome.ERROR, "run")


def test_every_captured_cpu_run_reads_the_same_from_a_phones_log(tmp_path: Path) -> None:
    """The log on the phone has the lines of both streams, with another beginning."""
    captured.need_samples()
    for name in ("a1_plain_2threads", "a7_zero_warmup", "e22_output_is_of_last_run_1run"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "shell").mkdir()
        log = captured.stream(name) + captured.stream(name, "stderr")
        found = logged(folder, MARK + brief(log))
        expected = captured.report(name, folder / "shell").measurement
        assert isinstance(found, Measurement)
        assert expected is not None
        assert (found.summary, found.init_us, found.first_us) == (expected.summary, expected.init_us, expected.first_us)


def test_lines_that_are_no_logcat_lines_are_passed_over() -> None:
    log = [
        "--------- beginning of main",
        "",
        "I/tflite(  100): harness m",
        "I/tflite( 7): STARTING!",
        "E/tflite( 7): x",
    ]
    assert own_lines(log, "harness m") == ["INFO: STARTING!", "ERROR: x"]
    assert own_lines(log, "harness other") == []


@pytest.mark.parametrize("code", [1, 7, 126, 127, 143])
def test_other_exit_codes_of_the_script(tmp_path: Path, code: int) -> None:
    assert problem(logged(tmp_path, MARK + brief(text()), code=code)).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("delegate", "words"),
    [
        (replace(CPU, context="shell"), "say `context: app`"),
        (replace(CPU, kernels="reference"), "knows the kernels xnnpack, builtin"),
        (replace(GPU, backend="webgpu"), "backends auto, opencl, opengl"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path: Path, delegate: Delegate, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepared(tmp_path, delegate)


def test_an_app_is_what_it_is_without_being_told(tmp_path: Path) -> None:
    assert prepared(tmp_path, replace(CPU, context="auto"))[2].command


def test_an_iphone_has_another_app_of_upstreams(tmp_path: Path) -> None:
    cell, facts, _ = prepared(tmp_path)
    with pytest.raises(UsageError, match=r"an app for Android; on aarch64-ios upstream's is the runner ios_app"):
        APP.jobs(cell, replace(facts, target=IOS_TARGET))


def test_a_signature_with_a_blank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot pass names with blanks"):
        prepared(tmp_path, signature="to run", signatures=("to run", "b"))


def test_it_needs_no_program_and_no_runtime() -> None:
    assert APP.binary("aarch64-android") is None
    assert not APP.needs_runtime("aarch64-android")


@pytest.mark.parametrize(("stated", "installed"), [("ab", "ab"), ("ab", "cd"), ("ab", None), (None, None)])
def test_a_suite_of_exact_programs_takes_the_stated_app_only(
    tmp_path: Path, stated: str | None, installed: str | None
) -> None:
    source = BinarySource(path="app.apk", sha256=stated * 32 if stated else None)
    app = AndroidApp(Binaries({"android_app": {captured.TARGET: source}}))
    cell, facts, _ = prepared(tmp_path)
    cell = replace(cell, policy=replace(cell.policy, require_sha256=True))
    if stated is None:
        with pytest.raises(UsageError, match=r"name the app in devices\.yaml: runners: \{android_app: "):
            app.jobs(cell, facts)
        return
    (job,) = app.jobs(cell, facts)
    (tmp_path / "logcat.txt").write_text(MARK.replace("MARK", job.id) + brief(text()))
    if installed:
        (tmp_path / "apk.sha256").write_text(f"{installed * 32}  base.apk\n")
    found = app.report(cell, [job], facts, [JobOutput(tmp_path, 0, "", "", 1.0, 0)]).result
    if installed == stated:
        assert isinstance(found, Measurement)
    else:
        assert (problem(found).error_class, problem(found).kind) == (ErrorClass.CONFIG, "other_app")
