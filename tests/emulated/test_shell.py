"""Shells of the emulated adbd through the real adb server."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emulated.android.protocol import SHELL_CLOSE_STDIN, SHELL_EXIT, SHELL_STDIN, shell_packet
from emulated.android.shell import Request, parse
from tests.emulated.client import Target
from tests.emulated.conftest import Plug, Plugged, old_phone, receive, until


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shell,v2,TERM=xterm-256color,raw:ls", Request(True, False, "xterm-256color", "ls")),
        ("shell,v2,pty:ls", Request(True, True, "dumb", "ls")),
        ("shell,v2,TERM=vt100,pty:", Request(True, True, "vt100", None)),
        ("shell:echo a:b,c", Request(False, False, "dumb", "echo a:b,c")),
        ("shell:", Request(False, True, "dumb", None)),
        ("exec:cat", Request(False, False, "dumb", "cat")),
        ("exec,v2:cat", None),
        ("shell", None),
        ("sync:", None),
    ],
)
def test_the_name_of_a_service_is_taken_apart(name: str, expected: Request | None) -> None:
    assert parse(name) == expected


def test_outputs_and_code_come_apart(phone: Plugged) -> None:
    ran = phone.shell("cat; echo err >&2; exit 7", stdin=b"typed")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"typed", b"err\n", 7)
    (name,) = phone.daemon.opened
    assert name.startswith("shell,v2,")
    assert name.endswith(":cat; echo err >&2; exit 7")


def test_an_old_phone_has_a_terminal_for_everything_and_no_code(plug: Plug) -> None:
    phone = plug(old_phone())
    ran = phone.shell("echo out; echo err >&2; exit 7")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\r\nerr\r\n", b"", 0)
    target = Target(phone.adb, phone.serial)
    with pytest.raises(ConnectionRefusedError):
        target.open("shell,v2,raw:echo")
    assert target.raw("exec:printf '\\n'") == b"\n"


@pytest.mark.parametrize(("kind", "count"), [("new", 20_000_000), ("old", 300_000), ("delayed_ack", 20_000_000)])
def test_nothing_of_a_long_output_is_lost(phone_kinds: Callable[[str], Plugged], kind: str, count: int) -> None:
    out = phone_kinds(kind).shell(f"head -c {count} /dev/zero").stdout
    assert len(out) == count
    assert not out.strip(b"\0")


def test_output_that_nobody_reads_stops_the_program(phone: Plugged, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    script = f"n=0; while [ $n -lt 1000 ]; do head -c 1000000 /dev/zero; n=$((n+1)); echo $n > {counter}; done"
    seen: list[int] = []
    with Target(phone.adb, phone.serial).open(f"shell,v2,raw:{script}"):

        def settled() -> bool:
            seen.append(int((counter.read_text() if counter.exists() else "").strip() or 0))
            return len(seen) > 30 and len(set(seen[-30:])) == 1

        until(settled)
    assert seen[-1] < 100
    until(lambda: phone.daemon.streams == 0)


def test_a_client_that_goes_hangs_up_on_the_shell_only(phone: Plugged) -> None:
    with Target(phone.adb, phone.serial).open("shell,v2,raw:sleep 60; true"):
        until(lambda: len(phone.daemon.processes()) == 2)
    until(lambda: len(phone.daemon.processes()) == 1)
    (orphan,) = phone.daemon.processes()
    assert b"sleep" in Path(f"/proc/{orphan}/cmdline").read_bytes()
    phone.on_loop.do(phone.daemon.crash())
    assert phone.daemon.processes() == []


def test_a_client_of_a_terminal_hangs_up_on_all(phone: Plugged) -> None:
    with Target(phone.adb, phone.serial).open("shell:sleep 60; true"):
        until(lambda: len(phone.daemon.processes()) == 2)
    until(lambda: phone.daemon.processes() == [])


def test_exec_ends_with_its_client(phone: Plugged) -> None:
    with Target(phone.adb, phone.serial).open("shell,v2,raw:cd / && export A=1; exec sleep 60"):
        until(lambda: len(phone.daemon.processes()) == 1)
    until(lambda: phone.daemon.processes() == [])


def test_a_detached_job_outlives_its_client_and_is_found(phone: Plugged) -> None:
    ran = phone.shell("setsid sleep 60 >/dev/null 2>&1 </dev/null & echo started")
    assert (ran.stdout, ran.returncode) == (b"started\n", 0)
    until(lambda: phone.daemon.streams == 0)
    until(lambda: len(phone.daemon.processes()) == 1)
    phone.daemon.drop()
    until(lambda: phone.adb.state(phone.serial) == "device")
    assert len(phone.daemon.processes()) == 1


def test_input_reaches_a_program_that_reads_late(phone: Plugged) -> None:
    typed = os.urandom(3_000_000)
    assert phone.shell("sleep 0.2; cat", stdin=typed).stdout == typed


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_shells_at_once_leave_nothing(plug: Plug) -> None:
    phones = [plug() for _ in range(8)]
    before = open_files()

    def work(number: int) -> bytes:
        phone = phones[number % 8]
        return Target(phone.adb, phone.serial).shell(f"cat; echo {number}", b"x" * number)[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(80))) == [b"x" * number + b"%d\n" % number for number in range(80)]
    until(lambda: open_files() <= before)
    assert sum(len(phone.daemon.opened) for phone in phones) == 80


def test_a_shell_that_cannot_start_is_reported(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = plug()

    def broken(*_: Any) -> None:
        raise FileNotFoundError("no shell")

    monkeypatch.setattr(phone.handset, "program", broken)
    with pytest.raises(ConnectionRefusedError):
        Target(phone.adb, phone.serial).open("shell:true")
    until(lambda: bool(phone.daemon.failures))
    assert [str(failure) for failure in phone.daemon.failures] == ["no shell"]
    phone.daemon.failures.clear()


def test_a_terminal_has_the_size_of_the_clients(phone: Plugged) -> None:
    with Target(phone.adb, phone.serial).open("shell,v2,pty:read x; stty size") as connection:
        connection.sendall(shell_packet(5, b"33x77,0x0\0") + shell_packet(SHELL_STDIN, b"\n"))
        assert b"33 77\r\n" in receive(connection)


def test_the_last_packet_is_the_exit_code(phone: Plugged) -> None:
    said, order = Target(phone.adb, phone.serial).framed(
        "shell,v2,raw:cat; kill -TERM $$", shell_packet(SHELL_STDIN, b"x"), shell_packet(SHELL_CLOSE_STDIN, b"")
    )
    assert said == {1: b"x", SHELL_EXIT: bytes([128 + 15])}
    assert order[-1] == SHELL_EXIT
