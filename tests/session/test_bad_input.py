"""What users get wrong, and what goes wrong under them: one clear message each, and nothing measured is lost."""

from __future__ import annotations

import stat
import struct

import pytest

from harness.devices.local import host_target
from tests.session.conftest import Lab

USAGE = pytest.ExitCode.USAGE_ERROR


LOCAL = "version: 1\ndevices:\n  - {name: a, kind: local}\n"
SUITE = "version: 1\nmodels: [add]\ndelegates: {cpu: {accelerator: cpu}}\n"
BROKEN = {
    "unknown kind": ("devices.yaml", LOCAL.replace("local", "locl"), ":3*kind*did you mean 'local'"),
    "unknown key": ("devices.yaml", LOCAL.replace("}", ", lables: [a]}"), ":3*lables*did you mean 'labels'"),
    "malformed": ("devices.yaml", "version: 1\ndevices: [\n", ":"),
    "duplicate name": ("devices.yaml", LOCAL + "  - {name: a, kind: local}\n", ":4"),
    "unknown model": ("suites/smoke.yaml", SUITE.replace("add", "ad"), ":2*'ad'*did you mean 'add'"),
    "unknown delegate key": (
        "suites/smoke.yaml",
        SUITE.replace("acc", "ac"),
        ":3*acelerator*did you mean 'accelerator'",
    ),
    "unknown gate": ("suites/smoke.yaml", SUITE + "gates: {cpu: {max_ab: 1}}\n", ":4*max_ab*did you mean 'max_abs'"),
    "unknown delegate": ("suites/smoke.yaml", SUITE + "gates: {gpu: {max_abs: 1}}\n", ":4*gpu"),
    "empty": ("suites/smoke.yaml", "", ""),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_broken_files_are_usage_errors_with_file_and_line(lab: Lab, mistake: str) -> None:
    file, text, words = BROKEN[mistake]
    lab.models("add")
    lab.suite()
    lab.write(file, text)
    result = lab.run()
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"*{file}{words}*"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    assert not (lab.path / "reports").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "nothing.yaml"], "*nothing.yaml*"),
        (["--devices", "devices.yaml", "suites/smok.yaml"], "*suites/smok.yaml*"),
        (["--devices", "devices.yaml", "--model", "models/ad.tflite"], "*models/ad.tflite*did you mean 'add.tflite'*"),
        (["--devices", "devices.yaml", "--model", "models"], "*models: is a folder*models/model.tflite*"),
        (["--devices", "devices.yaml", "--baseline", "reports/none"], "*reports/none*"),
        (["--devices", "suites/smoke.yaml"], "*smoke.yaml: is a suite*--devices devices.yaml suites/smoke.yaml*"),
        (["--devices", "devices.yaml", "devices.yaml"], "*devices.yaml: is a devices file*--devices*"),
        (["--devices="], "*--devices is empty*'auto'*"),
        (["--model", "models/add.tflite"], "*--model needs --devices*"),
    ],
)
def test_wrong_options_are_usage_errors(lab: Lab, options: list[str], words: str) -> None:
    lab.models("add")
    lab.suite()
    result = lab.pytester.runpytest_subprocess(*options)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([words])
    assert "Traceback" not in result.stderr.str()


def test_without_a_smoke_suite_the_message_says_what_to_do(lab: Lab) -> None:
    result = lab.run()
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*nothing to measure*--model FILE*"])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "*empty*"), (b"\0" * 100, "*not a TFLite file*"), (struct.pack("<I4s", 16, b"TFL3") + b"\0" * 40, "*")],
)
def test_damaged_models_are_errors_of_class_model_and_neighbours_are_measured(
    lab: Lab, content: bytes, words: str
) -> None:
    lab.models("add")
    (lab.path / "models" / "bad.tflite").write_bytes(content)
    lab.suite()
    result = lab.inline()
    assert result.ret == 1
    assert lab.outcomes == {"add[box:cpu]": "PASS", "bad[box:cpu]": "ERROR"}
    bad = next(cell for cell in lab.matrix["cells"] if cell["model"] == "bad")
    assert bad["error"]["class"] == "model"
    result.stdout.fnmatch_lines([f"ERROR: {words}"])
    assert lab.matrix["summary"]["verdict"] == "INCOMPLETE"


RUNNERS = {
    "crashes": ("kill -SEGV $$", "ERROR", "signal 11"),
    "is killed": ("kill -9 $$", "ERROR", "signal 9"),
    "says nothing": ("exit 0", "ERROR", "left no result; exit code 0"),
    "writes half a result": ('printf \'{"schema": 1, "run\' > out/result.json', "ERROR", "truncated"),
    "writes an old result": (
        'printf \'{"schema": 1, "run_id": "old", "status": "ok"}\' > out/result.json',
        "ERROR",
        "stale",
    ),
    "hangs": ("sleep 60 & sleep 60", "TIMEOUT", "deadline"),
}


@pytest.mark.parametrize("fault", RUNNERS)
def test_a_runner_that_misbehaves(lab: Lab, fault: str) -> None:
    script, outcome, words = RUNNERS[fault]
    lab.models("add")
    runner = lab.write("runner.sh", f"#!/bin/sh\n{script}\n")
    runner.chmod(runner.stat().st_mode | stat.S_IXUSR)
    runners = f"runners: {{delegate_bench: {{{host_target()}: {{path: runner.sh}}}}}}\n"
    lab.write("devices.yaml", f"version: 1\n{runners}devices:\n  - {{name: box, kind: local}}\n")
    lab.suite("limits: {deadline: 2s}\n")
    assert lab.inline().ret == 1
    (cell,) = lab.matrix["cells"]
    assert cell["outcome"] == outcome
    assert words in cell["reason"]
    assert cell["error"]["class"] == "runner"
    assert len(cell["attempts"]) == 1  # a runner's fault is never retried
    assert cell["runner"]["command"].startswith("delegate_bench --lib ")  # to be run by hand


def test_an_unwritable_report_folder_is_a_usage_error(lab: Lab) -> None:
    lab.models("add")
    lab.suite()
    lab.write("reports", "a file where the folder should be")
    result = lab.run()
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*report folder*--reports*"])


def test_input_files_of_the_wrong_size_concern_only_their_model(lab: Lab) -> None:
    lab.models("relu", "softmax")
    lab.write("input.bin", "too short")
    lab.suite("", models="[softmax, {model: relu, inputs: {files: {'0': [../input.bin]}}}]")
    lab.inline()
    assert lab.outcomes == {"softmax[box:cpu]": "PASS", "relu[box:cpu]": "ERROR"}
    relu = next(cell for cell in lab.matrix["cells"] if cell["model"] == "relu")
    assert relu["error"]["class"] == "config"
    assert "9 bytes" in relu["reason"]


def test_an_unknown_runtime_is_an_error_of_class_config(lab: Lab) -> None:
    lab.models("add")
    lab.suite(delegates="delegates:\n  cpu: {accelerator: cpu}\n  old: {accelerator: cpu, runtime: litrt}\n")
    lab.inline()
    old = next(cell for cell in lab.matrix["cells"] if cell["delegate"] == "old")
    assert (old["outcome"], old["error"]["class"]) == ("ERROR", "config")
    assert "litrt" in old["reason"]
