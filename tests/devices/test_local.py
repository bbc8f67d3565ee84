"""This machine as a device: what a job sees, what comes back, and that nothing outlives it."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.devices.base import DeviceError, Job, JobFile, JobOutput, JobPath
from harness.devices.local import LocalDevice, host_target
from harness.plan.cell import ErrorClass

LINUX = sys.platform == "linux"


class Turns:
    """Nobody else wants this machine; what is entered is remembered."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @contextmanager
    def command(self) -> Iterator[None]:
        self.log.append("command")
        yield
        self.log.append("done")

    @contextmanager
    def transfer(self) -> Iterator[None]:
        self.log.append("transfer")
        yield


class Bench:
    """Runs shell scripts as jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.out.mkdir()
        self.turns = Turns()

    def device(self, env: Mapping[str, str] | None = None, cores: tuple[int, ...] = ()) -> LocalDevice:
        return LocalDevice("box", SystemClock(), env, cores)

    def run(
        self,
        script: str,
        device: LocalDevice | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        env: Mapping[str, str] | None = None,
        deadline: float = 20.0,
        output_bytes: int = 1 << 20,
    ) -> JobOutput:
        """Run a script in a job's folder."""
        job = self.job(script, files or {}, env or {}, output_bytes)
        return (device or self.device()).execute(job, self.out, deadline, self.turns)

    def job(self, script: str, files: Mapping[str, bytes], env: Mapping[str, str], output_bytes: int = 1 << 20) -> Job:
        placed = []
        for name, data in files.items():
            source = self.folder / name.replace("/", "_")
            source.write_bytes(data)
            placed.append(JobFile(name, source, hashlib.sha256(data).hexdigest()))
        return Job("nonce", tuple(placed), ("sh", "-c", script), env, output_bytes=output_bytes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Whether a killed process has gone; the kernel may need a moment."""
    for _ in range(2000):
        if not alive(pid):
            return True
        threading.Event().wait(0.001)
    return False


def test_a_job_has_its_files_and_leaves_its_output(bench: Bench) -> None:
    output = bench.run(
        "cat a.txt in/b.txt > out/sum; echo said; echo warned >&2", files={"a.txt": b"1", "in/b.txt": b"2"}
    )
    assert (output.folder / "sum").read_bytes() == b"12"
    assert (output.exit_code, output.stdout, output.stderr) == (0, "said\n", "warned\n")
    assert output.transfer_bytes == 0
    assert output.seconds > 0
    assert not output.timed_out
    assert bench.turns.log == ["command", "done"]


def test_paths_of_the_job_are_made_absolute_and_the_folder_is_removed(bench: Bench) -> None:
    job = Job("nonce", (), ("sh", "-c", 'echo "$0" > out/path; pwd >> out/path', JobPath("in/model")))
    bench.device().execute(job, bench.out, 20.0, bench.turns)
    path, folder = (bench.out / "path").read_text().splitlines()
    assert path == f"{folder}/in/model"
    assert not Path(folder).exists()
    assert str(job.command[-1]) == "in/model"


def test_a_jobs_environment_goes_before_the_devices_and_that_before_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OURS", "DEVICE", "JOB"):
        monkeypatch.setenv(name, "ours")
    device = bench.device(env={"DEVICE": "device", "JOB": "device"})
    output = bench.run('echo "$OURS $DEVICE $JOB"', device, env={"JOB": "job"})
    assert output.stdout == "ours device job\n"


def test_values_of_the_environment_are_no_facts(bench: Bench) -> None:
    facts = bench.device(env={"TOKEN": "hunter2", "ICD": "/secret/path"}).connect(print)
    assert facts["env"] == ["ICD", "TOKEN"]
    assert "hunter2" not in repr(facts)
    assert "/secret" not in repr(facts)


def test_facts_name_the_hardware_in_contract_units(bench: Bench) -> None:
    facts = bench.device().connect(print)
    assert facts["cores"] == os.cpu_count()
    assert facts["architecture"] == platform.machine()
    assert facts["memory_bytes"] > 100 << 20
    assert facts["cpu_model"]
    assert facts["kernel"].startswith(platform.system())
    assert "env" not in facts


def test_state_is_in_contract_units(bench: Bench) -> None:
    state = bench.device().state()
    assert set(state) <= {"load_1min", "cpu_mhz", "temperature_c"}
    assert 0 <= state["load_1min"] < 10_000
    assert 1 < state.get("cpu_mhz", 1000) < 20_000
    assert -50 < state.get("temperature_c", 20) < 200


def test_the_target_names_processor_and_system() -> None:
    processor, _, system = host_target().partition("-")
    assert processor in {"x86_64", "aarch64", "armv7"} or processor == platform.machine().lower()
    assert system == ("linux" if LINUX else "macos")


@pytest.mark.skipif(not LINUX, reason="binding to cores is for Linux")
def test_a_job_is_bound_to_the_devices_cores(bench: Bench) -> None:
    core = max(os.sched_getaffinity(0))
    output = bench.run("grep Cpus_allowed_list /proc/self/status", bench.device(cores=(core,)))
    assert output.stdout.split()[-1] == str(core)


def test_the_facts_say_which_cores_are_used(bench: Bench) -> None:
    assert bench.device(cores=(0,)).connect(print)["pinned_to_cores"] == [0]
    assert "pinned_to_cores" not in bench.device().connect(print)


@pytest.mark.skipif(not LINUX, reason="binding to cores is for Linux")
def test_cores_that_are_not_there_are_refused(bench: Bench) -> None:
    with pytest.raises(DeviceError, match=r"no core 100000 \(`cores` in devices\.yaml\)") as caught:
        bench.device(cores=(0, 100000)).connect(print)
    assert caught.value.error_class is ErrorClass.CONFIG


def test_cores_without_taskset_say_what_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bench.folder))
    with pytest.raises(DeviceError, match=r"taskset \(Debian: util-linux\)") as caught:
        bench.run("true", bench.device(cores=(0,)))
    assert caught.value.error_class is ErrorClass.CONFIG


def test_exit_codes_and_signals_are_told_apart(bench: Bench) -> None:
    assert bench.run("exit 3").exit_code == 3
    assert bench.run("kill -SEGV $$").exit_code == -signal.SIGSEGV


def test_long_output_is_kept_at_its_end(bench: Bench) -> None:
    output = bench.run("head -c 300000 /dev/zero | tr '\\0' x; echo the end")
    assert output.stdout.endswith("xthe end\n")
    assert len(output.stdout) <= 64 << 10


def test_words_that_are_no_text_are_no_fault(bench: Bench) -> None:
    assert bench.run("printf 'a\\377b'").stdout == "a\ufffdb"


def test_more_output_than_allowed_is_an_error(bench: Bench) -> None:
    script = "mkdir out/deep; head -c 60 /dev/zero > out/a; head -c 60 /dev/zero > out/deep/b"
    assert bench.run(script, output_bytes=120).exit_code == 0
    with pytest.raises(DeviceError, match="the job left 120 bytes of output; its limit is 119") as caught:
        bench.run(script.replace("mkdir", "mkdir -p"), output_bytes=119)
    assert caught.value.error_class is ErrorClass.RUNNER


def test_a_missing_file_is_a_fault_of_the_host_that_names_it(bench: Bench) -> None:
    job = Job("nonce", (JobFile("model.tflite", bench.folder / "gone.tflite", ""),), ("true",))
    with pytest.raises(DeviceError, match=r"No such file or directory: .*gone\.tflite") as caught:
        bench.device().execute(job, bench.out, 20.0, bench.turns)
    assert caught.value.error_class is ErrorClass.HOST
    assert bench.turns.log == []


def test_a_program_that_cannot_be_started_is_a_fault_of_the_host(bench: Bench) -> None:
    job = Job("nonce", (), (JobPath("delegate_bench"),))
    with pytest.raises(DeviceError, match=r"No such file or directory: .*delegate_bench") as caught:
        bench.device().execute(job, bench.out, 20.0, bench.turns)
    assert caught.value.error_class is ErrorClass.HOST


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
def test_the_deadline_ends_the_whole_family(bench: Bench) -> None:
    script = (
        "trap '' TERM; (trap '' TERM; sleep 60 & echo $! > out/grandchild; wait) & sleep 60 & echo $! > out/child; wait"
    )
    output = bench.run(script, deadline=0.3)
    assert output.timed_out
    assert output.exit_code == -signal.SIGKILL
    assert output.seconds < 10
    for name in ("child", "grandchild"):
        assert gone(int((bench.out / name).read_text())), name


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
def test_what_a_program_leaves_behind_ends_with_it_and_is_not_waited_for(bench: Bench) -> None:
    output = bench.run("sleep 60 & echo $! > out/child; echo done")
    assert (output.exit_code, output.stdout, output.timed_out) == (0, "done\n", False)
    assert output.seconds < 5
    assert gone(int((bench.out / "child").read_text()))


def started(bench: Bench) -> None:
    """Wait for the script to have said that it runs."""
    for _ in range(2000):
        if (bench.out / "runs").exists():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the job did not start")


@pytest.mark.parametrize("trap", ["", "trap 'echo ended > out/ended; exit 3' TERM; "], ids=["plain", "trap"])
def test_cancelling_from_another_thread_ends_the_job_gently(bench: Bench, trap: str) -> None:
    device = bench.device()
    outputs: list[JobOutput] = []
    script = f"{trap}touch out/runs; sleep 60 & wait"  # nobody cancels before the trap is set
    thread = threading.Thread(target=lambda: outputs.append(bench.run(script, device)))
    thread.start()
    started(bench)
    device.cancel()
    thread.join(60)
    assert not thread.is_alive()
    assert outputs[0].exit_code == (3 if trap else -signal.SIGTERM)
    assert (bench.out / "ended").exists() == bool(trap)
    with pytest.raises(DeviceError, match="cancelled"):
        bench.run("true", device)


def test_cancelling_a_job_that_will_not_listen_kills_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.devices.local._KILL_GRACE", 0.1)
    device = bench.device()
    outputs: list[JobOutput] = []
    script = "trap '' TERM; touch out/runs; while :; do sleep 60; done"
    thread = threading.Thread(target=lambda: outputs.append(bench.run(script, device)))
    thread.start()
    started(bench)
    device.cancel()
    thread.join(10)
    assert outputs[0].exit_code == -signal.SIGKILL


@pytest.mark.parametrize("end", ["recover", "close"])
def test_recovery_and_closing_end_what_runs_but_not_the_device(bench: Bench, end: str) -> None:
    device = bench.device()
    outputs: list[JobOutput] = []
    thread = threading.Thread(target=lambda: outputs.append(bench.run("touch out/runs; sleep 60", device)))
    thread.start()
    started(bench)
    getattr(device, end)()
    thread.join(10)
    assert outputs[0].exit_code == -signal.SIGKILL
    assert bench.run("exit 0", device).exit_code == 0
