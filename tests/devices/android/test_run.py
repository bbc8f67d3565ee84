from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from emulated.android.lab import AdbLab
from harness.devices.adb.errors import AdbError, DeviceLostError, DeviceTimeoutError
from harness.devices.base import DeviceError, JobOutput, JobPath
from harness.devices.shell import device, run
from harness.devices.shell.cores import core_mask
from harness.devices.shell.run import RemoteJob
from harness.plan.cell import ErrorClass
from tests.devices.android.conftest import CLOCK, Add, Bench, until


def test_a_job_has_its_files_environment_and_words(bench: Bench) -> None:
    output = bench.run(
        'read X <sub/in.txt; echo "$X|$A|$1|$2|$3"; cat "$4"; echo "$PWD" >out/where; echo oops >&2; exit 7',
        bench.file("42\n", "sub/in.txt"),
        env={"A": 'it\'s "two" words; $HOME `id`', "LD_X": "1"},
        words=("a b", "it's", "$HOME *", JobPath("sub/in.txt")),
    )
    assert output.exit_code == 7
    assert output.stdout == "42|it's \"two\" words; $HOME `id`|a b|it's|$HOME *\n42\n"
    assert output.stderr == "oops\n"
    assert (output.folder / "where").read_text().strip().endswith("data/local/tmp/harness/jobs/" + _last(output))
    assert not output.timed_out
    assert output.state_before["battery_percent"] == output.state_after["battery_percent"] == 87
    assert bench.jobs == []


def _last(output: JobOutput) -> str:
    return Path((output.folder / "where").read_text().strip()).name


def test_the_devices_environment_comes_first(add: Add) -> None:
    bench = add(env={"A": "device", "B": "device"})
    assert bench.connect()["env"] == ["A", "B"]
    assert bench.run('echo "$A $B"', env={"B": "job"}).stdout == "device job\n"


def test_a_job_that_is_killed_by_a_signal(bench: Bench) -> None:
    output = bench.run("kill -SEGV $$")
    assert (output.exit_code, output.timed_out) == (-signal.SIGSEGV, False)


def test_a_job_that_is_killed_in_time_did_not_time_out(bench: Bench) -> None:
    output = bench.run("kill -KILL $$")
    assert (output.exit_code, output.timed_out) == (-signal.SIGKILL, False)


def test_the_time_limit_ends_the_job_and_all_that_it_started(bench: Bench) -> None:
    began = CLOCK.monotonic()
    output = bench.run("echo before >out/text; (trap '' HUP TERM; sleep 60) & sleep 60", deadline=2)
    assert output.timed_out
    assert 1 <= output.seconds < 5
    assert CLOCK.monotonic() - began < 10
    assert (output.folder / "text").read_text() == "before\n"
    assert bench.phone.processes() == []


def test_what_a_job_leaves_running_ends_with_it(bench: Bench) -> None:
    assert bench.run("sleep 60 & exit 0").exit_code == 0
    assert bench.phone.processes() == []


def test_the_last_part_of_long_output_is_kept(pixel: Bench) -> None:
    output = pixel.run("i=0; while [ $i -lt 9000 ]; do echo line-$i-of-nine-thousand; i=$((i+1)); done")
    assert len(output.stdout) == 64 << 10
    assert output.stdout.endswith("line-8999-of-nine-thousand\n")


def test_seconds_are_those_of_the_command(bench: Bench) -> None:
    began = CLOCK.monotonic()
    output = bench.run("sleep 1.1")
    assert 1.0 <= output.seconds < CLOCK.monotonic() - began


def test_a_lost_connection_costs_nothing(bench: Bench) -> None:
    running = bench.begin("while [ ! -e go ]; do sleep 0.1; done; echo done; echo 1 >out/result; exit 3")
    bench.phone.drop()
    CLOCK.sleep(0.5)
    (running.started.parent.parent / "go").touch()
    output = running.output()
    assert (output.exit_code, output.stdout) == (3, "done\n")
    assert (output.folder / "result").read_text() == "1\n"
    assert output.state_before["battery_percent"] == 87
    assert output.seconds > 0.4


