"""Jobs on a board: what goes on, goes on; what has to end, ends; nothing is left there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.devices.base import DeviceError, JobOutput, JobPath
from harness.devices.shell.errors import WayLostError, WayRefusedError
from harness.devices.shell.run import RemoteJob
from harness.plan.cell import ErrorClass
from tests.devices.board.conftest import Add, Bench
from tests.devices.jobs import Running, until

STEPS = "while [ ! -e go ]; do sleep 0.05; done; echo finished; echo 6 >out/result; exit 3"
"""Work that ends when somebody makes the file `go`, and leaves something."""
STUBBORN = "trap '' HUP TERM INT; while :; do sleep 0.1; done"
FIRST = '[ "$1" ] || exit 0; '
"""Ends a job that has no words: the next one of the same text finds its files on the board, and has all its time."""


def go(running: Running) -> None:
    (running.started.parent.parent / "go").touch()


def finished(running: Running) -> None:
    """The job's result is whole, as if nothing had happened."""
    output = running.output()
    assert (output.exit_code, output.timed_out) == (3, False)
    assert output.stdout == "finished\n"
    assert (output.folder / "result").read_text() == "6\n"


def test_a_job_has_its_files_environment_and_words(bench: Bench) -> None:
    output = bench.run(
        'read X <sub/in.txt; echo "$X|$A|$1|$2|$3"; cat "$4"; echo "$PWD" >out/where; echo oops >&2; exit 7',
        bench.file("42\n", "sub/in.txt"),
        env={"A": 'it\'s "two" words; $HOME `id`'},
        words=("a b", "it's", "$HOME *", JobPath("sub/in.txt")),
    )
    assert output.exit_code == 7
    assert output.stdout == "42|it's \"two\" words; $HOME `id`|a b|it's|$HOME *\n42\n"
    assert output.stderr == "oops\n"
    assert Path((output.folder / "where").read_text().strip()).parent == bench.root / "jobs"
    assert not output.timed_out
    assert output.state_before["temperature_c"] == output.state_after["temperature_c"] == 41.0
    assert bench.jobs == []


def test_files_are_moved_once(bench: Bench) -> None:
    files = [bench.file(bytes([i]) * 5000, f"data/{i}") for i in range(20)]
    first = bench.run("cat data/* | wc -c", *files)
    assert first.stdout.strip() == "100000"
    assert first.transfer_bytes >= 100_000
    second = bench.another()
    second.connect()
    again = second.run("cat data/* | wc -c", *files)
    assert again.transfer_bytes < 5000
    second.device.close()
    assert {file.sha256 for file in files} <= bench.stored


def test_a_file_that_was_damaged_on_the_board_is_pushed_again(bench: Bench) -> None:
    file = bench.file("good\n")
    bench.run("true", file)
    (bench.root / "sha256" / file.sha256).write_text("evil\n")
    second = bench.another()
    second.connect()
    assert second.run("cat data.bin", file).stdout == "good\n"
    second.device.close()


def test_the_devices_environment_comes_first(add: Add) -> None:
    bench = add(env={"A": "device", "B": "device"})
    assert bench.connect()["env"] == ["A", "B"]
    assert bench.run('echo "$A $B"', env={"B": "job"}).stdout == "device job\n"


def test_a_job_runs_on_its_cores(add: Add) -> None:
    bench = add(cores=(0,))
    assert bench.connect()["pinned_to_cores"] == [0]
    assert bench.run("grep Cpus_allowed_list /proc/self/status").stdout.split() == ["Cpus_allowed_list:", "0"]


def test_a_job_that_is_killed_by_a_signal(bench: Bench) -> None:
    output = bench.run("kill -SEGV $$")
    assert (output.exit_code, output.timed_out) == (-signal.SIGSEGV, False)


def test_a_job_that_talks_much_keeps_its_end(bench: Bench) -> None:
    output = bench.run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert output.exit_code == 0
    assert output.stdout.endswith("x\nthe end\n")
    assert len(output.stdout) == 64 << 10


def test_a_long_command_fits(bench: Bench) -> None:
    output = bench.run('echo "${#1} $#"', words=("x" * 100_000, *["y"] * 2000))
    assert output.stdout == "100000 2001\n"


def test_the_time_limit_ends_the_job_and_all_that_it_started(bench: Bench) -> None:
    script = FIRST + "echo before >out/text; (trap '' HUP TERM; sleep 60) & sleep 60"
    bench.run(script)
    output = bench.run(script, words=("on",), deadline=2)
    assert output.timed_out
    assert (output.folder / "text").read_text() == "before\n"
    assert bench.programs() == []


def test_what_a_job_leaves_running_ends_with_it(bench: Bench) -> None:
    assert bench.run("sleep 60 & exit 0").exit_code == 0
    assert bench.programs() == []


def test_a_lost_connection_costs_nothing(bench: Bench) -> None:
    running = bench.begin(STEPS)
    bench.board.sshd.drop()
    go(running)
    finished(running)


def test_a_restarted_sshd_costs_nothing(bench: Bench) -> None:
    running = bench.begin(STEPS)
    bench.board.sshd.restart()
    go(running)
    finished(running)


