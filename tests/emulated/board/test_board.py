"""An emulated board as its users see it: ssh, its shell, its files, its programs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from emulated.board.board import Board
from emulated.board.files import BOOT_ID, TEMPERATURE
from emulated.board.machine import HOOK, Arch
from emulated.compiler import compiled
from harness.environment import inherited
from harness.errors import UsageError
from harness.lab.inventory import load_inventory
from tests.boards import arm64_runner, needs_board
from tests.emulated.bench import alive, mentioning
from tests.emulated.board.conftest import SECONDS, MakeBoard, says, ssh
from tests.emulated.conftest import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated boards run on Linux only")
ARCHS: tuple[Arch, ...] = ("native", "aarch64")


@pytest.fixture
def arm64(make_board: MakeBoard) -> Iterator[Board]:
    """A board with an arm64 program in its home: `runner`."""
    board = make_board("aarch64")
    shutil.copy(arm64_runner(), board.home / "runner")
    yield board


@pytest.mark.parametrize("arch", ARCHS)
def test_a_board_is_no_plain_session_on_this_computer(make_board: MakeBoard, arch: Arch) -> None:
    board = make_board(arch)
    machine = "aarch64" if arch == "aarch64" else platform.machine()
    assert says(board, "uname -s; uname -m; echo $HARNESS_EMULATED; pwd; echo $HOME").splitlines() == [
        "Linux",
        machine,
        "1",
        str(board.home),
        str(board.home),
    ]
    assert says(board, "tr '\\000' '\\n' </proc/device-tree/model") == f"Emulated board ({arch})\n"
    assert ("CPU part\t: 0xd0c" in says(board, "cat /proc/cpuinfo")) == (arch == "aarch64")


def test_the_library_of_all_its_programs_compiles_without_warnings() -> None:
    compiled(replace(HOOK, name="strict.so", flags=(*HOOK.flags, "-Werror")), inherited())


# Ways in which shells and their tools come to a file or a folder.
READS = (
    f"cat {TEMPERATURE}",
    f"read -r t <{TEMPERATURE}; echo $t",
    f"head -n 1 {TEMPERATURE}",
    f"sed -n 1p {TEMPERATURE}",
    f"awk 1 {TEMPERATURE}",
    f"grep . {TEMPERATURE}",
    "cat /sys/class/thermal/thermal_zone*/temp",
    "for z in /sys/class/thermal/*; do cat $z/temp; done",
    "cd /sys/class/thermal && cat */temp",
    f"[ -r {TEMPERATURE} ] && [ -s {TEMPERATURE} ] && [ -f {TEMPERATURE} ] && cat {TEMPERATURE}",
    f"[ $(stat -c %s {TEMPERATURE}) = 6 ] && cat {TEMPERATURE}",
    "cd /sys/class/thermal/ && cat $(ls)/temp",
)


def test_files_of_its_own_lie_over_the_computers_however_they_are_read(make_board: MakeBoard) -> None:
    board = make_board()
    board.set_file(TEMPERATURE, "85123\n")
    assert says(board, "\n".join(f"({read})" for read in READS)).split() == ["85123"] * len(READS)
    assert says(board, f"echo 1 >{TEMPERATURE}; cat {TEMPERATURE}") == "1\n"
    assert says(board, "cat /proc/self/comm /etc/passwd") == f"cat\n{Path('/etc/passwd').read_text()}"
    assert "/proc/1" in says(board, "echo /proc/[0-9]*").split(), "the rest is the computer's"


def test_its_cores_have_numbers_of_this_computer_and_a_governor(make_board: MakeBoard) -> None:
    board = make_board()
    board.set_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    assert says(board, "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") == "powersave\n"
    count = says(board, "ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l; grep -c ^processor /proc/cpuinfo").split()
    assert count[0] == count[1]


def test_programs_can_be_added(make_board: MakeBoard) -> None:
    board = make_board()
    assert ssh(board, "vcgencmd get_throttled").returncode == 127
    board.set_command("vcgencmd", "echo throttled=0x50005 $1")
    assert says(board, "vcgencmd get_throttled") == "throttled=0x50005 get_throttled\n"


STARTS = (
    "./runner --version",
    "$PWD/runner --version",
    "exec ./runner --version",
    "PATH=$PWD:$PATH runner --version",
    "env A=b ./runner --version",
    "env -i ./runner --version",
    "timeout -s KILL 50 ./runner --version",
    f"taskset -c {min(os.sched_getaffinity(0)) if sys.platform == 'linux' else 0} ./runner --version",
    "setsid -w sh -c '\"$@\"' sh ./runner --version",
    "nohup nice ./runner --version 2>/dev/null",
    "ln -sf runner link && ./link --version",
    "sh -c './runner --version & wait $!'",
    "bash -c './runner --version'",
    "echo './runner --version' >script; sh script",
)


def test_arm64_programs_run_however_they_are_started(arm64: Board) -> None:
    said = says(arm64, "\n".join(f"({start})" for start in STARTS)).splitlines()
    assert said[0].startswith("delegate_bench ")
    assert said == said[:1] * len(STARTS)


def test_arm64_programs_get_their_words_and_give_their_exit_code(arm64: Board) -> None:
    done = ssh(arm64, "./runner --no-such-option 'a  b'")
    assert done.returncode == 2
    assert "qemu" not in done.stderr
    assert ssh(arm64, "chmod -x runner; ./runner --version").returncode == 126
    assert ssh(arm64, "./nothing").returncode == 127


def test_a_native_board_runs_no_arm64_program(make_board: MakeBoard) -> None:
    needs_board("aarch64")
    board = make_board("native")
    shutil.copy(arm64_runner(), board.home / "runner")
    assert ssh(board, "./runner --version").returncode != 0


def test_a_reboot_is_another_boot_and_ends_what_ran(make_board: MakeBoard) -> None:
    board = make_board()
    before = says(board, f"cat {BOOT_ID}; echo kept >file")
    address = board.address
    says(board, "setsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 </dev/null &")
    file = board.home / "pid"
    until(lambda: file.is_file() and file.read_text(), SECONDS)
    pid = int(file.read_text())
    assert pid in board.processes(), "it outlives its connection"
    board.reboot()
    assert not alive(pid)
    assert board.address == address
    assert says(board, "cat file") == "kept\n"
    after = says(board, f"cat {BOOT_ID}")
    assert len(after) == len(before) == len(Path(BOOT_ID).read_text())
    assert after != before


def test_files_go_both_ways(make_board: MakeBoard, tmp_path: Path) -> None:
    board = make_board()
    (tmp_path / "there").write_bytes(b"\0\1" * 50_000)
    batch = (
        f"put {tmp_path / 'there'} model\nget model {tmp_path / 'back'}\nget /proc/device-tree/model {tmp_path / 'm'}\n"
    )
    subprocess.run(
        ["sftp", "-q", "-b", "-", "-F", str(board.ssh_config), "board"],
        input=batch.encode(), check=True, capture_output=True, timeout=SECONDS,
    )  # fmt: skip
    assert (board.home / "model").read_bytes() == (tmp_path / "back").read_bytes() == b"\0\1" * 50_000
    assert (tmp_path / "m").read_text().startswith("Emulated board"), "it sees what commands see"


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"a board cannot be emulated here: needs qemu-aarch64: apt-get install"):
        Board(tmp_path / "board")
    with pytest.raises(UsageError, match=r"a board cannot be emulated here: needs .*ssh-keygen: apt-get install"):
        Board(tmp_path / "board", "native")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_devices_file_and_leaves_nothing(tmp_path: Path) -> None:
    needs_board("native")
    file = tmp_path / "devices.yaml"
    command = [sys.executable, "-m", "emulated.board", "--arch", "native", "--devices", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as lab:
        try:
            assert lab.stdout is not None
            lines = iter(lab.stdout.readline, "")
            config = next(line for line in lines if line.startswith("  ssh -F ")).split()[2]
            (spec,) = load_inventory(file).specs
        finally:
            lab.terminate()
            lab.terminate()  # a second one disturbs nothing
            lab.wait(SECONDS)
    assert lab.returncode == 0
    assert (spec.kind, spec.name) == ("ssh", "board")
    assert re.fullmatch(r".+@127\.0\.0\.1:\d+", spec.identity or "")
    folder = Path(config).parents[1]
    assert not folder.exists()
    assert mentioning(str(folder)) == []