def test_a_cable_that_is_put_back_costs_nothing(bench: Bench) -> None:
    running = bench.begin("sleep 2; echo done")
    bench.phone.unplug()
    CLOCK.sleep(1.0)
    bench.phone.plug()
    assert running.output().stdout == "done\n"


@pytest.mark.usefixtures("own_home")  # the harness may be the one that starts it again
def test_a_restarted_server_costs_nothing(lab: AdbLab, pixel: Bench) -> None:
    running = pixel.begin("sleep 2; echo done")
    lab.restart_server()
    assert running.output().stdout == "done\n"


def test_a_phone_that_restarts_loses_the_job(pixel: Bench) -> None:
    running = pixel.begin("sleep 60")
    pixel.phone.reboot()
    error = running.wait()
    assert isinstance(error, DeviceLostError)
    assert pixel.run("echo again").stdout == "again\n"
    assert pixel.jobs == []


def test_a_phone_that_hangs(pixel: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_GRACE", 1.0)
    monkeypatch.setattr(run, "_ANSWER", 0.5)
    monkeypatch.setattr(device, "_ENDING_SECONDS", 0.5)
    running = pixel.begin("sleep 60", deadline=2)
    began = CLOCK.monotonic()
    pixel.phone.faults.hung = True
    assert isinstance(running.wait(), DeviceTimeoutError)
    assert CLOCK.monotonic() - began < 6
    pixel.phone.faults.hung = False
    pixel.device.recover()
    assert pixel.jobs == []
    assert pixel.run("echo again").stdout == "again\n"


def test_a_phone_that_hung_for_a_while_costs_nothing(pixel: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_GRACE", 0.2)
    running = pixel.begin("sleep 0.5; echo done; exit 3", deadline=1.5)
    pixel.phone.faults.hung = True
    CLOCK.sleep(3)
    pixel.phone.faults.hung = False
    output = running.output()
    assert (output.stdout, output.exit_code) == ("done\n", 3)


def test_cancelling_ends_the_job_at_once(bench: Bench) -> None:
    running = bench.begin("sleep 60 & sleep 60")
    began = CLOCK.monotonic()
    bench.device.cancel()
    error = running.wait()
    assert CLOCK.monotonic() - began < 5
    assert isinstance(error, DeviceError)
    assert str(error) == "phone: cancelled"
    assert bench.phone.processes() == []
    assert bench.jobs == []
    with pytest.raises(DeviceError, match="cancelled"):
        bench.run("echo more")


def abandon(bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str) -> int:
    """Have the device's connections end, and let it clean up nothing; the process that it leaves on the phone."""
    running = bench.begin(script)
    with monkeypatch.context() as patch:
        patch.setattr(RemoteJob, "end", lambda *_: None)
        bench.device.cancel()
        assert isinstance(running.wait(), DeviceError)
    assert running.pid in bench.phone.processes()
    return running.pid


def test_the_next_job_ends_what_a_killed_controller_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = bench.another()
    gone.connect()
    pid = abandon(gone, monkeypatch, "trap '' HUP TERM INT; while :; do sleep 0.1; done")
    assert len(bench.jobs) == 1
    output = bench.run(f"grep State: /proc/{pid}/status 2>/dev/null; ls .. | wc -l")
    *state, folders = output.stdout.split()
    assert state[1:2] in ([], ["Z"]), "it must be dead when the next command begins"
    assert folders == "1"
    assert pid not in bench.phone.processes()


def test_recovery_ends_what_the_last_job_left(pixel: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    running = pixel.begin("trap '' HUP TERM INT; while :; do sleep 0.1; done")

    def lost(*_: object) -> None:
        raise DeviceLostError("lost", device="phone")

    with monkeypatch.context() as patch:
        patch.setattr(RemoteJob, "end", lost)
        patch.setattr(RemoteJob, "_rejoin", lost)
        pixel.phone.drop()
        assert isinstance(running.wait(), DeviceLostError)
    assert running.pid in pixel.phone.processes()
    pixel.device.recover()
    assert pixel.phone.processes() == []
    assert pixel.jobs == []


def test_output_of_another_run_that_just_ended_is_left_alone(pixel: Bench) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    for name, line in {
        "fresh": f"0 1 {uptime - 9:.2f} {uptime - 5:.2f} {boot}",
        "stale": f"0 1 {uptime - 4009:.2f} {uptime - 4000:.2f} {boot}",
        "earlier-boot": "0 1 1.00 999999999.00 0a0a0a0a",
        "broken": "0",
    }.items():
        folder = pixel.root / "jobs" / name
        folder.mkdir()
        (folder / "rc").write_text(line if name == "broken" else f"{line}\n")
    (pixel.root / "jobs" / "unfinished").mkdir()
    pixel.run("exit 0")
    assert pixel.jobs == ["fresh"]


def test_output_of_another_run_that_just_ended_is_left_alone_on_an_old_phone(
    old: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = old.another()
    other.connect()
    pull = old.device._pull

    def late(*args: Any) -> int:
        assert other.run("echo 2 >out/result").exit_code == 0
        return pull(*args)

    monkeypatch.setattr(old.device, "_pull", late)
    output = old.run("echo 1 >out/result")
    assert (output.folder / "result").read_text() == "1\n"
    assert old.jobs == []
    other.device.close()


def test_processes_that_have_a_leftovers_number_by_chance_are_spared(pixel: Bench) -> None:
    shell = pixel.device._way.shell
    pid = int(shell("setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $!", 10).text)
    # A session whose leader is gone, and with it the time when it was started.
    session = int(shell("setsid sh -c 'sleep 60 >/dev/null 2>&1 & echo $$' </dev/null", 10).text)
    until(lambda: not Path(f"/proc/{session}").exists() or " Z " in Path(f"/proc/{session}/stat").read_text())
    strangers = pixel.phone.processes()
    assert pid in strangers
    assert len(strangers) == 2
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    lines = (f"{pid} 1 {boot}", f"{pid} 1 0a0a0a0a", f"{session} 1 {boot}", "no number", "1 1", "")
    for number, line in enumerate(lines):
        folder = pixel.root / "jobs" / f"leftover{number}"
        folder.mkdir()
        (folder / "pid").write_text(f"{line}\n")
    pixel.run("exit 0")
    assert pixel.jobs == []
    assert pixel.phone.processes() == strangers
    for stranger in strangers:
        os.kill(stranger, signal.SIGKILL)
    until(lambda: pixel.phone.processes() == [])


def test_the_exit_code_of_a_command_that_ends_at_once(bench: Bench) -> None:
    assert [bench.run("exit 3").exit_code for _ in range(5)] == [3] * 5


def test_too_much_output_is_not_brought_back(bench: Bench) -> None:
    job = bench.job("echo 12345 >out/a; echo 12345 >out/b", output_bytes=11)
    with pytest.raises(DeviceError, match="left 12 bytes of output; its limit is 11") as caught:
        bench.run(job)
    assert caught.value.error_class is ErrorClass.RUNNER
    assert bench.jobs == []


def test_only_files_are_brought_back(bench: Bench) -> None:
    output = bench.run("mkdir out/folder; echo 1 >out/folder/x; ln -s /proc/version out/link; echo 2 >'out/a b'")
    assert {path.name: path.read_text() for path in output.folder.iterdir()} == {"a b": "2\n"}


def test_a_file_with_an_unusable_name_is_the_programs_fault(pixel: Bench) -> None:
    with pytest.raises(DeviceError, match="unusable name") as caught:
        pixel.run("echo 1 >\"out/a$(printf '\\n')b\n\"")
    assert caught.value.error_class is ErrorClass.RUNNER
    with pytest.raises(DeviceError, match="unusable name") as caught:
        pixel.run('echo 1 >"out/$1"', words=("x" * 255,))
    assert caught.value.error_class is ErrorClass.RUNNER


def test_a_script_that_is_too_long_for_a_call_goes_as_a_file(bench: Bench) -> None:
    output = bench.run("echo ${#A} ${#1}", env={"A": "a" * 40_000}, words=("b" * 30_000,))
    assert output.stdout == "40000 30000\n"


def test_a_program_that_cannot_be_started_is_the_runners_matter(bench: Bench) -> None:
    job = bench.job("", bench.file(b"\x7fELF nonsense", "broken"))
    output = bench.run(type(job)(job.id, job.files, (JobPath("broken"),)))
    assert output.exit_code > 0
    assert "broken" in output.stderr


def test_an_old_phone(old: Bench) -> None:
    output = old.run(
        'read X <in.txt; echo "$X|$A|$1"; echo oops >&2; echo 1 >out/result; exit 5',
        old.file("42\n", "in.txt"),
        env={"A": "it's"},
        words=("a 'b'",),
    )
    assert (output.exit_code, output.stdout, output.stderr) == (5, "42|it's|a 'b'\n", "oops\n")
    assert (output.folder / "result").read_text() == "1\n"
    assert output.state_before["battery_percent"] == output.state_after["battery_percent"] == 100
    assert old.jobs == []


def test_the_time_limit_on_an_old_phone(old: Bench) -> None:
    began = CLOCK.monotonic()
    output = old.run("echo before; sleep 60", deadline=2)
    assert (output.exit_code, output.timed_out, output.stdout) == (-signal.SIGKILL, True, "before\n")
    assert CLOCK.monotonic() - began < 10
    assert old.phone.processes() == []


def test_an_old_phones_job_ends_with_its_connection(old: Bench) -> None:
    running = old.begin("sleep 60")
    old.phone.drop()
    assert isinstance(running.wait(), AdbError)
    old.device.recover()
    assert old.phone.processes() == []
    assert old.run("echo again").stdout == "again\n"


def test_a_signal_on_an_old_phone(old: Bench) -> None:
    assert old.run("kill -ABRT $$").exit_code == -signal.SIGABRT


def test_a_job_runs_on_its_cores(add: Add) -> None:
    bench = add(cores=(0,))
    assert bench.connect()["pinned_to_cores"] == [0]
    assert bench.run("grep Cpus_allowed_list /proc/self/status").stdout.split() == ["Cpus_allowed_list:", "0"]


@pytest.mark.parametrize(
    ("cores", "speeds", "mask"),
    [
        ((), [1000, 2000], None),
        ((0,), [1000, 2000], "1"),
        ((1, 3, 3), [1, 1, 1, 1], "a"),
        ((4, 5, 6, 7), [1] * 8, "f0"),
        ("big", [1800] * 4, None),
        ("big", [1800] * 4 + [2400] * 4, "f0"),
        ("big", [1800] * 4 + [2400] * 3 + [2800], "f0"),
        ("big", [2800, 2000, 2000, 1800], "7"),
    ],
)
def test_the_mask_of_the_cores(cores: tuple[int, ...] | str, speeds: list[int], mask: str | None) -> None:
    assert core_mask(cores, {"core_max_mhz": speeds, "cores": len(speeds)}) == mask  # type: ignore[arg-type]


def test_cores_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"no core 8, 9; it has 8"):
        core_mask((7, 8, 9), {"cores": 8})


def test_big_cores_of_a_phone_that_does_not_tell() -> None:
    with pytest.raises(ValueError, match="give their numbers"):
        core_mask("big", {"cores": 8})
