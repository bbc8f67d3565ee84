"""Files to and from the emulated adbd, through the real adb server. What it says is compared in test_differential."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.android.sync import strtoul
from tests.emulated.client import REGULAR, Target, contents, data, done, failures, request, send
from tests.emulated.conftest import PlainPhone, Plug, Plugged, old_phone, until

KINDS = ["new", "old", "delayed_ack"]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_arrive_as_they_were_sent(phone_kinds: Callable[[str], Plugged], kind: str, tmp_path: Path) -> None:
    phone = phone_kinds(kind)
    content = os.urandom(500_000 if kind == "old" else 5_000_001)
    (tmp_path / "here").write_bytes(content)
    pushed = phone.run("push", str(tmp_path / "here"), str(tmp_path / "phone/there"))
    assert pushed.returncode == 0, pushed.stderr
    assert (tmp_path / "phone/there").read_bytes() == content
    pulled = phone.run("pull", str(tmp_path / "phone/there"), str(tmp_path / "back"))
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "back").read_bytes() == content
    assert (phone.daemon.received_bytes, phone.daemon.sent_bytes) == (len(content), len(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_goes_and_comes_whole(phone_kinds: Callable[[str], Plugged], kind: str, tmp_path: Path) -> None:
    phone = phone_kinds(kind)
    tree = {f"{folder}/{number}": os.urandom(number * 997) for folder in ("a", "b/c") for number in range(20)}
    for name, content in tree.items():
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_bytes(content)
    (tmp_path / "phone").mkdir()
    assert phone.run("push", f"{tmp_path}/here/.", str(tmp_path / "phone")).returncode == 0
    assert phone.run("pull", f"{tmp_path}/phone/.", str(tmp_path / "back")).returncode == 0
    for name, content in tree.items():
        assert (tmp_path / "back" / name).read_bytes() == content
    assert phone.daemon.received_bytes == sum(map(len, tree.values()))


@pytest.mark.parametrize("name", [b"STA2", b"LST2", b"LIS2", b"SND2", b"RCV2"])
def test_a_phone_does_only_what_it_announces(plug: Plug, name: bytes) -> None:
    phone = plug(old_phone())
    (said,) = failures(Target(phone.adb, phone.serial).raw("sync:", request(name, b"/tmp")))
    assert said == f"unknown command {int.from_bytes(name, 'little'):08x}"


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"33188", 33188), (b"0100644", 0o100644), (b"0x81a4", 0x81A4), (b"0x", 0), (b"rw", 0), (b"", 0), (b"09", 0)],
)
def test_modes_are_read_as_c_reads_them(text: bytes, number: int) -> None:
    assert strtoul(text) == number


def test_a_file_that_grows_while_it_is_pulled_is_sent_to_its_end(phone: Plugged, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 700_000)
    got, lengths = contents(Target(phone.adb, phone.serial).sync(request(b"RECV", str(path).encode())))
    assert got == path.read_bytes()
    assert set(lengths[:-1]) == {65536}


def test_a_reason_is_said_before_all_was_sent(phone: Plugged, tmp_path: Path) -> None:
    """A client may learn early that its push failed, and may go on sending all the same."""
    (tmp_path / "folder").mkdir()
    with Target(phone.adb, phone.serial).open("sync:") as connection:
        connection.sendall(request(b"SEND", f"{tmp_path}/folder,{REGULAR}".encode()))
        said = connection.recv(4)
        connection.sendall(data(bytes(2_000_000)) + done())
        while part := connection.recv(4096):
            said += part
    assert list(failures(said)) == ["couldn't create file: Is a directory"]


def test_a_full_phone_says_so_and_keeps_nothing(plug: Plug, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/before").write_bytes(bytes(1000))
    phone = plug(PlainPhone(data=tmp_path / "data"))
    target = Target(phone.adb, phone.serial)
    phone.daemon.faults.quota = 100_000
    until(lambda: phone.daemon.free_bytes() == 100_000)
    assert target.sync(send(f"{tmp_path}/data/fits", bytes(60_000)))[:4] == b"OKAY"
    assert phone.daemon.free_bytes() == 40_000
    (said,) = failures(target.raw("sync:", send(f"{tmp_path}/data/too_much", bytes(60_000))))
    assert said == "write failed: No space left on device"
    assert not (tmp_path / "data/too_much").exists()
    assert target.sync(send(f"{tmp_path}/data/fits", bytes(90_000)))[:4] == b"OKAY", "what is replaced makes room"
    target.out(f"rm {tmp_path}/data/before {tmp_path}/data/fits")
    assert phone.daemon.free_bytes() == 101_000
    phone.daemon.faults.quota = None
    until(lambda: phone.daemon.free_bytes() is None)
    assert target.sync(send(f"{tmp_path}/data/fits", bytes(900_000)))[:4] == b"OKAY"


def test_the_command_line_tells_that_a_phone_is_full(plug: Plug, tmp_path: Path) -> None:
    phone = plug(PlainPhone(data=tmp_path))
    phone.daemon.faults.quota = 1_000_000
    phone.on_loop.do(asyncio.sleep(0))  # what is used is counted on its loop: before more is
    (tmp_path / "big").write_bytes(bytes(8_000_000))
    until(lambda: phone.daemon.free_bytes() == 0)
    ran = phone.run("push", str(tmp_path / "big"), str(tmp_path / "copy"))
    assert ran.returncode == 1
    assert b"No space left on device" in ran.stderr


@pytest.mark.parametrize("dies", [False, True])
def test_half_a_file_stays_only_where_the_phone_dies(plug: Plug, tmp_path: Path, dies: bool) -> None:
    phone = plug()
    path = tmp_path / "half"
    with Target(phone.adb, phone.serial).open("sync:") as connection:
        connection.sendall(request(b"SEND", f"{path},{REGULAR | 0o600}".encode()) + data(bytes(200_000)))
        until(lambda: path.exists() and path.stat().st_size == 200_000)
        phone.on_loop.do(phone.daemon.crash() if dies else phone.daemon.stop())
    until(lambda: phone.daemon.streams == 0)
    assert path.exists() == dies


class ReadOnly(PlainPhone):
    """A phone on which no file can be."""

    def resolve(self, remote: str, *, follow: bool) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), remote)


def test_a_path_that_the_phone_refuses_is_no_file(plug: Plug) -> None:
    phone = plug(ReadOnly())
    target = Target(phone.adb, phone.serial)
    assert list(failures(target.raw("sync:", send("/x", b"")))) == ["couldn't create file: Read-only file system"]
    assert target.sync(request(b"STAT", b"/x")) == b"STAT" + bytes(12)
