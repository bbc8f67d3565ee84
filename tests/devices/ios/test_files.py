"""Files of an app on an iPhone: whole or not there, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulated.ios.apps import OWN_BUNDLE
from emulated.ios.lab import IosLab
from emulated.ios.phone import Phone
from harness.devices.ios.errors import GoneError, IosError, IosTimeoutError, NoSpaceError, RefusedError, ToolError
from harness.devices.ios.files import PORTION, AppFiles, Entry
from tests.devices.ios.conftest import SECONDS, Connect

LARGE = bytes(range(256)) * ((2 * PORTION + 4096) // 256)
"""A little more than two portions."""


@pytest.fixture
def files(phone: Phone, connect: Connect) -> AppFiles:
    return connect(phone).files(OWN_BUNDLE)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    return path


def documents(phone: Phone) -> Path:
    return phone.apps[OWN_BUNDLE].container / "Documents"


@pytest.mark.parametrize("tls", [True, False])
def test_a_large_file_there_and_back(lab: IosLab, connect: Connect, large: Path, tmp_path: Path, tls: bool) -> None:
    phone = lab.add("iphone-13", tls=tls)
    files = connect(phone).files(OWN_BUNDLE)
    turns = []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append(len(list(documents(phone).rglob("*.part"))))
        yield

    assert files.push(large, "a/b/model", SECONDS, turn=turn) == len(LARGE)
    assert turns == [0, 1, 1], "three portions, and until the last one it has another name"
    assert (documents(phone) / "a" / "b" / "model").read_bytes() == LARGE
    assert [size for _, size in phone.received] == [len(LARGE)]
    assert list(documents(phone).rglob("*.part")) == []
    back = tmp_path / "back"
    back.write_bytes(b"x" * (len(LARGE) + 10))
    assert files.pull("a/b/model", back, len(LARGE), SECONDS, turn=turn) == len(LARGE)
    assert back.read_bytes() == LARGE
    assert len(turns) == 6


def test_others_get_their_turn_between_portions(phone: Phone, connect: Connect, large: Path) -> None:
    transport = connect(phone)
    levels = []

    @contextmanager
    def turn() -> Iterator[None]:
        thread = threading.Thread(target=lambda: levels.append(transport.battery(SECONDS)["level"]))
        thread.start()
        thread.join(SECONDS)
        yield

    transport.files(OWN_BUNDLE).push(large, "model", SECONDS, turn=turn)
    assert levels == [phone.battery.level] * 3
    assert (documents(phone) / "model").read_bytes() == LARGE


def test_an_empty_file(phone: Phone, files: AppFiles, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert files.push(empty, "deep/er/empty", SECONDS) == 0
    assert (documents(phone) / "deep" / "er" / "empty").read_bytes() == b""
    back = tmp_path / "back"
    assert files.pull("deep/er/empty", back, 0, SECONDS) == 0
    assert back.read_bytes() == b""
    assert files.read("deep/er/empty", 0, SECONDS) == b""


def test_small_files(phone: Phone, files: AppFiles) -> None:
    files.write("job.json", b"first", SECONDS)
    files.write("job.json", b"2nd", SECONDS)
    assert (documents(phone) / "job.json").read_bytes() == b"2nd"
    assert files.read("job.json", 3, SECONDS) == b"2nd"
    assert files.read("done", 3, SECONDS) is None
    assert files.read("no/such/folder/done", 3, SECONDS) is None
    with pytest.raises(RefusedError, match=r"job\.json holds more than 2 bytes"):
        files.read("job.json", 2, SECONDS)
    assert files.stat("job.json", SECONDS) == 3
    assert files.stat("done", SECONDS) is None
    files.touch("job.json", 1e9, SECONDS)
    assert files.list("", SECONDS) == [Entry("job.json", 3, False, 1e9)]
    files.rename("job.json", "done", SECONDS)
    assert files.read("done", 3, SECONDS) == b"2nd"
    files.remove("done", SECONDS)
    files.remove("done", SECONDS)
    assert files.list("", SECONDS) == []
    with pytest.raises(RefusedError, match="there is no done"):
        files.rename("done", "job.json", SECONDS)


def test_folders(phone: Phone, files: AppFiles) -> None:
    assert files.list("out/1", SECONDS) == []
    files.mkdir("out/1/deeper", SECONDS)
    files.mkdir("out/1", SECONDS)
    files.write("out/1/deeper/s0.bin", b"1", SECONDS)
    files.write("out/1/é.txt", b"12", SECONDS)
    found = {entry.name: (entry.is_dir, entry.size) for entry in files.list("out/1", SECONDS)}
    assert found["é.txt"] == (False, 2)
    assert found["deeper"][0] is True
    files.remove_tree("out/1", SECONDS)
    assert [entry.name for entry in files.list("out", SECONDS)] == []
    files.remove_tree("out/1", SECONDS)


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "a\0b"])
def test_no_path_leads_out_of_the_folder(files: AppFiles, path: str) -> None:
    with pytest.raises(RefusedError, match="no path in Documents"):
        files.write(path, b"1", SECONDS)


def test_free_space(phone: Phone, files: AppFiles) -> None:
    assert files.free_bytes(SECONDS) == phone.free_bytes


def test_a_full_phone(phone: Phone, files: AppFiles, large: Path) -> None:
    phone.free_bytes = PORTION + 1000
    with pytest.raises(NoSpaceError, match="remove something from the phone"):
        files.push(large, "model", SECONDS)
    assert list(documents(phone).iterdir()) == [], "nor is a part of it left"
    phone.free_bytes = 1 << 30
    files.push(large, "model", SECONDS)
    assert (documents(phone) / "model").read_bytes() == LARGE


def test_a_cable_pulled_in_the_middle(phone: Phone, files: AppFiles, large: Path, tmp_path: Path) -> None:
    files.write("old", b"1", SECONDS)
    phone.faults.unplug_after = PORTION + (1 << 20)
    with pytest.raises(GoneError, match="cannot be reached"):
        files.push(large, "model", SECONDS)
    assert not (documents(phone) / "model").exists(), "half a file never has its name"
    phone.plug()
    assert files.stat("model", SECONDS) is None
    files.push(large, "model", SECONDS)
    assert (documents(phone) / "model").read_bytes() == LARGE
    phone.faults.unplug_after = PORTION + (1 << 20)
    with pytest.raises(GoneError):
        files.pull("model", tmp_path / "back", len(LARGE), SECONDS)
    phone.plug()
    files.pull("model", tmp_path / "back", len(LARGE), SECONDS)
    assert (tmp_path / "back").read_bytes() == LARGE


@pytest.mark.parametrize("after", [0, 1 << 20, PORTION + (1 << 20)])
def test_a_phone_that_falls_silent_in_the_middle(phone: Phone, files: AppFiles, large: Path, after: int) -> None:
    files.write("old", b"1", SECONDS)
    phone.faults.silent_after = after
    with pytest.raises(IosTimeoutError):
        files.push(large, "model", 1.0)
    phone.faults.silent_after = None
    files.push(large, "model", SECONDS)
    assert (documents(phone) / "model").read_bytes() == LARGE


def test_a_connection_that_is_cut_while_nothing_goes_on(phone: Phone, files: AppFiles, large: Path) -> None:
    files.write("old", b"1", SECONDS)
    phone.faults.cut_after = 0
    assert files.stat("old", SECONDS) == 1, "another connection is made for it"
    phone.faults.cut_after = 0
    files.push(large, "model", SECONDS)
    assert (documents(phone) / "model").read_bytes() == LARGE


def test_a_file_that_is_not_what_it_was_said_to_be(phone: Phone, files: AppFiles, large: Path, tmp_path: Path) -> None:
    """tidevice by itself would read a file that shrank for ever."""
    files.push(large, "model", SECONDS)
    for size in (len(LARGE) - 1, len(LARGE) + 1, 0, 10):
        with pytest.raises(RefusedError, match=r"model (ended after|holds more than)"):
            files.pull("model", tmp_path / "back", size, SECONDS)
    with pytest.raises(RefusedError, match="there is no other"):
        files.pull("other", tmp_path / "back", 1, SECONDS)
    phone.faults.shrinking = "model"
    with pytest.raises(RefusedError, match=f"of {len(LARGE)} bytes"):
        files.pull("model", tmp_path / "back", len(LARGE), SECONDS)


def test_what_the_phone_does_not_allow(phone: Phone, files: AppFiles) -> None:
    phone.faults.denied = "/Documents/store"
    with pytest.raises(RefusedError, match=r"store.*: PERM_DENIED \(10\)"):
        files.write("store/a", b"1", SECONDS)
    with pytest.raises(RefusedError, match="PERM_DENIED"):
        files.list("store", SECONDS)


def test_a_file_of_this_computer_that_is_at_fault(files: AppFiles, tmp_path: Path, large: Path) -> None:
    with pytest.raises(ToolError, match=r"absent cannot be read"):
        files.push(tmp_path / "absent", "model", SECONDS)

    @contextmanager
    def turn() -> Iterator[None]:
        large.write_bytes(b"shorter")
        yield

    with pytest.raises(ToolError, match="became shorter"):
        files.push(large, "model", SECONDS, turn=turn)
    with pytest.raises(IosError):
        files.pull("model", tmp_path, 1, SECONDS)
    assert files.stat("model", SECONDS) is None
