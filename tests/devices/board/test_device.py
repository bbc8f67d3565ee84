"""Boards as devices: what they say when they are reached, and what makes one unusable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import pytest

from harness.clock import SystemClock
from harness.devices.base import DeviceError
from harness.devices.local import host_target
from harness.devices.registry import machine_of, open_device, resolve
from harness.errors import UsageError
from harness.lab.inventory import Inventory
from harness.lab.spec import SshSpec
from harness.plan.cell import ErrorClass
from tests.devices.board.conftest import NAME, Add, Bench


def test_a_board_tells_what_it_is(add: Add) -> None:
    bench = add(env={"SECRET": "abc"})
    facts = bench.connect()
    assert bench.device.target == facts["target"] == host_target()
    assert facts["model"] == "Emulated board (native)"
    assert facts["emulated"] is True
    assert facts["cores"] == os.cpu_count()
    assert facts["memory_bytes"] > 1 << 20
    assert facts["free_bytes"] > 1 << 20
    assert facts["env"] == ["SECRET"]
    assert "abc" not in str(facts)
    assert sorted(path.name for path in bench.root.iterdir()) == ["jobs", "sha256"]


def test_a_board_tells_how_it_is(bench: Bench) -> None:
    bench.board.set_command("vcgencmd", "echo throttled=0x50000")
    bench.board.set_file("/sys/class/thermal/thermal_zone0/temp", "61250\n")
    state = bench.device.state()
    assert (state["temperature_c"], state["temperature_sensor"]) == (61.25, "cpu-thermal")
    assert (state["governor"], state["cpu_mhz"]) == ("performance", 2400)
    assert (state["throttled"], state["throttled_before"]) == ([], ["under-voltage", "throttled"])
    assert state["load_1min"] >= 0


def test_a_board_that_is_gone_has_no_state(bench: Bench) -> None:
    bench.board.stop()
    assert bench.device.state() == {}
    bench.board.start()


def test_the_folder_may_be_another(add: Add, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("other") / "a" / "b"
    bench = add(root=str(root))
    bench.connect()
    assert bench.run("echo hello").stdout == "hello\n"
    assert sorted(path.name for path in root.iterdir()) == ["jobs", "sha256"]
    assert not bench.root.exists()


def test_a_login_shell_that_greets_is_no_mistake(bench: Bench) -> None:
    """.bashrc of a user who prints something comes before everything else."""
    bench.board.set_command("sh", 'echo Welcome; exec /bin/sh "$@"')
    assert bench.connect()["target"] == host_target()
    assert bench.run("echo hello").stdout == "hello\n"


def test_a_folder_where_nothing_can_be_executed_is_refused_with_words(add: Add) -> None:
    """As on a file system that is mounted noexec: the kernel refuses what has no permission to be executed."""
    bench = add()
    bench.board.set_command("chmod", "exit 0")
    with pytest.raises(DeviceError) as caught:
        bench.connect()
    words = str(caught.value)
    assert words.startswith(f"{NAME}: programs cannot be put into {bench.root} and executed there: ")
    assert "ermission denied" in words
    assert "noexec" in words
    assert caught.value.error_class is ErrorClass.CONFIG


def test_a_read_only_home_is_refused_with_words(add: Add) -> None:
    bench = add()
    cache = bench.board.home / ".cache"
    cache.mkdir(mode=0o555)
    if os.geteuid() == 0:  # whom permissions do not stop
        capabilities = "-dac_override,-dac_read_search"
        less = f"exec setpriv --bounding-set={capabilities} --inh-caps={capabilities}"
        bench.board.set_command("mkdir", f'{less} /bin/mkdir "$@"')
    with pytest.raises(DeviceError) as caught:
        bench.connect()
    words = str(caught.value)
    assert words.startswith(f"{NAME}: programs cannot be put into {bench.root} and executed there: ")
    assert "ermission denied" in words
    assert "give another `root` in devices.yaml" in words
    assert caught.value.error_class is ErrorClass.CONFIG


@pytest.mark.parametrize(
    ("machine", "words"),
    [("riscv64", "riscv64 with Linux"), ("armv6l", "armv6l with Linux")],
)
def test_a_board_without_runtime_is_refused_with_words(add: Add, machine: str, words: str) -> None:
    bench = add()
    bench.board.set_command("uname", f'[ "$1" = -m ] && echo {machine} || exec /bin/uname "$@"')
    with pytest.raises(DeviceError, match=words) as caught:
        bench.connect()
    assert str(caught.value).startswith(f"{NAME}: ")
    assert caught.value.error_class is ErrorClass.CONFIG


def test_musl_is_refused_with_words(add: Add) -> None:
    bench = add()
    bench.board.set_command("getconf", '[ "$1" = LONG_BIT ] && echo 64 || exit 1')
    bench.board.set_file("/lib/ld-musl-armhf.so.1", "")
    with pytest.raises(DeviceError, match="musl") as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.CONFIG


def test_cores_that_the_board_does_not_have(add: Add) -> None:
    with pytest.raises(DeviceError, match=r"board: the device has no core 999; it has \d+") as caught:
        add(cores=(0, 999)).connect()
    assert caught.value.error_class is ErrorClass.CONFIG


FEW = [
    "sh",
    "cat",
    "mkdir",
    "chmod",
    "rm",
    "ls",
    "ln",
    "mv",
    "dd",
    "df",
    "date",
    "grep",
    "sleep",
    "head",
    "env",
    "setsid",
    "timeout",
    "uname",
    "tr",
    "id",
    "kill",
]
"""What a board with a small busybox has."""


def with_tools(bench: Bench, names: Sequence[str]) -> None:
    """Have the board know these commands alone."""
    folder = bench.folder / "few"
    folder.mkdir()
    for name in names:
        found = shutil.which(name, path="/usr/bin:/bin")
        if found is not None:  # kill is the shell's own
            (folder / name).symlink_to(found)
    bench.board.set_command("sh", f'PATH={folder}; export PATH; exec /bin/sh "$@"')


def test_a_board_with_few_tools_runs_jobs_all_the_same(add: Add) -> None:
    bench = add()
    with_tools(bench, FEW)
    assert "stat" not in bench.connect()["tools"]
    file = bench.file("42\n", "in.txt")
    output = bench.run('read X <in.txt; echo "$X"; sleep 60 & echo 1 >out/result; exit 3', file)
    assert (output.exit_code, output.stdout) == (3, "42\n")
    assert (output.folder / "result").read_text() == "1\n"
    assert bench.programs() == []
    assert bench.jobs == []
    (bench.root / "sha256" / file.sha256).write_text("43\n")
    second = bench.another()
    second.connect()
    assert second.run("cat in.txt", file).stdout == "42\n", "hashed by the controller"
    second.device.close()


@pytest.mark.parametrize("tool", ["setsid", "timeout"])
def test_a_board_that_cannot_end_a_job_by_itself_is_refused_with_words(add: Add, tool: str) -> None:
    bench = add()
    with_tools(bench, [name for name in FEW if name != tool])
    with pytest.raises(DeviceError, match=f"board: it has no command {tool}; install") as caught:
        bench.connect()
    assert caught.value.error_class is ErrorClass.CONFIG


def test_entries_for_one_board_take_turns() -> None:
    specs = [SshSpec(kind="ssh", name=name, address=f"{name}@rpi5.example:2222") for name in ("a", "b")]
    assert {machine_of(spec) for spec in specs} == {"rpi5.example:2222"}
    assert machine_of(SshSpec(kind="ssh", name="a", address="rpi5")) == "rpi5"
    assert machine_of(SshSpec(kind="ssh", name="a", address="rpi5", machine="rack")) == "rack"


def test_equal_units_are_refused_with_words() -> None:
    spec = SshSpec(kind="ssh", name="a", any=("pi@one", "pi@two")).at("devices.yaml:3")
    with pytest.raises(UsageError, match=r"devices.yaml:3: 'any' cannot be driven yet; list the boards one by one"):
        resolve(Inventory((spec,)), SystemClock(), print)


def test_the_registry_opens_boards() -> None:
    device = open_device(
        SshSpec(kind="ssh", name=NAME, address="nobody@127.0.0.1:1", identity="/no/such"), SystemClock()
    )
    assert device.name == NAME
    assert device.target is None
    device.close()
