"""Files: on phones of every kind, and with replies that no adbd gives."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.devices.adb.errors import AdbProtocolError, DeviceLostError, DeviceTimeoutError, RemoteError
from harness.devices.shell.stretches import PORTION
from harness.devices.shell.way import PushFile
from tests.devices.adb.conftest import CLOCK, TMP, Rig
from tests.devices.adb.scripted import Talk, message, scripted, stat_v2

REGULAR = stat.S_IFREG | 0o644
MISSING = stat_v2(b"LST2", 0, 0, errno.ENOENT)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_003], ids=str)
def test_content_comes_back_as_it_went(rig: Rig, tmp_path: Path, size: int) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(size))
    with rig.device.sync(30) as files:
        assert files.push(source, f"{TMP}/new folder/a,b", 0o755) == size
        found = files.stat(f"{TMP}/new folder/a,b")
        assert files.pull(f"{TMP}/new folder/a,b", back, size) == size
    assert back.read_bytes() == source.read_bytes()
    assert found is not None
    assert (found.size, stat.S_ISREG(found.mode), bool(found.mode & 0o100)) == (size, True, True)
    assert abs(found.mtime - CLOCK.now().timestamp()) < 60
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("back")] == ["back"]


def test_many_files_in_one_session(rig: Rig, tmp_path: Path) -> None:
    contents = {f"{TMP}/many/{number}": os.urandom(number * 97) for number in range(300)}
    with rig.device.sync(60) as files:
        sent = files.push_many(PushFile(content, name) for name, content in contents.items())
        listed = dict(files.list(f"{TMP}/many"))
        assert sent == sum(map(len, contents.values()))
        assert {name: found.size for name, found in listed.items()} == {str(n): n * 97 for n in range(300)}
        files.pull(f"{TMP}/many/299", tmp_path / "last", 1 << 20)
    assert (tmp_path / "last").read_bytes() == contents[f"{TMP}/many/299"]
    if rig.kind in ("emulated", "old"):
        assert sum(service.startswith("sync") for service in rig.phone.opened) == 1


def test_no_files_need_no_session(rig: Rig) -> None:
    before = list(rig.phone.opened)
    with rig.device.sync(10) as files:
        assert files.push_many([]) == 0
    assert rig.phone.opened == before


def test_a_pushed_file_replaces_a_longer_one(rig: Rig) -> None:
    with rig.device.sync(10) as files:
        files.push(b"a long one", f"{TMP}/file")
        files.push(b"short", f"{TMP}/file")
    assert rig.device.shell(f"cat {TMP}/file", 10).stdout == b"short"


def test_what_is_missing(rig: Rig, tmp_path: Path) -> None:
    with rig.device.sync(10) as files:
        assert files.stat(f"{TMP}/nothing") is None
        assert files.stat(f"{TMP}/nothing/below") is None
        with pytest.raises(RemoteError, match="No such file or directory") as caught:
            files.list(f"{TMP}/nothing")
        with pytest.raises(RemoteError, match="No such file or directory"):
            files.pull(f"{TMP}/nothing", tmp_path / "back", 100)
        assert files.push(b"still usable", f"{TMP}/file") == 12
    assert (caught.value.command, caught.value.serial) == (f"{TMP}/nothing", rig.phone.serial)
    assert list(tmp_path.glob("back*")) == []


def test_a_folder_is_no_file(rig: Rig, tmp_path: Path) -> None:
    with rig.device.sync(10) as files:
        with pytest.raises(RemoteError, match="it is a folder"):
            files.push(b"x", TMP)
        with pytest.raises(RemoteError, match="it is a folder"):
            files.push(b"x", f"{TMP}/new/")
        with pytest.raises(RemoteError, match="not a regular file"):
            files.pull(TMP, tmp_path / "back", 100)
        files.push(b"x", f"{TMP}/file")
        with pytest.raises(RemoteError, match="Not a directory"):
            files.list(f"{TMP}/file")
        assert files.list(TMP) and {".", ".."}.isdisjoint(dict(files.list(TMP)))


def test_links_are_followed_and_never_replaced(rig: Rig, tmp_path: Path) -> None:
    made = f"cd {TMP} && mkdir folder && echo content > file && ln -s folder to-folder && ln -s file to-file"
    assert rig.device.shell(made, 10).exit_code == 0
    with rig.device.sync(10) as files:
        folder, file = files.stat(f"{TMP}/to-folder"), files.stat(f"{TMP}/to-file")
        assert folder and stat.S_ISDIR(folder.mode)
        assert file and (stat.S_ISREG(file.mode) if rig.v2 else stat.S_ISLNK(file.mode))
        assert files.pull(f"{TMP}/to-file", tmp_path / "back", 100) == 8
        for name in ("to-folder", "to-file"):
            with pytest.raises(RemoteError, match="it is a link"):
                files.push(b"other", f"{TMP}/{name}")
        assert all(stat.S_ISLNK(dict(files.list(TMP))[name].mode) for name in ("to-folder", "to-file"))
    assert (tmp_path / "back").read_bytes() == b"content\n"


def test_a_longer_file_than_allowed_is_not_read(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "back").write_text("from before")
    with rig.device.sync(10) as files:
        files.push(bytes(101), f"{TMP}/file")
        with pytest.raises(RemoteError, match="101 bytes, more than the 100 allowed"):
            files.pull(f"{TMP}/file", tmp_path / "back", 100)
    assert [path.read_text() for path in tmp_path.glob("back*")] == ["from before"]


def test_the_devices_reason_is_told_and_the_session_goes_on(rig: Rig) -> None:
    with rig.device.sync(20) as files:
        with pytest.raises(RemoteError, match=r"'/proc/nothing/here' was not taken: .+") as caught:
            files.push(bytes(3_000_000), "/proc/nothing/here")
        assert caught.value.said
        assert files.push(b"x", f"{TMP}/file") == 1


def test_a_path_that_is_too_long_is_refused_in_words(rig: Rig) -> None:
    with rig.device.sync(10) as files, pytest.raises(RemoteError, match="longer than adb takes"):
        files.stat("/data/" + "x" * 1024)


class Turns:
    """Counts the stretches that were entered, and lets each one wait."""

    def __init__(self, wait: float = 0.0) -> None:
        self.entered = 0
        self._wait = wait
        self._inside = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        assert not self._inside
        CLOCK.sleep(self._wait)
        self._inside = True
        self.entered += 1
        yield
        self._inside = False


def test_copying_is_done_in_portions(rig: Rig, tmp_path: Path) -> None:
    turns = Turns()
    size = 2 * PORTION + 100_000
    with rig.device.sync(60) as files:
        files.push(os.urandom(size), f"{TMP}/big", portion=turns)
        assert turns.entered == 3
        files.pull(f"{TMP}/big", tmp_path / "back", size, portion=turns)
        assert turns.entered == 6
        files.push_many([PushFile(b"small", f"{TMP}/{number}") for number in range(50)], portion=turns)
        assert turns.entered == 7, "small files share one"


def test_waiting_for_a_turn_does_not_count_as_time(modern: Rig) -> None:
    with modern.device.sync(1.0) as files:
        files.push(b"x", f"{TMP}/file", portion=Turns(wait=1.3))
        files.push(b"x", f"{TMP}/file")


def test_a_refusal_is_read_although_the_device_stops_reading() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(MISSING)
        talk.sync_request()
        talk.say(message(b"FAIL", b"write failed: No space left on device"))
        released.wait(20)

    released = threading.Event()
    start = CLOCK.monotonic()
    with scripted(script) as server:
        with server.device().sync(15) as files, pytest.raises(RemoteError, match="No space left on device"):
            files.push(bytes(64 << 20), "/data/big")
        released.set()
    assert CLOCK.monotonic() - start < 10


def test_a_refusal_is_read_although_the_device_hangs_up() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(MISSING)
        talk.sync_request()
        talk.say(message(b"FAIL", b"Permission denied"))

    with (
        scripted(script) as server,
        server.device().sync(15) as files,
        pytest.raises(RemoteError, match="Permission denied") as caught,
    ):
        files.push(bytes(64 << 20), "/data/big")
    assert caught.value.command == "/data/big"


def test_a_refusal_names_the_file_that_it_is_about() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        for _request in range(3):
            talk.sync_request()
            talk.say(MISSING)
        for answer in (message(b"OKAY"), message(b"FAIL", b"no")):
            talk.sync_request()
            talk.sync_data()
            talk.dribble(answer)
        talk.wait_for_the_end()

    with (
        scripted(script) as server,
        server.device().sync(15) as files,
        pytest.raises(RemoteError, match="'/data/2' was not taken: no"),
    ):
        files.push_many([PushFile(b"x", f"/data/{number}") for number in (1, 2, 3)])


def test_a_device_that_goes_away_in_a_push_ends_the_session() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(MISSING)
        talk.sync_request()

    with scripted(script) as server, server.device().sync(15) as files:
        for _ in range(2):
            with pytest.raises(DeviceLostError):
                files.push(bytes(64 << 20), "/data/big")
        assert server.asked.count("sync:") == 1


def test_an_acknowledgement_that_never_comes() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(MISSING)
        talk.sync_request()
        talk.sync_data()
        talk.wait_for_the_end()

    start = CLOCK.monotonic()
    with (
        scripted(script) as server,
        server.device().sync(0.5) as files,
        pytest.raises(DeviceTimeoutError, match="/data/file"),
    ):
        files.push(b"x", "/data/file")
    assert CLOCK.monotonic() - start < 5


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (message(b"DATA", b"abcd") + message(b"DONE"), RemoteError),
        (message(b"DATA", bytes(200)) + message(b"DONE"), RemoteError),
        (message(b"FAIL", b"read failed: I/O error"), RemoteError),
        (message(b"DATA", b"abcdefgh")[:-1], DeviceLostError),
        (message(b"DATA", b"abcdefgh"), DeviceLostError),
        (b"DATA\xff\xff\xff\xff", AdbProtocolError),
        (message(b"OKAY"), AdbProtocolError),
    ],
    ids=["shorter", "longer", "failed", "cut", "no end", "too long a message", "another answer"],
)
def test_a_pull_that_goes_wrong_leaves_no_file(tmp_path: Path, reply: bytes, error: type[Exception]) -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        assert talk.sync_request() == (b"STA2", "/data/file")
        talk.say(stat_v2(b"STA2", REGULAR, 8))
        assert talk.sync_request() == (b"RECV", "/data/file")
        talk.dribble(reply)

    with scripted(script) as server, server.device().sync(10) as files, pytest.raises(error):
        files.pull("/data/file", tmp_path / "back", 100)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_may_not_be_looked_at_is_not_called_missing() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(stat_v2(b"STA2", 0, 0, errno.EACCES))
        talk.wait_for_the_end()

    with (
        scripted(script) as server,
        server.device().sync(10) as files,
        pytest.raises(RemoteError, match="'/data/data' cannot be looked at: Permission denied"),
    ):
        files.stat("/data/data")


def test_a_stat_reply_of_another_kind() -> None:
    def script(talk: Talk, _: str) -> None:
        talk.say(b"OKAY")
        talk.sync_request()
        talk.say(stat_v2(b"LST2", REGULAR, 8))
        talk.wait_for_the_end()

    with scripted(script) as server, server.device().sync(10) as files, pytest.raises(AdbProtocolError):
        files.stat("/data/file")
