"""Runs that end early: no child process is left, every planned cell is accounted for, nothing measured is lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.session.conftest import Lab


def running(folder: Path) -> list[str]:
    """Command lines of benchmarks that work for a run whose temporary files are in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "--run-id" in text and str(folder) in text:
            found.append(text)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc: Linux only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_run_leaves_no_process_and_a_whole_report(lab: Lab, number: signal.Signals) -> None:
    lab.models("add", "mul")
    lab.write(
        "suites/smoke.yaml",
        "version: 1\nmodels: [add, mul]\ndelegates:\n  cpu: {accelerator: cpu}\n"
        "runs: {warmup: {count: 0, min_seconds: 0}, count: 1, min_seconds: 59, max_seconds: 60}\n",
    )
    command = [sys.executable, "-m", "pytest", "--devices", "devices.yaml"]
    environment = {**os.environ, "TMPDIR": str(lab.path)}  # other runs on this machine are none of ours
    process = subprocess.Popen(
        command, cwd=lab.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 60
    while not running(lab.path) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert running(lab.path) == []
    assert set(lab.outcomes.values()) == {"NOT_RUN"}
    assert len(lab.outcomes) == 2
    assert all("interrupted by the user" in cell["reason"] for cell in lab.matrix["cells"])
    assert "NOT_RUN" in output


def test_a_full_disk_stops_the_run_and_keeps_what_was_measured(lab: Lab) -> None:
    lab.models("add", "mul", "sub", "relu", "pad")
    lab.write(
        "suites/smoke.yaml",
        "version: 1\nmodels: ['*']\ndelegates:\n  cpu: {accelerator: cpu}\n"
        "runs: {warmup: {count: 0, min_seconds: 0}, count: 400, min_seconds: 0, max_seconds: 5}\n",
    )
    assert lab.inline("-k", "cpu").ret == 0  # builds the runner and the references without the limit
    whole = (lab.folder / "cells.jsonl").stat().st_size

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole // 2, whole // 2))

    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "--devices", "devices.yaml"]
    answer = subprocess.run(
        command, cwd=lab.path, capture_output=True, text=True, preexec_fn=limit, timeout=120, check=False
    )
    output = answer.stdout + answer.stderr
    assert answer.returncode == 1, output
    assert "journal" in output
    assert "Traceback" not in output
    newest = max((lab.path / "reports").glob("*-smoke*"), key=lambda path: path.name)
    lines = [json.loads(line) for line in (newest / "cells.jsonl").read_text().splitlines()]
    assert 1 < len(lines) < 6
    assert all(line["measurement"]["samples_us"] for line in lines[1:])
    assert "NOT_RUN" in output