def test_an_sshd_that_is_away_for_a_while_costs_nothing(bench: Bench) -> None:
    running = bench.begin(STEPS)
    bench.board.sshd.kill()
    go(running)
    until(lambda: bench.programs() == [])
    bench.board.sshd.start()
    finished(running)


def test_a_board_that_restarts_loses_the_job_and_says_so(bench: Bench) -> None:
    running = bench.begin("sleep 60")
    bench.board.reboot()
    error = running.wait()
    assert isinstance(error, WayLostError)
    assert "restarted while the job ran" in str(error)
    assert error.error_class is ErrorClass.DEVICE
    bench.device.recover()
    assert bench.run("echo again").stdout == "again\n"
    assert bench.jobs == []


def test_cancelling_ends_the_job_at_once(bench: Bench) -> None:
    running = bench.begin("sleep 60 & sleep 60")
    bench.device.cancel()
    error = running.wait()
    assert isinstance(error, DeviceError)
    assert str(error) == "board: cancelled"
    until(lambda: bench.programs() == [])
    assert bench.jobs == []
    with pytest.raises(DeviceError, match="cancelled"):
        bench.run("echo more")


def abandon(bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str) -> int:
    """Have a run end without a word, as when its process is killed; the program that it leaves on the board."""
    gone = bench.another()
    gone.connect()
    running = gone.begin(script)
    with monkeypatch.context() as patch:
        patch.setattr(RemoteJob, "end", lambda *_: None)
        gone.device.cancel()
        assert isinstance(running.wait(), DeviceError)
    gone.device.close()
    assert running.pid in bench.programs()
    return running.pid


def test_the_next_job_ends_what_a_killed_run_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = abandon(bench, monkeypatch, STUBBORN)
    assert len(bench.jobs) == 1
    output = bench.run(f"grep State: /proc/{pid}/status 2>/dev/null; ls .. | wc -l")
    *state, folders = output.stdout.split()
    assert state[1:2] in ([], ["Z"]), "it must be dead when the next command begins"
    assert folders == "1"
    assert pid not in bench.programs()


def test_what_a_killed_run_left_ends_at_its_time_limit_by_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = bench.another()
    gone.connect()
    assert isinstance(gone.begin(FIRST + STUBBORN).wait(), JobOutput)
    running = gone.begin(FIRST + STUBBORN, words=("on",), deadline=2.0)
    with monkeypatch.context() as patch:
        patch.setattr(RemoteJob, "end", lambda *_: None)
        gone.device.cancel()
        running.wait()
    gone.device.close()
    until(lambda: bench.programs() == [])


def test_a_full_disk_is_told_with_figures_before_anything_is_pushed(bench: Bench) -> None:
    head = "Filesystem 1K-blocks Used Available Use% Mounted on"
    bench.board.set_command("df", f"echo '{head}'; echo '/dev/root 100000 99000 1000 99% /'")
    with pytest.raises(WayRefusedError) as caught:
        bench.run("echo hello", bench.file(bytes(8 << 20)))
    assert "need 40 MiB of free space" in str(caught.value)
    assert "remove something from the board" in str(caught.value)
    assert bench.stored == set()


def test_a_job_that_nothing_can_be_written_for_is_not_started(bench: Bench) -> None:
    """A disk that is full to the last block takes folders and links all the same."""
    bench.run("echo ran")
    bench.board.set_command("sh", "trap '' XFSZ; ulimit -f 0; exec /bin/sh \"$@\"")
    with pytest.raises(WayRefusedError, match=f"the job could not be started: .* {bench.root}: no space left; remove"):
        bench.run("echo ran")
    assert bench.jobs == []


def test_a_connection_that_ends_as_the_job_is_cleared_away_costs_no_result(bench: Bench) -> None:
    gone = bench.folder / "gone"
    bench.board.set_command("rm", f'/bin/rm "$@"; [ "$1" != -rf ] || {{ : >{gone}; sleep 1000; }}')
    running = Running(bench, bench.job("echo hello; echo 6 >out/result; exit 3"), bench.root, 20.0)
    running.thread.start()
    until(gone.exists)
    bench.board.set_command("rm", 'exec /bin/rm "$@"')
    bench.board.sshd.drop()
    output = running.output()
    assert (output.exit_code, (output.folder / "result").read_text()) == (3, "6\n")
    assert "was lost with the connection" in output.stderr


def test_a_program_that_cannot_be_started_is_the_runners_matter(bench: Bench) -> None:
    job = bench.job("", bench.file(b"\x7fELF nonsense", "broken"))
    output = bench.run(type(job)(job.id, job.files, (JobPath("broken"),)))
    assert output.exit_code > 0
    assert "broken" in output.stderr


def test_a_job_that_leaves_too_much_is_the_runners_matter(bench: Bench) -> None:
    with pytest.raises(DeviceError, match="left 5000 bytes of output; its limit is 100") as caught:
        bench.run("head -c 5000 /dev/zero >out/big", output_bytes=100)
    assert caught.value.error_class is ErrorClass.RUNNER
    assert bench.jobs == []
