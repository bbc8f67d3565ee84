"""What goes wrong with a phone on purpose, as the real adb server sees it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulated.android.faults import Faults
from tests.emulated.client import Target, send
from tests.emulated.conftest import CLOCK, Plug, Plugged, until


def target_of(phone: Plugged) -> Target:
    return Target(phone.adb, phone.serial)


def back(phone: Plugged) -> None:
    """Wait until the server has found the phone again, by itself."""
    until(lambda: phone.adb.state(phone.serial) == "device")
    assert target_of(phone).shell("echo here") == (b"here\n", b"", 0)


def timed_out(phone: Plugged, *words: str, seconds: float = 0.4) -> bool:
    """Whether an adb command does not come to its end."""
    try:
        phone.run(*words, seconds=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_a_misspelt_fault_is_no_fault() -> None:
    faults = Faults()
    with pytest.raises(AttributeError, match="there is no fault 'stall'"):
        faults.stall = 3


def test_a_listener_hears_of_each_change() -> None:
    heard: list[str] = []
    faults = Faults()
    faults.rate = 5.0
    faults.listen(heard.append)
    faults.hung = True
    faults.allow()
    faults.listen(None)
    faults.hung = False
    assert heard == ["hung", "allowed"]


def test_a_drop_in_the_middle_of_a_push(phone: Plugged, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    phone.daemon.faults.drop_after = 1_000_000
    ran = phone.run("push", "-Z", str(tmp_path / "big"), str(tmp_path / "copy"))
    assert ran.returncode == 1
    assert phone.daemon.received_bytes <= 1_000_000
    until(lambda: not (tmp_path / "copy").exists())
    until(lambda: phone.daemon.faults.drop_after is None)
    back(phone)


def test_a_drop_in_the_middle_of_a_shell(phone: Plugged) -> None:
    phone.daemon.faults.drop_after = 500_000
    out, _, code = target_of(phone).shell("head -c 3000000 /dev/zero; exec sleep 60")
    assert (len(out) < 500_000, code) == (True, None)
    until(lambda: phone.daemon.processes() == [])
    back(phone)


def test_a_drop_in_the_middle_of_a_pull(phone: Plugged, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    phone.daemon.faults.drop_after = 1_000_000
    assert phone.run("pull", str(tmp_path / "big"), str(tmp_path / "copy")).returncode == 1
    back(phone)


def test_a_drop_now_from_any_thread(phone: Plugged) -> None:
    with target_of(phone).open("shell,v2,raw:exec sleep 60") as connection:
        phone.daemon.drop()
        assert connection.recv(1) == b""
    back(phone)


def test_a_stalled_push_goes_on_when_the_stall_ends(phone: Plugged, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(5_000_000))
    phone.daemon.faults.stall_after = 2_000_000
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(phone.run, "push", "-Z", str(tmp_path / "big"), str(tmp_path / "copy"))
        until(lambda: phone.daemon.received_bytes > 0)
        before = phone.daemon.received_bytes
        CLOCK.sleep(0.3)
        assert not pushing.done()
        assert before <= phone.daemon.received_bytes <= 2_000_000
        phone.daemon.faults.stall_after = None
        assert pushing.result(10).returncode == 0
    assert phone.daemon.received_bytes == 5_000_000


def test_a_slow_phone_takes_as_long_as_it_says(phone: Plugged, tmp_path: Path) -> None:
    phone.daemon.faults.rate = 1_000_000.0
    start = CLOCK.monotonic()
    assert target_of(phone).sync(send(str(tmp_path / "copy"), bytes(400_000)))[:4] == b"OKAY"
    assert 0.35 < CLOCK.monotonic() - start < 3.0
    phone.daemon.faults.rate = None
    start = CLOCK.monotonic()
    assert target_of(phone).sync(send(str(tmp_path / "copy"), bytes(400_000)))[:4] == b"OKAY"
    assert CLOCK.monotonic() - start < 0.3


def test_a_hung_phone_is_called_a_device_and_answers_nothing(phone: Plugged) -> None:
    phone.daemon.faults.hung = True
    assert timed_out(phone, "shell", "echo")
    assert phone.adb.state(phone.serial) == "device"
    phone.daemon.faults.hung = False
    assert target_of(phone).out("echo again") == b"again\n"


def test_disconnecting_a_hung_phone_frees_its_clients(phone: Plugged) -> None:
    phone.daemon.faults.hung = True
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(phone.shell, "echo")
        CLOCK.sleep(0.2)
        phone.adb("disconnect", phone.serial)
        assert calling.result(5).returncode != 0


def test_others_do_not_wait_for_a_hung_or_slow_phone(plug: Plug) -> None:
    hung, slow, sound = plug(), plug(), plug()
    hung.daemon.faults.hung = True
    slow.daemon.faults.rate = 100.0
    for ill in (hung, slow):
        assert timed_out(ill, "shell", "echo")
    start = CLOCK.monotonic()
    assert target_of(sound).out("echo well") == b"well\n"
    assert CLOCK.monotonic() - start < 1.0


def test_a_delayed_open_delays_only_itself(phone: Plugged) -> None:
    phone.daemon.faults.open_delay = 0.4
    start = CLOCK.monotonic()
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(target_of(phone).out, ["echo 1"] * 3)) == [b"1\n"] * 3
    assert 0.4 <= CLOCK.monotonic() - start < 1.1


def test_a_refused_open_is_told(phone: Plugged) -> None:
    phone.daemon.faults.refuse_open = True
    with pytest.raises(ConnectionRefusedError, match="closed"):
        target_of(phone).open("shell:echo")
    phone.daemon.faults.refuse_open = False
    assert target_of(phone).out("echo open") == b"open\n"


@pytest.mark.parametrize("auth", ["accept", "new"])
def test_a_phone_that_accepts_the_key_is_a_device(plug: Plug, auth: str) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.auth = auth  # type: ignore[assignment]
    phone.adb("connect", phone.serial)
    back(phone)


def test_a_key_that_was_accepted_once_is_known(plug: Plug) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.auth = "after"
    phone.adb("connect", phone.serial)
    until(lambda: phone.adb.state(phone.serial) == "unauthorized")
    phone.daemon.faults.allow()
    back(phone)
    phone.daemon.drop()
    back(phone)


def test_a_phone_that_never_accepts_stays_unauthorized(plug: Plug) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.auth = "never"
    phone.adb("connect", phone.serial)
    until(lambda: phone.adb.state(phone.serial) == "unauthorized")
    with pytest.raises(ConnectionRefusedError, match="unauthorized"):
        target_of(phone).open("shell:echo")
    phone.daemon.faults.allow()
    CLOCK.sleep(0.2)
    assert phone.adb.state(phone.serial) == "unauthorized"


def test_a_silent_phone_is_offline(plug: Plug) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.auth = "silent"
    client = subprocess.Popen(
        [phone.adb.binary, "connect", phone.serial],
        env=phone.adb.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: phone.adb.state(phone.serial) == "offline")
    finally:
        client.kill()  # it would wait for 10 s
        client.wait()


@pytest.mark.parametrize("tcp", [False, True])
def test_a_phone_that_is_plugged_in_again_comes_back(plug: Plug, tcp: bool) -> None:
    phone = plug(tcp=tcp)
    address: Path | int = (
        int(phone.serial.rpartition(":")[2]) if tcp else Path(phone.serial.removeprefix("localfilesystem:"))
    )
    phone.on_loop.do(phone.daemon.stop())
    until(lambda: phone.adb.state(phone.serial) != "device")
    with pytest.raises(ConnectionRefusedError):
        target_of(phone).open("shell:echo")
    phone.on_loop.do(phone.daemon.start(address))
    back(phone)


def test_a_phone_that_dies_takes_all_its_processes_along(phone: Plugged) -> None:
    target_of(phone).out("setsid sleep 60 >/dev/null 2>&1 </dev/null & true")
    with target_of(phone).open("shell,v2,raw:trap '' HUP; echo; sleep 60; sleep 60") as connection:
        assert connection.recv(5)
        until(lambda: len(phone.daemon.processes()) == 3)
        phone.on_loop.do(phone.daemon.crash())
        assert connection.recv(9) in (b"", b"\n")
    assert phone.daemon.processes() == []
    assert phone.daemon.streams == 0


def test_a_fault_that_was_set_before_the_start_acts(plug: Plug) -> None:
    phone = plug(wait=False)
    phone.daemon.faults.hung = True
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(phone.adb, "connect", phone.serial)
        until(lambda: phone.daemon.connections == 1)
        assert phone.adb.state(phone.serial) != "device"
        phone.daemon.faults.hung = False
        connecting.result(10)
    back(phone)


@pytest.fixture
def crowd(plug: Plug) -> Iterator[list[Plugged]]:
    phones = [plug(wait=False) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda phone: phone.adb("connect", phone.serial), phones))
    yield phones


def test_many_phones_share_one_loop(crowd: list[Plugged], tmp_path: Path) -> None:
    def work(number: int) -> bytes:
        phone = crowd[number]
        path = tmp_path / str(number)
        target_of(phone).sync(send(str(path), bytes(number * 1000)))
        return target_of(phone).out(f"wc -c < {path}")

    with ThreadPoolExecutor(8) as pool:
        assert [int(said) for said in pool.map(work, range(24))] == [number * 1000 for number in range(24)]
    assert [phone.daemon.received_bytes for phone in crowd] == [number * 1000 for number in range(24)]
