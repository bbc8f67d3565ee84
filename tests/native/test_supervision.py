"""Whatever the runtime does, the parent ends with a true record, and ends in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from harness.clock import SystemClock
from tests.native.bench import Array, Bench

PAIR: list[list[Array]] = [[np.zeros(2, np.float32)]]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextmanager
def started(bench: Bench, command: list[str], until: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has said a line starting with `until`; in a process group of its own."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}, cwd=bench.folder, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        try:
            assert any(line.startswith(until) for line in process.stdout)
            yield process
        finally:
            process.kill()


def child_of(parent: int) -> int:
    """The one child process of `parent`."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            return int(stat.parent.name)
    raise AssertionError(f"process {parent} has no child")


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("where", ["environment", "model", "compile", "buffer", "run"])
def test_a_crash_is_told_with_its_stage_and_signal(faked: Bench, fake_model: Path, where: str) -> None:
    stage = {"model": "load_model", "buffer": "buffers", "run": "first_run"}.get(where, where)
    finished = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": f"abort_{where}"})
    assert (finished.error["kind"], finished.error["exit_code"], finished.error["stage"]) == ("crash", 30, stage)
    assert (finished.error["signal"], finished.error["signal_name"]) == (signal.SIGABRT, "SIGABRT")
    assert finished.record["runtime_bytes"] == faked.library.stat().st_size
    assert finished.record["peak_rss_bytes"] > 0


def test_a_runtime_that_calls_exit_has_not_succeeded(faked: Bench, fake_model: Path) -> None:
    error = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "exit_compile"}).error
    assert (error["kind"], error["signal"]) == ("crash", None)
    assert "exit code 0 before it had a result" in error["message"]


def test_a_hang_ends_at_the_time_limit(faked: Bench, fake_model: Path) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    finished = faked.run(fake_model, "--timeout", "0.3", inputs=PAIR, env={"FAKE_LITERT": "hang_run"})
    assert clock.monotonic() - before < 5
    assert (finished.error["kind"], finished.error["exit_code"]) == ("timeout", 31)
    assert finished.error["stage"] == "first_run"
    assert "options xnnpack" in finished.record["stderr_tail"]


def test_the_time_limit_covers_an_endless_measurement(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    finished = bench.run(model, "--min-seconds", "60", "--timeout", "0.6", inputs=bench.inputs(model))
    assert finished.error["kind"] == "timeout"
    assert finished.error["stage"] == "run"
    assert finished.record["compile_us"] > 0
    assert finished.record["invoke_us"] == []


@linux
def test_a_memory_bomb_is_ended_at_its_limit(bench: Bench, models: Path) -> None:
    """3-D convolution with a scratch tensor of gigabytes; its inputs are holes in files, so they cost nothing."""
    model = models / "odd/conv3d_huge_im2col.bin"
    described = bench.run(model, "--describe").ok()["signature_details"][0]["inputs"]
    files = []
    for tensor in described:
        path = bench.folder / f"{tensor['index']}.bin"
        with path.open("wb") as stream:
            stream.truncate(tensor["bytes"])
        files.append(str(path))
    limit = 500 << 20
    limits = ["--memory-limit", str(limit), "--output-limit", "0", "--timeout", "60"]
    finished = bench.finish([*bench.command(model, *limits), "--input", *files])
    assert (finished.error["kind"], finished.error["exit_code"]) == ("memory", 32)
    assert str(limit) in finished.error["message"]
    assert limit * 0.9 < finished.record["peak_rss_bytes"] < 3 * limit


def test_a_modest_run_stays_within_a_modest_limit(bench: Bench, models: Path) -> None:
    model = models / "float/blazeface_mlkit_v1.tflite"
    assert bench.run(model, "--memory-limit", str(100 << 20), inputs=bench.inputs(model)).ok()


@pytest.mark.parametrize("to_group", [False, True])
def test_a_cancelled_run_says_so(faked: Bench, fake_model: Path, to_group: bool) -> None:
    command = faked.command(fake_model, inputs=PAIR)
    with started(faked, command, "stage first_run", FAKE_LITERT="hang_run") as process:
        if to_group:
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
        assert process.wait(5) == 33
    error = faked.record()["error"]
    assert (error["kind"], error["exit_code"]) == ("cancelled", 33)
    assert error["stage"] == "first_run"


def test_a_run_under_nohup_outlives_its_terminal(faked: Bench, fake_model: Path) -> None:
    command = ["nohup", *faked.command(fake_model, inputs=PAIR)]
    with started(faked, command, "stage first_run", FAKE_LITERT="hang_run") as process:
        process.send_signal(signal.SIGHUP)
        SystemClock().sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.wait(5) == 33
    assert faked.record()["error"]["message"] == f"cancelled by signal {signal.SIGTERM.value}"


@linux
def test_no_child_and_no_stale_record_outlive_a_killed_parent(faked: Bench, fake_model: Path) -> None:
    faked.out.mkdir()
    (faked.out / "result.json").write_text('{"status": "ok", "run_id": "yesterday"}')
    command = faked.command(fake_model, inputs=PAIR)
    with started(faked, command, "stage first_run", FAKE_LITERT="hang_run") as process:
        child = child_of(process.pid)
        assert is_running(child)
        process.kill()
        process.wait(5)
    clock = SystemClock()
    deadline = clock.monotonic() + 5
    while is_running(child) and clock.monotonic() < deadline:
        clock.sleep(0.01)
    assert not is_running(child)
    assert faked.record() == {}


@linux
def test_a_child_killed_by_somebody_else_is_a_crash(faked: Bench, fake_model: Path) -> None:
    command = faked.command(fake_model, inputs=PAIR)
    with started(faked, command, "stage first_run", FAKE_LITERT="hang_run") as process:
        os.kill(child_of(process.pid), signal.SIGKILL)
        assert process.wait(5) == 30
    error = faked.record()["error"]
    assert error["signal_name"] == "SIGKILL"
    assert "out of memory" in error["message"]


def test_nobody_has_to_read_the_progress(bench: Bench, models: Path) -> None:
    """A reader that went away neither stops nor spoils the run."""
    model = models / "float/blazeface_mlkit_v1.tflite"
    command = bench.command(model, "--min-seconds", "0.5", inputs=bench.inputs(model))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert subprocess.run(command, stdout=writing, cwd=bench.folder, timeout=60, check=False).returncode == 0
    finally:
        os.close(writing)
    assert bench.record()["status"] == "ok"


def test_the_tail_of_the_log_is_kept(faked: Bench, fake_model: Path) -> None:
    finished = faked.run(fake_model, inputs=PAIR, env={"FAKE_LITERT": "say_variable fail_compile"})
    assert finished.error["kind"] == "unsupported"
    assert "variable tensors" in finished.error["message"]
    assert finished.record["stderr_tail"] == (faked.out / "stderr.log").read_text()
